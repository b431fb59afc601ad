"""How entities are dealt to the tasks of a join under a rule.

Rows with other values of ``within`` never meet. Small groups are packed together, so that packs are
of even work; a large one is cut to blocks by the cells of one layout of all vectors. Packs and
blocks are the parts of a join. Equal vectors lie in one part: they have one cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec.planning import block_count
from artrec.schemas import TABLES
from artrec.stages.blocks import vector_blocks
from artrec.stages.frames import parallelism, read_frame, write_frame
from artrec.stages.neighbors.laying import Laying, Scratch, number_ranges, plan_cells
from artrec.stages.neighbors.ruled.entities import read_entities
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.stages.workers import light
from artrec.tables import Receipt
from artrec.vectors.distance import Floats, Ints, squared_norms

__all__ = ["Group", "Plan", "contents_of", "dealt_rows", "plan_parts", "write_cells"]

PACKS_EACH = 6  # packs for each core
PACK_WORK = 1 << 22  # products worth a task of their own
PACK_ROWS = 32_768  # rows of a pack, about


@dataclass(frozen=True)
class Group:
    """A group that is cut to blocks: parts ``first`` to ``first + blocks``, some without rows.

    ``values``: how many codes of the counted column it has.
    """

    group: int
    rows: int
    values: int
    first: int
    blocks: int

    @property
    def parts(self) -> range:
        return range(self.first, self.first + self.blocks)


@dataclass(frozen=True)
class Plan:
    """Parts 0 to ``packs`` are packs, those of ``groups`` come after them.

    ``entities`` are those in all groups, large and small: so many pools there have to be.
    A small group's share of a pack is its square by ``work`` and its rows by PACK_ROWS.
    """

    packs: int
    work: int
    groups: list[Group]
    entities: int

    @property
    def parts(self) -> int:
        return self.packs + sum(group.blocks for group in self.groups)


def plan_parts(
    spark: SparkSession,
    scratch: Scratch,
    asked: Asked,
    entities: Sequence[Receipt],
    block_rows: int,
) -> Plan:
    """Which groups are cut, and how many packs hold the others."""
    cores = parallelism(spark)
    rows = read_entities(spark, scratch, entities, ["group", "codes"]).filter("group >= 0")
    last = F.lit(-1) if asked.counted is None else F.max(F.col("codes")[asked.counted])
    sizes = rows.groupBy("group").agg(F.count("*").alias("n"), (last + 1).alias("values"))
    groups: list[Group] = []
    first = 0
    for row in sizes.filter(F.col("n") > block_rows).orderBy("group").collect():
        blocks = max(2, block_count(row.n, block_rows, cores))
        groups.append(Group(row.group, row.n, row["values"], first, blocks))
        first += blocks
    small = sizes.filter(F.col("n") <= block_rows)
    total = small.agg(F.sum(F.col("n") * F.col("n")).alias("work"), F.sum("n").alias("n")).first()
    large = sum(group.rows for group in groups)
    if total is None or not total.n:
        return Plan(0, PACK_WORK, groups, large)
    work = max(PACK_WORK, -(-int(total.work) // (PACKS_EACH * cores)))
    packs = 1 + int(total.work / work + total.n / PACK_ROWS)
    return Plan(packs, work, [_behind(group, packs) for group in groups], large + total.n)


def _behind(group: Group, packs: int) -> Group:
    return Group(group.group, group.rows, group.values, packs + group.first, group.blocks)


def write_cells(
    spark: SparkSession, scratch: Scratch, live: Sequence[Receipt]
) -> tuple[Laying, list[Receipt]]:
    """A layout of all vectors, and the cell of each; equal vectors have the same."""
    laying, ranges = plan_cells(spark, scratch, live, 1), number_ranges(spark, scratch)

    @light
    def find(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        layout = laying.read(scratch)
        for batch in batches:
            for index in batch.column(0).to_pylist():
                for block in vector_blocks(scratch.store, live, ranges[index]):
                    cells = layout.cells(block.vectors, squared_norms(block.vectors))
                    arrays = (block.numbers, cells.astype(np.int32), contents_of(block.vectors))
                    yield pa.RecordBatch.from_arrays(
                        [pa.array(each) for each in arrays], ["vector_no", "cell", "content"]
                    )

    found = spark.range(0, len(ranges), 1, len(ranges)).mapInArrow(
        find, "vector_no bigint, cell int, content bigint"
    )
    # A product of matrices may round equal rows otherwise, and so find another cell for a copy.
    least = F.min("cell").over(Window.partitionBy("content"))
    cells = found.withColumn("cell", least)
    return laying, write_frame(cells, scratch.store, scratch.folder, TABLES["ruled_cells"])


def contents_of(vectors: Floats) -> Ints:
    """A number of each vector, the same for equal ones; that others may share it does no harm."""
    found = np.zeros(len(vectors), np.uint64)
    bits = np.ascontiguousarray(vectors + np.float32(0.0)).view(np.uint32)
    for column in range(bits.shape[1]):
        found = (found ^ bits[:, column]) * np.uint64(0x9E3779B97F4A7C15)
        found ^= found >> np.uint64(29)
    return found.view(np.int64)


def dealt_rows(
    spark: SparkSession,
    scratch: Scratch,
    plan: Plan,
    entities: Sequence[Receipt],
    live: Sequence[Receipt],
    cells: Sequence[Receipt],
) -> DataFrame:
    """part, entity, group, codes, offered, cell, embedding: each part in one partition, in order.

    ``cells`` are needed where a group is cut.
    """
    columns = ["entity", "vector_no", "group", "codes", "offered"]
    rows = read_entities(spark, scratch, entities, columns).filter("group >= 0")
    cut = F.col("group").isin([group.group for group in plan.groups])
    small = rows.filter(~cut)
    dealt = small.join(_packed(small, plan), "group").withColumn("cell", F.lit(0))
    if plan.groups:
        found = read_frame(spark, scratch.store, cells, TABLES["ruled_cells"])
        dealt = dealt.unionByName(_blocked(spark, rows.filter(cut).join(found, "vector_no"), plan))
    placed = dealt.join(_vectors(spark, scratch, live), "vector_no").select(
        "part", "entity", "group", "codes", "offered", "cell", "embedding"
    )
    return placed.repartition(max(1, plan.parts), "part").sortWithinPartitions("part", "entity")


def _packed(rows: DataFrame, plan: Plan) -> DataFrame:
    """The part of each small group: packs are filled in the order of groups."""
    sizes = rows.groupBy("group").agg(F.count("*").alias("n"))
    share = F.col("n") * F.col("n") / F.lit(plan.work) + F.col("n") / F.lit(PACK_ROWS)
    order = Window.orderBy("group").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    before = F.sum(share).over(order) - share
    part = F.least(F.greatest(F.floor(before), F.lit(0)), F.lit(plan.packs - 1))
    return sizes.select("group", part.cast("int").alias("part"))


def _blocked(spark: SparkSession, rows: DataFrame, plan: Plan) -> DataFrame:
    """Rows of large groups with their parts: runs of cells that hold equal parts of a group."""
    known = [(each.group, each.rows, each.first, each.blocks) for each in plan.groups]
    groups = spark.createDataFrame(known, "group int, rows bigint, first int, blocks int")
    sizes = rows.groupBy("group", "cell").agg(F.count("*").alias("n"))
    order = Window.partitionBy("group").orderBy("cell")
    middle = F.sum("n").over(order.rowsBetween(Window.unboundedPreceding, 0)) - F.col("n") / 2
    block = F.floor(middle * F.col("blocks") / F.col("rows"))
    part = F.col("first") + F.least(block, F.col("blocks") - 1)
    parts = sizes.join(groups.hint("broadcast"), "group")
    parts = parts.select("group", "cell", part.cast("int").alias("part"))
    return rows.join(parts, ["group", "cell"])


def _vectors(spark: SparkSession, scratch: Scratch, live: Sequence[Receipt]) -> DataFrame:
    """vector_no and the vector's bytes."""
    ranges, width = number_ranges(spark, scratch), 4 * scratch.dim

    @light
    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                for block in vector_blocks(scratch.store, live, ranges[index]):
                    offsets = np.arange(len(block.numbers) + 1, dtype=np.int32) * width
                    values = pa.py_buffer(np.ascontiguousarray(block.vectors))
                    binary = pa.Array.from_buffers(
                        pa.binary(), len(block.numbers), [None, pa.py_buffer(offsets), values]
                    )
                    yield pa.RecordBatch.from_arrays(
                        [pa.array(block.numbers), binary], ["vector_no", "embedding"]
                    )

    rows = spark.range(0, len(ranges), 1, len(ranges))
    return rows.mapInArrow(read, "vector_no bigint, embedding binary")
