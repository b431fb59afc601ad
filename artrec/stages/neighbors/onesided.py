"""The join of a small catalog: one task for each block of queries, which meets all vectors.

Each product is computed twice, once for either side, but nothing has to be laid out first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.releases import Draft, Run
from artrec.schemas import TABLES
from artrec.stages.blocks import block_of, pool_rows, vector_blocks
from artrec.stages.frames import Attempt, TaskReport, parallelism, run_tasks
from artrec.stages.progress import Watch
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, open_file
from artrec.vectors import Block, join

__all__ = ["join_onesided"]

LEAST_BLOCK = 256


def join_onesided(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    run: Run,
    live: list[Receipt],
    metadata: dict[str, str],
) -> list[TaskReport]:
    """One task for each block of queries; each meets all vectors."""
    rows = sum(receipt.rows for receipt in live)
    even = -(-rows // parallelism(spark))
    block = max(LEAST_BLOCK, min(settings.neighbors.block_rows, even))
    ranges = [(low, min(low + block, rows)) for low in range(0, rows, block)]
    describe(spark, f"neighbors: {len(ranges)} blocks of {rows} vectors")
    size = settings.neighbors.k + settings.neighbors.slack
    folder = run.folder(draft.attempt)
    work = partial(_join_block, draft.store, live, ranges, size, folder, metadata)
    every = settings.log.every
    watch = Watch(draft, "neighbors", rows, ("vectors",), unit="vectors", every=every)
    with watch.watching() as marks:
        return run_tasks(spark, len(ranges), work, marks)


def _join_block(
    store: Store,
    live: Sequence[Receipt],
    ranges: Sequence[tuple[int, int]],
    size: int,
    folder: str,
    metadata: dict[str, str],
    attempt: Attempt,
) -> TaskReport:
    low, high = ranges[attempt.index]
    rows = sum(receipt.rows for receipt in live)
    queries = _rows_between(store, live, low, high)
    pools = join(queries, vector_blocks(store, live), k=size, metric=metadata["metric"], total=rows)
    with TableWriter(
        store, folder, TABLES["neighbor_pool"], attempt.stem, metadata, even_empty=True
    ) as writer:
        writer.write(pool_rows(pools))
    counters = {"vectors": high - low, "pairs": (high - low) * rows}
    return TaskReport(receipts=writer.receipts, counters=counters)


def _rows_between(store: Store, live: Sequence[Receipt], low: int, high: int) -> Block:
    """Vectors ``low``..``high`` of the table, counted over all files."""
    parts, at = [], 0
    for receipt in live:
        if at < high and at + receipt.rows > low:
            rows = open_file(store, receipt).read()
            parts.append(rows.slice(max(0, low - at), min(high, at + receipt.rows) - max(low, at)))
        at += receipt.rows
    return block_of(pa.concat_tables(parts))
