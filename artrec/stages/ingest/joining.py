"""The members to read, joined by Spark: the rows of pending, where one task cannot hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.releases import Draft
from artrec.schemas import TABLES
from artrec.stages.compaction.living import ledger_frame
from artrec.stages.frames import read_frame, write_sorted
from artrec.stages.pending import Unread
from artrec.stages.rejects import ATTEMPTS, TRANSIENT
from artrec.stages.rules import MEMBER_KEY
from artrec.stages.slices import unit_bytes
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = ["joined", "verdicts"]

ROW_BYTES = 200  # of a member in a pending table, about: only to choose the number of files


def joined(
    spark: SparkSession, draft: Draft, given: Unread, listed: Mapping[str, int]
) -> list[Receipt]:
    """The table pending_members, joined by Spark."""
    store, table = draft.store, TABLES["pending_members"]
    stored = _stored(spark, draft, given.stored, given.rules)
    frame = _unread(spark, store, given.members, given.ingested, given.rules, stored, given.retry)
    total = listed["listed_bytes"]
    if given.ingested:
        first = frame.agg(F.sum("stored_bytes").alias("total")).first()
        total = int(first.total or 0) if first is not None else 0
    unit = unit_bytes(total, given.slice_bytes, given.cores)
    frame = frame.withColumn("slice", F.floor(F.col("offset") / F.lit(unit)).cast("long"))
    return write_sorted(frame, store, given.folder, table, listed["listed"] * ROW_BYTES)


def _unread(
    spark: SparkSession,
    store: Store,
    members: Sequence[Receipt],
    ingested: Sequence[Receipt],
    rules: Mapping[str, Any],
    stored: DataFrame | None,
    retry: bool,
) -> DataFrame:
    """Members without a verdict, or with one to be tried again: with ``retry`` any reject."""
    columns = [name for name in TABLES["pending_members"].columns.names if name != "slice"]
    frame = read_frame(spark, store, members, TABLES["members"], columns)
    if not ingested:
        return frame
    columns = [*MEMBER_KEY, "recipe", "decoder", "content_sha256", "reason"]
    known = verdicts(read_frame(spark, store, ingested, TABLES["ingested"], columns), rules)
    again = F.col("reason").isin(*TRANSIENT) & (F.col("attempts") < ATTEMPTS) | F.lit(retry)
    done = known.filter(F.col("content_sha256").isNotNull() | ~again)
    if stored is not None:
        there = done.join(stored, "content_sha256", "left_semi")
        done = done.filter(F.col("content_sha256").isNull()).unionByName(there)
    return frame.join(done.select(*MEMBER_KEY), on=list(MEMBER_KEY), how="left_anti")


def _stored(
    spark: SparkSession,
    draft: Draft,
    pictures: Sequence[Receipt] | None,
    rules: Mapping[str, Any],
) -> DataFrame | None:
    """The contents that need not be read again."""
    if pictures is None:
        return None
    columns = ["content_sha256", "recipe"]
    rows = read_frame(spark, draft.store, pictures, TABLES["pictures"], columns)
    mine = rows.filter(F.col("recipe") == rules["recipe"]).select("content_sha256")
    return mine.unionByName(ledger_frame(spark, draft.ledger))


def verdicts(ingested: DataFrame, rules: Mapping[str, Any]) -> DataFrame:
    """One row for each member that was read under ``rules``, with the number of ``attempts``.

    A content counts more than a reason, since what failed once for a passing cause may succeed
    later; and a lasting reason counts more than a passing one.
    """
    detail = [name for name in ("detail",) if name in ingested.columns]
    passing = F.col("reason").isin(*TRANSIENT).alias("passing")
    why = F.when(F.col("reason").isNotNull(), F.struct(passing, "reason", *detail))
    found = (
        ingested.filter(
            (F.col("recipe") == rules["recipe"]) & (F.col("decoder") == rules["decoder"])
        )
        .groupBy(*MEMBER_KEY)
        .agg(
            F.max("content_sha256").alias("content_sha256"),
            F.min(why).alias("why"),
            F.count("*").cast("int").alias("attempts"),
        )
    )
    rejected = F.col("content_sha256").isNull()
    facts = {name: F.when(rejected, F.col(f"why.{name}")) for name in ("reason", *detail)}
    return found.withColumns(facts).drop("why")
