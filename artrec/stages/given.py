"""Vectors that were made elsewhere find the pictures that they are of."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.encoders.brought.given import RECEIPTS_FILE, Given
from artrec.encoders.brought.giving import read_receipts
from artrec.errors import InputError
from artrec.releases import Draft, Run, begin_run, find_run, record_run
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.encoding import Vector, checked, vector_rows
from artrec.stages.forgetting import judged_under
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    add_counters,
    read_frame,
    reported,
    stage_frame,
)
from artrec.stages.rejects import Rejected
from artrec.stages.rules import MEMBER_KEY
from artrec.stages.session import describe
from artrec.stages.workers import light
from artrec.tables import TableWriter

__all__ = ["given_vectors"]

SHOWN = 3


def given_vectors(
    spark: SparkSession,
    draft: Draft,
    encoder: Given,
    identity: str,
    pending: Run,
    rules: dict[str, Any],
) -> Run:
    """The run of vectors of tonight's pending pictures; those without one are rejects.

    A content under several names takes the vector of the first name that has one. Raises InputError
    where a name has several vectors.
    """
    begun, store = time.monotonic(), draft.store
    run = begin_run(
        "embed",
        RESULT_VERSIONS["embed"],
        {"pending": pending.run_id, "given": encoder.id},
        pending.settings,
    )
    found = find_run(store, run.stage, run.run_id)
    if found is not None:
        return found
    describe(spark, "embed: vectors made elsewhere")
    receipts = read_receipts(store, encoder.id)
    given = read_frame(spark, store, receipts, TABLES["given_vectors"])
    _check_names(given, f"{store.url}/encoders/{encoder.id}/{RECEIPTS_FILE}")
    table, folder = TABLES["pending_pictures"], run.folder(draft.attempt)
    wanted = read_frame(
        spark, store, pending.receipts(table.name), table, ["content_sha256"]
    ).distinct()
    names = _names(spark, draft, encoder, rules, wanted)
    chosen = (
        names.join(given.select("name"), "name")
        .groupBy("content_sha256")
        .agg(F.min("name").alias("name"))
        .join(given, "name")
        .select("content_sha256", "embedding")
    )
    reports = _written(
        wanted.join(chosen, "content_sha256", "left"), draft, encoder, identity, folder
    )
    done = run.done(
        {"vectors": [receipt for report in reports for receipt in report.receipts]},
        begun,
        add_counters([{"encoded": 0, "rejected": 0}, *(each.counters for each in reports)]),
    )
    return record_run(store, done)


def _check_names(given: DataFrame, where: str) -> None:
    twice = given.groupBy("name").count().filter("count > 1").orderBy("name").limit(SHOWN).collect()
    if twice:
        names = ", ".join(row.name for row in twice)
        raise InputError(f"{where}: names with several vectors: {names}; give each name one")


def _names(
    spark: SparkSession,
    draft: Draft,
    encoder: Given,
    rules: dict[str, Any],
    wanted: DataFrame,
) -> DataFrame:
    """content_sha256 and each ``name`` under which a vector of it may be given."""
    if encoder.parameters.key == "content_sha256":
        return wanted.withColumn("name", F.lower(F.hex("content_sha256")))
    members = stage_frame(spark, draft, "inventory", "members", [*MEMBER_KEY, "image_id"])
    columns = [*MEMBER_KEY, "recipe", "decoder", "content_sha256", "reason"]
    known = stage_frame(spark, draft, "ingest", "ingested", columns)
    live = judged_under(spark, known, rules, draft.ledger).filter("reason is null")
    named = members.join(live, list(MEMBER_KEY)).select(
        "content_sha256", F.col("image_id").alias("name")
    )
    return named.join(wanted, "content_sha256", "left_semi")


def _written(
    frame: DataFrame, draft: Draft, encoder: Given, identity: str, folder: str
) -> list[TaskReport]:
    store, dim, metric = draft.store, encoder.dim, encoder.metric
    missing = f"no vector is given by its {encoder.parameters.key}"
    metadata = {"encoder": identity, "metric": metric, "dim": str(dim)}

    def judged(vector: Any) -> Vector | Rejected:
        if vector is None:
            return Rejected("not_given", missing)
        return checked(np.array(vector, np.float32), metric)

    @light
    def body(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        def work(attempt: Attempt) -> TaskReport:
            counters = {"encoded": 0, "rejected": 0}
            with TableWriter(store, folder, TABLES["vectors"], attempt.stem, metadata) as writer:
                for batch in batches:
                    keys = batch.column(0).to_pylist()
                    found = [judged(each) for each in batch.column(1).to_pylist()]
                    writer.write(vector_rows(keys, found, identity))
                    rejected = sum(isinstance(each, Rejected) for each in found)
                    counters["rejected"] += rejected
                    counters["encoded"] += len(found) - rejected
            return TaskReport(receipts=writer.receipts, counters=counters)

        report = reported(work, Attempt.current())
        yield pa.RecordBatch.from_arrays(
            [pa.array([report.model_dump_json()], pa.string())], names=["report"]
        )

    rows = frame.select("content_sha256", "embedding").mapInArrow(body, "report string").collect()
    return [TaskReport.model_validate_json(row.report) for row in rows]
