"""Which vectors came and which went since the current release.

Both tables are sorted by ``vector_no``, so a task compares the numbers of one range, and nothing is
shuffled. Of what is added it keeps the vectors, each with a bound of its list from some vectors of
the range: numbers are hashes, so these are a random sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.planning.maintaining import Change, bounding_rows, range_count
from artrec.stages.blocks import rows_between, vector_blocks, vector_rows
from artrec.stages.frames import Attempt, TaskReport, add_counters, parallelism, run_tasks
from artrec.stages.neighbors.laying import Scratch
from artrec.stages.neighbors.maintained.before import Before
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, read_range
from artrec.vectors import Block
from artrec.vectors.distance import Ints
from artrec.vectors.join import LAST_NO
from artrec.vectors.update import bounds_among

__all__ = ["Changes", "Range", "find_changes"]

Range = tuple[int, int]


@dataclass(frozen=True)
class Changes:
    """What changed, as files in order; and the ranges that it was found in.

    ``places`` are rows of the vectors before, first and after the last, ``numbers`` first and last
    of all that can be in the range.
    """

    change: Change
    places: list[Range]
    numbers: list[Range]
    added: list[Receipt]
    gone: list[Receipt]
    reports: list[TaskReport]


def find_changes(
    spark: SparkSession, settings: Settings, scratch: Scratch, before: Before, live: list[Receipt]
) -> Changes:
    """Compare ``live`` with the vectors before, range by range."""
    rules, rows = settings.neighbors, before.rows
    count = range_count(rows, rules.block_rows, parallelism(spark))
    places = [(n * rows // count, (n + 1) * rows // count) for n in range(count)]
    describe(spark, f"neighbors: what changed since {before.release}, in {count} ranges")
    work = partial(_find, scratch, before, live, places, rules.k + rules.slack)
    reports = run_tasks(spark, count, work)
    counters = add_counters(report.counters for report in reports)
    files = [receipt for report in reports for receipt in report.receipts]
    return Changes(
        change=Change(rows, counters["added"], counters["gone"]),
        places=places,
        numbers=[(report.notes["first"], report.notes["last"]) for report in reports],
        added=[file for file in files if file.table == "neighbor_added"],
        gone=[file for file in files if file.table == "neighbor_gone"],
        reports=reports,
    )


def _find(
    scratch: Scratch,
    before: Before,
    live: Sequence[Receipt],
    places: Sequence[Range],
    size: int,
    attempt: Attempt,
) -> TaskReport:
    old, between = _numbers_before(scratch.store, before, places, attempt.index)
    new = _numbers(scratch.store, live, between)
    gone, added = np.setdiff1d(old, new), np.setdiff1d(new, old)
    with scratch.writer("neighbor_gone", f"gone-{attempt.stem}") as left:
        if len(gone):
            left.write(pa.RecordBatch.from_arrays([pa.array(gone)], names=["vector_no"]))
    products = 0
    with scratch.writer("neighbor_added", f"added-{attempt.stem}") as came:
        blocks = vector_blocks(scratch.store, live, between) if len(added) else iter(())
        sample, every = _sampled(blocks, bounding_rows(scratch.rows))
        for block in every:
            kept = np.isin(block.numbers, added)
            mine = Block(block.numbers[kept], block.vectors[kept])
            if len(mine.numbers):
                came.write(_bounded(mine, sample, size, scratch.metric))
                products += len(mine.numbers) * sum(len(each.numbers) for each in sample)
    return TaskReport(
        receipts=[*left.receipts, *came.receipts],
        counters={"added": len(added), "gone": len(gone), "products": products},
        notes={"first": between[0], "last": between[1]},
    )


def _numbers_before(
    store: Store, before: Before, places: Sequence[Range], index: int
) -> tuple[Ints, Range]:
    """The numbers of a range's vectors, and from which to which number it reaches."""
    low, high = places[index]
    last = index == len(places) - 1
    rows = rows_between(store, before.live, low, high if last else high + 1, ["vector_no"])
    numbers = np.asarray(rows.column("vector_no"), np.int64)
    first = 0 if index == 0 else int(numbers[0])
    after = LAST_NO if last else int(numbers[-1]) - 1
    return numbers[: high - low], (first, after)


def _numbers(store: Store, live: Sequence[Receipt], between: Range) -> Ints:
    low, high = between
    parts = [np.zeros(0, np.int64)]
    for batch in read_range(store, live, (low,), (high,), ["vector_no"]):
        parts.append(np.asarray(batch.column("vector_no"), np.int64))
    return np.concatenate(parts)


def _sampled(blocks: Iterator[Block], wanted: int) -> tuple[list[Block], Iterator[Block]]:
    """The first vectors of a range, a random sample of all; and all blocks, read once."""
    sample, begun = [], []
    for block in blocks:
        begun.append(block)
        sample.append(Block(block.numbers[:wanted], block.vectors[:wanted]))
        wanted -= len(sample[-1].numbers)
        if not wanted:
            break
    return sample, chain(begun, blocks)


def _bounded(added: Block, sample: Sequence[Block], size: int, metric: str) -> pa.RecordBatch:
    rows, ceilings = vector_rows(added), bounds_among(added, sample, size, metric)
    columns, names = [*rows.columns, pa.array(ceilings)], [*rows.schema.names, "ceiling"]
    return pa.RecordBatch.from_arrays(columns, names=names)
