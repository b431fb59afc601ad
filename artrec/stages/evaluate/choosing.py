"""What evaluation is made on: all images by codes, and some of them drawn at random.

The draw is by a hash of image_id. The queries' order has a seed of its own for each release, so
that nobody can have tuned for them; that of the sample, whose pictures have to be decoded, stays,
so that from night to night only new pictures are.
"""

from __future__ import annotations

from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec.config import Settings
from artrec.releases import Draft
from artrec.schemas import TABLES
from artrec.stages.frames import read_frame, stage_frame, write_sorted
from artrec.stages.places import first_places
from artrec.stages.rules import picture_recipe
from artrec.stages.session import describe
from artrec.tables import Receipt

__all__ = ["HUBS", "duplicate_images", "hub_images", "list_recalls", "table_recall", "write_images"]

HUBS = 100
ROW_BYTES = 100  # of a row of evaluated_images, about: only for the number of files
STABLE = "sample"

_LABELS = ["style", "artist", "title"]


def write_images(
    spark: SparkSession, settings: Settings, draft: Draft, folder: str, seed: str
) -> dict[str, list[Receipt]]:
    """The tables evaluated_images and chosen_images."""
    store, rules = draft.store, settings.evaluate
    rows = draft.need("catalog").rows("catalog")
    describe(spark, "evaluate: images")
    images = _coded(spark, settings, draft).persist()
    every, some = TABLES["evaluated_images"], TABLES["chosen_images"]
    evaluated = write_sorted(images, store, folder, every, rows * ROW_BYTES)
    fresh = max(rules.queries, rules.map_points)
    chosen = write_sorted(_chosen(images, fresh, rules.sample, seed), store, folder, some, 0)
    images.unpersist()
    return {"evaluated_images": evaluated, "chosen_images": chosen}


def _coded(spark: SparkSession, settings: Settings, draft: Draft) -> DataFrame:
    catalog = stage_frame(
        spark, draft, "catalog", "catalog", ["image_id", "content_sha256", "vector_no", *_LABELS]
    )
    pictures = first_places(spark, draft, picture_recipe(settings.ingest), "phash")
    return catalog.join(pictures, "content_sha256", "left").select(
        "*",
        _code("image_id").alias("image_code"),
        _code("style").alias("style_code"),
        _code("artist").alias("artist_code"),
        _code("phash").alias("phash_code"),
        _code("artist", "title").alias("name_code"),
    )


def _code(*columns: str) -> Column:
    """64 bits that are equal for equal values; 0 where one is missing."""
    known = reduce(and_, (F.col(name).isNotNull() for name in columns))
    return F.when(known, F.xxhash64(*columns)).otherwise(F.lit(0).cast("long"))


def _chosen(images: DataFrame, fresh: int, sample: int, seed: str) -> DataFrame:
    """The first images in each of the two orders."""
    orders = {"new": F.xxhash64(F.lit(seed), "image_id"), "old": _stable()}
    sorts = {name: [order, F.col("image_id")] for name, order in orders.items()}
    new = images.orderBy(*sorts["new"]).limit(fresh).select("image_id")
    old = images.orderBy(*sorts["old"]).limit(sample).select("image_id")
    old = old.withColumn("nth", F.row_number().over(Window.orderBy(_stable(), "image_id")))
    wanted = new.join(old, "image_id", "full")
    place = F.row_number().over(Window.orderBy(*sorts["new"])) - 1
    return (
        images.join(wanted, "image_id")
        .withColumn("place", place.cast("int"))
        .withColumn("sample_place", (F.col("nth") - 1).cast("int"))
    )


def _stable() -> Column:
    return F.xxhash64(F.lit(STABLE), "image_id")


def hub_images(spark: SparkSession, draft: Draft, listed: DataFrame) -> DataFrame:
    """The images that stand in the most neighbor lists, of ``listed`` with their ``lists``."""
    most = listed.select("image_id", "lists").orderBy(F.desc("lists"), "image_id").limit(HUBS)
    columns = ["image_id", "content_sha256", *_LABELS]
    return stage_frame(spark, draft, "catalog", "catalog", columns).join(most, "image_id")


def duplicate_images(spark: SparkSession, draft: Draft) -> DataFrame:
    """Images of a content that has other names too."""
    images = stage_frame(spark, draft, "catalog", "catalog", ["content_sha256", "image_id"])
    several = images.groupBy("content_sha256").count().filter("count > 1").select("content_sha256")
    return images.join(several, "content_sha256", "left_semi")


def table_recall(spark: SparkSession, draft: Draft, exact: list[Receipt]) -> tuple[int, float]:
    """(queries, share of their lists' entries that the published table has at the same rank).

    An entry is right if neighbor and distance are; where one list is longer, its rest is wrong.
    """
    truth = read_frame(spark, draft.store, exact, TABLES["exact_lists"]).withColumnsRenamed(
        {"ids": "true_ids", "distances": "true_distances"}
    )
    published = stage_frame(spark, draft, "neighbors", "neighbors_nested")
    found = truth.join(published, "query_id", "left")
    same = F.filter(
        F.arrays_zip("true_ids", "true_distances", "ids", "distances"),
        lambda e: (e["true_ids"] == e["ids"]) & (e["true_distances"] == e["distances"]),
    )
    entries = F.greatest(F.size("true_ids"), F.size(F.coalesce("ids", "true_ids")))
    right = F.when(F.col("ids").isNull(), 0).otherwise(F.size(same))
    row = found.agg(
        F.count("*").alias("queries"), F.sum(right).alias("right"), F.sum(entries).alias("all")
    ).first()
    if row is None or not row.queries:
        return 0, 1.0
    return row.queries, row.right / row.all if row.all else 1.0


def list_recalls(
    spark: SparkSession, draft: Draft, exact: list[Receipt], chosen: list[Receipt]
) -> tuple[list[str], list[float]]:
    """Style and recall of each query's list in an approximate table; at most evaluate.queries.

    The share of the true list that the published one has. An entry counts if neighbor and distance
    are those of a true one, or if it is as near as the last.
    """
    truth = read_frame(spark, draft.store, exact, TABLES["exact_lists"]).withColumnsRenamed(
        {"ids": "true_ids", "distances": "true_distances"}
    )
    published = stage_frame(spark, draft, "neighbors", "neighbors_nested")
    styles = read_frame(
        spark, draft.store, chosen, TABLES["chosen_images"], ["image_id", "style"]
    ).withColumnRenamed("image_id", "query_id")
    true = F.arrays_zip(F.col("true_ids").alias("id"), F.col("true_distances").alias("far"))
    own = F.arrays_zip(F.col("ids").alias("id"), F.col("distances").alias("far"))
    last = F.element_at("true_distances", -1)
    right = F.filter(own, lambda e: (e["far"] == last) | F.array_contains(true, e))
    count = F.least(F.size(F.coalesce(right, F.array())), F.size("true_ids"))
    share = F.when(F.size("true_ids") > 0, count / F.size("true_ids")).otherwise(1.0)
    found = truth.join(published, "query_id", "left").join(styles, "query_id")
    rows = found.select("query_id", "style", share.alias("share")).orderBy("query_id").collect()
    return [row.style or "" for row in rows], [float(row.share) for row in rows]
