"""The page of a comparison: encoders side by side, and over the values of a setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from artrec.report.charts import CHANCE, FLOORS, has_interval
from artrec.report.drawing import Plot, plot_of
from artrec.report.facts import Measured
from artrec.report.sheets import page
from artrec.report.training import Curve

__all__ = ["page_of_comparison"]

LABELS = ("artist", "style")
FIGURES = {
    ("precision", 1, "sample"): "P@1",
    ("precision", 10, "sample"): "P@10",
    ("map", 10, "sample"): "mAP@10",
    ("precision", 1, "held_out"): "P@1, held out",
}
CLOUD = ("mean_cosine", "effective_dimension")
_COSTS = {
    "reconstruction_error": "reconstruction error",
    "encode_ms": "ms to encode",
    "training_seconds": "training time, s",
}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """An encoder in one table: its figures in the order of FIGURES, None where nobody asked."""

    name: str
    value: str | None
    figures: tuple[Measured | None, ...]
    best: tuple[bool, ...]


def page_of_comparison(account: Mapping[str, Any], rows: Iterable[Row]) -> bytes:
    """A page from the account of a comparison and the rows of its table."""
    known = [Measured.model_validate(dict(row)) for row in rows]
    tables = {label: table for label in LABELS if (table := _table(account, known, label))}
    cloud = {(row.encoder, row.measure): row.value for row in known if row.measure in CLOUD}
    return page(
        "comparison.html",
        release=str(account["release"]),
        account=account,
        titles=list(FIGURES.values()),
        tables=tables,
        variants=_strict(account, known),
        cloud=cloud,
        plots=_plots(account, known),
        has_interval=has_interval,
    )


def _value(row: Measured | None) -> float | None:
    return row.value if row else None


def _figure(
    known: Sequence[Measured], encoder: str, label: str, key: tuple[str, int, str], variant: str
) -> Measured | None:
    measure, k, pool = key
    wanted = (encoder, label, measure, k, pool, variant, "micro")
    return next(
        (
            row
            for row in known
            if (row.encoder, row.label, row.measure, row.k, row.pool, row.variant, row.average)
            == wanted
        ),
        None,
    )


def _table(account: Mapping[str, Any], known: Sequence[Measured], label: str) -> list[Entry]:
    """The encoders, the best by P@1 first, then floors and chance; nothing without the label."""
    found = {
        name: tuple(_figure(known, name, label, key, "all") for key in FIGURES)
        for name in (each["encoder"] for each in account["encoders"])
    }
    if not any(figure for figures in found.values() for figure in figures):
        return []
    most = [max(_value(row) or 0.0 for row in rows) for rows in zip(*found.values(), strict=True)]
    entries = []
    for each in account["encoders"]:
        figures = found[each["encoder"]]
        best = tuple(_value(row) == top for row, top in zip(figures, most, strict=True))
        entries.append(Entry(each["encoder"], each.get("value"), figures, best))
    entries.sort(key=lambda entry: (entry.name in FLOORS, -(_value(entry.figures[0]) or 0.0)))
    by_chance = {
        pool: _figure(known, CHANCE, label, ("precision", 0, pool), "all")
        for pool in ("sample", "held_out")
    }
    chances = tuple(by_chance[pool] if m == "precision" else None for m, _, pool in FIGURES)
    return [*entries, Entry(CHANCE, None, chances, (False,) * len(FIGURES))]


def _strict(account: Mapping[str, Any], known: Sequence[Measured]) -> list[dict[str, Any]]:
    """P@1 of each encoder with duplicates, or the same artist, left out."""
    found = []
    for label, variant in (("artist", "no_duplicates"), ("style", "no_same_artist_or_duplicates")):
        for each in account["encoders"]:
            row = _figure(known, each["encoder"], label, ("precision", 1, "sample"), variant)
            if row is not None:
                found.append({"label": label, "row": row})
    return found


def _plots(account: Mapping[str, Any], known: Sequence[Measured]) -> list[Plot]:
    """Curves over the values of the setting, in the order in which they were named.

    What is not known of every value has none: it would be drawn under other values' names. Nor have
    values that are no numbers, between which there is nothing to draw.
    """
    swept = [each for each in account["encoders"] if each.get("value") is not None]
    if len(swept) < 2 or not all(_is_number(each["value"]) for each in swept):
        return []
    drawn = [key for key, title in FIGURES.items() if title in ("P@1", "P@10", "mAP@10")]
    found = []
    for label in LABELS:
        figures = {
            FIGURES[key]: [_figure(known, each["encoder"], label, key, "all") for each in swept]
            for key in drawn
        }
        found.append(_plot(f"same {label}", {t: list(map(_value, r)) for t, r in figures.items()}))
    for name, title in _COSTS.items():
        found.append(_plot(title, {title: [each[name] for each in swept]}))
    return [each for each in found if each is not None]


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _plot(title: str, curves: Mapping[str, Sequence[float | None]]) -> Plot | None:
    whole = {name: values for name, values in curves.items() if None not in values}
    drawn = [Curve(measure=name, points=tuple(enumerate(each))) for name, each in whole.items()]
    return plot_of(title, drawn)
