"""From catalog rows to what a rule tells apart: images with codes for their labels, and entities.

Codes are the places of a column's values among those of a group, sorted, so that they are small
where a rule stays within something. An entity is numbered by the place of its first image in the
order (vector_no, image_id): lists in the order (distance, entity) are in that of their images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import combinations

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec.releases import Draft
from artrec.schemas import TABLES
from artrec.stages.frames import read_frame, stage_frame, write_frame, write_sorted
from artrec.stages.neighbors.laying import Scratch
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.stages.workers import light
from artrec.tables import Receipt, read_table

__all__ = [
    "IDENTITY",
    "catalog_columns",
    "placed_images",
    "read_entities",
    "write_entities",
    "write_images",
]

IDENTITY = ["vector_no", "labels", "offered"]
"""What tells one entity from another."""

ROW_BYTES = 120  # of an image with its codes, about: only for the number of files


def catalog_columns(asked: Asked) -> list[str]:
    """The columns of the catalog that the table's rule reads."""
    named = {*asked.table.columns, *asked.table.only}
    return sorted({"extra" if name.startswith("extra.") else name for name in named})


def write_images(
    spark: SparkSession, draft: Draft, scratch: Scratch, asked: Asked
) -> list[Receipt]:
    """All images in the order (vector_no, image_id), with their codes."""
    columns = ["image_id", "vector_no", *catalog_columns(asked)]
    catalog = stage_frame(spark, draft, "catalog", "catalog", columns)
    frame = _coded(_grouped(_labelled(catalog, asked), asked), asked)
    size = draft.need("catalog").rows("catalog") * ROW_BYTES
    return write_sorted(frame, scratch.store, scratch.folder, TABLES["ruled_images"], size)


def _value(column: str) -> Column:
    """A label as text; null where there is none."""
    if column.startswith("extra."):
        return F.col("extra").getItem(column.removeprefix("extra."))
    return F.col(column).cast("string")


def _labelled(catalog: DataFrame, asked: Asked) -> DataFrame:
    """``labels``: what the rule reads, as JSON; and the values as columns v0, v1 and so on."""
    names = asked.table.columns
    values = [_value(name) for name in names]
    labels = F.to_json(
        F.struct(*(value.alias(name) for value, name in zip(values, names, strict=True))),
        {"ignoreNullFields": "false"},
    )
    numbered = [value.alias(f"v{place}") for place, value in enumerate(values)]
    flags = [F.coalesce(_value(c) == F.lit(v), F.lit(False)) for c, v in asked.table.only.items()]
    offered = reduce(lambda a, b: a & b, flags, F.lit(True)).alias("offered")
    kept = [(labels if names else F.lit("{}")).alias("labels"), offered]
    return catalog.select("image_id", "vector_no", *kept, *numbered)


def _grouped(images: DataFrame, asked: Asked) -> DataFrame:
    """``group``: the place of an image's values of ``within`` among all; -1 where one is null."""
    within = [F.col(f"v{asked.table.columns.index(name)}") for name in asked.table.within]
    if not within:
        return images.withColumn("group", F.lit(0))
    known = reduce(lambda a, b: a & b, (value.isNotNull() for value in within))
    images = images.withColumn("place", F.when(known, F.to_json(F.array(*within))))
    groups = images.select("place").filter("place IS NOT NULL").distinct()
    number = F.row_number().over(Window.orderBy("place")) - 1
    joined = images.join(groups.withColumn("group", number), "place", "left")
    return joined.withColumn("group", F.coalesce("group", F.lit(-1)))


def _coded(images: DataFrame, asked: Asked) -> DataFrame:
    """``codes``: of each coded column the place of the value among those of its group, or -1."""
    codes: list[Column] = []
    for name in asked.coded:
        value, code = f"v{asked.table.columns.index(name)}", f"c{len(codes)}"
        values = images.select("group", value).filter(F.col(value).isNotNull()).distinct()
        number = F.row_number().over(Window.partitionBy("group").orderBy(value)) - 1
        images = images.join(values.withColumn(code, number), ["group", value], "left")
        codes.append(F.coalesce(code, F.lit(-1)))
    empty = F.array().cast("array<int>")
    return images.withColumn("codes", F.array(*codes) if codes else empty)


