"""Which entities came and went since the last release, as a table of both.

An entity is a vector with what the rule reads of it. Under other labels it is another one: so an
image whose label has changed is gone and added. Entities are numbered anew each night. Two of one
vector may change their order with the names of their images; these leave the lists and come back.
So do, where copies are collapsed, all that share a vector with what came or went.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec.index import shard_ranges
from artrec.releases import Draft, Run, read_runs, receipts_of
from artrec.schemas import TABLES, rule_tables
from artrec.stages.blocks import vector_blocks
from artrec.stages.frames import parallelism, read_frame, write_frame
from artrec.stages.neighbors.laying import Scratch
from artrec.stages.neighbors.ruled.dealing import contents_of
from artrec.stages.neighbors.ruled.entities import IDENTITY, read_entities
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.stages.workers import light
from artrec.tables import Receipt

__all__ = ["Before", "Found", "find_changes", "table_before"]

SAME = ("version", "table", "encoder", "metric", "rule", "k", "slack")
"""Inputs that have to be equal; the others are what may have changed."""


@dataclass(frozen=True)
class Before:
    """Files of a ``release``: pools of the table, and the vectors."""

    release: str
    pool: list[Receipt]
    live: list[Receipt]


@dataclass(frozen=True)
class Found:
    """The files of ruled_facts and what they hold, counted.

    ``entities`` are those of all groups; of them ``came`` are added or come back. ``relabelled`` of
    the vectors have entities that are gone and others that are added. ``products`` are those of all
    that came with their groups, ``whole`` those of a whole join.
    """

    files: list[Receipt]
    entities: int
    came: int
    copied: int
    added: int
    gone: int
    relabelled: int
    products: int
    whole: int


def table_before(draft: Draft, run: Run, name: str) -> Before | None:
    """The current release's table; None where there is none, or one made by other rules."""
    base, table = draft.base.release, f"neighbors_{name}_pool"
    if base is None or not base.refs(table) or not base.refs("live_vectors"):
        return None
    runs = read_runs(draft.store, base.refs(table))
    if any(each.inputs.get(key) != run.inputs.get(key) for each in runs for key in SAME):
        return None
    pool = [receipt for each in runs for receipt in each.receipts(table)]
    live = receipts_of(draft.store, base.refs("live_vectors"), "live_vectors")
    return Before(base.release_id, pool, live) if pool and live else None


def find_changes(
    spark: SparkSession,
    scratch: Scratch,
    asked: Asked,
    before: Before,
    entities: Sequence[Receipt],
    live: Sequence[Receipt],
) -> Found:
    """Compare the entities with those of the pools before."""
    table = rule_tables(asked.name)[f"neighbors_{asked.name}_pool"]
    old = read_frame(spark, scratch.store, before.pool, table, ["entity", *IDENTITY])
    new = read_entities(spark, scratch, entities, [*IDENTITY, "entity", "group", "codes"])
    both = old.withColumnRenamed("entity", "before").join(new, IDENTITY, "full")
    facts = _moved(_valued(both, asked))
    if asked.table.collapse:
        now = _contents(spark, scratch, live)
        then = _contents(spark, scratch, before.live).join(now, "vector_no", "left_anti")
        facts = _together(facts.join(now.unionByName(then), "vector_no", "left"))
    else:
        facts = facts.withColumn("came", F.col("entity").isNotNull() & F.col("changed"))
        facts = facts.withColumns({"copied": F.lit(False), "key": F.col("entity")})
    empty = {"group": F.lit(-1), "key": F.lit(-1), "codes": F.array().cast("array<int>")}
    filled = {name: F.coalesce(F.col(name), value) for name, value in empty.items()}
    files = write_frame(
        _left(facts, asked).withColumns(filled),
        scratch.store,
        scratch.folder,
        TABLES["ruled_facts"],
    )
    return _counted(read_frame(spark, scratch.store, files, TABLES["ruled_facts"]), files)


