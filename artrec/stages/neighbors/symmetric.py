"""The join of a large catalog: each product computed once, for its row and for its column.

Vectors are laid out by cells (:mod:`laying`). A task for each block lets it meet itself, which
bounds the lists of its rows; then tasks let pairs of blocks meet. What they find, packed, goes
through a shuffle by block, and a task for each block merges it into its pools
(:mod:`artrec.vectors.selfjoin` has the method).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.planning.joins import Pair, block_count, cut_pairs, deal_pairs, pairs_between
from artrec.releases import Draft, Run
from artrec.schemas import TABLES
from artrec.stages.blocks import pool_rows
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    add_counters,
    parallelism,
    read_frame,
    run_tasks,
    write_sorted,
)
from artrec.stages.neighbors.blocks import Blocks, list_columns
from artrec.stages.neighbors.laying import Laying, Scratch, lay_out
from artrec.stages.neighbors.packing import (
    ENTRY,
    SHUFFLED,
    batch_of,
    enter,
    merge_by_block,
    packed,
)
from artrec.stages.neighbors.parts import Parts, by_block, gathered, renewed
from artrec.stages.progress import Marks, Watch
from artrec.stages.session import describe
from artrec.stages.workers import light
from artrec.tables import Receipt
from artrec.vectors import Entries, Laid, Side, Tiling, meet
from artrec.vectors.distance import Floats
from artrec.vectors.topk import TopK

__all__ = ["join_symmetric"]

POOL_ENTRY = 10  # bytes of one entry of a pool in storage, about: only for the number of files

Written = Callable[["_Work", int, Laid, Entries, Attempt], list[Receipt]]


class _Work(Blocks):
    """What the tasks of a join know."""

    def side(self, block: int) -> Side:
        """A block that has met itself, ready for others."""
        frame, ceilings = self.laying.frame(self.scratch), self.ceilings(block)
        return self.laid(block)[0].side(frame, ceilings, self.k)


def join_symmetric(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    run: Run,
    live: list[Receipt],
    metadata: dict[str, str],
) -> list[TaskReport]:
    """The pools of all live vectors: reports whose receipts are files in the table's order.

    What is done on the way is recorded in parts, from which a later attempt goes on.
    """
    folder, rows = run.folder(draft.attempt), sum(receipt.rows for receipt in live)
    scratch = Scratch(draft.store, folder, metadata, rows)
    cores = parallelism(spark)
    parts = Parts(draft, run)
    begun = parts.kept("blocks", partial(_begin, spark, settings, draft, scratch, live))
    laying = Laying.recorded(begun)
    k = settings.neighbors.k + settings.neighbors.slack
    work = _Work(scratch, laying, k, by_block(begun, "neighbor_first"))
    segments = [tuple(each) for each in begun.notes["segments"]]
    blocks, meetings = len(laying.blocks), segments[-1][1]
    watch = Watch(draft, "neighbors", meetings, ("meetings",), "meetings", settings.log.every)
    counters, last = [begun.counters], begun
    for number, (low, high) in enumerate(segments[:-1]):
        tasks = deal_pairs(blocks, rows, cores, low, high)
        place = f"{number + 1}/{len(segments)}"
        meeting = partial(_segment, spark, work, tasks, watch, place)
        last = parts.kept(f"pairs {low} to {high}", meeting, last, watch)
        counters.append(last.counters)
        work = replace(work, first=renewed(work.first, last))
    describe(spark, f"neighbors: pairs of {blocks} blocks")
    with watch.watching(part="pairs") as marks:
        tasks = deal_pairs(blocks, rows, cores, *segments[-1])
        merged = _meet_and_merge(spark, work, tasks, _finish, marks)
    pool = [receipt for report in merged for receipt in report.receipts]
    table = TABLES["neighbor_pool"]
    describe(spark, "neighbors: pools in order")
    frame = read_frame(spark, scratch.store, pool, table)
    ordered = write_sorted(frame, scratch.store, folder, table, rows * k * POOL_ENTRY, metadata)
    counters += [report.counters for report in merged]
    pairs = rows * (rows - 1) // 2  # each met once
    counters.append({"vectors": rows, "pairs": pairs, "products": pairs})
    return [TaskReport(receipts=ordered, counters=add_counters(counters))]


def _begin(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    scratch: Scratch,
    live: list[Receipt],
    part: Run,
    begun: float,
) -> Run:
    """The layout, blocks that have met themselves, and how their pairs are cut into segments."""
    cores = parallelism(spark)
    count = block_count(scratch.rows, settings.neighbors.block_rows, cores)
    laying = lay_out(spark, scratch, live, count)
    work = _Work(scratch, laying, settings.neighbors.k + settings.neighbors.slack, [])
    blocks = len(laying.blocks)
    describe(spark, f"neighbors: {blocks} blocks, each with itself")
    watch = Watch(draft, "neighbors", blocks, ("blocks",), "blocks", settings.log.every)
    with watch.watching(part="blocks") as marks:
        met = run_tasks(spark, blocks, partial(_meet_itself, work), marks)
    tables, notes = gathered(met)
    tables |= {
        "neighbor_cells": laying.cells,
        "neighbor_layout": [file for files in laying.blocks for file in files],
    }
    notes |= laying.notes() | {"segments": cut_pairs(blocks, scratch.rows, cores)}
    counters = add_counters(report.counters for report in met)
    return part.done(tables, begun, counters, notes)


def _segment(
    spark: SparkSession,
    work: _Work,
    tasks: list[tuple[int, int]],
    watch: Watch,
    place: str,
    part: Run,
    begun: float,
) -> Run:
    """Some pairs of blocks; each of these leaves the lists that it has now."""
    describe(spark, f"neighbors: pairs of blocks, segment {place}")
    with watch.watching(part="pairs", segment=place) as marks:
        merged = _meet_and_merge(spark, work, tasks, _keep, marks)
    tables, notes = gathered(merged)
    counters = add_counters(report.counters for report in merged)
    counters["meetings"] = tasks[-1][1] - tasks[0][0]
    return part.done(tables, begun, counters, notes)


def _meet_itself(work: _Work, attempt: Attempt) -> TaskReport:
    laid, cells = work.laid(attempt.index)
    side = laid.met_itself(work.laying.read(work.scratch), cells, work.k, Tiling())
    lists = side.tighten()
    receipts = _write_found(work, attempt.index, side.ceilings, lists, attempt)
    return TaskReport(receipts=receipts, counters={"blocks": 1}, notes={"block": attempt.index})


def _write_found(
    work: _Work, block: int, ceilings: Floats, lists: TopK, attempt: Attempt
) -> list[Receipt]:
    columns = list_columns(ceilings, lists)
    with work.scratch.writer("neighbor_first", f"first-{block:05d}-{attempt.stem}") as writer:
        writer.write(pa.RecordBatch.from_pydict(columns))
    return writer.receipts


def _meet_and_merge(
    spark: SparkSession, work: _Work, tasks: list[Pair], written: Written, marks: Marks
) -> list[TaskReport]:
    """Let pairs of blocks meet, merge what is found by block, and have it ``written``.

    In the end that is done for each block, whether it has met others now or not.
    """
    blocks, ends = len(work.laying.blocks), written is _finish

    @light
    def met(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                low, high = tasks[index]
                if ends and index == 0:
                    for block in range(blocks):
                        yield batch_of(block, [b""])
                yield from _meet_pairs(work, low, high)
                marks.leave(index, {"meetings": high - low})

    found = spark.range(0, len(tasks), 1, len(tasks)).mapInArrow(met, SHUFFLED)
    return merge_by_block(found, blocks, partial(_merge, work, written))


def _meet_pairs(work: _Work, low: int, high: int) -> Iterator[pa.RecordBatch]:
    blocks = len(work.laying.blocks)
    for one, run in groupby(pairs_between(blocks, low, high), lambda pair: pair[0]):
        side = work.side(one)
        for _, block in run:
            other = work.side(block)
            meet(side, other, Tiling())
            yield from packed(block, other.entries)
        yield from packed(one, side.entries)


def _merge(
    work: _Work, written: Written, block: int, parts: Iterable[bytes], attempt: Attempt
) -> TaskReport:
    laid, _ = work.laid(block)
    entries = work.entries(block, laid)
    before = entries.count
    shuffled = sum(enter(entries, np.frombuffer(part, ENTRY)) for part in parts)
    receipts = written(work, block, laid, entries, attempt)
    counters = {"entries": before, "shuffled": shuffled}
    return TaskReport(receipts=receipts, counters=counters, notes={"block": block})


def _keep(work: _Work, block: int, laid: Laid, entries: Entries, attempt: Attempt) -> list[Receipt]:
    """The lists so far, for the next segment; the fuller they are, the less it has to look at."""
    lists = entries.lists()
    ceilings = np.minimum(work.ceilings(block), lists.distances[:, -1])
    return _write_found(work, block, ceilings, lists, attempt)


def _finish(
    work: _Work, block: int, laid: Laid, entries: Entries, attempt: Attempt
) -> list[Receipt]:
    """The pools of the block's rows."""
    pools = laid.pools(work.scratch.metric, entries, work.k, work.scratch.rows)
    with work.scratch.writer("neighbor_pool", f"pool-{block:05d}-{attempt.stem}") as writer:
        writer.write(pool_rows(pools))
    return writer.receipts
