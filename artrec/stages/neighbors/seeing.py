"""Tasks of the approximate join: blocks are filled, pairs meet, what they found is merged."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.schemas import TABLES
from artrec.stages.blocks import pool_rows
from artrec.stages.frames import Attempt, TaskReport
from artrec.stages.neighbors.blocks import Blocks, list_columns
from artrec.stages.neighbors.laying import read_block
from artrec.stages.neighbors.packing import (
    ENTRY,
    SHUFFLED,
    batch_of,
    enter,
    merge_by_block,
    packed,
)
from artrec.stages.neighbors.sampling import Truth
from artrec.stages.progress import Marks
from artrec.stages.workers import light
from artrec.tables import Receipt, read_table
from artrec.vectors import Pools, TopK
from artrec.vectors.approximate.lists import Flags
from artrec.vectors.approximate.looking import Looking, Others, see
from artrec.vectors.approximate.reaching import reaches
from artrec.vectors.distance import Floats, Ints
from artrec.vectors.layout import Layout

__all__ = ["Work", "deal", "fill", "meet_and_merge"]

LOADED = 100_000  # products for each row of a block that is loaded, about: for even tasks
ACCOUNT = -1  # the row of an entry that accounts for a task: its seconds, its products


@dataclass(frozen=True)
class Work(Blocks):
    """What the tasks of a join know, of which the first ``published`` are shown."""

    published: int
    near: int
    probes: int
    truth: list[Receipt]

    def close(self, layout: Layout) -> Floats:
        """How far cells are near each."""
        return reaches(layout, layout.centers, self.near)[0]

    def looking(self, layout: Layout, close: Floats, block: int) -> Looking:
        """A block, as it was read."""
        laid, cells = self.laid(block)
        return Looking.of(layout, self.laying.numbers[block], laid, cells, self.k, close)

    def others(self, layout: Layout, own: Looking) -> Others:
        """The vectors of near cells that are in other blocks."""
        wanted: Flags = np.asarray(own.near.any(axis=0))
        wanted[own.first : own.after] = False
        parts = [(np.empty(0, np.int64), np.empty(0, np.int64), own.points[:0])]
        for number, files in zip(self.laying.numbers, self.laying.blocks, strict=True):
            if wanted[layout.firsts[number] : layout.firsts[number + 1]].any():
                cells, numbers, vectors = read_block(self.scratch, files)
                kept = wanted[cells]
                parts.append((cells[kept], numbers[kept], vectors[kept]))
        return Others(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def ready(self, layout: Layout, close: Floats, block: int) -> Looking:
        """A block that is filled, ready for others."""
        found, rows = self.looking(layout, close, block), self.found(block, ["reach", "ceiling"])
        found.reach = np.asarray(rows.column("reach"), np.float32)
        found.side.lower(np.asarray(rows.column("ceiling"), np.float32))
        return found


def fill(work: Work, attempt: Attempt) -> TaskReport:
    """What is in cells near a block's, and in the block: its pools, where nobody looks further."""
    layout, block = work.laying.read(work.scratch), work.laying.numbers[attempt.index]
    own = work.looking(layout, work.close(layout), attempt.index)
    looks = np.zeros(len(layout.centers), np.int64)
    if work.probes:
        own.reach, looks = reaches(layout, own.points, work.probes)
    lists, products = own.fill(layout, work.others(layout, own), work.k)
    counters = {"blocks": 1, "products": products}
    if not work.probes:
        pools = own.pools(lists, work.k, work.scratch.rows)
        return _pools(work, attempt.index, attempt, pools, counters)
    receipts = _write_filled(work, attempt, own, lists)
    by_block = np.add.reduceat(looks, layout.firsts[:-1])
    by_block[block] = 0
    with work.scratch.writer("neighbor_looks", f"looks-{attempt.stem}") as writer:
        others = np.flatnonzero(by_block)
        if len(others):
            writer.write(_looks(np.full(len(others), block), others, by_block[others]))
    return TaskReport(receipts=[*receipts, *writer.receipts], counters=counters)


def _write_filled(work: Work, attempt: Attempt, own: Looking, lists: TopK) -> list[Receipt]:
    columns = list_columns(own.side.ceilings, lists) | {"reach": pa.array(own.reach)}
    with work.scratch.writer("neighbor_near", f"near-{attempt.stem}") as writer:
        writer.write(pa.RecordBatch.from_pydict(columns))
    return writer.receipts


def _looks(ones: Ints, others: Ints, looks: Ints) -> pa.RecordBatch:
    columns = [
        pa.array(ones.astype(np.int32)),
        pa.array(others.astype(np.int32)),
        pa.array(looks),
    ]
    return pa.RecordBatch.from_arrays(columns, names=["one", "other", "looks"])


