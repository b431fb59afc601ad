"""ingest: members become pictures, or a reason why not; each is read once, ever."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

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
    ledger_of,
    receipts_of,
    record_run,
)
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.atonce import few
from artrec.stages.compaction import compact, noted
from artrec.stages.compaction.living import living_pictures
from artrec.stages.frames import parallelism, run_tasks
from artrec.stages.ingest.joining import joined
from artrec.stages.ingest.reading import read_slice
from artrec.stages.listing import pinned_archives
from artrec.stages.pending import Unread
from artrec.stages.rejects import REASONS
from artrec.stages.rules import MEMBER_KEY, ingest_rules
from artrec.stages.slices import appended, cut_segments, member_units, run_segments
from artrec.tables import Receipt

__all__ = ["RESULT_VERSION", "run"]

RESULT_VERSION = RESULT_VERSIONS["ingest"]


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Read the members that no earlier night has read under the same rules."""
    inventory = draft.need("inventory")
    store = draft.store
    listed = digest_of(store, inventory.tables["members"], "members", MEMBER_KEY)
    rules = ingest_rules(settings.ingest)
    ledger = draft.ledger
    inputs = name_of({"version": RESULT_VERSION, "members": listed, **rules, **ledger.inputs})
    known = draft.known("ingest", inputs)
    retry = settings.ingest.retry_rejects
    if known is not None and not (retry and _has_rejects(draft, known)):
        return draft.record(known)
    draft.begin_work()
    base = draft.base.release.stages.get("ingest") if draft.base.release else None
    before = base.tables if base else {}
    pending = _pending(spark, settings, draft, inventory, base, rules)
    work = partial(
        read_slice,
        store,
        pending.receipts("pending_members"),
        pinned_archives(settings, inventory.notes["pins"]),
        settings.ingest,
        ledger.hashes,
    )
    draft.plan("ingest", RunRef.of(pending))
    done_by, every = ("read",), settings.log.every
    runs = run_segments(spark, draft, "ingest", RESULT_VERSION, pending, work, done_by, every)
    tables = ("pictures", "ingested")
    stage = noted(draft, appended("ingest", inputs, before, pending, runs, tables))
    living = living_pictures(spark, settings, draft, stage)
    stage = compact(spark, settings, draft, stage, living)
    reached("ingest.recorded")
    notes = stage.notes | ({"retried": draft.release_id} if retry else {})
    return draft.record(stage.model_copy(update={"notes": notes}))


def _has_rejects(draft: Draft, known: StageRuns) -> bool:
    """Whether there is anything to retry that this very draft has not retried."""
    if draft.is_begun and known.notes.get("retried") == draft.release_id:
        return False
    counts = draft.base.release.counts if draft.base.release else {}
    tried = (name for name, stage in REASONS.items() if stage == "ingest" and name != "forgotten")
    return any(counts.get(f"rejected_{reason}") for reason in tried)


def _pending(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    inventory: StageRuns,
    base: StageRuns | None,
    rules: dict[str, Any],
) -> Run:
    """The members to read, cut into slices and segments; made once, found again afterwards."""
    store = draft.store
    before = base.tables if base else {}
    columns = [name for name in TABLES["pending_members"].digested if name != "slice"]
    inputs = {
        "members": digest_of(store, inventory.tables["members"], "members", columns),
        "ingested": digest_of(store, before.get("ingested", []), "ingested", ()),
        **({"retry": True} if settings.ingest.retry_rejects else {}),
        **_left_out(draft, base),
    }
    run = begin_run("ingest", RESULT_VERSION, inputs, rules)
    found = find_run(store, run.stage, run.run_id)
    if found is not None:
        return found
    begun = time.monotonic()
    task = _task(spark, settings, draft, base, rules, run.folder(draft.attempt))
    if few(task.members, task.ingested, task.stored or ()):
        written = run_tasks(spark, 1, task.write)[0].receipts
    else:
        written = joined(spark, draft, task, inventory.counters)
    reached("ingest.pending")
    units, sizes = member_units(store, written), settings.ingest
    cut = cut_segments(units, sizes.slice_bytes, sizes.segment_bytes, task.cores, apart=True)
    log.get(stage="ingest").info(
        "cut", members=cut.items, slices=cut.slices, segments=len(cut.segments)
    )
    notes = {"cut": cut.model_dump(mode="json")}
    return record_run(store, run.done({"pending_members": written}, begun, notes=notes))


def _left_out(draft: Draft, base: StageRuns | None) -> dict[str, Any]:
    """What says which of the known contents are not stored, and which of these are not to be."""
    notes = base.notes if base else {}
    return {"buried": notes.get("buried"), **draft.ledger.inputs} if _lacks(notes) else {}


def _lacks(notes: dict[str, Any]) -> bool:
    """Whether a release may know contents that it does not store."""
    return bool(notes.get("buried") or ledger_of(notes))


def _task(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    base: StageRuns | None,
    rules: dict[str, Any],
    folder: str,
) -> Unread:
    """What is to be found, and of what, whoever finds it."""
    store, before = draft.store, base.tables if base else {}
    return Unread(
        store=store,
        members=receipts_of(store, draft.need("inventory").tables["members"], "members"),
        ingested=receipts_of(store, before.get("ingested", []), "ingested"),
        stored=_pictures_before(draft, base),
        forgotten=draft.ledger.hashes,
        rules=rules,
        retry=settings.ingest.retry_rejects,
        slice_bytes=settings.ingest.slice_bytes,
        cores=parallelism(spark),
        folder=folder,
    )


def _pictures_before(draft: Draft, base: StageRuns | None) -> list[Receipt] | None:
    """The pictures of the last release; None where all that are known are still there.

    A compaction leaves pictures out that nobody listed that night, and their members may return.
    """
    if base is None or not _lacks(base.notes):
        return None
    return receipts_of(draft.store, base.tables["pictures"], "pictures")