def _valued(both: DataFrame, asked: Asked) -> DataFrame:
    """``value``: the place of the counted label among all, then and now; ``place``: of within."""
    labels = F.from_json("labels", "map<string,string>")
    within = [labels.getItem(name) for name in sorted(asked.table.within)]
    both = both.withColumn("place", F.to_json(F.array(*within)) if within else F.lit(""))
    if not asked.table.at_most:
        return both.withColumn("value", F.lit(-1))
    (name,) = asked.table.at_most
    both = both.withColumn("text", labels.getItem(name))
    texts = both.select("text").filter("text IS NOT NULL").distinct()
    number = (F.row_number().over(Window.orderBy("text")) - 1).cast("int")
    joined = both.join(texts.withColumn("value", number), "text", "left")
    return joined.withColumn("value", F.coalesce("value", F.lit(-1)))


def _stays() -> Column:
    return F.col("before").isNotNull() & F.col("entity").isNotNull()


def _moved(both: DataFrame) -> DataFrame:
    """``changed``: came, went, or stands in another order among those of its vector."""
    of_vector = Window.partitionBy("vector_no")
    earlier = of_vector.orderBy("entity").rowsBetween(Window.unboundedPreceding, -1)
    known = F.when(_stays(), F.col("before"))
    behind = F.coalesce(F.max(known).over(earlier) > known, F.lit(False))
    both = both.withColumn("behind", behind)
    moved = F.max("behind").over(of_vector)
    return both.withColumn("changed", ~_stays() | moved)


def _contents(spark: SparkSession, scratch: Scratch, live: Sequence[Receipt]) -> DataFrame:
    """vector_no and a number that equal vectors share."""
    ranges = shard_ranges(4 * parallelism(spark))

    @light
    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                for block in vector_blocks(scratch.store, live, ranges[index]):
                    arrays = [pa.array(block.numbers), pa.array(contents_of(block.vectors))]
                    yield pa.RecordBatch.from_arrays(arrays, ["vector_no", "content"])

    rows = spark.range(0, len(ranges), 1, len(ranges))
    return rows.mapInArrow(read, "vector_no bigint, content bigint")


def _together(facts: DataFrame) -> DataFrame:
    """Of one vector all come back, where any of them came or went."""
    of_content = Window.partitionBy(F.coalesce("content", "vector_no"))
    there = F.col("entity").isNotNull()
    return facts.withColumns(
        {
            "came": there & F.max("changed").over(of_content),
            "copied": there & (F.count("entity").over(of_content) > 1),
            "key": F.min("entity").over(of_content),
        }
    )


def _left(facts: DataFrame, asked: Asked) -> DataFrame:
    """``left``: how many of the value, within the same, stay in the lists that they are in."""
    if asked.counted is None:
        return facts.withColumn("left", F.lit(0).cast("bigint"))
    stands = _stays() & ~F.col("came") & F.col("offered")
    weight = F.when(stands, F.lit(1)).otherwise(F.lit(0))
    return facts.withColumn("left", F.sum(weight).over(Window.partitionBy("place", "value")))


def _counted(facts: DataFrame, files: list[Receipt]) -> Found:
    def count(condition: Column) -> Column:
        return F.sum(F.when(condition, F.lit(1)).otherwise(F.lit(0)))

    added = F.col("entity").isNotNull() & F.col("before").isNull()
    gone = F.col("before").isNotNull() & F.col("entity").isNull()
    vectors = facts.groupBy("vector_no").agg(count(added).alias("added"), count(gone).alias("gone"))
    both = F.least(F.col("added"), F.col("gone")) > 0
    first = vectors.agg(F.sum("added"), F.sum("gone"), count(both)).first()
    groups = facts.filter("group >= 0 AND entity IS NOT NULL").groupBy("group")
    came, copied = (count(F.col(name)).alias(name) for name in ("came", "copied"))
    sizes = groups.agg(F.count("*").alias("n"), came, copied)
    square = F.floor(F.col("n") * F.col("n") / 2)
    asked = F.sum(F.col("n") * F.col("came"))
    sums = (F.sum("n"), F.sum("came"), F.sum("copied"), asked, F.sum(square))
    second = sizes.agg(*sums).first()
    assert first is not None
    assert second is not None
    changes, work = ([int(each or 0) for each in row] for row in (first, second))
    return Found(files, *work[:3], *changes, *work[3:])
