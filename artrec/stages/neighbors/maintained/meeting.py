"""What is added meets all that stays, and itself: each product is computed once, for both ends.

A task for each range of the vectors before reads its pools and vectors, lets the added vectors
pass, block by block, and writes the pools that stay. What the added ones find goes, packed, through
a shuffle by their blocks, and a task for each block merges it into their pools. A task holds its
range, which is some blocks of ``neighbors.block_rows``, and one block of what is added.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.errors import StoreFormatError
from artrec.releases import Draft
from artrec.schemas import TABLES
from artrec.stages.blocks import block_of, pool_rows, pools_of, rows_between, vector_rows
from artrec.stages.frames import Attempt, TaskReport, reported
from artrec.stages.neighbors.laying import Scratch
from artrec.stages.neighbors.maintained.before import Before
from artrec.stages.neighbors.maintained.finding import Changes, Range
from artrec.stages.neighbors.packing import ENTRY, SHUFFLED, enter, merge_by_block, packed, told
from artrec.stages.progress import Marks, Watch
from artrec.stages.session import describe
from artrec.stages.workers import light
from artrec.tables import Receipt, read_table
from artrec.vectors import Block, Entries, Laid, Tiling
from artrec.vectors.distance import Floats, Ints
from artrec.vectors.update import Staying, lacking_rows, met, widest

__all__ = ["Met", "meet_added"]

_VECTORS = ["vector_no", "embedding"]


@dataclass(frozen=True)
class Met:
    """Pools of what stays, for each range its files; of what is added; and which lack entries."""

    staying: list[list[Receipt]]
    added: list[Receipt]
    lacking: list[Receipt]
    reports: list[TaskReport]

    @property
    def lacking_rows(self) -> int:
        return sum(receipt.rows for receipt in self.lacking)


@dataclass(frozen=True)
class _Work:
    """What the tasks know. ``blocks`` are rows of the table of what is added."""

    scratch: Scratch
    before: Before
    changes: Changes
    blocks: list[Range]
    block_rows: int
    k: int
    size: int

    def block(self, index: int) -> tuple[Laid, Floats]:
        """A block of what is added, and the ceilings of its distinct vectors."""
        columns = [*_VECTORS, "ceiling"]
        rows = rows_between(self.scratch.store, self.changes.added, *self.blocks[index], columns)
        block = block_of(rows)
        laid = Laid.of(block.numbers, block.vectors, self.size + 1)
        return laid, widest(laid, np.asarray(rows.column("ceiling"), np.float32))

    def staying(self, index: int) -> list[tuple[Staying, Block]]:
        """Pools and vectors of the blocks of a range, without what is gone."""
        store, place = self.scratch.store, self.changes.places[index]
        columns = TABLES["neighbor_pool"].columns.names
        pools = pools_of(rows_between(store, self.before.pool, *place, columns), self.size)
        whole = block_of(rows_between(store, self.before.live, *place, _VECTORS))
        if not np.array_equal(pools.numbers, whole.numbers):
            raise StoreFormatError(
                f"release {self.before.release}: neighbor_pool has other vectors than "
                "live_vectors, so it cannot be kept up to date; --set neighbors.rebuild_share=0 "
                "joins anew"
            )
        gone = self._gone()
        rows = np.flatnonzero(~np.isin(whole.numbers, gone))
        found = []
        for low in range(0, len(rows), self.block_rows):
            mine = rows[low : low + self.block_rows]
            stay = Block(whole.numbers[mine], whole.vectors[mine])
            staying = Staying(pools.taken(mine), stay, self.scratch.metric, Tiling())
            staying.leave(gone)
            found.append((staying, stay))
        return found

    def _gone(self) -> Ints:
        parts = [np.zeros(0, np.int64)]
        for batch in read_table(self.scratch.store, self.changes.gone, ["vector_no"]):
            parts.append(np.asarray(batch.column("vector_no"), np.int64))
        return np.concatenate(parts)


def meet_added(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    scratch: Scratch,
    before: Before,
    changes: Changes,
) -> Met:
    """All pools but those that have to be joined anew."""
    rules, added = settings.neighbors, changes.change.added
    count = -(-added // rules.block_rows)
    blocks = [(n * added // count, (n + 1) * added // count) for n in range(count)]
    size = rules.k + rules.slack
    work = _Work(scratch, before, changes, blocks, rules.block_rows, rules.k, size)
    ranges = len(changes.places)
    describe(spark, f"neighbors: {added} added vectors meet {ranges} ranges")
    every = settings.log.every
    watch = Watch(draft, "neighbors", ranges + count, ("blocks",), "blocks", every)
    with watch.watching(part="added") as marks:
        reports = _met_and_merged(spark, work, marks)
    kept = {report.notes["range"]: report for report in reports if "range" in report.notes}
    files = [file for each in range(ranges) for file in kept[each].receipts]
    merged = [report for report in reports if "block" in report.notes]
    return Met(
        staying=[_files([kept[each]], "neighbor_pool") for each in range(ranges)],
        added=_files(sorted(merged, key=lambda each: int(each.notes["block"])), "neighbor_pool"),
        lacking=[file for file in files if file.table == "neighbor_lacking"],
        reports=reports,
    )


def _files(reports: Iterable[TaskReport], table: str) -> list[Receipt]:
    return [file for report in reports for file in report.receipts if file.table == table]


def _met_and_merged(spark: SparkSession, work: _Work, marks: Marks) -> list[TaskReport]:
    ranges, blocks = len(work.changes.places), len(work.blocks)

    @light
    def meeting(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                meets = _meet_range if index < ranges else _meet_each_other
                yield from meets(work, Attempt.current(index))
                marks.leave(index, {"blocks": 1})

    tasks = ranges + blocks
    found = spark.range(0, tasks, 1, tasks).mapInArrow(meeting, SHUFFLED)
    return merge_by_block(found, blocks + 1, partial(_merge, work))


def _meet_range(work: _Work, attempt: Attempt) -> Iterator[pa.RecordBatch]:
    """What is added passes a range; the pools of the range are written."""
    begun, products = time.monotonic(), 0
    parts = work.staying(attempt.index)
    for index in range(len(work.blocks) if parts else 0):
        laid, ceilings = work.block(index)
        entries = Entries(len(laid.first), work.size + 1)
        for staying, _ in parts:
            found, more = staying.meet(laid, ceilings)
            entries.add(*found.flat())
            products += more
        yield from packed(index, entries)
    yield told(reported(partial(_write_range, work, parts, products), attempt, begun))


def _write_range(
    work: _Work, parts: list[tuple[Staying, Block]], products: int, attempt: Attempt
) -> TaskReport:
    with (
        work.scratch.writer("neighbor_pool", f"kept-{attempt.stem}") as kept,
        work.scratch.writer("neighbor_lacking", f"lacking-{attempt.stem}") as wanting,
    ):
        for staying, rows in parts:
            pools = staying.refreshed()
            lacking = lacking_rows(pools, work.k, work.scratch.rows)
            full = np.delete(np.arange(len(pools.numbers)), lacking)
            if len(full):
                kept.write(pool_rows(pools.taken(full)))
            if len(lacking):
                wanting.write(vector_rows(Block(rows.numbers[lacking], rows.vectors[lacking])))
    return TaskReport(
        receipts=[*kept.receipts, *wanting.receipts],
        counters={"products": products},
        notes={"range": attempt.index},
    )


def _meet_each_other(work: _Work, attempt: Attempt) -> Iterator[pa.RecordBatch]:
    """A block of what is added meets itself, and those behind it."""
    begun, products = time.monotonic(), 0
    first = attempt.index - len(work.changes.places)
    one = work.block(first)
    for index in range(first, len(work.blocks)):
        other = one if index == first else work.block(index)
        metric = work.scratch.metric
        own, found, more = met(one, other, width=work.size + 1, metric=metric, tiling=Tiling())
        products += more
        yield from packed(first, own)
        if index > first:
            yield from packed(index, found)
    report = TaskReport(counters={"products": products})
    yield told(reported(lambda _: report, attempt, begun))


def _merge(work: _Work, index: int, parts: Iterable[bytes], attempt: Attempt) -> TaskReport:
    """The pools of a block of what is added."""
    laid, _ = work.block(index)
    entries = Entries(len(laid.first), work.size + 1)
    shuffled = sum(enter(entries, np.frombuffer(part, ENTRY)) for part in parts)
    pools = laid.pools(work.scratch.metric, entries, work.size, work.scratch.rows)
    pools = pools if work.before.exact else pools.incomplete()
    with work.scratch.writer("neighbor_pool", f"added-{index:05d}-{attempt.stem}") as writer:
        writer.write(pool_rows(pools))
    counters = {"shuffled": shuffled}
    return TaskReport(receipts=writer.receipts, counters=counters, notes={"block": index})
