"""What became of images that came or went: moved, doubled, healed, rejected, or new and gone.

An image that came has the content of one that went: it moved, one for one in the order of their
names. A content that the last release had under another name as well is doubled. One task tells it
of the changes of an ordinary night, and reads the last catalog past them; of many, Spark does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec.releases import Draft, RunRef, receipts_of
from artrec.schemas import TABLES
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    frame_of,
    read_frame,
    run_tasks,
    stage_frame,
    write_sorted,
)
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table

__all__ = ["with_kinds"]

TABLE = TABLES["catalog_changes"]

ALONE = 100_000
"""Changes that one task holds."""


def with_kinds(
    spark: SparkSession, draft: Draft, folder: str, files: Sequence[Receipt]
) -> list[Receipt]:
    """The same rows with their ``kind`` by content, and with the ``other_id`` that it is about."""
    store, base = draft.store, draft.base.release
    assert base is not None, "a first release has no changes"
    if sum(receipt.rows for receipt in files) <= ALONE:
        (report,) = run_tasks(spark, 1, partial(_told, _beside(draft, folder, files)))
        return report.receipts
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


@dataclass(frozen=True)
class _Beside:
    """Changes, and the tables that say what became of them."""

    store: Store
    folder: str
    changes: tuple[Receipt, ...]
    names: tuple[Receipt, ...]
    were: tuple[Receipt, ...]
    rejected: tuple[Receipt, ...]


def _beside(draft: Draft, folder: str, files: Sequence[Receipt]) -> _Beside:
    base, store = draft.base.release, draft.store
    assert base is not None, "a first release has no changes"

    def receipts(refs: Sequence[RunRef], table: str) -> tuple[Receipt, ...]:
        return tuple(receipts_of(store, refs, table))

    return _Beside(
        store=store,
        folder=f"{folder}/kinds",
        changes=tuple(files),
        names=receipts(base.refs("catalog"), "catalog"),
        were=receipts(base.refs("rejects"), "rejects"),
        rejected=receipts(draft.need("catalog").tables["rejects"], "rejects"),
    )


def _told(beside: _Beside, attempt: Attempt) -> TaskReport:
    """The one task: the same rows as Spark's."""
    changes = pa.Table.from_batches(read_table(beside.store, beside.changes), TABLE.columns)
    changes = changes.sort_by("image_id")
    rows = changes.select(["image_id", "change", "content_sha256", "old_content_sha256", "kind"])
    images = rows.to_pylist()
    moved, double = _moved(images), _before(beside, images)
    names = changes.column("image_id").combine_chunks()
    healed, rejected = (
        _among(beside.store, each, names) for each in (beside.were, beside.rejected)
    )
    kinds, others = [], []
    for row in images:
        name, came, left = row["image_id"], row["change"] == "insert", row["change"] == "delete"
        known = (
            ("healed", came and name in healed),
            ("moved", name in moved and (came or left)),
            ("doubled", came and name in double),
            ("rejected", left and name in rejected),
            (row["kind"], True),
        )
        kinds.append(next(kind for kind, holds in known if holds))
        others.append(moved.get(name, double.get(name) if came else None))
    told = {"kind": kinds, "other_id": others}
    columns = [
        pa.array(told[field.name], field.type) if field.name in told else changes[field.name]
        for field in TABLE.columns
    ]
    with TableWriter(beside.store, beside.folder, TABLE, attempt.stem, even_empty=True) as writer:
        for batch in pa.table(columns, schema=TABLE.columns).combine_chunks().to_batches():
            writer.write(batch)
    return TaskReport(receipts=writer.receipts)


def _moved(images: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Of each name of an image that moved the other one; ``images`` are in the order of names."""
    came: dict[bytes, list[str]] = {}
    left: dict[bytes, list[tuple[str, str]]] = {}
    for row in images:
        if row["change"] == "insert":
            came.setdefault(row["content_sha256"], []).append(row["image_id"])
        elif row["change"] == "delete" or row["old_content_sha256"] != row["content_sha256"]:
            left.setdefault(row["old_content_sha256"], []).append((row["change"], row["image_id"]))
    found: dict[str, str] = {}
    for content, names in came.items():
        for name, (_, old) in zip(names, sorted(left.get(content, [])), strict=False):
            found |= {name: old, old: name}
    return found


def _before(beside: _Beside, images: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Of each image that came with a content that the last release had, its first name there."""
    came = [row for row in images if row["change"] == "insert"]
    wanted = pa.array([row["content_sha256"] for row in came], pa.binary())
    first: dict[bytes, str] = {}
    columns = ["image_id", "content_sha256"]
    for batch in read_table(beside.store, beside.names, columns) if came else ():
        mine = batch.filter(pc.is_in(batch.column("content_sha256"), wanted))
        for row in mine.to_pylist():
            content, name = row["content_sha256"], row["image_id"]
            first[content] = min(name, first.get(content, name))
    return {row["image_id"]: first[row["content_sha256"]] for row in came
            if row["content_sha256"] in first}  # fmt: skip


def _among(store: Store, files: Sequence[Receipt], names: pa.Array) -> set[str]:
    """Those of ``names`` that are rejects."""
    found: set[str] = set()
    for batch in read_table(store, files, ["image_id"]):
        column = batch.column("image_id")
        found.update(column.filter(pc.is_in(column, names)).to_pylist())
    return found


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
