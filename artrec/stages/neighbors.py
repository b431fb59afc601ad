"""neighbors: the exact list of each image's nearest others.

The join runs over distinct vectors, by number; names come in at the end. Its pool keeps more
entries than are published, with the radius within which it is complete.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec import log
from artrec.config import Settings
from artrec.digests import name_of
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    Run,
    RunRef,
    StageRuns,
    begin_run,
    digest_of,
    find_run,
    receipts_of,
    record_run,
)
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.blocks import block_of, vector_blocks
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    add_counters,
    parallelism,
    read_frame,
    run_tasks,
    stage_frame,
    write_sorted,
)
from artrec.stages.progress import Watch
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, open_file
from artrec.vectors import Block, Pools, join

__all__ = ["RESULT_VERSION", "run"]

RESULT_VERSION = RESULT_VERSIONS["neighbors"]
ENTRY_BYTES = 24  # of one neighbor in the published tables, about: only for the number of files
LEAST_BLOCK = 256


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Join all live vectors with each other and publish the first k neighbors of each image."""
    begun = time.monotonic()
    store, rules = draft.store, settings.neighbors
    catalog, embed = draft.need("catalog"), draft.need("embed")
    inputs = {
        "version": RESULT_VERSION,
        "catalog": digest_of(store, catalog.tables["catalog"], "catalog", ("vector_no",)),
        "vectors": digest_of(
            store, embed.tables["vectors"], "vectors", ("vector_no", "embedding", "reason")
        ),
        "encoder": embed.notes["encoder"],
        "metric": embed.notes["metric"],
        "k": rules.k,
        "slack": rules.slack,
    }
    digest = name_of(inputs)
    known = draft.known("neighbors", digest)
    if known is not None:
        return draft.record(known)
    draft.begin_work()
    run = begin_run("neighbors", RESULT_VERSION, inputs, {})
    found = find_run(store, run.stage, run.run_id)
    if found is None:
        found = _write(spark, settings, draft, run, begun)
    reached("neighbors.run")
    ref = RunRef.of(found)
    log.get(stage="neighbors").info("done", run=found.run_id, **ref.rows)
    return draft.record(
        StageRuns(
            stage="neighbors",
            inputs=digest,
            tables={table: [ref] for table in found.tables},
            counters=found.counters,
            seconds=time.monotonic() - begun,
            notes={"k": rules.k, "slack": rules.slack, "exact": True},
        )
    )


def _write(spark: SparkSession, settings: Settings, draft: Draft, run: Run, begun: float) -> Run:
    store = draft.store
    embed = draft.need("embed").notes
    folder = run.folder(draft.attempt)
    metadata = {key: str(embed[key]) for key in ("encoder", "metric", "dim")}
    metadata["k"] = str(settings.neighbors.k)
    catalog = stage_frame(spark, draft, "catalog", "catalog", ["image_id", "vector_no"])
    live = receipts_of(store, draft.need("catalog").tables["live_vectors"], "live_vectors")
    reports = _join_blocks(spark, settings, draft, live, folder, metadata)
    pool = [receipt for report in reports for receipt in report.receipts]
    reached("neighbors.pool")
    nested, flat = _published(spark, settings, draft, catalog, pool, folder, metadata)
    counters = add_counters(report.counters for report in reports)
    tables = {
        "neighbor_pool": pool,
        "neighbors_nested": nested,
        "neighbors": flat,
    }
    return record_run(store, run.done(tables, begun, counters))


