"""The join of a large catalog: each product computed once, for its row and for its column.

Vectors are laid out by cells (:mod:`laying`). A task for each block lets it meet itself, which
bounds the lists of its rows; then tasks let pairs of blocks meet. What they find, packed, goes
through a shuffle by block, and a task for each block merges it into its pools
(:mod:`artrec.vectors.selfjoin` has the method).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
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
    reported,
    run_tasks,
    write_sorted,
)
from artrec.stages.neighbors.laying import Laying, Scratch, lay_out, read_block
from artrec.stages.neighbors.packing import ENTRY, batch_of, packed, packed_rows
from artrec.stages.neighbors.parts import Parts, by_block, gathered, renewed
from artrec.stages.progress import Marks, Watch
from artrec.stages.session import describe
from artrec.stages.workers import light
from artrec.tables import Receipt, open_file
from artrec.vectors import Entries, Laid, Side, Tiling, meet
from artrec.vectors.distance import Floats, Ints
from artrec.vectors.topk import TopK

__all__ = ["join_symmetric"]

POOL_ENTRY = 10  # bytes of one entry of a pool in storage, about: only for the number of files

Written = Callable[["_Work", int, Laid, Entries, Attempt], list[Receipt]]


@dataclass(frozen=True)
class _Work:
    """What the tasks of a join know. ``first`` has, for each block, what it has found so far."""

    scratch: Scratch
    laying: Laying
    k: int
    first: list[list[Receipt]]

    def laid(self, block: int) -> tuple[Laid, Ints]:
        """A block, and the cells of its rows."""
        cells, numbers, vectors = read_block(self.scratch, self.laying.blocks[block])
        return Laid.of(numbers, vectors, self.k + 1), cells

    def found(self, block: int, columns: Sequence[str]) -> pa.Table:
        """What a block has found so far: a row for each of its distinct vectors."""
        files = [open_file(self.scratch.store, file) for file in self.first[block]]
        return pa.concat_tables([file.read(columns=list(columns)) for file in files])

    def side(self, block: int) -> Side:
        """A block that has met itself, ready for others."""
        ceilings = np.asarray(self.found(block, ["ceiling"]).column("ceiling"), np.float32)
        return self.laid(block)[0].side(self.laying.frame(self.scratch), ceilings, self.k)


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
    offsets = np.append(0, np.cumsum(lists.counts)).astype(np.int32)
    kept = lists.ids >= 0
    columns = [
        pa.array(np.arange(len(lists.ids), dtype=np.int32)),
        pa.array(ceilings),
        pa.ListArray.from_arrays(offsets, pa.array(lists.ids[kept])),
        pa.ListArray.from_arrays(offsets, pa.array(lists.distances[kept])),
    ]
    names = ["row", "ceiling", "others", "distances"]
    with work.scratch.writer("neighbor_first", f"first-{block:05d}-{attempt.stem}") as writer:
        writer.write(pa.RecordBatch.from_arrays(columns, names=names))
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

    @light
    def merged(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        attempt = Attempt.current()
        for block, rows in groupby(packed_rows(batches), lambda row: row[0]):
            entries = (row[1] for row in rows)
            report = reported(partial(_merge, work, block, entries, written), attempt)
            yield pa.RecordBatch.from_pydict({"report": [report.model_dump_json()]})

    found = spark.range(0, len(tasks), 1, len(tasks)).mapInArrow(met, "block int, packed binary")
    ordered = found.repartition(blocks, "block").sortWithinPartitions("block")
    rows = ordered.mapInArrow(merged, "report string").collect()
    return [TaskReport.model_validate_json(row.report) for row in rows]


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
    work: _Work, block: int, packed: Iterable[bytes], written: Written, attempt: Attempt
) -> TaskReport:
    laid, _ = work.laid(block)
    entries = Entries(len(laid.first), work.k + 1)
    found = work.found(block, ["row", "others", "distances"])
    lists = found.column("others").combine_chunks()
    rows = np.repeat(np.arange(len(found)), np.asarray(lists.value_lengths()))
    distances = np.asarray(found.column("distances").combine_chunks().flatten(), np.float32)
    entries.add(rows, distances, np.asarray(lists.flatten(), np.int64))
    shuffled = 0
    for part in packed:
        each = np.frombuffer(part, ENTRY)
        shuffled += len(each)
        entries.add(each["row"].astype(np.int64), each["distance"].copy(), each["other"].copy())
        if entries.crowded:
            entries.compact()
    receipts = written(work, block, laid, entries, attempt)
    counters = {"entries": len(rows), "shuffled": shuffled}
    return TaskReport(receipts=receipts, counters=counters, notes={"block": block})


def _keep(work: _Work, block: int, laid: Laid, entries: Entries, attempt: Attempt) -> list[Receipt]:
    """The lists so far, for the next segment; the fuller they are, the less it has to look at."""
    lists = entries.lists()
    before = np.asarray(work.found(block, ["ceiling"]).column("ceiling"), np.float32)
    ceilings = np.minimum(before, lists.distances[:, -1])
    return _write_found(work, block, ceilings, lists, attempt)


def _finish(
    work: _Work, block: int, laid: Laid, entries: Entries, attempt: Attempt
) -> list[Receipt]:
    """The pools of the block's rows."""
    pools = laid.pools(work.scratch.metric, entries, work.k, work.scratch.rows)
    with work.scratch.writer("neighbor_pool", f"pool-{block:05d}-{attempt.stem}") as writer:
        writer.write(pool_rows(pools))
    return writer.receipts
