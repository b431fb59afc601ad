"""The geometry of the pages' small drawings: scales, curves, the map's colours."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from artrec.report.charts import Recall
from artrec.report.facts import Measured
from artrec.report.morning import NightCost
from artrec.report.training import Curve

__all__ = [
    "Column",
    "Columns",
    "Plot",
    "Scale",
    "columns",
    "distances",
    "plot_of",
    "plots",
    "recall_scale",
    "script_json",
]

WIDTH, HEIGHT = 240, 96
_SIDES = re.compile(r"\A(train|training|val|valid|validation|test|held_out|heldout)_")
_STEPS = (1, 2, 5, 10, 20, 25)  # percent between the ticks of recall
_MOST_STEPS = 5


@dataclass(frozen=True)
class Scale:
    """Values as percent of a strip's width, with ticks in ``steps`` equal steps."""

    low: float = 0.0
    high: float = 1.0
    steps: int = 4

    def __call__(self, value: float) -> str:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return f"{100 * min(max(share, 0.0), 1.0):.2f}%"

    @property
    def ticks(self) -> tuple[float, ...]:
        step = (self.high - self.low) / self.steps
        return tuple(self.low + step * n for n in range(self.steps + 1))


@dataclass(frozen=True)
class Plot:
    """Some curves over the same epochs; each is (name, points of a polyline, last value)."""

    title: str
    low: float
    high: float
    first: int
    last: int
    lines: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class Column:
    """What a release took, from ``y`` to the ground; ``expected`` is where its mark lies."""

    x: float
    y: float
    width: float
    height: float
    expected: float | None
    now: bool


@dataclass(frozen=True)
class Columns:
    """One kind of cost (seconds, bytes, money) over the last releases, the oldest first."""

    title: str
    kind: str
    high: float
    first: str
    last: str
    bars: tuple[Column, ...]


def columns(title: str, kind: str, nights: Sequence[NightCost], field: str) -> Columns | None:
    """Of a field of ``nights``, beside what was expected; of two releases at least."""
    pairs = [(getattr(n, field), getattr(n, f"expected_{field}"), n.release) for n in nights]
    known = [(own, plan, name) for own, plan, name in pairs if own is not None]
    high = max((max(own, plan or 0) for own, plan, _ in known), default=0)
    if len(known) < 2 or not high:
        return None
    step = WIDTH / len(known)
    bars = tuple(
        Column(
            x=round(step * (n + 0.2), 1),
            y=round(HEIGHT - HEIGHT * own / high, 1),
            width=round(step * 0.6, 1),
            height=round(HEIGHT * own / high, 1),
            expected=None if plan is None else round(HEIGHT - HEIGHT * plan / high, 1),
            now=name == nights[-1].release,
        )
        for n, (own, plan, name) in enumerate(known)
    )
    return Columns(title, kind, high, known[0][2], known[-1][2], bars)


def recall_scale(found: Iterable[Recall]) -> Scale:
    """From somewhat below the least that is drawn, to 1, in few steps of whole percent."""
    least = min(
        value
        for each in found
        for value in (each.row.value, each.row.low, each.wanted)
        if value is not None
    )
    for percent in _STEPS:
        steps = max(2, math.floor(round(100 * (1 - least) / percent, 6)) + 1)
        if steps <= _MOST_STEPS:
            break
    steps = min(steps, 100 // percent)
    return Scale(1 - steps * percent / 100, 1.0, steps)


def plots(curves: Sequence[Curve]) -> tuple[Plot, ...]:
    """Curves of one measure on different pictures (train, held out) share a plot.

    What tells nothing of the training has none: a measure that stayed as it was (a learning rate),
    unless it is a loss, and seconds.
    """
    groups: dict[str, list[Curve]] = {}
    for curve in curves:
        groups.setdefault(_SIDES.sub("", curve.measure), []).append(curve)
    return tuple(
        plot for title, found in groups.items() if (plot := plot_of(title, found)) is not None
    )


_QUARTILES = {"0.25": "lower quartile", "0.5": "median", "0.75": "upper quartile"}


def distances(measures: Iterable[Measured]) -> Plot | None:
    """Quartiles of the distances over the ranks, where there are several ranks."""
    found: dict[str, list[tuple[int, float | None]]] = {name: [] for name in _QUARTILES}
    for row in measures:
        if (row.measure, row.variant) == ("distance", "rank") and row.group in found:
            found[row.group].append((row.k, row.value))
    curves = [
        Curve(measure=_QUARTILES[name], points=tuple(sorted(points)))
        for name, points in found.items()
    ]
    plot = plot_of("distance", curves)
    return plot if plot and plot.first < plot.last else None


def plot_of(title: str, curves: Sequence[Curve]) -> Plot | None:
    """Some curves in one plot; None where there is nothing to see."""
    known = [(c.measure, [(e, v) for e, v in c.points if v is not None]) for c in curves]
    known = [(name, points) for name, points in known if points]
    if not known:
        return None
    values = [v for _, points in known for _, v in points]
    epochs = [e for _, points in known for e, _ in points]
    low, high, first, last = min(values), max(values), min(epochs), max(epochs)
    if title.endswith("seconds") or (low == high and not title.endswith("loss")):
        return None

    def place(epoch: int, value: float) -> str:
        x = WIDTH * (epoch - first) / ((last - first) or 1)
        y = max(0.0, HEIGHT - HEIGHT * (value - low) / ((high - low) or 1.0))
        return f"{x:.1f},{y:.1f}"

    lines = tuple(
        (name, " ".join(place(*point) for point in points), points[-1][1]) for name, points in known
    )
    return Plot(title.replace("_", " "), low, high, first, last, lines)


def script_json(value: Any) -> str:
    """JSON that can stand within a script element: nothing in it ends the element or a line."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
