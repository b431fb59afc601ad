"""The approximate join, for catalogs for which the exact one is too dear.

Vectors are laid out by cells (:mod:`laying`), and from the exact neighbors of a random sample it is
known how many cells each must look at (:mod:`sampling`). A task for each block sees what its rows
see in the block itself, which bounds their lists; then tasks let those pairs of blocks meet of
which one looks at the other. What they find, packed, goes through a shuffle by block, and a task
for each block merges it into its pools (:mod:`artrec.vectors.approximate.looking` has the method).
A list depends on the cells alone, not on blocks or tasks.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.planning import exact_seconds_by_sample, seen_blocks
from artrec.releases import Draft
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
from artrec.stages.neighbors.sampling import Planning, Truth, choose_probes, recall_notes
from artrec.stages.neighbors.symmetric import POOL_ENTRY, TASKS_EACH
from artrec.stages.progress import Marks, Watch
from artrec.stages.session import describe
from artrec.stages.workers import light
from artrec.tables import Receipt, open_file, read_table
from artrec.vectors import Entries, Laid, Pools
from artrec.vectors.approximate.choosing import sample_size
from artrec.vectors.approximate.lists import Flags
from artrec.vectors.approximate.looking import Looking, reaches, see
from artrec.vectors.distance import Ints
from artrec.vectors.layout import Layout

__all__ = ["join_approximate"]

LOADED = 100_000  # products for each row of a block that is loaded, about: for even tasks
ACCOUNT = -1  # the row of an entry that accounts for a task: its seconds, its products


@dataclass(frozen=True)
class _Work:
    """What the tasks of a join know."""

    scratch: Scratch
    laying: Laying
    k: int
    published: int
    probes: int
    truth: list[Receipt]
    first: list[list[Receipt]]

    def laid(self, block: int) -> tuple[Laid, Ints]:
        """A block, and the cells of its rows."""
        cells, numbers, vectors = read_block(self.scratch, self.laying.blocks[block])
        return Laid.of(numbers, vectors, self.k + 1), cells

    def found(self, block: int, columns: Sequence[str]) -> pa.Table:
        """What a block has seen in itself: a row for each of its distinct vectors."""
        files = [open_file(self.scratch.store, file) for file in self.first[block]]
        return pa.concat_tables([file.read(columns=list(columns)) for file in files])

    def looking(self, layout: Layout, block: int) -> Looking:
        """A block, as it was read."""
        return Looking.of(layout, self.laying.numbers[block], *self.laid(block), self.k)

    def ready(self, layout: Layout, block: int) -> Looking:
        """A block that has seen itself, ready for others."""
        found, rows = self.looking(layout, block), self.found(block, ["reach", "ceiling"])
        found.reach = np.asarray(rows.column("reach"), np.float32)
        found.side.lower(np.asarray(rows.column("ceiling"), np.float32))
        return found


def join_approximate(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    live: list[Receipt],
    folder: str,
    metadata: dict[str, str],
) -> list[TaskReport]:
    """The pools of all live vectors: reports whose receipts are files in the table's order.

    The last one has notes: what was chosen, its recall, and its cost beside the exact join's.
    """
    rules, rows = settings.neighbors, sum(receipt.rows for receipt in live)
    scratch = Scratch(draft.store, folder, metadata, rows)
    share = sample_size(rows, rules.recall) / rows
    count = seen_blocks(rows, rules.block_rows, parallelism(spark))
    laying = lay_out(spark, scratch, live, count, share)
    planning = Planning(rules.k, rules.recall, settings.evaluate.queries)
    planned = choose_probes(spark, scratch, laying, planning)
    chosen = planned[-1]
    probes, blocks = int(chosen.notes["probes"]), len(laying.blocks)
    work = _Work(scratch, laying, rules.k + rules.slack, rules.k, probes, chosen.receipts, [])
    watch = Watch(draft, "neighbors", 2 * blocks, ("blocks",), "blocks", settings.log.every)
    describe(
        spark, f"neighbors: {blocks} blocks, each in {probes} of {chosen.notes['cells']} cells"
    )
    with watch.watching(part="blocks") as marks:
        first = run_tasks(spark, blocks, partial(_see_itself, work), marks)
    seen = [_files(report, "neighbor_looks") for report in first]
    work = replace(work, first=[_files(report, "neighbor_near") for report in first])
    dealing = partial(_deal, work, [each for files in seen for each in files])
    (dealt,) = run_tasks(spark, 1, partial(dealing, TASKS_EACH * parallelism(spark)))
    pairs = dealt.notes["cuts"][-1]
    describe(spark, f"neighbors: {pairs} pairs of blocks")
    with watch.watching(part="pairs") as marks:
        merged = _meet_and_merge(spark, work, dealt, marks)
    describe(spark, "neighbors: pools in order")
    pool = [receipt for report in merged for receipt in report.receipts]
    frame = read_frame(spark, scratch.store, pool, TABLES["neighbor_pool"])
    size = rows * work.k * POOL_ENTRY
    ordered = write_sorted(frame, draft.store, folder, TABLES["neighbor_pool"], size, metadata)
    reports = [*planned, *first, dealt, *merged]
    notes = _notes(work, planning, reports)
    counters = [TaskReport(counters=report.counters) for report in reports]
    return [*counters, TaskReport(receipts=ordered, notes=notes)]


def _files(report: TaskReport, table: str) -> list[Receipt]:
    return [receipt for receipt in report.receipts if receipt.table == table]


def _notes(work: _Work, planning: Planning, reports: list[TaskReport]) -> dict[str, Any]:
    """What is written to the release; bounded by the sample."""
    merged = [report for report in reports if "recalls" in report.notes]
    recalls = [share for report in merged for share in report.notes["recalls"]]
    furthest = [far for report in merged for far in report.notes["furthest"]]
    chosen = next(report.notes for report in reports if "probes" in report.notes)
    counters = add_counters(report.counters for report in reports)
    rows = work.scratch.rows
    exact = rows * (rows - 1) // 2
    seconds = exact_seconds_by_sample(
        rows, counters["sample_products"], counters["sample_milliseconds"] / 1000
    )
    milliseconds = counters["task_milliseconds"] + counters["pairs_milliseconds"]
    return {
        "target": planning.target,
        **{name: chosen[name] for name in ("probes", "cells", "sample")},
        "rounds": 0,
        "recall": recall_notes(np.array(recalls), np.array(furthest, np.float32)),
        "products": counters["products"] + counters["sample_products"],
        "exact_products": exact,
        "seconds": round(milliseconds / 1000, 2),
        "exact_seconds": round(seconds, 2),
    }


def _see_itself(work: _Work, attempt: Attempt) -> TaskReport:
    layout = work.laying.read(work.scratch)
    block = work.laying.numbers[attempt.index]
    own = work.looking(layout, attempt.index)
    own.reach, looks = reaches(layout, own.points, work.probes)
    lists, products = own.see_itself(layout, work.k)
    offsets = np.append(0, np.cumsum(lists.counts)).astype(np.int32)
    kept = lists.ids >= 0
    columns = [
        pa.array(np.arange(len(lists.ids), dtype=np.int32)),
        pa.array(own.reach),
        pa.array(own.side.ceilings),
        pa.ListArray.from_arrays(offsets, pa.array(lists.ids[kept])),
        pa.ListArray.from_arrays(offsets, pa.array(lists.distances[kept])),
    ]
    names = ["row", "reach", "ceiling", "others", "distances"]
    with work.scratch.writer("neighbor_near", f"near-{attempt.stem}") as near:
        near.write(pa.RecordBatch.from_arrays(columns, names=names))
    by_block = np.add.reduceat(looks, layout.firsts[:-1])
    by_block[block] = 0
    with work.scratch.writer("neighbor_looks", f"looks-{attempt.stem}") as looked:
        others = np.flatnonzero(by_block)
        looked.write(_looks(np.full(len(others), block), others, by_block[others]))
    receipts = [*near.receipts, *looked.receipts]
    return TaskReport(receipts=receipts, counters={"blocks": 1, "products": products})


def _looks(ones: Ints, others: Ints, looks: Ints) -> pa.RecordBatch:
    columns = [
        pa.array(ones.astype(np.int32)),
        pa.array(others.astype(np.int32)),
        pa.array(looks),
    ]
    return pa.RecordBatch.from_arrays(columns, names=["one", "other", "looks"])


def _deal(work: _Work, files: Sequence[Receipt], tasks: int, attempt: Attempt) -> TaskReport:
    """The pairs of blocks that look at each other, in order, and where each task's begin."""
    seen = pa.Table.from_batches(
        list(read_table(work.scratch.store, files)), TABLES["neighbor_looks"].columns
    )
    numbers, blocks = np.array(work.laying.numbers), len(work.laying.numbers)
    one, other = (
        np.asarray(seen.column("one"), np.int64),
        np.asarray(seen.column("other"), np.int64),
    )
    kept = np.isin(other, numbers)  # a block without rows has no file
    one, other = np.searchsorted(numbers, one[kept]), np.searchsorted(numbers, other[kept])
    looks = np.asarray(seen.column("looks"), np.int64)[kept]
    keys = np.minimum(one, other) * blocks + np.maximum(one, other)
    pairs, place = np.unique(keys, return_inverse=True)
    counts = np.bincount(place, looks, len(pairs)).astype(np.int64)
    rows = work.scratch.rows
    each = counts * (rows / len(work.laying.read(work.scratch).centers)) + LOADED * rows / blocks
    filled = np.cumsum(each)
    ends = np.searchsorted(filled, np.arange(1, tasks) * (filled[-1] / tasks)) if len(pairs) else []
    cuts = np.unique(np.concatenate(([0], ends, [len(pairs)]))).astype(int).tolist()
    with work.scratch.writer("neighbor_looks", f"pairs-{attempt.stem}") as writer:
        if len(pairs):
            writer.write(_looks(pairs // blocks, pairs % blocks, counts))
    return TaskReport(receipts=writer.receipts, notes={"cuts": cuts})


def _meet_and_merge(
    spark: SparkSession, work: _Work, dealt: TaskReport, marks: Marks
) -> list[TaskReport]:
    """Let pairs of blocks meet, and merge what is found by block."""
    cuts = dealt.notes["cuts"]
    spans = list(pairwise(cuts)) or [(0, 0)]

    @light
    def met(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                if index == 0:  # each block is merged, whether it met another or not
                    for block in range(len(work.laying.blocks)):
                        yield batch_of(block, [b""])
                yield from _meet_pairs(work, dealt.receipts, *spans[index])

    @light
    def merged(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        attempt = Attempt.current()
        for block, rows in groupby(packed_rows(batches), lambda row: row[0]):
            report = reported(partial(_merge, work, block, (row[1] for row in rows)), attempt)
            marks.leave(block, report.counters)
            yield pa.RecordBatch.from_pydict({"report": [report.model_dump_json()]})

    blocks = len(work.laying.blocks)
    found = spark.range(0, len(spans), 1, len(spans)).mapInArrow(met, "block int, packed binary")
    by_block = found.repartition(blocks, "block").sortWithinPartitions("block")
    rows = by_block.mapInArrow(merged, "report string").collect()
    return [TaskReport.model_validate_json(row.report) for row in rows]


def _meet_pairs(
    work: _Work, files: Sequence[Receipt], low: int, high: int
) -> Iterator[pa.RecordBatch]:
    if low == high:
        return
    begun, products = time.monotonic(), 0
    pairs = pa.Table.from_batches(list(read_table(work.scratch.store, files)))
    pairs = pairs.slice(low, high - low).select(["one", "other"])
    layout, first = work.laying.read(work.scratch), -1
    met = zip(pairs.column("one").to_pylist(), pairs.column("other").to_pylist(), strict=True)
    for block, run in groupby(met, lambda pair: pair[0]):
        one = work.ready(layout, block)
        first = block if first < 0 else first
        for _, place in run:
            other = work.ready(layout, place)
            products += see(one, other, layout)
            yield from packed(place, other.side.entries)
        yield from packed(block, one.side.entries)
    account = np.array([(ACCOUNT, time.monotonic() - begun, products)], ENTRY)
    yield batch_of(first, [account.tobytes()])


def _merge(work: _Work, block: int, parts: Iterable[bytes], attempt: Attempt) -> TaskReport:
    laid, _ = work.laid(block)
    entries = Entries(len(laid.first), work.k + 1)
    found = work.found(block, ["others", "distances"])
    lists = found.column("others").combine_chunks()
    rows = np.repeat(np.arange(len(found)), np.asarray(lists.value_lengths()))
    distances = np.asarray(found.column("distances").combine_chunks().flatten(), np.float32)
    entries.add(rows, distances, np.asarray(lists.flatten(), np.int64))
    counters = {"vectors": len(laid.numbers), "entries": len(rows), "shuffled": 0, "products": 0}
    milliseconds = 0.0
    for part in parts:
        each = np.frombuffer(part, ENTRY)
        if len(each) and each["row"][0] == ACCOUNT:
            milliseconds += 1000 * float(each["distance"][0])
            counters["products"] += int(each["other"][0])
            continue
        counters["shuffled"] += len(each)
        entries.add(each["row"].astype(np.int64), each["distance"].copy(), each["other"].copy())
        if entries.crowded:
            entries.compact()
    pools = laid.pools(work.scratch.metric, entries, work.k, work.scratch.rows).incomplete()
    with work.scratch.writer("neighbor_pool", f"pool-{block:05d}-{attempt.stem}") as writer:
        writer.write(pool_rows(pools))
    counters["pairs_milliseconds"] = int(milliseconds)
    return TaskReport(receipts=writer.receipts, counters=counters, notes=_recalls(work, pools))


def _recalls(work: _Work, pools: Pools) -> dict[str, list[float]]:
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
    return {"recalls": shares.tolist(), "furthest": furthest.tolist()}
