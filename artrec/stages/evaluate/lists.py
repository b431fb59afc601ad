"""What the published lists say about themselves: who is in none, and who is listed back."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.releases import Draft
from artrec.stages.evaluate.scores import Row, row
from artrec.stages.frames import stage_frame

__all__ = ["list_rows", "listed_images"]

PAIRS = 5_000_000
"""Entries of which it is counted how many are mutual; of a longer table as large a sample."""


def listed_images(spark: SparkSession, draft: Draft) -> DataFrame:
    """Each image that is in a list: ``image_id``, in how many ``lists``, and in how many of them it
    is the nearest at distance 0 or less: ``twins``.
    """
    entries = stage_frame(
        spark, draft, "neighbors", "neighbors", ["neighbor_id", "rank", "distance"]
    )
    twin = (F.col("rank") == 1) & (F.col("distance") <= 0)
    return entries.groupBy(F.col("neighbor_id").alias("image_id")).agg(
        F.count("*").alias("lists"), F.sum(twin.cast("long")).alias("twins")
    )


def list_rows(spark: SparkSession, draft: Draft, listed: DataFrame, encoder: str) -> Iterator[Row]:
    """Rows of the table evaluation; ``queries`` are what the share is of, images or entries.

    - ``orphans``: the share of images that stand in no list.
    - ``hubness``: the skewness of the number of lists in which an image stands (Radovanovic,
      Nanopoulos and Ivanovic, JMLR 11, 2010): 0 where they are spread evenly about their mean.
    - ``twins``: the share of images whose nearest is at distance 0 or less.
    - ``mutual``: the share of entries whose opposite is an entry too.
    """
    images = stage_frame(spark, draft, "catalog", "catalog", ["image_id"])
    every = images.join(listed, "image_id", "left").fillna(0, ["lists", "twins"])
    found = every.agg(
        F.count("*").alias("images"),
        F.sum((F.col("lists") == 0).cast("long")).alias("orphans"),
        F.skewness("lists").alias("hubness"),
        F.sum("twins").alias("twins"),
    ).first()
    if found is None or not found.images:
        return
    yield row(encoder, "orphans", found.orphans / found.images, found.images, pool="catalog")
    if found.hubness is not None:  # it is not where all are listed alike
        yield row(encoder, "hubness", found.hubness, found.images, pool="catalog")
    yield row(encoder, "twins", found.twins / found.images, found.images, pool="catalog")
    entries, mutual = _mutual(spark, draft)
    if entries:
        yield row(encoder, "mutual", mutual / entries, entries, pool="catalog")


def _mutual(spark: SparkSession, draft: Draft) -> tuple[int, int]:
    """Entries that were looked at, and how many of them have their opposite among the entries."""
    total = draft.need("neighbors").rows("neighbors")
    entries = stage_frame(spark, draft, "neighbors", "neighbors", ["query_id", "neighbor_id"])
    pairs = entries.select(
        F.least("query_id", "neighbor_id").alias("one"),
        F.greatest("query_id", "neighbor_id").alias("other"),
    )
    if total > PAIRS:
        pairs = pairs.filter(F.pmod(F.xxhash64("one", "other"), F.lit(-(-total // PAIRS))) == 0)
    met = pairs.groupBy("one", "other").agg(F.count("*").alias("n"))
    both = met.agg(
        F.sum("n").alias("entries"),
        F.sum(F.when(F.col("n") == 2, 2).otherwise(0)).alias("mutual"),
    ).first()
    return (both.entries or 0, both.mutual or 0) if both is not None else (0, 0)
