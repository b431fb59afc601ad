"""Catalog and rejects, joined by Spark: the rows of atonce, where one task cannot hold them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec.config import Settings
from artrec.releases import Draft, Release, table_receipts
from artrec.schemas import TABLES
from artrec.stages.forgetting import judged_under
from artrec.stages.frames import read_frame, stage_frame, write_sorted
from artrec.stages.rules import MEMBER_KEY, ingest_rules, picture_recipe
from artrec.tables import Receipt

__all__ = ["joined"]

ROW_BYTES = {"catalog": 200, "rejects": 150}  # compressed, about: only for the number of files

_LABELS = ["style", "artist", "title", "year", "genre", "split", "license", "extra"]


def joined(
    spark: SparkSession, settings: Settings, draft: Draft, folder: str, metadata: dict[str, str]
) -> dict[str, list[Receipt]]:
    """Catalog and rejects, joined by Spark."""
    tables = _Inputs.of(spark, settings, draft)
    judged = _judged(tables).persist()
    listed = draft.need("inventory").counters["listed"]
    images = _with_history(_images(judged, tables), tables.catalog, draft.release_id)
    rejects = _reject_history(_rejects(judged), tables.rejects, draft.release_id)
    written: dict[str, list[Receipt]] = {}
    for table, frame in (("catalog", images), ("rejects", rejects)):
        written[table] = write_sorted(
            frame, draft.store, folder, TABLES[table], listed * ROW_BYTES[table], metadata
        )
    judged.unpersist()
    return written


@dataclass(frozen=True)
class _Inputs:
    """The tables that the catalog is made from; of the base's only if there is one."""

    members: DataFrame
    labels: DataFrame
    ingested: DataFrame
    pictures: DataFrame
    vectors: DataFrame
    catalog: DataFrame | None
    rejects: DataFrame | None

    @classmethod
    def of(cls, spark: SparkSession, settings: Settings, draft: Draft) -> _Inputs:
        recipe = picture_recipe(settings.ingest)

        frame = partial(stage_frame, spark, draft)

        def of_base(release: Release | None, table: str) -> DataFrame | None:
            if release is None:
                return None
            receipts = table_receipts(draft.store, release, table)
            return read_frame(spark, draft.store, receipts, TABLES[table])

        encoder = draft.need("embed").notes["encoder"]
        keys = ["content_sha256", "encoder"]
        pictures = ["content_sha256", "recipe", "width", "height", "format"]
        return cls(
            members=frame("inventory", "members").drop("offset", "method", "stored_bytes"),
            labels=frame("inventory", "labels"),
            ingested=judged_under(
                spark, frame("ingest", "ingested"), ingest_rules(settings.ingest), draft.ledger
            ),
            pictures=frame("ingest", "pictures", pictures)
            .filter(F.col("recipe") == recipe)
            .drop("recipe")
            .dropDuplicates(["content_sha256"]),
            vectors=frame("embed", "vectors", [*keys, "vector_no", "reason", "detail"])
            .filter(F.col("encoder") == encoder)
            .drop("encoder"),
            catalog=of_base(draft.base.release, "catalog"),
            rejects=of_base(draft.base.release, "rejects"),
        )


def _judged(tables: _Inputs) -> DataFrame:
    """Every member with what became of it: ``reason`` and ``stage`` are null for images."""
    later = Window.partitionBy("image_id").orderBy(F.desc("source"), F.desc("entry"))
    members = tables.members.withColumn("place", F.row_number().over(later))
    ingested = tables.ingested.withColumnsRenamed(
        {"reason": "ingest_reason", "detail": "ingest_detail"}
    )
    vectors = tables.vectors.withColumnsRenamed(
        {"reason": "embed_reason", "detail": "embed_detail"}
    )
    joined = (
        members.join(ingested, list(MEMBER_KEY), "left")
        .join(vectors, "content_sha256", "left")
        .join(_collisions(vectors), ["vector_no", "content_sha256"], "left")
    )
    duplicate = F.col("place") > 1
    return (
        joined.withColumn(
            "reason",
            F.when(duplicate, F.lit("duplicate_name")).otherwise(
                F.coalesce("ingest_reason", "embed_reason", "collision")
            ),
        )
        .withColumn(
            "detail",
            F.when(duplicate, F.lit("a later member has this image_id")).otherwise(
                F.coalesce("ingest_detail", "embed_detail")
            ),
        )
        .withColumn(
            "stage",
            F.when(duplicate, F.lit("inventory"))
            .when(F.col("ingest_reason").isNotNull(), F.lit("ingest"))
            .when(F.col("reason").isNotNull(), F.lit("embed")),
        )
    )


def _collisions(vectors: DataFrame) -> DataFrame:
    """Contents that share a vector_no with a smaller content: 63 bits are not quite enough."""
    window = Window.partitionBy("vector_no").orderBy("content_sha256")
    return (
        vectors.select("vector_no", "content_sha256", F.row_number().over(window).alias("place"))
        .filter("place > 1")
        .select("vector_no", "content_sha256", F.lit("vector_no_collision").alias("collision"))
    )


def _images(judged: DataFrame, tables: _Inputs) -> DataFrame:
    return (
        judged.filter(F.col("reason").isNull())
        .join(tables.pictures, "content_sha256", "left")
        .join(tables.labels, ["source", "entry"], "left")
    )


def _rejects(judged: DataFrame) -> DataFrame:
    return judged.filter(F.col("reason").isNotNull())


def _with_history(images: DataFrame, before: DataFrame | None, release_id: str) -> DataFrame:
    """first_release is carried over; changed_release too, where picture and labels are the same."""
    tonight = F.lit(release_id)
    if before is None:
        return images.withColumn("first_release", tonight).withColumn("changed_release", tonight)
    kept = ["content_sha256", *_LABELS]
    old = before.select(
        "image_id",
        F.col("first_release").alias("old_first"),
        F.col("changed_release").alias("old_changed"),
        _fingerprint(kept).alias("old_facts"),
    )
    same = _fingerprint(kept) == F.col("old_facts")
    return (
        images.join(old, "image_id", "left")
        .withColumn("first_release", F.coalesce("old_first", tonight))
        .withColumn("changed_release", F.when(same, F.col("old_changed")).otherwise(tonight))
    )


def _fingerprint(columns: list[str]) -> Column:
    """Text that is equal for equal values; maps themselves cannot be compared."""
    return F.to_json(F.struct(*(F.col(name) for name in columns)))


def _reject_history(rejects: DataFrame, before: DataFrame | None, release_id: str) -> DataFrame:
    """first_release is carried over; attempts count how often the member was read."""
    tonight = F.lit(release_id)
    counted = rejects.withColumn("attempts", F.coalesce("attempts", F.lit(1).cast("int")))
    if before is None:
        return counted.withColumn("first_release", tonight)
    old = before.groupBy("source", "image_id", "reason").agg(
        F.min("first_release").alias("old_first")
    )
    return counted.join(old, ["source", "image_id", "reason"], "left").withColumn(
        "first_release", F.coalesce("old_first", tonight)
    )
