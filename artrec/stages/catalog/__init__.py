"""catalog: every member is an image or a reject, once; and the vectors of the images."""

from __future__ import annotations

import time
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec import log
from artrec.config import Settings
from artrec.digests import name_of
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    Run,
    RunRef,
    StageRuns,
    begin_run,
    digest_of,
    find_run,
    receipts_of,
    record_run,
    table_receipts,
)
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.atonce import few
from artrec.stages.catalog.atonce import Given, write_catalog
from artrec.stages.catalog.gathering import gathered
from artrec.stages.catalog.joining import joined
from artrec.stages.catalog.live import live_run
from artrec.stages.forgetting import DETAIL
from artrec.stages.frames import read_frame, run_tasks, stage_frame, write_sorted
from artrec.stages.rules import ingest_rules
from artrec.stages.slices import ever_appended
from artrec.tables import Receipt

__all__ = ["RESULT_VERSION", "run"]

RESULT_VERSION = RESULT_VERSIONS["catalog"]


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Join what is known of tonight's members into catalog, rejects and embeddings."""
    begun = time.monotonic()
    inputs = _inputs(settings, draft)
    digest = name_of(inputs)
    known = draft.known("catalog", digest)
    if known is not None:
        return draft.record(known)
    draft.begin_work()
    base = draft.base.release
    history = {"release": draft.release_id, "base": base.stages["catalog"].inputs if base else None}
    run = begin_run("catalog", RESULT_VERSION, inputs, history)
    found = find_run(draft.store, run.stage, run.run_id)
    if found is None:
        found = _write(spark, settings, draft, run, begun)
    reached("catalog.run")
    ref = RunRef.of(found)
    live = RunRef.of(live_run(spark, draft, ref))
    log.get(stage="catalog").info("done", run=found.run_id, **ref.rows, **live.rows)
    return draft.record(
        StageRuns(
            stage="catalog",
            inputs=digest,
            tables={table: [each] for each in (ref, live) for table in each.rows},
            counters={"images": ref.rows["catalog"], "rejects": ref.rows["rejects"]},
            seconds=time.monotonic() - begun,
        )
    )


def _inputs(settings: Settings, draft: Draft) -> dict[str, object]:
    store = draft.store
    inventory, ingest, embed = (draft.need(name) for name in ("inventory", "ingest", "embed"))
    members = ("raw_name", "occurrence", "image_id", "bytes", "fingerprint")
    labels = TABLES["labels"].digested
    return {
        "version": RESULT_VERSION,
        "members": digest_of(store, inventory.tables["members"], "members", members),
        "labels": digest_of(store, inventory.tables["labels"], "labels", labels),
        "ingested": ever_appended(store, ingest, "ingested", ("content_sha256", "reason")),
        "vectors": ever_appended(store, embed, "vectors", ("vector_no", "embedding", "reason")),
        "encoder": embed.notes["encoder"],
        "rules": ingest_rules(settings.ingest),
        "embeddings": settings.catalog.embeddings,
        **draft.ledger.inputs,
    }


def _write(spark: SparkSession, settings: Settings, draft: Draft, run: Run, begun: float) -> Run:
    folder, encoder = run.folder(draft.attempt), draft.need("embed").notes
    metadata = {key: str(encoder[key]) for key in ("encoder", "metric", "dim")}
    given = _given(settings, draft, folder, metadata)
    if few(*given.files.values(), *(given.before or {}).values()):
        (report,) = run_tasks(spark, 1, partial(write_catalog, given))
        written = {
            name: [each for each in report.receipts if each.table == name]
            for name in ("catalog", "rejects")
        }
    else:
        written = joined(spark, settings, draft, folder, metadata)
    if settings.catalog.embeddings:
        written["embeddings"] = _embeddings(spark, draft, folder, metadata, written)
    reached("catalog.tables")
    return record_run(draft.store, run.done(written, begun))


def _given(settings: Settings, draft: Draft, folder: str, metadata: dict[str, str]) -> Given:
    """The catalog's inputs as files."""
    store, release = draft.store, draft.base.release
    made = {"inventory": ("members", "labels"), "ingest": ("ingested", "pictures")}
    files = {
        table: receipts_of(store, draft.need(stage).tables[table], table)
        for stage, tables in {**made, "embed": ("vectors",)}.items()
        for table in tables
    }
    before = None
    if release is not None:
        names = ("catalog", "rejects")
        before = {table: table_receipts(store, release, table) for table in names}
    return Given(
        store=store,
        files=files,
        before=before,
        rules=ingest_rules(settings.ingest),
        encoder=draft.need("embed").notes["encoder"],
        forgotten=draft.ledger.hashes,
        forgotten_detail=DETAIL,
        release=draft.release_id,
        folder=folder,
        metadata=metadata,
    )


def _embeddings(
    spark: SparkSession,
    draft: Draft,
    folder: str,
    metadata: dict[str, str],
    written: dict[str, list[Receipt]],
) -> list[Receipt]:
    """The vectors of the images of the catalog that was ``written``."""
    store, catalog = draft.store, written["catalog"]
    gathering = gathered(draft, catalog, folder, metadata)
    if gathering is not None:
        (report,) = run_tasks(spark, 1, gathering.embeddings)
        return report.receipts
    columns = ["image_id", "content_sha256"]
    images = read_frame(spark, store, catalog, TABLES["catalog"], columns)
    size = sum(r.rows for r in catalog) * 4 * int(metadata["dim"])
    return write_sorted(
        images.join(_vectors_of(spark, draft), "content_sha256"),
        store,
        folder,
        TABLES["embeddings"],
        size,
        metadata,
    )


def _vectors_of(spark: SparkSession, draft: Draft) -> DataFrame:
    """content_sha256 and embedding, of tonight's encoder."""
    columns = ["content_sha256", "encoder", "embedding"]
    vectors = stage_frame(spark, draft, "embed", "vectors", columns)
    return vectors.filter(F.col("encoder") == draft.need("embed").notes["encoder"]).drop("encoder")
