"""embed: pictures become vectors; each content is encoded once, ever, for each encoder.

``encode_udf`` is for anyone's DataFrame with a column of picture bytes. The stage itself sends its
tasks references (file, row group) and reads the pictures inside the worker: bytes that pass
through the JVM cost more than the encoder of a small picture.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec import log
from artrec.config import Settings
from artrec.digests import name_of
from artrec.encoders.brought.given import Given
from artrec.errors import ConfigError
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
)
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.atonce import few
from artrec.stages.compaction import compact, noted
from artrec.stages.compaction.living import living_vectors
from artrec.stages.decoding import decoder
from artrec.stages.encoding import (
    batch_of,
    encode_pictures,
    encode_udf,
    keep_encoder,
    vector_rows,
    worker_encoder,
)
from artrec.stages.forgetting import judged_under, training_without
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    frame_of,
    parallelism,
    run_tasks,
    stage_frame,
    write_sorted,
)
from artrec.stages.given import given_vectors
from artrec.stages.pending import Unencoded
from artrec.stages.places import first_places, place_units, placed_pictures
from artrec.stages.rejects import Rejected
from artrec.stages.rules import (
    MEMBER_KEY,
    ingest_rules,
    vectors_identity,
)
from artrec.stages.slices import (
    SliceSpec,
    appended,
    cut_segments,
    ever_appended,
    run_segments,
)
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter

__all__ = ["RESULT_VERSION", "encode_udf", "run"]

RESULT_VERSION = RESULT_VERSIONS["embed"]
ROW_BYTES = 120


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Encode the pictures of tonight's members that this encoder has not yet met."""
    store, release = draft.store, draft.base.release
    ingest = draft.need("ingest")
    encoder = keep_encoder(store, settings.encoder.id, release, _training(spark, draft))
    if encoder.metric == "dot":
        raise ConfigError(
            f"encoder {encoder.id} uses the inner product; the neighbor tables are made for cosine "
            "and euclidean"
        )
    identity = vectors_identity(encoder, settings.ingest, settings.embed.precision)
    rules = {"encoder": identity, **ingest_rules(settings.ingest)}
    columns = ("content_sha256", "reason")
    ingested = ever_appended(store, ingest, "ingested", columns)
    # by ingest.inputs also the listing, and what was forgotten: what returns may have no vector
    facts = {"version": RESULT_VERSION, "ingest": ingest.inputs, "ingested": ingested}
    inputs = name_of({**facts, **rules})
    known = draft.known("embed", inputs)
    if known is not None:
        return draft.record(known)
    draft.begin_work()
    before = release.stages["embed"].tables if release else {}
    pending = _pending(spark, settings, draft, before, rules)
    draft.plan("embed", RunRef.of(pending))
    if isinstance(encoder, Given):
        runs = [given_vectors(spark, draft, encoder, identity, pending, rules)]
    else:
        runs = _encoded(spark, settings, draft, pending, encoder.id, identity)
    stage = noted(draft, appended("embed", inputs, before, pending, runs, ("vectors",)))
    living = living_vectors(spark, settings, draft, stage, identity)
    stage = compact(spark, settings, draft, stage, living)
    reached("embed.recorded")
    notes = {
        **stage.notes,
        "encoder": identity,
        "encoder_id": encoder.id,
        "metric": encoder.metric,
        "dim": encoder.dim,
    }
    return draft.record(stage.model_copy(update={"notes": notes}))


def _encoded(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    pending: Run,
    encoder_id: str,
    identity: str,
) -> list[Run]:
    work = partial(
        _encode_slice,
        draft.store,
        pending.receipts("pending_pictures"),
        receipts_of(draft.store, draft.need("ingest").tables["pictures"], "pictures"),
        settings,
        encoder_id,
        identity,
    )
    done_by, every = ("encoded", "rejected"), settings.log.every
    return run_segments(spark, draft, "embed", RESULT_VERSION, pending, work, done_by, every)


def _training(spark: SparkSession, draft: Draft) -> StageRuns | None:
    """How the encoder was chosen, tonight or once; a release keeps its predecessor's record."""
    release = draft.base.release
    before = release.stages.get("train") if release else None
    found = draft.stage("train") or before
    return draft.record(training_without(spark, draft, found)) if found is not None else None