def _join_blocks(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    live: list[Receipt],
    folder: str,
    metadata: dict[str, str],
) -> list[TaskReport]:
    """One task for each block of queries; each meets all vectors."""
    rows = sum(receipt.rows for receipt in live)
    even = -(-rows // parallelism(spark))
    block = max(LEAST_BLOCK, min(settings.neighbors.block_rows, even))
    ranges = [(low, min(low + block, rows)) for low in range(0, rows, block)]
    describe(spark, f"neighbors: {len(ranges)} blocks of {rows} vectors")
    size = settings.neighbors.k + settings.neighbors.slack
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
        writer.write(_pool_rows(pools))
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


def _pool_rows(pools: Pools) -> pa.RecordBatch:
    """Lists without their padding."""
    offsets, others, distances = pools.ragged()
    schema = TABLES["neighbor_pool"].columns
    columns = {
        "vector_no": pools.numbers,
        "radius": pools.radius,
        "radius_no": pools.radius_no,
        "others": pa.ListArray.from_arrays(offsets.astype(np.int32), pa.array(others)),
        "distances": pa.ListArray.from_arrays(offsets.astype(np.int32), pa.array(distances)),
    }
    arrays = [pa.array(columns[c.name]).cast(c.type) for c in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _published(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    catalog: DataFrame,
    pool: list[Receipt],
    folder: str,
    metadata: dict[str, str],
) -> tuple[list[Receipt], list[Receipt]]:
    """neighbors_nested, and neighbors made from it."""
    store, k = draft.store, settings.neighbors.k
    describe(spark, "neighbors: names")
    pools = read_frame(
        spark, store, pool, TABLES["neighbor_pool"], ["vector_no", "others", "distances"]
    )
    size = draft.need("catalog").rows("catalog") * k * ENTRY_BYTES
    nested_table, flat_table = TABLES["neighbors_nested"], TABLES["neighbors"]
    lists = named_lists(catalog, pools, k)
    nested = write_sorted(lists, store, folder, nested_table, size, metadata)
    entries = read_frame(spark, store, nested, nested_table).select(
        "query_id", F.posexplode(F.arrays_zip("ids", "distances"))
    )
    flat = entries.select(
        "query_id",
        (F.col("pos") + 1).cast("int").alias("rank"),
        F.col("col.ids").alias("neighbor_id"),
        F.col("col.distances").alias("distance"),
    )
    return nested, write_sorted(flat, store, folder, flat_table, size, metadata)


def named_lists(catalog: DataFrame, pools: DataFrame, k: int) -> DataFrame:
    """The first k images of each image's list, by (distance, vector_no, image_id), itself left out.

    Of one content at most the first k + 1 names are looked at: more could not be published. Equal
    pictures under other names stand at distance 0.
    """
    place = F.row_number().over(Window.partitionBy("vector_no").orderBy("image_id"))
    first = catalog.withColumn("place", place).filter(F.col("place") <= k + 1)
    names = first.groupBy("vector_no").agg(F.sort_array(F.collect_list("image_id")).alias("names"))
    pairs = pools.select("vector_no", F.explode(F.arrays_zip("others", "distances")).alias("other"))
    others = pairs.select(
        F.col("vector_no").alias("query_no"),
        F.col("other.others").alias("vector_no"),
        F.col("other.distances").alias("distance"),
    )
    own = names.select(
        F.col("vector_no").alias("query_no"),
        "vector_no",
        F.lit(0.0).cast("float").alias("distance"),
    )
    entries = (
        others.unionByName(own)
        .join(names, "vector_no")
        .select("query_no", "distance", "vector_no", F.explode("names").alias("image_id"))
    )
    lists = entries.groupBy("query_no").agg(
        F.slice(
            F.sort_array(F.collect_list(F.struct("distance", "vector_no", "image_id"))), 1, k + 1
        ).alias("entries")
    )
    queries = catalog.join(lists, catalog["vector_no"] == lists["query_no"]).select(
        catalog["image_id"].alias("query_id"), "entries"
    )
    kept = F.slice(F.filter("entries", lambda e: e["image_id"] != F.col("query_id")), 1, k)
    return queries.withColumn("kept", kept).select(
        "query_id",
        F.col("kept.image_id").alias("ids"),
        F.col("kept.distance").alias("distances"),
    )
