"""Pools of entities as rows: from tasks into scratch, from there into the table that is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from artrec.schemas import TABLES, rule_tables
from artrec.stages.frames import read_frame, write_sorted
from artrec.stages.neighbors.laying import Scratch
from artrec.stages.neighbors.ruled.entities import read_entities
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.tables import Receipt
from artrec.vectors.distance import Ints
from artrec.vectors.join import LAST_NO
from artrec.vectors.rules import RuledPools
from artrec.vectors.topk import NOBODY

__all__ = ["pool_batch", "write_pool"]

ENTRY_BYTES = 14  # of one entry of a pool in storage, about: only for the number of files


def pool_batch(entities: Ints, pools: RuledPools, ids: Ints | None = None) -> pa.RecordBatch:
    """Rows of ruled_pools. ``ids`` [m] are the entities that the lists name by their places."""
    found = pools.lists.ids != NOBODY
    offsets = np.append(0, np.cumsum(found.sum(axis=1))).astype(np.int32)
    others, radius = pools.lists.ids[found], pools.radius_id
    if ids is not None:
        others = ids[others]
        ends = radius != LAST_NO
        radius = np.where(ends, ids[np.where(ends, radius, 0)], radius)
    rows, places = np.nonzero(pools.ends)
    counts = np.bincount(rows, minlength=len(entities))
    cuts = np.append(0, np.cumsum(counts)).astype(np.int32)
    columns = [
        pa.array(entities),
        pa.array(pools.radius),
        pa.array(radius),
        pa.ListArray.from_arrays(offsets, pa.array(others)),
        pa.ListArray.from_arrays(offsets, pa.array(pools.lists.distances[found])),
        pa.ListArray.from_arrays(cuts, pa.array(places.astype(np.int32))),
    ]
    return pa.RecordBatch.from_arrays(columns, names=TABLES["ruled_pools"].columns.names)


def write_pool(
    spark: SparkSession,
    scratch: Scratch,
    asked: Asked,
    entities: Sequence[Receipt],
    pools: Sequence[Receipt],
) -> list[Receipt]:
    """The table ``neighbors_<name>_pool``: every entity, also one that is nowhere.

    One that is somewhere and has no pool is an error in what is written, never an empty pool.
    """
    table = rule_tables(asked.name)[f"neighbors_{asked.name}_pool"]
    columns = ["entity", "vector_no", "labels", "group", "offered", "permitted"]
    rows = read_entities(spark, scratch, entities, columns)
    found = read_frame(spark, scratch.store, pools, TABLES["ruled_pools"])
    joined = rows.join(found, "entity", "left").withColumn("nowhere", F.col("group") < 0)
    empty = {
        **{"others": "array<bigint>", "distances": "array<float>", "ends": "array<int>"},
        **{"radius": "float", "radius_entity": "bigint"},
    }
    nobody = {"radius": F.lit(float("inf")), "radius_entity": F.lit(LAST_NO)}
    filled = {
        name: F.when(F.col("nowhere"), nobody.get(name, F.array()).cast(kind)).otherwise(
            F.col(name)
        )
        for name, kind in empty.items()
    }
    size = sum(receipt.rows for receipt in entities) * asked.size * ENTRY_BYTES
    frame = joined.withColumns(filled)
    return write_sorted(frame, scratch.store, scratch.folder, table, size, scratch.metadata)
