"""Which pictures a sample holds, by whom, under which names: all known before one is painted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count

import numpy as np

from artrec.sample.names import NEIGHBORS, artist_slug, title_slug
from artrec.sample.styles import STYLES, favourite

__all__ = ["Member", "Work", "plan_members"]

_PICTURES_PER_ARTIST = 12
_SMALLEST_WITH_DOUBLES = 20
_TWO_FOLDERS, _TWO_NAMES = 0.017, 0.012


@dataclass(frozen=True, slots=True)
class Work:
    """One picture: ``style`` indexes ``STYLES``, ``artist`` counts within it, ``number`` in all."""

    style: int
    artist: int
    number: int
    motif: str


@dataclass(frozen=True, slots=True)
class Member:
    """One name in the archive; ``kind`` says how it is broken, None that it is not."""

    name: str
    work: Work
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class _Artist:
    style: int
    number: int
    slug: str
    works: int
    first_year: int


def plan_members(images: int, seed: int, broken: int, kinds: tuple[str, ...]) -> list[Member]:
    """``images`` good members and ``broken`` others, in the order of their names.

    About one picture in sixty stands in two style folders, one in eighty under two names.
    """
    doubled = images >= _SMALLEST_WITH_DOUBLES
    in_two_folders = max(round(images * _TWO_FOLDERS), 1) if doubled else 0
    under_two_names = max(round(images * _TWO_NAMES), 1) if doubled else 0
    works = images - in_two_folders - under_two_names
    artists = list(_artists(works, seed))
    rng = np.random.default_rng([seed, 4])
    used: set[str] = set()
    members = [
        Member(_unused(rng, artist, work.motif, used), work)
        for artist, work in _works(artists, seed, rng)
    ]
    by_place = {(artist.style, artist.number): artist for artist in artists}
    chosen = rng.choice(works, in_two_folders + under_two_names, replace=False)
    for turn, index in enumerate(chosen):
        first = members[int(index)]
        if turn < in_two_folders:
            name = _other_folder(first, {artist.style for artist in artists}, used)
        else:
            artist = by_place[first.work.style, first.work.artist]
            name = _unused(rng, artist, first.work.motif, used)
        members.append(Member(name, first.work))
    for turn in range(broken):
        artist = artists[int(rng.integers(len(artists)))]
        work = Work(
            artist.style, artist.number, works + turn, favourite(seed, artist.style, artist.number)
        )
        members.append(
            Member(_unused(rng, artist, work.motif, used), work, kinds[turn % len(kinds)])
        )
    return sorted(members, key=lambda member: member.name)


def _shares(total: int, weights: np.ndarray) -> list[int]:
    """``total`` in whole parts near the weights, at least one each (largest remainders)."""
    spare = total - len(weights)
    exact = spare * weights / weights.sum()
    parts = np.floor(exact).astype(int)
    order = np.argsort(parts - exact, kind="stable")
    parts[order[: spare - int(parts.sum())]] += 1
    return [int(part) + 1 for part in parts]


def _artists(works: int, seed: int) -> Iterator[_Artist]:
    """Artists with the number of their works: at least two a style, few with many works."""
    styles = min(max(works // 4, 1), len(STYLES))
    per_style = _shares(works, np.array([style.weight for style in STYLES[:styles]]))
    names: set[str] = set()
    for index, pictures in enumerate(per_style):
        rng = np.random.default_rng([seed, 5, index])
        artists = min(max(round(pictures / _PICTURES_PER_ARTIST), 2), pictures)
        low, high = STYLES[index].years
        sizes = _shares(pictures, rng.lognormal(0, 1.1, artists))
        for number, size in enumerate(sizes):
            slug = _new_slug(rng, number + 5 * index, STYLES[index].name == "Ukiyo_e", names)
            yield _Artist(index, number, slug, size, int(rng.integers(low, high - 5)))


def _new_slug(rng: np.random.Generator, number: int, eastern: bool, names: set[str]) -> str:
    base = artist_slug(rng, number, eastern)
    endings = chain(["", "-ii", "-iii"], (f"-{generation}" for generation in count(4)))
    slug = next(base + ending for ending in endings if base + ending not in names)
    names.add(slug)
    return slug


def _works(
    artists: list[_Artist], seed: int, rng: np.random.Generator
) -> Iterator[tuple[_Artist, Work]]:
    number = 0
    for artist in artists:
        motifs, loved = STYLES[artist.style].motifs, favourite(seed, artist.style, artist.number)
        for _ in range(artist.works):
            motif = loved if rng.random() < 0.45 else motifs[int(rng.integers(len(motifs)))]
            yield artist, Work(artist.style, artist.number, number, motif)
            number += 1


def _unused(rng: np.random.Generator, artist: _Artist, motif: str, used: set[str]) -> str:
    """A name nobody has; a title that comes again gets a number in parentheses."""
    span = min(30, STYLES[artist.style].years[1] - artist.first_year)
    title = title_slug(rng, motif, artist.first_year + int(rng.integers(span + 1)))
    stem = f"wikiart/{STYLES[artist.style].name}/{artist.slug}_{title}"
    name, again = f"{stem}.jpg", 1
    while name in used:
        name, again = f"{stem}({again}).jpg", again + 1
    used.add(name)
    return name


def _other_folder(first: Member, styles: set[int], used: set[str]) -> str:
    """The same file name under a style that is near, or under any other one of the sample."""
    own, file = first.name.split("/")[1:]
    present = [STYLES[index].name for index in sorted(styles) if STYLES[index].name != own]
    near = NEIGHBORS[own] if NEIGHBORS[own] in present else present[0]
    name = f"wikiart/{near}/{file}"
    used.add(name)
    return name
