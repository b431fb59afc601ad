"""What was taken down: its members are rejects, and what a training kept of it is written anew."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.releases import (
    Draft,
    Ledger,
    Run,
    RunRef,
    StageRuns,
    begin_run,
    find_run,
    ledger_of,
    read_runs,
    record_run,
)
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.compaction.living import ledger_frame
from artrec.stages.compaction.rewriting import metadata_of
from artrec.stages.frames import Attempt, TaskReport, run_tasks
from artrec.stages.ingest.joining import verdicts
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, open_file, read_table

__all__ = ["DETAIL", "judged_under", "training_without"]

GROUP_BYTES = 1 << 20  # of the examples: what a reader can shuffle
DETAIL = "its content was taken down by artrec forget"


def judged_under(
    spark: SparkSession, ingested: DataFrame, rules: dict[str, str], ledger: Ledger
) -> DataFrame:
    """``verdicts`` with the ledger obeyed: a content that was forgotten has a reason beside it."""
    found = verdicts(ingested, rules)
    if not ledger.hashes:
        return found
    gone = ledger_frame(spark, ledger).withColumn("gone", F.lit(True))
    words = {"reason": "forgotten", "detail": DETAIL}
    told = {
        name: F.when(F.col("gone"), F.lit(word)).otherwise(F.col(name))
        for name, word in words.items()
        if name in found.columns
    }
    return found.join(gone, "content_sha256", "left").withColumns(told).drop("gone")


def training_without(spark: SparkSession, draft: Draft, record: StageRuns) -> StageRuns:
    """The record of how an encoder was chosen, with runs that hold nothing forgotten.

    The encoder itself stays: what its numbers have from one picture cannot be taken out of them.
    """
    base = draft.base.release
    before = ledger_of(base.stages["embed"].notes) if base else ""
    if draft.ledger.name == before:
        return record
    refs = {ref.path: ref for listed in record.tables.values() for ref in listed}
    made = {
        run.path: RunRef.of(_without(spark, draft, run))
        for run in read_runs(draft.store, refs.values())
    }
    tables = {name: [made[ref.path] for ref in listed] for name, listed in record.tables.items()}
    return record.model_copy(update={"tables": tables})


def _without(spark: SparkSession, draft: Draft, run: Run) -> Run:
    store, hashes = draft.store, draft.ledger.hashes
    held = [receipt for name in run.tables for receipt in run.receipts(name) if _has_key(name)]
    if not any(_hits(store, held, hashes)):
        return run
    begun = time.monotonic()
    inputs = {"run": run.run_id, **draft.ledger.inputs}
    new = begin_run(run.stage, RESULT_VERSIONS[run.stage], inputs, {})
    found = find_run(store, new.stage, new.run_id)
    if found is not None:
        return found
    draft.begin_work()
    names = list(run.tables)
    files = [run.receipts(name) for name in names]
    work = partial(_rewrite, store, files, names, hashes, new.folder(draft.attempt))
    reports = run_tasks(spark, len(names), work)
    tables = {name: report.receipts for name, report in zip(names, reports, strict=True)}
    return record_run(store, new.done(tables, begun, run.counters, run.notes))


def _has_key(table: str) -> bool:
    return "content_sha256" in TABLES[table].columns.names


def _hits(store: Store, files: Sequence[Receipt], hashes: frozenset[bytes]) -> list[bytes]:
    """Forgotten contents among the rows: no more than a training has pictures."""
    batches = read_table(store, files, ["content_sha256"])
    return [key for batch in batches for key in batch.column(0).to_pylist() if key in hashes]


def _rewrite(
    store: Store,
    files: Sequence[Sequence[Receipt]],
    names: Sequence[str],
    hashes: frozenset[bytes],
    folder: str,
    attempt: Attempt,
) -> TaskReport:
    """One task: a table, row group by row group, without what was forgotten, in the same order."""
    table, gone = TABLES[names[attempt.index]], pa.array(sorted(hashes), pa.binary())
    first = [open_file(store, receipt).schema_arrow for receipt in files[attempt.index][:1]]
    about = dict(metadata_of(first[0])) if first else {}
    with TableWriter(
        store, folder, table, attempt.stem, about, group_bytes=GROUP_BYTES, even_empty=True
    ) as writer:
        for batch in read_table(store, files[attempt.index]):
            if _has_key(table.name):
                kept = pc.invert(pc.is_in(batch.column("content_sha256"), gone))
                batch = batch.filter(kept)
            if batch.num_rows:
                writer.write(batch)
    return TaskReport(receipts=writer.receipts)
