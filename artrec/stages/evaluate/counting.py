"""The counts that gates judge: members against catalog and rejects, never by subtracting."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.errors import NotFound
from artrec.releases import Artifact, Draft, artifacts_of, receipts_of
from artrec.schemas import TABLES, ruled
from artrec.stages.evaluate.together import Work, is_small
from artrec.stages.frames import Attempt, TaskReport, run_tasks, stage_frame
from artrec.stages.index.keeping import SIDE_TABLES
from artrec.storage import Store
from artrec.tables import Receipt, read_table

__all__ = ["balance_task", "counts_of", "missing_shard_files", "noted_counts", "ruled_counts"]

_KEY = ["source", "entry"]
BALANCE = ("lost", "invented", "double", "double_ids")


def counts_of(spark: SparkSession, draft: Draft) -> dict[str, int]:
    """Counts of the draft's tables; lost, invented and double members by anti-joins."""
    if is_small(draft):
        (report,) = run_tasks(spark, 1, balance_task(draft))
        return noted_counts(draft) | report.notes
    return noted_counts(draft) | _balance(spark, draft)


def noted_counts(draft: Draft) -> dict[str, int]:
    """What is known without reading a table."""
    counts = {
        "listed": draft.need("inventory").rows("members"),
        "stored": draft.need("catalog").rows("catalog"),
        "rejected": draft.need("catalog").rows("rejects"),
        "lists": draft.need("neighbors").rows("neighbors_nested"),
    }
    index = draft.stage("index")
    if index is not None:
        masked = index.rows("masked_items")
        counts["indexed"] = index.rows("shard_items") - masked + index.rows("side_vectors")
        counts["shard_files_missing"] = missing_shard_files(draft)
    return counts


def _balance(spark: SparkSession, draft: Draft) -> dict[str, int]:
    """Every key on both sides, and each that is not on the other."""
    frame = partial(stage_frame, spark, draft)
    catalog = frame("catalog", "catalog", [*_KEY, "image_id"])
    rejects = frame("catalog", "rejects", [*_KEY, "reason"])
    sides = (
        _side(frame("inventory", "members", _KEY), listed=1),
        _side(catalog, accounted=1),
        _side(rejects, accounted=1),
        _side(catalog.select("image_id"), named=1),
    )
    keys = sides[0]
    for side in sides[1:]:
        keys = keys.unionByName(side)
    each = keys.groupBy(*_KEY, "image_id").agg(
        *(F.sum(name).alias(name) for name in ("listed", "accounted", "named"))
    )
    row = each.agg(
        F.sum(F.when(F.col("accounted") == 0, F.col("listed"))).alias("lost"),
        F.sum(F.when(F.col("listed") == 0, F.col("accounted"))).alias("invented"),
        F.count_if(F.col("accounted") > 1).alias("double"),
        F.count_if(F.col("named") > 1).alias("double_ids"),
    ).first()
    assert row is not None, "an aggregate has a row"
    counts = {name: row[name] or 0 for name in BALANCE}
    for found in rejects.groupBy("reason").count().orderBy("reason").collect():
        counts[f"rejected_{found.reason}"] = found["count"]
    return counts


def _side(rows: DataFrame, **counted: int) -> DataFrame:
    """The keys of a table, each told where it counts."""
    empty = {"source": "string", "entry": "bigint", "image_id": "string"}
    missing = {n: F.lit(None).cast(kind) for n, kind in empty.items() if n not in rows.columns}
    if "accounted" in counted:
        missing["image_id"] = F.lit(None).cast("string")
    sums = {n: F.lit(counted.get(n, 0)) for n in ("listed", "accounted", "named")}
    return rows.withColumns(missing | sums).select(*empty, *sums)


@dataclass(frozen=True)
class _Sides:
    store: Store
    members: tuple[Receipt, ...]
    catalog: tuple[Receipt, ...]
    rejects: tuple[Receipt, ...]


def balance_task(draft: Draft) -> Work:
    """The same of small tables, in one task that notes it."""

    def receipts(stage: str, table: str) -> tuple[Receipt, ...]:
        return tuple(receipts_of(draft.store, draft.need(stage).tables[table], table))

    sides = _Sides(
        store=draft.store,
        members=receipts("inventory", "members"),
        catalog=receipts("catalog", "catalog"),
        rejects=receipts("catalog", "rejects"),
    )
    return partial(_balanced, sides)


def _balanced(sides: _Sides, attempt: Attempt) -> TaskReport:
    members = _rows(sides.store, "members", sides.members, _KEY)
    catalog = _rows(sides.store, "catalog", sides.catalog, [*_KEY, "image_id"])
    rejects = _rows(sides.store, "rejects", sides.rejects, [*_KEY, "reason"])
    accounted = pa.concat_tables([catalog.select(_KEY), rejects.select(_KEY)])
    found = {
        "lost": members.join(accounted, _KEY, join_type="left anti", use_threads=False).num_rows,
        "invented": accounted.join(
            members, _KEY, join_type="left anti", use_threads=False
        ).num_rows,
        "double": _several(accounted),
        "double_ids": _several(catalog.select(["image_id"])),
    }
    reasons = Counter(rejects.column("reason").to_pylist())
    return TaskReport(notes=found | {f"rejected_{r}": reasons[r] for r in sorted(reasons)})


def _rows(store: Store, table: str, files: tuple[Receipt, ...], columns: list[str]) -> pa.Table:
    schema = pa.schema([TABLES[table].columns.field(name) for name in columns])
    return pa.Table.from_batches(read_table(store, files, columns), schema)


def _several(keys: pa.Table) -> int:
    """How many keys stand there more than once."""
    counts = (
        keys.group_by(keys.column_names, use_threads=False)
        .aggregate([([], "count_all")])
        .column("count_all")
    )
    return int(np.count_nonzero(np.asarray(counts) > 1))


def missing_shard_files(draft: Draft) -> int:
    """Files of the draft's shards that are not in the store now, or not of their size."""
    index = draft.stage("index")
    missing = 0
    if index is None:
        return missing
    files: list[Artifact | Receipt] = []
    files += artifacts_of(draft.store, index.tables["shard_items"], "shards")
    for table in SIDE_TABLES:
        files += receipts_of(draft.store, index.tables.get(table, []), table)
    for file in files:
        try:
            missing += draft.store.stat(file.path).bytes != file.bytes
        except NotFound:
            missing += 1
    return missing


def ruled_counts(draft: Draft) -> dict[str, dict[str, int]]:
    """Of each table under a rule its lists, and the entries that are missing without a reason.

    Lists of k entries each would have lists * k rows; what the tasks that wrote short ones
    had a reason for is taken off.
    """
    neighbors, found = draft.need("neighbors"), {}
    for name in ruled(neighbors.tables):
        own, notes = f"neighbors_{name}", neighbors.notes["tables"][name]
        k, explained = int(notes["k"]), int(notes.get("explained", 0))
        lists = neighbors.rows(f"{own}_nested")
        unexplained = lists * k - neighbors.rows(own) - explained
        found[name] = {"lists": lists, "unexplained": unexplained}
    return found
