"""From lists of numbers to the table neighbors: names come in at the end."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec.schemas import TABLES
from artrec.stages.frames import read_frame, write_sorted
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = ["write_lists"]

ENTRY_BYTES = 24  # of one neighbor in the table, about: only for the number of files


def write_lists(
    spark: SparkSession,
    root: Store,
    images: Sequence[Receipt],
    out: Store,
    pools: Sequence[Receipt],
    k: int,
    metadata: dict[str, str],
) -> list[Receipt]:
    """The first k images of each list, by (distance, vector_no, image_id); ``images`` are the
    release's vector_images.
    """
    describe(spark, "query: names")
    found = read_frame(spark, out, pools, TABLES["query_pools"])
    pairs = found.select("set_id", F.explode(F.arrays_zip("others", "distances")).alias("other"))
    entries = (  # a set that was cut, or joined in ranges, has several lists
        pairs.groupBy("set_id", F.col("other.others").alias("vector_no"))
        .agg(F.min("other.distances").alias("distance"))
        .join(
            _names(read_frame(spark, root, images, TABLES["vector_images"]), pairs, k), "vector_no"
        )
        .select("set_id", F.struct("distance", "vector_no", "image_id").alias("entry"))
    )
    lists = entries.groupBy("set_id").agg(
        F.slice(F.sort_array(F.collect_list("entry")), 1, k).alias("entries")
    )
    rows = lists.select("set_id", F.posexplode("entries")).select(
        F.col("set_id").alias("query_id"),
        (F.col("pos") + 1).cast("int").alias("rank"),
        F.col("col.image_id").alias("neighbor_id"),
        F.col("col.distance").alias("distance"),
    )
    size = sum(receipt.rows for receipt in pools) * k * ENTRY_BYTES
    return write_sorted(rows, out, "", TABLES["neighbors"], size, metadata)


def _names(images: DataFrame, pairs: DataFrame, k: int) -> DataFrame:
    """vector_no and image_id of those that are listed; of one content the first k names."""
    wanted = pairs.select(F.col("other.others").alias("vector_no")).distinct()
    place = F.row_number().over(Window.partitionBy("vector_no").orderBy("image_id"))
    named = images.join(wanted, "vector_no", "left_semi").withColumn("place", place)
    return named.filter(F.col("place") <= k).drop("place")