def deal(work: Work, files: Sequence[Receipt], tasks: int, attempt: Attempt) -> TaskReport:
    """The pairs of blocks that look at each other, in order, and where each task's begin."""
    columns = TABLES["neighbor_looks"].columns
    seen = pa.Table.from_batches(list(read_table(work.scratch.store, files)), columns)
    numbers, blocks = np.array(work.laying.numbers), len(work.laying.numbers)
    one = np.asarray(seen.column("one"), np.int64)
    other = np.asarray(seen.column("other"), np.int64)
    kept = np.isin(other, numbers)  # a block without rows has no file
    one, other = np.searchsorted(numbers, one[kept]), np.searchsorted(numbers, other[kept])
    looks = np.asarray(seen.column("looks"), np.int64)[kept]
    pairs, place = np.unique(
        np.minimum(one, other) * blocks + np.maximum(one, other), return_inverse=True
    )
    counts = np.bincount(place, looks, len(pairs)).astype(np.int64)
    rows = work.scratch.rows
    each = counts * (rows / len(work.laying.read(work.scratch).centers)) + LOADED * rows / blocks
    filled = np.cumsum(each)
    whole = float(filled[-1]) if len(pairs) else 0.0
    ends = np.searchsorted(filled, np.arange(1, tasks) * (whole / tasks))
    cuts = np.unique(np.concatenate(([0], ends, [len(pairs)]))).astype(int).tolist()
    with work.scratch.writer("neighbor_looks", f"pairs-{attempt.stem}") as writer:
        if len(pairs):
            writer.write(_looks(pairs // blocks, pairs % blocks, counts))
    return TaskReport(receipts=writer.receipts, notes={"cuts": cuts})


def meet_and_merge(
    spark: SparkSession, work: Work, dealt: TaskReport, marks: Marks
) -> list[TaskReport]:
    """Let pairs of blocks meet, and merge what is found by block."""
    blocks, spans = len(work.laying.blocks), list(pairwise(dealt.notes["cuts"])) or [(0, 0)]

    @light
    def met(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                if index == 0:  # each block is merged, whether it met another or not
                    for block in range(blocks):
                        yield batch_of(block, [b""])
                yield from _meet_pairs(work, dealt.receipts, *spans[index])

    def merge(block: int, parts: Iterable[bytes], attempt: Attempt) -> TaskReport:
        report = _merge(work, block, parts, attempt)
        marks.leave(block, {"blocks": 1})
        return report

    found = spark.range(0, len(spans), 1, len(spans)).mapInArrow(met, SHUFFLED)
    return merge_by_block(found, blocks, merge)


def _meet_pairs(
    work: Work, files: Sequence[Receipt], low: int, high: int
) -> Iterator[pa.RecordBatch]:
    if low == high:
        return
    begun, products = time.monotonic(), 0
    pairs = pa.Table.from_batches(list(read_table(work.scratch.store, files)))
    ones, others = (pairs.column(name).slice(low, high - low) for name in ("one", "other"))
    layout, first = work.laying.read(work.scratch), ones[0].as_py()
    close = work.close(layout)
    met = zip(ones.to_pylist(), others.to_pylist(), strict=True)
    for block, run in groupby(met, lambda pair: pair[0]):
        one = work.ready(layout, close, block)
        for _, place in run:
            other = work.ready(layout, close, place)
            products += see(one, other, layout)
            yield from packed(place, other.side.entries, compact=False)
        yield from packed(block, one.side.entries, compact=False)
    account = np.array([(ACCOUNT, time.monotonic() - begun, products)], ENTRY)
    yield batch_of(first, [account.tobytes()])


def _merge(work: Work, block: int, parts: Iterable[bytes], attempt: Attempt) -> TaskReport:
    laid, _ = work.laid(block)
    entries = work.entries(block, laid)
    counters = {"entries": entries.count, "shuffled": 0, "products": 0}
    milliseconds = 0.0
    for part in parts:
        each = np.frombuffer(part, ENTRY)
        if len(each) and each["row"][0] == ACCOUNT:
            milliseconds += 1000 * float(each["distance"][0])
            counters["products"] += int(each["other"][0])
            continue
        counters["shuffled"] += enter(entries, each)
    counters["pairs_milliseconds"] = int(milliseconds)
    pools = laid.pools(work.scratch.metric, entries, work.k, work.scratch.rows)
    return _pools(work, block, attempt, pools, counters)


def _pools(
    work: Work, block: int, attempt: Attempt, pools: Pools, counters: dict[str, int]
) -> TaskReport:
    """Write the pools of a block, of which nobody knows how far they are complete."""
    pools = pools.incomplete()
    with work.scratch.writer("neighbor_pool", f"pool-{block:05d}-{attempt.stem}") as writer:
        writer.write(pool_rows(pools))
    counters["vectors"] = len(pools.numbers)
    notes = {"recalls": _recalls(work, pools)}
    return TaskReport(receipts=writer.receipts, counters=counters, notes=notes)


def _recalls(work: Work, pools: Pools) -> list[tuple[float, float]]:
    """Of the rows of the sample that are in this block: recall, and how far the k-th is."""
    truth = Truth.read(work.scratch, work.truth)
    order = np.argsort(pools.numbers)
    place = np.searchsorted(pools.numbers, truth.numbers, sorter=order)
    at = order[np.minimum(place, len(order) - 1)]
    mine = pools.numbers[at] == truth.numbers
    at, others, furthest = at[mine], truth.others[mine], truth.furthest[mine]
    near: Flags = pools.distances[at, : work.published] <= furthest[:, None]
    hits = np.minimum((near & (pools.others[at, : work.published] >= 0)).sum(axis=1), others)
    shares = np.where(others > 0, hits / np.maximum(others, 1), 1.0)
    return list(zip(shares.tolist(), furthest.tolist(), strict=True))
