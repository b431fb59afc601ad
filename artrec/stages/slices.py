"""Appending stages: what is pending tonight is cut once, and done segment by segment.

A pending table lists the work in the order of its slices; a slice is what one task does, a segment
is a row of slices that is recorded as one run. The cut is recorded with the pending table, so a
later attempt repeats the same segments, finds the finished ones by name, and does only the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel
from pyspark.sql import SparkSession

from artrec import log
from artrec.failpoints import reached
from artrec.releases import Draft, Run, RunRef, StageRuns, begin_run, find_run, record_run
from artrec.stages.frames import Attempt, TaskReport, add_counters, run_tasks
from artrec.stages.progress import Marks, Watch
from artrec.stages.session import describe
from artrec.tables import Receipt

__all__ = ["Cut", "SliceSpec", "appended", "cut_segments", "run_segments"]


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


def cut_segments(slices: Sequence[SliceSpec], segment_bytes: int) -> Cut:
    """Consecutive slices in segments of at least ``segment_bytes``, the last one excepted."""
    segments: list[list[SliceSpec]] = []
    size = segment_bytes
    for each in slices:
        if size >= segment_bytes:
            segments.append([])
            size = 0
        segments[-1].append(each)
        size += each.bytes
    return Cut(segments=segments)


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
