"""The join of a large catalog: each product computed once, for its row and for its column.

Vectors are laid out by cells (:mod:`laying`). A task for each block lets it meet itself, which
bounds the lists of its rows; then tasks let pairs of blocks meet. What they find, packed, goes
through a shuffle by block, and a task for each block merges it into its pools
(:mod:`artrec.vectors.selfjoin` has the method).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from math import ceil

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.planning import block_count
from artrec.releases import Draft
from artrec.schemas import TABLES
from artrec.stages.blocks import pool_rows
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    parallelism,
    read_frame,
    reported,
    run_tasks,
    write_sorted,
)
from artrec.stages.neighbors.laying import Laying, Scratch, lay_out, read_block
from artrec.stages.neighbors.packing import ENTRY, batch_of, packed, packed_rows
from artrec.stages.progress import Marks, Watch
from artrec.stages.session import describe
from artrec.stages.workers import light
from artrec.tables import Receipt, open_file
from artrec.vectors import Entries, Laid, Side, Tiling, meet
from artrec.vectors.distance import Ints

__all__ = ["deal_pairs", "join_symmetric", "pairs_between"]

TASKS_EACH = 6  # tasks for each core, unless they would be longer than LONG_TASK
LONG_TASK = 1 << 38  # products: an hour of a core, at most
POOL_ENTRY = 10  # bytes of one entry of a pool in storage, about: only for the number of files

Pair = tuple[int, int]


@dataclass(frozen=True)
class _Work:
    """What the tasks of a join know."""

    scratch: Scratch
    laying: Laying
    k: int
    first: list[list[Receipt]]

    def laid(self, block: int) -> tuple[Laid, Ints]:
        """A block, and the cells of its rows."""
        cells, numbers, vectors = read_block(self.scratch, self.laying.blocks[block])
        return Laid.of(numbers, vectors, self.k + 1), cells

    def found(self, block: int, columns: Sequence[str]) -> pa.Table:
        """What a block found in itself: a row for each of its distinct vectors."""
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
    live: list[Receipt],
    folder: str,
    metadata: dict[str, str],
) -> list[TaskReport]:
    """The pools of all live vectors: reports whose receipts are files in the table's order."""
    scratch = Scratch(draft.store, folder, metadata, sum(receipt.rows for receipt in live))
    cores = parallelism(spark)
    count = block_count(scratch.rows, settings.neighbors.block_rows, cores)
    laying = lay_out(spark, scratch, live, count)
    blocks = len(laying.blocks)
    work = _Work(scratch, laying, settings.neighbors.k + settings.neighbors.slack, [])
    tasks = deal_pairs(blocks, scratch.rows, cores)
    total = blocks + tasks[-1][1]
    watch = Watch(draft, "neighbors", total, ("meetings",), "meetings", settings.log.every)
    describe(spark, f"neighbors: {blocks} blocks, each with itself")
    with watch.watching(part="blocks") as marks:
        met = run_tasks(spark, blocks, partial(_meet_itself, work), marks)
    work = replace(work, first=[report.receipts for report in met])
    describe(spark, f"neighbors: {total - blocks} pairs of blocks")
    with watch.watching(part="pairs") as marks:
        merged = _meet_and_merge(spark, work, tasks, marks)
    pool = [receipt for report in merged for receipt in report.receipts]
    table = TABLES["neighbor_pool"]
    describe(spark, "neighbors: pools in order")
    frame = read_frame(spark, scratch.store, pool, table)
    size = scratch.rows * work.k * POOL_ENTRY
    ordered = write_sorted(frame, scratch.store, folder, table, size, metadata)
    counters = [report.model_copy(update={"receipts": []}) for report in (*met, *merged)]
    pairs = {"pairs": scratch.rows * (scratch.rows - 1) // 2}  # each met once
    return [*counters, TaskReport(receipts=ordered, counters=pairs)]


def deal_pairs(blocks: int, rows: int, cores: int) -> list[tuple[int, int]]:
    """From which pair of blocks to which, by their numbers, each task lets them meet.

    Blocks of a layout are about even, so that equal runs of pairs take about as long. A lone block
    has no pairs, and one task that hands it on.
    """
    count = blocks * (blocks - 1) // 2
    products = rows**2 * (1 - 1 / blocks) / 2
    tasks = max(1, min(count, max(TASKS_EACH * cores, ceil(products / LONG_TASK))))
    return [(task * count // tasks, (task + 1) * count // tasks) for task in range(tasks)]


def pairs_between(blocks: int, low: int, high: int) -> Iterator[Pair]:
    """The pairs ``low`` to ``high`` of all (i, j) with i < j below ``blocks``, in their order."""
    first = 0
    for i in range(blocks):
        others = blocks - 1 - i
        for nth in range(max(0, low - first), min(others, high - first)):
            yield i, i + 1 + nth
        first += others


def _meet_itself(work: _Work, attempt: Attempt) -> TaskReport:
    laid, cells = work.laid(attempt.index)
    side = laid.met_itself(work.laying.read(work.scratch), cells, work.k, Tiling())
    lists = side.tighten()
    offsets = np.append(0, np.cumsum(lists.counts)).astype(np.int32)
    kept = lists.ids >= 0
    columns = [
        pa.array(np.arange(len(lists.ids), dtype=np.int32)),
        pa.array(side.ceilings),
        pa.ListArray.from_arrays(offsets, pa.array(lists.ids[kept])),
        pa.ListArray.from_arrays(offsets, pa.array(lists.distances[kept])),
    ]
    names = ["row", "ceiling", "others", "distances"]
    with work.scratch.writer("neighbor_first", f"first-{attempt.stem}") as writer:
        writer.write(pa.RecordBatch.from_arrays(columns, names=names))
    return TaskReport(receipts=writer.receipts, counters={"meetings": 1})


def _meet_and_merge(
    spark: SparkSession, work: _Work, tasks: list[tuple[int, int]], marks: Marks
) -> list[TaskReport]:
    """Let pairs of blocks meet, and merge what is found by block."""

    @light
    def met(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                low, high = tasks[index]
                yield from _meet_pairs(work, low, high)
                marks.leave(index, {"meetings": high - low})

    @light
    def merged(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        attempt = Attempt.current()
        for block, rows in groupby(packed_rows(batches), lambda row: row[0]):
            report = reported(partial(_merge, work, block, (row[1] for row in rows)), attempt)
            yield pa.RecordBatch.from_pydict({"report": [report.model_dump_json()]})

    blocks = len(work.laying.blocks)
    found = spark.range(0, len(tasks), 1, len(tasks)).mapInArrow(met, "block int, packed binary")
    by_block = found.repartition(blocks, "block").sortWithinPartitions("block")
    rows = by_block.mapInArrow(merged, "report string").collect()
    return [TaskReport.model_validate_json(row.report) for row in rows]


def _meet_pairs(work: _Work, low: int, high: int) -> Iterator[pa.RecordBatch]:
    blocks = len(work.laying.blocks)
    if blocks == 1:  # to be merged all the same
        yield batch_of(0, [b""])
    for one, run in groupby(pairs_between(blocks, low, high), lambda pair: pair[0]):
        side = work.side(one)
        for _, block in run:
            other = work.side(block)
            meet(side, other, Tiling())
            yield from packed(block, other.entries)
        yield from packed(one, side.entries)


def _merge(work: _Work, block: int, packed: Iterable[bytes], attempt: Attempt) -> TaskReport:
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
    pools = laid.pools(work.scratch.metric, entries, work.k, work.scratch.rows)
    with work.scratch.writer("neighbor_pool", f"pool-{block:05d}-{attempt.stem}") as writer:
        writer.write(pool_rows(pools))
    counters = {"vectors": len(laid.numbers), "entries": len(rows), "shuffled": shuffled}
    return TaskReport(receipts=writer.receipts, counters=counters)
