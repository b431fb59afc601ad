"""From rows of ``evaluation`` to what a chart draws: which rows stand beside each other.

Floors are encoders too, under names of their own: a colour histogram and the bare pixels, which any
encoder has to beat, and chance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from artrec.report.facts import Facts, Gate, Measured

__all__ = [
    "CHANCE",
    "Chart",
    "FLOORS",
    "Line",
    "Panel",
    "Recall",
    "VARIANTS",
    "best_row",
    "charts",
    "has_interval",
    "recalls",
    "title_of",
]

FLOORS = ("histogram", "pixels")
CHANCE = "chance"

VARIANTS = {
    "no_same_artist_or_duplicates": "other artists, no duplicates",
    "no_same_artist": "other artists only",
    "no_duplicates": "no duplicates",
    "all": "all images",
}
"""The strictest first: what lies near for a trivial reason says little."""

_WITHIN = {
    "catalog": "within the whole catalog",
    "sample": "within a sample, the floors beside",
    "held_out": "of pictures that a training holds out, within those that it sees",
}
_MEASURES = ("precision", "map")
_RECALLS = {"index_recall": "Index", "table_recall": "Neighbor table"}
_FEW = 5  # queries, below which a class's number is noise


@dataclass(frozen=True)
class Line:
    """One measure of several encoders: ours, the floors, chance, and others."""

    name: str
    own: Measured | None
    floors: tuple[Measured, ...]
    chance: Measured | None
    others: tuple[Measured, ...]


@dataclass(frozen=True)
class Panel:
    """The lines of one variant, with the classes that come out best and worst."""

    variant: str
    title: str
    lines: tuple[Line, ...]
    best: tuple[Measured, ...]
    worst: tuple[Measured, ...]


@dataclass(frozen=True)
class Chart:
    """How well neighbors share a label, in one pool; ``within`` says which, where it is not all."""

    label: str
    pool: str
    within: str
    panels: tuple[Panel, ...]

    @property
    def has_floors(self) -> bool:
        return any(line.floors for panel in self.panels for line in panel.lines)


@dataclass(frozen=True)
class Recall:
    """How much of the exact lists an approximate answer holds, beside what its gate wants."""

    name: str
    row: Measured
    gate: Gate | None
    wanted: float | None


def title_of(row: Measured) -> str:
    """``precision@10``; ``mAP``, and ``mAP@50`` where the lists end there."""
    name = {"map": "mAP"}.get(row.measure, row.measure.replace("_", " "))
    return f"{name}@{row.k}" if row.k else name


def has_interval(row: Measured | None) -> bool:
    """Whether its interval is one: of all images there is none, and both ends are shown alike."""
    if row is None or row.low is None or row.high is None:
        return False
    return f"{row.low:.3f}" != f"{row.high:.3f}"


def charts(facts: Facts) -> tuple[Chart, ...]:
    """One for each label and pool, style first; a sample that is the whole catalog is no pool."""
    rows = _in_one_pool(facts, [row for row in facts.measures if row.measure in _MEASURES])
    places = dict.fromkeys((row.label, row.pool) for row in rows)
    several = len({row.pool for row in rows}) > 1
    return tuple(
        Chart(
            label,
            pool,
            _WITHIN.get(pool, f"within {pool.replace('_', ' ')}") if several else "",
            _panels(facts, [r for r in rows if (r.label, r.pool) == (label, pool)]),
        )
        for label, pool in sorted(places, key=lambda p: (p[0] != "style", p))
    )


def _in_one_pool(facts: Facts, rows: list[Measured]) -> list[Measured]:
    """Where the sample holds every image: what was measured in it alone (floors), as of the rest.

    The encoder's own numbers stand twice there; those of the catalog stay.
    """
    size = facts.settings.get("evaluate.sample", "")
    if not size.isdecimal() or int(size) < facts.stored:
        return rows
    known = {row.encoder for row in rows if row.pool == "catalog"}
    return [
        row.model_copy(update={"pool": "catalog"}) if row.pool == "sample" else row
        for row in rows
        if row.pool != "sample" or row.encoder not in known
    ]


def _panels(facts: Facts, rows: Sequence[Measured]) -> tuple[Panel, ...]:
    known = list(VARIANTS)
    found = {row.variant for row in rows}
    order = [*(v for v in known if v in found), *sorted(found - {*known})]
    return tuple(
        Panel(
            variant=variant,
            title=VARIANTS.get(variant, variant.replace("_", " ")),
            lines=_lines(facts.encoder, [r for r in rows if r.variant == variant]),
            **_extremes(facts, rows[0].label, rows[0].pool, variant),
        )
        for variant in order
    )


def _lines(own: str, rows: Sequence[Measured]) -> tuple[Line, ...]:
    usual = _usual_average(rows)
    rows = [row for row in rows if row.average == usual]
    keys = sorted({(_MEASURES.index(row.measure), row.k) for row in rows if row.k})
    return tuple(
        _line(own, [r for r in rows if r.measure == _MEASURES[m] and r.k in (k, 0)])
        for m, k in keys
    )


def _usual_average(rows: Iterable[Measured]) -> str:
    found = {row.average for row in rows}
    return next((a for a in ("micro", "macro") if a in found), min(found, default=""))


def _line(own: str, rows: Sequence[Measured]) -> Line:
    def of(encoder: str) -> Measured | None:
        """Chance is the same at every cut, and has none."""
        return next((row for row in rows if row.encoder == encoder), None)

    named = {own, CHANCE, *FLOORS}
    return Line(
        name=title_of(max(rows, key=lambda row: row.k)),
        own=of(own),
        floors=tuple(row for name in FLOORS if (row := of(name)) is not None),
        chance=of(CHANCE),
        others=tuple(row for row in rows if row.encoder not in named),
    )


def _extremes(facts: Facts, label: str, pool: str, variant: str) -> dict[str, tuple[Measured, ...]]:
    """The best and worst classes by precision, at 10 if there is such a row."""
    rows = [
        row
        for row in facts.classes
        if (row.label, row.pool, row.variant) == (label, pool, variant)
        and row.measure == "precision"
        and row.encoder == facts.encoder
        and row.value is not None
    ]
    k = min((row.k for row in rows), key=lambda k: abs(k - 10), default=0)
    rows = [row for row in rows if row.k == k and row.queries >= _FEW]
    ordered = sorted(rows, key=lambda row: (-(row.value or 0.0), row.group))
    half = min(5, (len(ordered) + 1) // 2)
    return {"best": tuple(ordered[:half]), "worst": tuple(ordered[half:][-5:])}


def best_row(facts: Facts, label: str) -> Line | None:
    """The line for the top of the page: precision@10, or near, under the strictest variant."""
    for chart in charts(facts):
        if chart.label == label and chart.panels:
            lines = [line for line in chart.panels[0].lines if line.own is not None]
            near = [line for line in lines if line.own and line.own.measure == "precision"]
            ordered = sorted(near, key=lambda line: abs((line.own.k if line.own else 0) - 10))
            return ordered[0] if ordered else None
    return None


def recalls(facts: Facts) -> tuple[Recall, ...]:
    """Recall of the approximate answers, each with the gate of its measure."""
    found = []
    for row in facts.measures:
        if row.measure in _RECALLS and row.average != "class" and row.value is not None:
            gate = next((g for g in facts.gates if _is_about(g, row.measure)), None)
            name = f"{_RECALLS[row.measure]}, top {row.k}" if row.k else _RECALLS[row.measure]
            found.append(Recall(name, row, gate, _share(gate.expected) if gate else None))
    return tuple(found)


def _is_about(gate: Gate, measure: str) -> bool:
    return gate.gate == measure or gate.gate.replace(".", "_").startswith(measure)


def _share(text: str) -> float | None:
    """The first share that a gate's expectation names: ``at least 0.95`` or ``95 %``."""
    for number, percent in re.findall(r"(\d+(?:\.\d+)?)\s*(%?)", text):
        value = float(number) / (100 if percent else 1)
        if 0 < value <= 1:
            return value
    return None
