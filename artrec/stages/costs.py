"""What a night is expected to cost, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from artrec.planning import START_SECONDS, Figures, Joins, Upkeep, total
from artrec.releases import Planned

__all__ = ["Costs", "shown"]


@dataclass(frozen=True)
class Costs:
    """A plan for people, and the same as JSON."""

    text: str
    facts: dict[str, Any]


def shown(planned: Planned, stages: Iterable[str]) -> Costs:
    """The expected figures of some stages, and Spark's own start."""
    found = {name: planned.expected[name] for name in stages if name in planned.expected}
    start = round(START_SECONDS * planned.rates.pace * planned.rates.busy, 1)
    whole = total(found)
    lines = []
    for name, each in [*found.items(), ("all", whole)]:
        lines.append(_line(name, each))
        if name == "neighbors":
            lines += [_line(f"  {table}", part) for table, part in planned.tables.items()]
    heads = ("stage", "seconds", "read", "written", "requests", "tasks", "worker", "driver")
    rows = [heads + (("money",) if whole.money is not None else ()), *lines]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    text = [
        "  ".join(
            cell.ljust(width) if not n else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    text.append(
        f"expected on {planned.cores} cores{_origin(planned)}; Spark's start, {start} s, comes on "
        "top; driver: beside its JVM"
    )
    joins = planned.joins if "neighbors" in found else None
    text += _joins(joins) if joins is not None else []
    facts = {
        "cores": planned.cores,
        "spark_start_seconds": start,
        "rates": planned.rates.model_dump(),
        "stages": {name: each.model_dump() for name, each in found.items()},
        "tables": {name: each.model_dump() for name, each in planned.tables.items()},
        "total": whole.model_dump(),
        "joins": joins.model_dump() if joins is not None else None,
    }
    return Costs("\n".join(text), facts)


def _joins(joins: Joins) -> list[str]:
    """Which join is taken and why, what both cost, and how to have the other one."""
    lines = [f"neighbors: {joins.method}, since {joins.why}; {joins.other} takes the other one"]
    for name in ("exact", "approximate"):
        each = joins.exact if name == "exact" else joins.approximate
        lines.append(
            f"  {name:<11}  {_hours(each.core_seconds)} of one core, "
            f"{each.bytes_shuffled / 1e6:,.1f} MB shuffled, {each.worker_bytes >> 20:,} MB a worker"
        )
    lines[-1] += (
        f"; for a recall of {joins.recall:g} (neighbors.recall), by {joins.probes:,} of "
        f"{joins.cells:,} cells: a sample of the vectors decides how many"
    )
    return lines if joins.upkeep is None else [*lines, _upkeep(joins.upkeep)]


def _upkeep(upkeep: Upkeep) -> str:
    """Whether the table of the current release will be kept up to date, and why."""
    word = "kept up to date" if upkeep.kept_up else "all joined anew"
    return (
        f"  {word}: with {upkeep.added:,} added and {upkeep.gone:,} gone at most, upkeep takes "
        f"{upkeep.share:.1%} of the products of a whole join, {_hours(upkeep.core_seconds)} of one "
        f"core; up to neighbors.rebuild_share = {upkeep.rebuild_share:g} it is done"
    )


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.2f} hours" if seconds >= 3600 else f"{seconds:,.1f} seconds"


def _origin(planned: Planned) -> str:
    if planned.rates.pictures:
        return f" by a sample of {planned.rates.pictures} pictures"
    working = any(each.tasks for each in planned.expected.values())
    return ", without a sample, by the rates of another machine" if working else ""


def _line(name: str, each: Figures) -> tuple[str, ...]:
    sizes = (each.bytes_read, each.bytes_written)
    peaks = (each.worker_bytes, each.driver_bytes)
    cells = (
        name,
        f"{each.seconds:,.1f}",
        *(f"{size / 1e6:,.1f} MB" for size in sizes),
        f"{each.requests:,}",
        f"{each.tasks:,}",
        *(f"{peak >> 20:,} MB" if peak else "" for peak in peaks),
    )
    return cells if each.money is None else (*cells, f"{each.money:,.4f}")
