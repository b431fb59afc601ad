"""The counts that gates judge: members against catalog and rejects, never by subtracting."""

from __future__ import annotations

from functools import partial

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from artrec.errors import NotFound
from artrec.releases import Artifact, Draft, artifacts_of, receipts_of
from artrec.schemas import ruled
from artrec.stages.frames import stage_frame
from artrec.stages.index.keeping import SIDE_TABLES
from artrec.tables import Receipt

__all__ = ["counts_of", "missing_shard_files", "ruled_counts"]

_KEY = ["source", "entry"]


def counts_of(spark: SparkSession, draft: Draft) -> dict[str, int]:
    """Counts of the draft's tables; lost, invented and double members by anti-joins."""

    frame = partial(stage_frame, spark, draft)
    members = frame("inventory", "members", _KEY)
    catalog = frame("catalog", "catalog", [*_KEY, "image_id"])
    rejects = frame("catalog", "rejects", [*_KEY, "reason"])
    accounted = catalog.select(*_KEY).unionByName(rejects.select(*_KEY))
    counts = {
        "listed": draft.need("inventory").rows("members"),
        "stored": draft.need("catalog").rows("catalog"),
        "rejected": draft.need("catalog").rows("rejects"),
        "lost": members.join(accounted, _KEY, "left_anti").count(),
        "invented": accounted.join(members, _KEY, "left_anti").count(),
        "double": accounted.groupBy(*_KEY).count().filter("count > 1").count(),
        "double_ids": catalog.groupBy("image_id").count().filter("count > 1").count(),
        "lists": draft.need("neighbors").rows("neighbors_nested"),
    }
    for row in rejects.groupBy("reason").agg(F.count("*").alias("n")).orderBy("reason").collect():
        counts[f"rejected_{row.reason}"] = row.n
    index = draft.stage("index")
    if index is not None:
        masked = index.rows("masked_items")
        counts["indexed"] = index.rows("shard_items") - masked + index.rows("side_vectors")
        counts["shard_files_missing"] = missing_shard_files(draft)
    return counts


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
