"""What became of images that came or went: moved, doubled, healed, rejected, or new and gone.

An image that came has the content of one that went: it moved, one for one in the order of their
names. A content that the last release had under another name as well is doubled.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec.releases import Draft, receipts_of
from artrec.schemas import TABLES
from artrec.stages.frames import frame_of, read_frame, stage_frame, write_sorted
from artrec.tables import Receipt

__all__ = ["with_kinds"]

TABLE = TABLES["catalog_changes"]


def with_kinds(
    spark: SparkSession, draft: Draft, folder: str, files: Sequence[Receipt]
) -> list[Receipt]:
    """The same rows with their ``kind`` by content, and with the ``other_id`` that it is about."""
    store, base = draft.store, draft.base.release
    assert base is not None, "a first release has no changes"
    changes = read_frame(spark, store, files, TABLE)
    names = frame_of(spark, store, base.refs("catalog"), "catalog", ["image_id", "content_sha256"])
    were = receipts_of(store, base.refs("rejects"), "rejects")
    healed = read_frame(spark, store, were, TABLES["rejects"], ["image_id"])
    rejected = stage_frame(spark, draft, "catalog", "rejects", ["image_id"])
    moves = _moves(changes)
    known = (
        changes.join(moves, "image_id", "left")
        .join(_doubles(changes, names), "image_id", "left")
        .join(_flag(healed, "healed"), "image_id", "left")
        .join(_flag(rejected, "rejected"), "image_id", "left")
    )
    came, left = F.col("change") == "insert", F.col("change") == "delete"
    moved, double = F.col("moved_id").isNotNull(), F.col("double_id").isNotNull()
    kind = (
        F.when(came & F.col("healed").isNotNull(), F.lit("healed"))
        .when(moved & (came | left), F.lit("moved"))
        .when(came & double, F.lit("doubled"))
        .when(left & F.col("rejected").isNotNull(), F.lit("rejected"))
        .otherwise(F.col("kind"))
    )
    told = known.withColumns(
        {"kind": kind, "other_id": F.coalesce("moved_id", F.when(came, F.col("double_id")))}
    )
    size = sum(receipt.bytes for receipt in files)
    return write_sorted(told, store, f"{folder}/kinds", TABLE, size)


def _flag(rejects: DataFrame, name: str) -> DataFrame:
    return rejects.distinct().withColumn(name, F.lit(True))


def _moves(changes: DataFrame) -> DataFrame:
    """image_id and moved_id, for both names of an image that moved; the old one may have another
    picture now."""
    came = _numbered(changes.filter("change = 'insert'"), "content_sha256")
    others = "change = 'delete' OR (change = 'update' AND old_content_sha256 <> content_sha256)"
    left = _numbered(changes.filter(others), "old_content_sha256")
    pairs = came.withColumnRenamed("image_id", "to_id").join(
        left.withColumnRenamed("image_id", "from_id"), ["content", "place"]
    )
    forth = pairs.select(F.col("to_id").alias("image_id"), F.col("from_id").alias("moved_id"))
    back = pairs.select(F.col("from_id").alias("image_id"), F.col("to_id").alias("moved_id"))
    return forth.unionByName(back)


def _numbered(rows: DataFrame, content: str) -> DataFrame:
    place = F.row_number().over(Window.partitionBy(content).orderBy("change", "image_id"))
    return rows.select("image_id", F.col(content).alias("content"), place.alias("place"))


def _doubles(changes: DataFrame, names: DataFrame) -> DataFrame:
    """image_id and double_id of those that came with a content that the last release had."""
    came = changes.filter("change = 'insert'").select("image_id", "content_sha256")
    before = names.withColumnRenamed("image_id", "old_id")
    found = came.join(before, "content_sha256")
    return found.groupBy("image_id").agg(F.min("old_id").alias("double_id"))