def placed_images(
    spark: SparkSession, scratch: Scratch, images: Sequence[Receipt], columns: Sequence[str]
) -> DataFrame:
    """Columns of the images, and ``place``: which one each is in their order."""
    table, store = TABLES["ruled_images"], scratch.store
    firsts = [sum(each.rows for each in images[:n]) for n in range(len(images))]
    kinds = ", ".join(f"{name} {_KINDS[name]}" for name in columns)

    @light
    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                at = firsts[index]
                for found in read_table(store, [images[index]], columns):
                    place = pa.array(range(at, at + found.num_rows), pa.int64())
                    at += found.num_rows
                    arrays = [found.column(name) for name in columns]
                    yield pa.RecordBatch.from_arrays([place, *arrays], ["place", *columns])

    assert set(columns) <= set(table.columns.names)
    return spark.range(0, len(images), 1, len(images)).mapInArrow(read, f"place bigint, {kinds}")


_KINDS = {
    **{"vector_no": "bigint", "image_id": "string", "labels": "string"},
    **{"group": "int", "codes": "array<int>", "offered": "boolean"},
}


def write_entities(
    spark: SparkSession, scratch: Scratch, images: Sequence[Receipt], asked: Asked
) -> list[Receipt]:
    """The entities, with how many images each has and how many others its conditions leave it."""
    columns = [*IDENTITY, "group", "codes"]
    found = placed_images(spark, scratch, images, columns)
    entities = found.groupBy(*IDENTITY).agg(
        F.min("place").alias("entity"),
        F.first("group").alias("group"),
        F.first("codes").alias("codes"),
        F.count("*").alias("images"),
    )
    table = TABLES["ruled_entities"]
    counted = _permitted(entities, asked)
    return write_frame(counted, scratch.store, scratch.folder, table)


def _permitted(entities: DataFrame, asked: Asked) -> DataFrame:
    """``permitted``: other images that within, never and the flag leave to each of the entity's.

    By inclusion and exclusion over the columns of never: sums over values, not over pairs.
    """
    weight = F.when(F.col("offered"), F.col("images")).otherwise(F.lit(0))
    whole = entities.groupBy("group").agg(F.sum(weight).alias("n"))
    if not asked.table.within:
        whole = whole.hint("broadcast")  # one row
    joined = entities.join(whole, "group")
    total = F.col("n")
    for count in range(1, len(asked.never) + 1):
        for chosen in combinations(asked.never, count):
            keys = {f"k{place}": F.col("codes")[place] for place in chosen}
            known = reduce(lambda a, b: a & b, (code >= 0 for code in keys.values()))
            name = "n" + "_".join(map(str, chosen))
            keyed = entities.filter(known).withColumns(keys)
            sums = keyed.groupBy("group", *keys).agg(F.sum(weight).alias(name))
            joined = joined.withColumns(keys).join(sums, ["group", *keys], "left").drop(*keys)
            total = total + (-1) ** count * F.coalesce(name, F.lit(0))
    alone = reduce(lambda a, b: a & b, (F.col("codes")[p] < 0 for p in asked.never), F.lit(True))
    itself = F.when(F.col("offered") & alone, F.lit(1)).otherwise(F.lit(0))
    permitted = F.when(F.col("group") < 0, F.lit(0)).otherwise(total - itself).cast("bigint")
    return joined.withColumn("permitted", permitted)


def read_entities(
    spark: SparkSession, scratch: Scratch, entities: Sequence[Receipt], columns: Sequence[str]
) -> DataFrame:
    """Some columns of the entities."""
    return read_frame(spark, scratch.store, entities, TABLES["ruled_entities"], columns)
