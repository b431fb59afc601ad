"""What the published lists say about themselves: who is in none, and who is listed back."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from artrec.releases import Draft
from artrec.stages.evaluate.scores import Row, row
from artrec.stages.frames import stage_frame

__all__ = ["list_rows"]

PAIRS = 5_000_000
"""Entries of which it is counted how many are mutual; of a longer table as large a sample."""


def list_rows(spark: SparkSession, draft: Draft, encoder: str) -> Iterator[Row]:
    """Rows of the table evaluation; ``queries`` are what the share is of, images or entries.

    - ``orphans``: the share of images that stand in no list.
    - ``hubness``: the skewness of the number of lists in which an image stands (Radovanovic,
      Nanopoulos and Ivanovic, JMLR 11, 2010): 0 where all are listed alike.
    - ``twins``: the share of images whose nearest is at distance 0 or less.
    - ``mutual``: the share of entries whose opposite is an entry too.
    """
    entries = stage_frame(spark, draft, "neighbors", "neighbors")
    images = stage_frame(spark, draft, "catalog", "catalog", ["image_id"])
    counted = entries.groupBy(F.col("neighbor_id").alias("image_id")).agg(F.count("*").alias("n"))
    lists = images.join(counted, "image_id", "left").select(F.coalesce("n", F.lit(0)).alias("n"))
    found = lists.agg(
        F.count("*").alias("images"),
        F.sum((F.col("n") == 0).cast("long")).alias("orphans"),
        F.skewness("n").alias("hubness"),
    ).first()
    if found is None or not found.images:
        return
    yield row(encoder, "orphans", found.orphans / found.images, found.images, pool="catalog")
    if found.hubness is not None:  # nor is it where all are listed alike
        yield row(encoder, "hubness", found.hubness, found.images, pool="catalog")
    at_zero = entries.filter((F.col("rank") == 1) & (F.col("distance") <= 0)).count()
    yield row(encoder, "twins", at_zero / found.images, found.images, pool="catalog")
    total = draft.need("neighbors").rows("neighbors")
    ends = F.least("query_id", "neighbor_id"), F.greatest("query_id", "neighbor_id")
    pairs = entries.select(ends[0].alias("one"), ends[1].alias("other"))
    if total > PAIRS:
        pairs = pairs.filter(F.pmod(F.xxhash64("one", "other"), F.lit(-(-total // PAIRS))) == 0)
    met = pairs.groupBy("one", "other").agg(F.count("*").alias("n"))
    both = met.agg(
        F.sum("n").alias("entries"),
        F.sum(F.when(F.col("n") == 2, 2).otherwise(0)).alias("mutual"),
    ).first()
    if both is not None and both.entries:
        yield row(encoder, "mutual", both.mutual / both.entries, both.entries, pool="catalog")
