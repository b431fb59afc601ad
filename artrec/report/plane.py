"""The map of a page as its script takes it: points, what they are coloured by, where they lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from artrec.report.clusters import MapView
from artrec.report.drawing import script_json
from artrec.report.facts import Facts, Point
from artrec.report.text import visible

__all__ = ["HUES", "SHAPES", "groups", "map_data"]

HUES, SHAPES = 9, 3
"""So many colours that people with any colour vision tell apart, each in so many shapes."""

_GRID = 4095  # the map's places are whole numbers up to this
_LONGEST = 60  # characters of a title on the map: there are thousands
_LEGEND = HUES * SHAPES  # groups with a look and an entry of their own
_TITLES = {"codes": "The vectors themselves", "pca": "Principal axes", "tsne": "t-SNE"}


def map_data(facts: Facts) -> dict[str, Any]:
    """The map for its script: styles by size with a hue and a shape each, and the points.

    The first 27 styles have a look of their own; the others share one. ``by`` has clusters and
    artists in the same form with the group ``of`` each point, ``views`` the maps that there are.
    """
    styles, of = groups([point.image.style or "" for point in facts.points], "no style")
    places = _flat([(point.x, point.y) for point in facts.points])
    artists = {name: n for n, name in enumerate(dict.fromkeys(_artist(p) for p in facts.points))}
    points = [
        [
            *places[number],
            of[number],
            _short(p.image.title or p.image.image_id),
            artists[_artist(p)],
            p.image.thumb or "",
        ]
        for number, p in enumerate(facts.points)
    ]
    return {
        "styles": styles,
        "artists": list(artists),
        "points": points,
        "by": _by(facts),
        "views": [view for each in facts.maps for view in _views(each, facts)],
    }


def _by(facts: Facts) -> list[dict[str, Any]]:
    """What points may be coloured by besides styles, where there are several of it."""
    artists, of = groups([_artist(point) for point in facts.points], "no artist", _LEGEND)
    found = [{"key": "artist", "title": "Artists", "groups": artists, "of": of}]
    own = next((each.clusters for each in facts.maps if each.clusters), ())
    if own and len(own) == len(facts.points):
        names = [f"cluster {number}" if number else "" for number in own]
        clusters, of = groups(names, "no cluster", _LEGEND)
        found.insert(0, {"key": "cluster", "title": "Clusters", "groups": clusters, "of": of})
    return [each for each in found if len(each["groups"]) > 1]


def _views(view: MapView, facts: Facts) -> list[dict[str, Any]]:
    """A map flat, and in three dimensions if it has them."""
    if len(view.places) != len(facts.points):
        return []
    title = _TITLES.get(view.name, view.name)
    flat = {"title": f"{title}, flat", "places": _flat([place[:2] for place in view.places])}
    deep = [place for place in view.places if place[2] is not None]
    if len(deep) < len(view.places) or not any(place[2] for place in deep):
        return [flat]
    return [flat, {"title": f"{title}, in space", "places": _flat(deep), "deep": True}]


def _flat(places: Sequence[Sequence[float | None]]) -> list[list[int]]:
    """Places as whole numbers from 0 to 4095 along the longest side, the others in proportion."""
    axes = list(zip(*places, strict=True)) if places else []
    numbers = [[float(value or 0.0) for value in axis] for axis in axes]
    lows = [min(axis) for axis in numbers]
    span = max((max(axis) - low for axis, low in zip(numbers, lows, strict=True)), default=0.0)
    scaled = (
        [round(_GRID * (value - low) / (span or 1.0)) for value in axis]
        for axis, low in zip(numbers, lows, strict=True)
    )
    return [list(place) for place in zip(*scaled, strict=True)]


def groups(
    names: Sequence[str], nothing: str, most: int | None = None
) -> tuple[list[dict[str, Any]], list[int]]:
    """(groups by size with a look each, the group of each name); "" is called ``nothing``.

    Beyond ``most`` the smaller ones are one group, "others".
    """
    counts = Counter(names)
    order = sorted(counts, key=lambda name: (name == "", -counts[name], name))
    kept = order if most is None or len(order) <= most + 1 else order[:most]
    place = {name: number for number, name in enumerate(kept)}
    found = [_look(name or nothing, counts[name], n, name != "") for name, n in place.items()]
    if len(kept) < len(order):
        rest = len(names) - sum(counts[name] for name in kept)
        found.append(_look("others", rest, len(kept), False))
    return found, [place.get(name, len(kept)) for name in names]


def _look(name: str, count: int, number: int, named: bool) -> dict[str, Any]:
    own = number < HUES * SHAPES and named
    return {
        "name": name,
        "count": count,
        "hue": number % HUES if own else HUES,
        "shape": (number // HUES) % SHAPES if own else 0,
    }


def _artist(point: Point) -> str:
    return _short(point.image.artist or "")


def _short(text: str) -> str:
    """Cut so that it takes few bytes in the page too, where some characters take six."""
    shown = visible(text, _LONGEST)
    while len(script_json(shown).encode()) > 2 * _LONGEST:
        shown = shown[: len(shown) // 2] + "…"
    return shown
