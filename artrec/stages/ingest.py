"""ingest: members become pictures, or a reason why not; each is read once, ever."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec import log
from artrec.archive import Archive, Member
from artrec.config import IngestSettings, Settings
from artrec.digests import name_of
from artrec.failpoints import reached
from artrec.picture import Picture
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
from artrec.stages.compaction.living import ledger_frame, living_pictures
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    parallelism,
    read_frame,
    run_tasks,
    write_sorted,
)
from artrec.stages.judging import Judge, Rows
from artrec.stages.listing import as_member, pinned_archives
from artrec.stages.pending import Unread
from artrec.stages.places import PICTURE_GROUP
from artrec.stages.rejects import ATTEMPTS, REASONS, TRANSIENT, Rejected
from artrec.stages.rules import MEMBER_KEY, ingest_rules
from artrec.stages.slices import (
    SliceSpec,
    appended,
    cut_segments,
    member_units,
    run_segments,
    unit_bytes,
)
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_range

__all__ = [
    "RESULT_VERSION",
    "run",
    "verdicts",
]

RESULT_VERSION = RESULT_VERSIONS["ingest"]
ROW_BYTES = 200  # of a member in a pending table, about: only to choose the number of files


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
        _read_slice,
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
        written = _joined(spark, draft, task, inventory.counters)
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


def _joined(
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


def _pictures_before(draft: Draft, base: StageRuns | None) -> list[Receipt] | None:
    """The pictures of the last release; None where all that are known are still there.

    A compaction leaves pictures out that nobody listed that night, and their members may return.
    """
    if base is None or not _lacks(base.notes):
        return None
    return receipts_of(draft.store, base.tables["pictures"], "pictures")


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


def _read_slice(
    store: Store,
    pending: Sequence[Receipt],
    archives: dict[str, Archive],
    settings: IngestSettings,
    forgotten: frozenset[bytes],
    spec: SliceSpec,
    folder: str,
    attempt: Attempt,
) -> TaskReport:
    """One task: the members of a slice, read by few ranges, examined, and written."""
    source = str(spec.low[0])
    members = [
        as_member(row)
        for batch in read_range(store, pending, spec.low, spec.high)
        for row in batch.to_pylist()
    ]
    counters = {"read": 0, "stored": 0, "rejected": 0, "picture_bytes": 0}
    seen: set[bytes] = set()
    with (
        TableWriter(
            store, folder, TABLES["pictures"], attempt.stem, group_bytes=PICTURE_GROUP
        ) as pictures,
        TableWriter(store, folder, TABLES["ingested"], attempt.stem) as ingested,
        Judge(settings, in_child=attempt.number > 0) as judge,
    ):
        kept, judged = Rows("pictures", pictures), Rows("ingested", ingested)
        for content in archives[source].read(members):
            found = judge.examine(content)
            judged.add(_ingested_row(source, content.member, judge, found))
            counters["read"] += 1
            if isinstance(found, Rejected) or found.sha256 in forgotten:
                counters["rejected"] += 1
                continue
            counters["stored"] += 1
            if found.sha256 not in seen:
                seen.add(found.sha256)
                counters["picture_bytes"] += len(found.data)
                kept.add(_picture_row(found, judge.recipe), len(found.data))
        kept.flush()
        judged.flush()
    return TaskReport(receipts=[*pictures.receipts, *ingested.receipts], counters=counters)


def _picture_row(found: Picture, recipe: str) -> dict[str, Any]:
    return {
        "content_sha256": found.sha256,
        "recipe": recipe,
        "data": found.data,
        "width": found.width,
        "height": found.height,
        "format": found.format,
        "mode": found.mode,
        "phash": found.phash,
    }


def _ingested_row(
    source: str, member: Member, judge: Judge, found: Picture | Rejected
) -> dict[str, Any]:
    reject = found if isinstance(found, Rejected) else None
    return {
        "source": source,
        "raw_name": member.raw_name,
        "occurrence": member.occurrence,
        "bytes": member.bytes,
        "fingerprint": member.fingerprint,
        "recipe": judge.recipe,
        "decoder": judge.decoder,
        "content_sha256": found.sha256 if isinstance(found, Picture) else None,
        "reason": reject and reject.reason,
        "detail": reject and reject.detail,
    }
