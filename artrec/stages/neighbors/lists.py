"""From pools of numbers to lists of images: neighbors_nested, and neighbors made from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec.config import Settings
from artrec.index import shard_ranges
from artrec.releases import Draft, receipts_of
from artrec.schemas import TABLES
from artrec.stages.blocks import vector_blocks
from artrec.stages.frames import Attempt, parallelism, read_frame, run_tasks, write_sorted
from artrec.stages.neighbors.atonce import Pools, fits
from artrec.stages.neighbors.naming import names_of, write_lists
from artrec.stages.session import describe
from artrec.stages.workers import light
from artrec.tables import Receipt, TableWriter
from artrec.vectors import exact

__all__ = ["files_in_order", "named_lists", "own_distances", "published_lists"]

IN_MEMORY = 2_000_000  # images whose names a task holds: 160 MB
TASK_ROWS, FILE_ROWS = 10_000, 100_000  # images for a task at the least, and for a file
ENTRY_BYTES = 24  # of one neighbor in the published tables, about: only for the number of files


def published_lists(
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
    images = draft.need("catalog").rows("catalog")
    if images <= IN_MEMORY and fits(pool, settings) and metadata["metric"] != "dot":
        receipts = receipts_of(store, draft.need("catalog").tables["catalog"], "catalog")
        given = Pools(store, receipts, pool, k, folder, metadata, _parts(spark, images))
        reports = run_tasks(spark, given.parts, given.write)
        found = [receipt for report in reports for receipt in report.receipts]
        return files_in_order(found, "neighbors_nested"), files_in_order(found, "neighbors")
    pools = read_frame(
        spark, store, pool, TABLES["neighbor_pool"], ["vector_no", "others", "distances"]
    )
    if images <= IN_MEMORY:
        rows = _with_lists(spark, draft, catalog, pools, metadata["metric"])
        return _named_in_tasks(rows, draft, k, folder, metadata)
    size = images * k * ENTRY_BYTES
    nested_table, flat_table = TABLES["neighbors_nested"], TABLES["neighbors"]
    own = own_distances(spark, draft) if metadata["metric"] == "dot" else None
    lists = named_lists(catalog, pools, k, own)
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


def _with_lists(
    spark: SparkSession, draft: Draft, catalog: DataFrame, pools: DataFrame, metric: str
) -> DataFrame:
    """Images in order, each with the list of its vector; the lists hold numbers."""
    rows = catalog.join(pools, "vector_no")
    zero = F.lit(0.0).cast("float").alias("own")
    if metric == "dot":
        rows, zero = rows.join(own_distances(spark, draft), "vector_no"), F.col("own")
    rows = rows.select("image_id", "vector_no", zero, "others", "distances")
    parts = _parts(spark, draft.need("catalog").rows("catalog"))
    ranged = rows.repartition(1) if parts == 1 else rows.repartitionByRange(parts, "image_id")
    return ranged.sortWithinPartitions("image_id")


def _parts(spark: SparkSession, images: int) -> int:
    return max(1, min(images // TASK_ROWS, parallelism(spark)), images // FILE_ROWS)


def _named_in_tasks(
    rows: DataFrame, draft: Draft, k: int, folder: str, metadata: dict[str, str]
) -> tuple[list[Receipt], list[Receipt]]:
    store, catalog = draft.store, draft.need("catalog").tables["catalog"]
    files = tuple(each.model_dump_json() for each in receipts_of(store, catalog, "catalog"))
    tables = TABLES["neighbors_nested"], TABLES["neighbors"]

    @light
    def named(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        attempt = Attempt.current()
        empty = attempt.index == 0  # readers that name files want at least one
        with (
            TableWriter(
                store, folder, tables[0], attempt.stem, metadata, even_empty=empty
            ) as nested,
            TableWriter(store, folder, tables[1], attempt.stem, metadata, even_empty=empty) as flat,
        ):
            write_lists(names_of(store, files), iter(batches), k, nested, flat)
        receipts = [each.model_dump_json() for each in (*nested.receipts, *flat.receipts)]
        yield pa.RecordBatch.from_pydict({"receipt": pa.array(receipts, pa.string())})

    found = [
        Receipt.model_validate_json(row.receipt)
        for row in rows.mapInArrow(named, "receipt string").collect()
    ]
    return files_in_order(found, "neighbors_nested"), files_in_order(found, "neighbors")


def files_in_order(receipts: list[Receipt], table: str) -> list[Receipt]:
    """A table's files in its order: those that have rows, or one that says there are none."""
    mine = [receipt for receipt in receipts if receipt.table == table]
    kept = [receipt for receipt in mine if receipt.rows] or mine[:1]
    return sorted(kept, key=lambda receipt: (receipt.first, receipt.path))


def own_distances(spark: SparkSession, draft: Draft) -> DataFrame:
    """vector_no and own: by inner product a vector is as near to itself as it is long."""
    live = receipts_of(draft.store, draft.need("catalog").tables["live_vectors"], "live_vectors")
    store, ranges = draft.store, shard_ranges(parallelism(spark))

    @light
    def measured(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                for block in vector_blocks(store, live, ranges[index]):
                    own = exact("dot", block.vectors, block.vectors)
                    yield pa.RecordBatch.from_arrays(
                        [pa.array(block.numbers), pa.array(own)], names=["vector_no", "own"]
                    )

    rows = spark.range(0, len(ranges), 1, len(ranges))
    return rows.mapInArrow(measured, "vector_no bigint, own float")


def named_lists(
    catalog: DataFrame, pools: DataFrame, k: int, own: DataFrame | None = None
) -> DataFrame:
    """The first k images of each image's list, by (distance, vector_no, image_id), itself left out.

    Of one content at most the first k + 1 names are looked at: more could not be published. Equal
    pictures under other names stand at their distance from themselves: ``own``, else 0.
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
    zero = F.lit(0.0).cast("float").alias("distance")
    selves = (
        names.select(F.col("vector_no").alias("query_no"), "vector_no", zero)
        if own is None
        else own.select(
            F.col("vector_no").alias("query_no"), "vector_no", F.col("own").alias("distance")
        )
    )
    entries = (
        others.unionByName(selves)
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
