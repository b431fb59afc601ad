"""Which segments are compacted: pure rules over numbers of rows and bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from artrec.config import StoreSettings
from artrec.releases import Run, StageRuns, read_runs
from artrec.storage import Store
from artrec.tables import FILE_BYTES

__all__ = ["SMALL", "Segment", "choose", "is_due", "segments_of"]

SMALL = FILE_BYTES
"""A segment of fewer bytes is small."""


@dataclass(frozen=True)
class Segment:
    """One run of an appending stage, with its rows in the tables that a record names."""

    run: Run
    rows: Mapping[str, int]
    bytes: int
    files: frozenset[str]


def segments_of(store: Store, stage: StageRuns) -> list[Segment]:
    """The runs of a record, each once, in the order in which it names them."""
    refs = {ref.path: ref for listed in stage.tables.values() for ref in listed}
    found = []
    for run in read_runs(store, refs.values()):
        tables = {name: run.receipts(name) for name in stage.tables}
        files = [receipt for receipts in tables.values() for receipt in receipts]
        found.append(
            Segment(
                run=run,
                rows={name: sum(r.rows for r in receipts) for name, receipts in tables.items()},
                bytes=sum(receipt.bytes for receipt in files),
                files=frozenset(receipt.path for receipt in files),
            )
        )
    return found


def is_due(held: Sequence[Segment], live: Mapping[str, int], rules: StoreSettings) -> bool:
    """Whether it is worth counting: by estimates, which cost nothing."""
    if _too_many_small(held, rules):
        return True
    whole = {name: sum(each.rows[name] for each in held) for name in live}
    return any(rows - live[name] > rules.compact_share * rows for name, rows in whole.items())


def choose(
    held: Sequence[Segment],
    live: Mapping[str, int],
    forbidden: Collection[str],
    rules: StoreSettings,
) -> list[Segment]:
    """Segments that hold a forbidden row or too great a share of dead ones; and all small ones,
    where there are too many. ``live`` counts the live rows of each file.
    """
    wanted = set(forbidden)
    small = _too_many_small(held, rules)

    def is_chosen(each: Segment) -> bool:
        rows = sum(each.rows.values())
        dead = rows - sum(live.get(file, 0) for file in each.files)
        return bool(
            not wanted.isdisjoint(each.files)
            or dead > rules.compact_share * rows
            or (small and each.bytes < SMALL)
        )

    return [each for each in held if is_chosen(each)]


def _too_many_small(held: Sequence[Segment], rules: StoreSettings) -> bool:
    """In any one table."""
    small = [each for each in held if each.bytes < SMALL]
    counts = Counter(name for each in small for name, rows in each.rows.items() if rows)
    return max(counts.values(), default=0) > rules.compact_segments