def _pending(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    before: dict[str, list[RunRef]],
    rules: dict[str, Any],
) -> Run:
    """The pictures to encode, cut into slices and segments; made once, found again afterwards."""
    store, ingest = draft.store, draft.need("ingest")
    inputs = {
        "ingest": ingest.inputs,
        "pictures": [ref.run_id for ref in ingest.tables["pictures"]],  # places are told by file
        "vectors": digest_of(store, before.get("vectors", []), "vectors", ()),
    }
    run = begin_run("embed", RESULT_VERSION, inputs, rules)
    found = find_run(store, run.stage, run.run_id)
    if found is not None:
        return found
    begun = time.monotonic()
    pictures = receipts_of(store, ingest.tables["pictures"], "pictures")
    folder, table = run.folder(draft.attempt), TABLES["pending_pictures"]
    task = _at_once(draft, pictures, before, rules, folder)
    if few(task.pictures, task.vectors, task.members, task.ingested):
        written = run_tasks(spark, 1, task.write)[0].receipts
    else:
        rows = sum(receipt.rows for receipt in pictures)
        frame = _unencoded(spark, draft, before, rules)
        written = write_sorted(frame, store, folder, table, rows * ROW_BYTES)
    reached("embed.pending")
    units, sizes = place_units(store, written, pictures), settings.embed
    cut = cut_segments(units, sizes.slice_bytes, sizes.segment_bytes, parallelism(spark))
    log.get(stage="embed").info(
        "cut", pictures=cut.items, slices=cut.slices, segments=len(cut.segments)
    )
    notes = {"cut": cut.model_dump(mode="json")}
    return record_run(store, run.done({"pending_pictures": written}, begun, notes=notes))


def _at_once(
    draft: Draft,
    pictures: Sequence[Receipt],
    before: dict[str, list[RunRef]],
    rules: dict[str, Any],
    folder: str,
) -> Unencoded:
    """The same for one task."""
    store, inventory, ingest = draft.store, draft.need("inventory"), draft.need("ingest")
    return Unencoded(
        store=store,
        pictures=pictures,
        vectors=receipts_of(store, before.get("vectors", []), "vectors"),
        members=receipts_of(store, inventory.tables["members"], "members"),
        ingested=receipts_of(store, ingest.tables["ingested"], "ingested"),
        forgotten=draft.ledger.hashes,
        rules=rules,
        folder=folder,
    )


def _unencoded(
    spark: SparkSession, draft: Draft, before: dict[str, list[RunRef]], rules: dict[str, Any]
) -> DataFrame:
    """Each content of tonight once, at the first of its places."""
    places = first_places(spark, draft, rules["recipe"])
    vectors = before.get("vectors", [])
    if not vectors:
        return places
    done = frame_of(spark, draft.store, vectors, "vectors", ["content_sha256", "encoder"])
    done = done.filter(F.col("encoder") == rules["encoder"]).select("content_sha256")
    members = stage_frame(spark, draft, "inventory", "members", MEMBER_KEY)
    columns = [*MEMBER_KEY, "recipe", "decoder", "content_sha256", "reason"]
    known = stage_frame(spark, draft, "ingest", "ingested", columns)
    live = judged_under(spark, known, rules, draft.ledger).filter("reason is null")
    tonight = members.join(live, list(MEMBER_KEY)).select("content_sha256")
    return places.join(tonight, "content_sha256", "left_semi").join(
        done, "content_sha256", "left_anti"
    )


def _encode_slice(
    store: Store,
    pending: Sequence[Receipt],
    pictures: Sequence[Receipt],
    settings: Settings,
    encoder_id: str,
    identity: str,
    spec: SliceSpec,
    folder: str,
    attempt: Attempt,
) -> TaskReport:
    """One task: the pictures of a slice, read by row groups, encoded, and their vectors written."""
    encoder = worker_encoder(encoder_id, store, settings.embed)
    batch = batch_of(encoder, settings.embed)
    counters = {"encoded": 0, "rejected": 0}
    metadata = {"encoder": identity, "metric": encoder.metric, "dim": str(encoder.dim)}
    with (
        TableWriter(store, folder, TABLES["vectors"], attempt.stem, metadata) as vectors,
        decoder(encoder.preprocess, settings.ingest, in_child=attempt.number > 0) as decode,
    ):
        for rows, data in placed_pictures(store, pending, pictures, spec):
            keys = [row["content_sha256"] for row in rows]
            found = list(encode_pictures(encoder, data, decode, batch))
            vectors.write(vector_rows(keys, found, identity))
            rejected = sum(isinstance(each, Rejected) for each in found)
            counters["rejected"] += rejected
            counters["encoded"] += len(found) - rejected
    return TaskReport(receipts=vectors.receipts, counters=counters)
