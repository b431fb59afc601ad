"""Gates with memory: tonight's figures beside what the last releases had.

A figure is refused that lies further from the median of the last releases than all three: some
median absolute deviations of theirs, a room that the settings leave, and the noise of a figure of
so few things. The deviations follow a catalog that has always been restless; the room keeps a
history without any from refusing trifles, the noise a tiny catalog from being judged at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from artrec.config import GatesSettings
from artrec.evaluation.measured import Cloud, Measured, Past
from artrec.releases import GateResult

__all__ = ["FEWEST", "Figure", "figures", "shift", "usual"]

FEWEST = 3
"""Releases without which nothing is usual yet."""


@dataclass(frozen=True)
class Figure:
    """What one release is compared with others by, and how much of it may be chance."""

    value: float
    noise: float

    @classmethod
    def share(cls, value: float, of: int) -> Figure:
        """A share of so many; twice the error of the mean of so many draws is 1 / sqrt(n) at
        most."""
        return cls(value, 1 / math.sqrt(max(1, of)))


@dataclass(frozen=True)
class _Watched:
    """The figures, with their names for people, that a gate looks at; which way is worse."""

    names: dict[str, str]
    worse: int = 1


_WATCHED = {
    "usual_rejects": _Watched({"reject_rate": "reject rate"}),
    "usual_churn": _Watched({"churn": "entries changed", "first_churn": "first neighbors changed"}),
    "usual_drift": _Watched({"drift": "mean vector moved"}),
    "usual_index_recall": _Watched({"index_recall": "recall of the index"}, -1),
    "usual_table_recall": _Watched({"table_recall": "recall of the table"}, -1),
}
_BEYOND = {"churn": " beyond the images' own changes", "first_churn": " beyond the images' own"}


def figures(measured: Measured) -> dict[str, Figure]:
    """Tonight's figures, as far as there are any; releases keep them for the nights to come."""
    return dict(_figures(measured))


def _figures(measured: Measured) -> Iterator[tuple[str, Figure]]:
    listed = measured.counts["listed"]
    if listed:
        yield "reject_rate", Figure.share(measured.counts["rejected"] / listed, listed)
    yield from _churned(measured.churn)
    moved = shift(measured.cloud, measured.cloud_before)
    if moved is not None:
        yield "drift", moved
    if measured.index_recall:
        least = min(measured.index_recall.values())
        yield "index_recall", Figure.share(least, measured.queries)
    if measured.table_recall is not None and not measured.exact:
        yield "table_recall", Figure.share(measured.table_recall, measured.queries)


def _churned(churn: dict[str, int] | None) -> Iterator[tuple[str, Figure]]:
    """The share of entries, and of first neighbors, that are others, less what images explain.

    Where a share of the images is new, that share of each list is new as well, on average; of those
    that are gone so many places are filled anew. An image with another picture does both.
    """
    if not churn or not churn.get("lists") or not churn.get("entries"):
        return
    before = churn["lists"] + churn["gone"]
    explained = (churn["new"] + 2 * churn.get("changed_pictures", 0)) / churn["images"]
    explained += churn["gone"] / before
    for name, part, whole in (("churn", "came", "entries"), ("first_churn", "first", "lists")):
        share = churn[part] / churn[whole] - explained
        yield name, Figure.share(max(0.0, share), churn["lists"])


def shift(now: Cloud | None, before: Cloud | None) -> Figure | None:
    """How far the mean vector moved, in units of the vectors' spread; of one encoder alone.

    The means of two samples of one catalog differ by about sqrt(1/n + 1/m), twice which is noise.
    """
    if now is None or before is None or now.encoder != before.encoder:
        return None
    moved = math.dist(now.mean, before.mean)
    spread = max(now.spread, before.spread)
    noise = 2 * math.sqrt(1 / now.count + 1 / before.count)
    return Figure(moved / spread if spread else math.inf if moved else 0.0, noise)


def usual(gate: str, measured: Measured, limits: GatesSettings) -> GateResult | None:
    """What the gate makes of its figures; None where too few releases have them."""
    watched, tonight = _WATCHED[gate], figures(measured)
    past = _since_override(measured.past[: limits.memory], gate)
    found = [
        _compared(gate, name, tonight[name], known, limits)
        for name in watched.names
        if name in tonight and len(known := [p for p in past if name in p.figures]) >= FEWEST
    ]
    return next((result for result in found if not result.passed), found[0] if found else None)


def _since_override(past: Sequence[Past], gate: str) -> list[Past]:
    """Down to the newest release that was published in spite of this gate: with it began what is
    usual now."""
    at = next((n for n, each in enumerate(past) if gate in each.overridden), len(past))
    return list(past[: at + 1])


def _compared(
    gate: str, name: str, tonight: Figure, past: Sequence[Past], limits: GatesSettings
) -> GateResult:
    watched, values = _WATCHED[gate], [each.figures[name] for each in past]
    middle = median(values)
    deviation = median(abs(value - middle) for value in values)
    room = max(limits.deviations * deviation, float(getattr(limits, gate)), tonight.noise)
    beyond = (tonight.value - middle) * watched.worse
    return GateResult(
        gate=gate,
        passed=beyond <= room,
        found=f"{watched.names[name]} {tonight.value:.4f}{_BEYOND.get(name, '')}",
        expected=f"{'at most' if watched.worse > 0 else 'at least'} "
        f"{max(0.0, middle + watched.worse * room):.4f}: {_told(past, values)} (gates.{gate})",
    )


def _told(past: Sequence[Past], values: Sequence[float]) -> str:
    return (
        f"the last {len(past)} releases, {past[-1].release} to {past[0].release}, had "
        f"{min(values):.4f} to {max(values):.4f}"
    )
