"""How many cells an approximate join looks at, from the exact neighbors of a random sample.

Tasks find the neighbors of the sample among the blocks that each is dealt; one task merges what
they found and chooses. The sample is bounded (:func:`artrec.vectors.approximate.choosing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.stages.frames import Attempt, TaskReport, parallelism, run_tasks
from artrec.stages.neighbors.laying import Laying, Scratch, read_block
from artrec.stages.session import describe
from artrec.tables import Receipt, read_table
from artrec.vectors import Block
from artrec.vectors.approximate.choosing import Candidates, Links, choose, links_of, nearest_of
from artrec.vectors.approximate.recall import interval
from artrec.vectors.distance import Floats, Ints, Wides

__all__ = ["Planning", "Truth", "choose_probes", "recall_notes"]


@dataclass(frozen=True)
class Truth:
    """What is known of the sample: rows of neighbor_truth, in the order of their numbers."""

    numbers: Ints
    others: Ints
    furthest: Floats

    @classmethod
    def read(cls, scratch: Scratch, files: Sequence[Receipt]) -> Truth:
        rows = pa.Table.from_batches(list(read_table(scratch.store, files)))
        names = ("vector_no", "others", "furthest")
        return cls(*(np.asarray(rows.column(name)) for name in names))


@dataclass(frozen=True)
class Planning:
    """What a sample is asked for: a recall of the first ``k`` that ``asked`` other rows show."""

    k: int
    target: float
    asked: int


def choose_probes(
    spark: SparkSession, scratch: Scratch, laying: Laying, planning: Planning
) -> list[TaskReport]:
    """Reports, of which the last has the table neighbor_truth and notes of the choice."""
    blocks = len(laying.blocks)
    tasks = min(blocks, parallelism(spark))
    cuts = [(task * blocks // tasks, (task + 1) * blocks // tasks) for task in range(tasks)]
    describe(spark, "neighbors: true neighbors of a sample")
    linked = run_tasks(spark, tasks, partial(_link, scratch, laying, planning, cuts))
    files = [receipt for report in linked for receipt in report.receipts]
    chosen = run_tasks(spark, 1, partial(_choose, scratch, laying, planning, files))
    return [*linked, *chosen]


def recall_notes(found: Wides, furthest: Floats) -> dict[str, Any]:
    """Mean, interval and quarters of the recall [s] of a sample."""
    low, high = interval(found)
    quarters = _by_density(found, furthest)
    mean = float(found.mean()) if len(found) else 1.0
    facts = {"mean": mean, "low": low, "high": high}
    return {
        **{name: round(value, 5) for name, value in facts.items()},
        "rows": len(found),
        "by_density": {name: round(value, 5) for name, value in quarters.items()},
    }


_QUARTERS = ("densest quarter", "denser quarter", "sparser quarter", "sparsest quarter")


def _by_density(recalls: Wides, furthest: Floats) -> dict[str, float]:
    """Means for each quarter of the rows by how far their k-th neighbor is."""
    n = len(recalls)
    quarter = np.argsort(np.argsort(furthest, kind="stable"), kind="stable") * 4 // max(1, n)
    return {
        name: float(recalls[quarter == q].mean())
        for q, name in enumerate(_QUARTERS)
        if (quarter == q).any()
    }


def _sample(scratch: Scratch, laying: Laying) -> Block:
    _, numbers, vectors = read_block(scratch, laying.sample)
    order = np.argsort(numbers)
    return Block(numbers[order], vectors[order])


def _link(
    scratch: Scratch,
    laying: Laying,
    planning: Planning,
    cuts: Sequence[tuple[int, int]],
    attempt: Attempt,
) -> TaskReport:
    sample, layout = _sample(scratch, laying), laying.read(scratch)
    low, high = cuts[attempt.index]

    def blocks() -> Iterator[Candidates]:
        for files in laying.blocks[low:high]:
            yield read_block(scratch, files)

    pools, seconds = nearest_of(sample, blocks(), layout.frame.metric, planning.k)
    links = links_of(sample, pools, blocks(), layout)
    columns = [
        pa.array(links.rows.astype(np.int32)),
        pa.array(links.distances),
        pa.array(links.others),
        pa.array(links.ranks.astype(np.int32)),
        pa.array(links.near.astype(np.int32)),
    ]
    with scratch.writer("neighbor_links", f"links-{attempt.stem}") as writer:
        names = ["row", "distance", "other", "rank", "near"]
        writer.write(pa.RecordBatch.from_arrays(columns, names=names))
    rows = sum(receipt.rows for files in laying.blocks[low:high] for receipt in files)
    products = len(sample.numbers) * rows
    counters = {"sample_products": products, "sample_milliseconds": int(1000 * seconds)}
    return TaskReport(receipts=writer.receipts, counters=counters)


def _choose(
    scratch: Scratch,
    laying: Laying,
    planning: Planning,
    files: Sequence[Receipt],
    attempt: Attempt,
) -> TaskReport:
    numbers, layout = _sample(scratch, laying).numbers, laying.read(scratch)
    rows = pa.Table.from_batches(list(read_table(scratch.store, files)))
    links = Links(
        np.asarray(rows.column("row"), np.int64),
        np.asarray(rows.column("distance"), np.float32),
        np.asarray(rows.column("other"), np.int64),
        np.asarray(rows.column("rank"), np.int64),
        np.asarray(rows.column("near"), np.int64),
    ).nearest(len(numbers), planning.k)
    choice = choose(
        links,
        len(numbers),
        layout,
        target=planning.target,
        total=scratch.rows,
        asked=planning.asked,
    )
    counts = np.bincount(links.rows, minlength=len(numbers)).astype(np.int32)
    columns = [pa.array(numbers), pa.array(counts), pa.array(choice.furthest)]
    with scratch.writer("neighbor_truth", f"truth-{attempt.stem}") as writer:
        names = ["vector_no", "others", "furthest"]
        writer.write(pa.RecordBatch.from_arrays(columns, names=names))
    notes = {"near": choice.near, "probes": choice.probes, "cells": len(layout.centers)}
    return TaskReport(receipts=writer.receipts, notes=notes)
