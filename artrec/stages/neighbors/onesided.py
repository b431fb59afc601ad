"""The join of a small catalog: one task for each block of queries, which meets all vectors.

Each product is computed twice, once for either side, but nothing has to be laid out first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.releases import Draft, Run
from artrec.schemas import TABLES
from artrec.stages.blocks import block_of, pool_rows, rows_between, vector_blocks
from artrec.stages.frames import Attempt, TaskReport, parallelism, run_tasks
from artrec.stages.progress import Watch
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter
from artrec.vectors import join

__all__ = ["join_onesided", "join_some"]

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
    return join_some(spark, settings, draft, run, live, live, metadata)


def join_some(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    run: Run,
    asked: list[Receipt],
    live: list[Receipt],
    metadata: dict[str, str],
) -> list[TaskReport]:
    """The same for some of the vectors: those in the files ``asked``."""
    rows = sum(receipt.rows for receipt in asked)
    even = -(-rows // parallelism(spark))
    block = max(LEAST_BLOCK, min(settings.neighbors.block_rows, even))
    ranges = [(low, min(low + block, rows)) for low in range(0, rows, block)]
    among = sum(receipt.rows for receipt in live)
    describe(spark, f"neighbors: {len(ranges)} blocks of {rows} vectors, among {among}")
    size = settings.neighbors.k + settings.neighbors.slack
    folder = run.folder(draft.attempt)
    work = partial(_join_block, draft.store, asked, live, ranges, size, folder, metadata)
    every = settings.log.every
    watch = Watch(draft, "neighbors", rows, ("vectors",), unit="vectors", every=every)
    with watch.watching() as marks:
        return run_tasks(spark, len(ranges), work, marks)


def _join_block(
    store: Store,
    asked: Sequence[Receipt],
    live: Sequence[Receipt],
    ranges: Sequence[tuple[int, int]],
    size: int,
    folder: str,
    metadata: dict[str, str],
    attempt: Attempt,
) -> TaskReport:
    low, high = ranges[attempt.index]
    rows = sum(receipt.rows for receipt in live)
    queries = block_of(rows_between(store, asked, low, high, ["vector_no", "embedding"]))
    pools = join(queries, vector_blocks(store, live), k=size, metric=metadata["metric"], total=rows)
    with TableWriter(
        store, folder, TABLES["neighbor_pool"], attempt.stem, metadata, even_empty=True
    ) as writer:
        writer.write(pool_rows(pools if metadata["exact"] == "true" else pools.incomplete()))
    pairs = (high - low) * rows
    counters = {"vectors": high - low, "pairs": pairs, "products": pairs}
    return TaskReport(receipts=writer.receipts, counters=counters)
