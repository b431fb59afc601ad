"""Appending stages: what is pending tonight is cut once, and done segment by segment.

A pending table lists the work in order, in small units; a slice is some units in a row, what one
task does; a segment is a row of slices that is recorded as one run. The cut is recorded with the
pending table, so a later attempt repeats the same segments, finds the finished ones by name, and
does only the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from pydantic import BaseModel
from pyspark.sql import SparkSession

from artrec import log
from artrec.digests import Digest, add, taken
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    Run,
    RunRef,
    StageRuns,
    begin_run,
    digest_of,
    find_run,
    record_run,
)
from artrec.stages.frames import Attempt, TaskReport, add_counters, run_tasks
from artrec.stages.progress import Marks, Watch
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, read_table

__all__ = [
    "Cut",
    "SliceSpec",
    "UNITS",
    "appended",
    "cut_segments",
    "ever_appended",
    "join_units",
    "member_units",
    "run_segments",
    "unit_bytes",
]

UNITS = 16
"""The smallest slices are such a part of the largest."""
LEAST_UNIT = 1 << 20
SHARE = 2  # a slice takes this part of a core's share of what is left


class SliceSpec(BaseModel):
    """What one task does: rows ``low``..``high`` of the pending table, by its sort columns."""

    low: tuple[str | int, ...]
    high: tuple[str | int, ...]
    items: int
    bytes: int


class Cut(BaseModel):
    """All segments of one night, in order."""

    segments: list[list[SliceSpec]]

    @property
    def items(self) -> int:
        return sum(s.items for segment in self.segments for s in segment)

    @property
    def slices(self) -> int:
        return sum(map(len, self.segments))


def cut_segments(
    units: Iterable[SliceSpec],
    slice_bytes: int,
    segment_bytes: int,
    cores: int,
    apart: bool = False,
) -> Cut:
    """Segments of at least ``segment_bytes`` for each core, the last excepted, cut into slices.

    ``slice_bytes`` and ``apart`` are those of ``join_units``.
    """
    segments: list[list[SliceSpec]] = []
    held: list[SliceSpec] = []  # units are many: those of one segment at a time
    size = 0
    for unit in units:
        if held and size >= segment_bytes * cores:
            segments.append(join_units(held, slice_bytes, cores, apart))
            held, size = [], 0
        held.append(unit)
        size += unit.bytes
    if held:
        segments.append(join_units(held, slice_bytes, cores, apart))
    return Cut(segments=segments)


def join_units(
    units: Sequence[SliceSpec], slice_bytes: int, cores: int, apart: bool = False
) -> list[SliceSpec]:
    """Consecutive units together: up to ``slice_bytes`` at first, and few at the end.

    A task costs Spark some hundredths of a second, and the last tasks decide when all cores are
    done: so a slice takes its part of what is left (guided self-scheduling: Polychronopoulos and
    Kuck, IEEE Transactions on Computers C-36, 1987). Below ``LEAST_UNIT`` a task is not worth its
    start: what came in a night is often no more than that. With ``apart`` no slice holds units
    whose places begin differently.
    """
    left = sum(unit.bytes for unit in units)
    slices: list[SliceSpec] = []
    size = 0.0
    for unit in units:
        last = slices[-1] if slices else None
        foreign = apart and last is not None and last.low[0] != unit.low[0]
        if last is None or foreign or last.bytes + unit.bytes > size:
            size = min(slice_bytes, max(LEAST_UNIT, left / (SHARE * cores)))
            slices.append(unit)
        else:
            slices[-1] = SliceSpec(
                low=last.low,
                high=unit.high,
                items=last.items + unit.items,
                bytes=last.bytes + unit.bytes,
            )
        left -= unit.bytes
    return slices


def unit_bytes(total: int, slice_bytes: int, cores: int) -> int:
    """Bytes of a unit: small archives are cut finer, so that no core is idle for long."""
    return max(1, min(slice_bytes // UNITS, max(LEAST_UNIT, -(-total // (UNITS * cores)))))


def member_units(store: Store, pending: Sequence[Receipt]) -> Iterator[SliceSpec]:
    """Each unit of pending_members, in the order of the table; rows are streamed."""
    rows = (
        row
        for batch in read_table(store, pending, ["source", "slice", "stored_bytes"])
        for row in zip(*(batch.column(i).to_pylist() for i in range(3)), strict=True)
    )
    for place, members in groupby(rows, key=itemgetter(0, 1)):
        sizes = [size for *_, size in members]
        yield SliceSpec(low=place, high=place, items=len(sizes), bytes=sum(sizes))


def run_segments(
    spark: SparkSession,
    draft: Draft,
    stage: str,
    version: int,
    pending: Run,
    work: Callable[[SliceSpec, str, Attempt], TaskReport],
    done_by: tuple[str, ...],
    every: float = 30.0,
) -> list[Run]:
    """Do every segment that is not yet recorded; ``work(slice, folder, attempt)`` is one task.

    Its counters ``done_by`` say how many items are done; that is told ``every`` so many seconds.
    """
    cut = Cut.model_validate(pending.notes["cut"])
    segments, runs = cut.segments, []
    watch = Watch(draft, stage, cut.items, done_by, every=every)
    for number, segment in enumerate(segments):
        inputs = {"pending": pending.run_id, "segment": number}
        run = begin_run(stage, version, inputs, pending.settings)
        found = find_run(draft.store, stage, run.run_id)
        if found is None:
            draft.confirm()
            place = f"{number + 1}/{len(segments)}"
            describe(spark, f"{stage}: segment {place}, {sum(s.items for s in segment)} items")
            with watch.watching(segment=place, run=run.run_id) as marks:
                found = _run_segment(spark, draft, run, segment, work, marks)
            watch.finish(found.counters)
            logger = log.get(stage=stage, segment=place, run=run.run_id)
            logger.info("segment done", seconds=round(found.seconds, 2), **found.counters)
        else:
            watch.skip(found.counters)
        reached(f"{stage}.segment")
        runs.append(found)
    return runs


def _run_segment(
    spark: SparkSession,
    draft: Draft,
    run: Run,
    segment: list[SliceSpec],
    work: Callable[[SliceSpec, str, Attempt], TaskReport],
    marks: Marks,
) -> Run:
    begun = time.monotonic()
    folder = run.folder(draft.attempt)
    reports = run_tasks(
        spark, len(segment), lambda attempt: work(segment[attempt.index], folder, attempt), marks
    )
    reached(f"{run.stage}.tasks")
    tables: dict[str, list[Receipt]] = {}
    for report in reports:
        for receipt in report.receipts:
            tables.setdefault(receipt.table, []).append(receipt)
    counters = add_counters(report.counters for report in reports)
    return record_run(draft.store, run.done(tables, begun, counters))


def appended(
    stage: str,
    inputs: str,
    before: Mapping[str, list[RunRef]],
    pending: Run,
    runs: Sequence[Run],
    names: Sequence[str],
) -> StageRuns:
    """What the stage leaves: for each table of ``names`` the earlier segments, then tonight's."""
    refs = [RunRef.of(run) for run in runs]
    counters = {"pending": Cut.model_validate(pending.notes["cut"]).items}
    return StageRuns(
        stage=stage,
        inputs=inputs,
        tables={
            name: [*before.get(name, []), *(ref for ref in refs if name in ref.rows)]
            for name in names
        },
        counters=add_counters([counters, *(run.counters for run in runs)]),
        seconds=pending.seconds + sum(run.seconds for run in runs),
    )


def ever_appended(store: Store, stage: StageRuns, table: str, columns: Sequence[str]) -> Digest:
    """The digest of all rows that a stage appended, of those too that compactions left out.

    So it is the same before and after a compaction, and whoever has it among its inputs is not
    made again because of one.
    """
    there = digest_of(store, stage.tables[table], table, columns)
    return add([there, taken(stage.notes.get("buried", {}).get(table, {}), columns)])
