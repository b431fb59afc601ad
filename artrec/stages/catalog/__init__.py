"""catalog: every member is an image or a reject, once; and the vectors of the images."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from artrec import log
from artrec.config import Settings
from artrec.digests import name_of
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    Release,
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
from artrec.stages.catalog.live import live_run
from artrec.stages.forgetting import DETAIL, judged_under
from artrec.stages.frames import read_frame, run_tasks, stage_frame, write_sorted
from artrec.stages.rules import MEMBER_KEY, ingest_rules, picture_recipe
from artrec.stages.slices import ever_appended
from artrec.tables import Receipt

__all__ = ["RESULT_VERSION", "run"]

RESULT_VERSION = RESULT_VERSIONS["catalog"]
ROW_BYTES = {"catalog": 200, "rejects": 150}  # compressed, about: only for the number of files

_LABELS = ["style", "artist", "title", "year", "genre", "split", "license", "extra"]


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
        written = _joined(spark, settings, draft, folder, metadata)
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


def _joined(
    spark: SparkSession, settings: Settings, draft: Draft, folder: str, metadata: dict[str, str]
) -> dict[str, list[Receipt]]:
    """Catalog and rejects, joined by Spark."""
    tables = _Inputs.of(spark, settings, draft)
    judged = _judged(tables).persist()
    listed = draft.need("inventory").counters["listed"]
    images = _with_history(_images(judged, tables), tables.catalog, draft.release_id)
    rejects = _reject_history(_rejects(judged), tables.rejects, draft.release_id)
    written: dict[str, list[Receipt]] = {}
    for table, frame in (("catalog", images), ("rejects", rejects)):
        written[table] = write_sorted(
            frame, draft.store, folder, TABLES[table], listed * ROW_BYTES[table], metadata
        )
    judged.unpersist()
    return written


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


@dataclass(frozen=True)
class _Inputs:
    """The tables that the catalog is made from; of the base's only if there is one."""

    members: DataFrame
    labels: DataFrame
    ingested: DataFrame
    pictures: DataFrame
    vectors: DataFrame
    catalog: DataFrame | None
    rejects: DataFrame | None

    @classmethod
    def of(cls, spark: SparkSession, settings: Settings, draft: Draft) -> _Inputs:
        recipe = picture_recipe(settings.ingest)

        frame = partial(stage_frame, spark, draft)

        def of_base(release: Release | None, table: str) -> DataFrame | None:
            if release is None:
                return None
            receipts = table_receipts(draft.store, release, table)
            return read_frame(spark, draft.store, receipts, TABLES[table])

        encoder = draft.need("embed").notes["encoder"]
        keys = ["content_sha256", "encoder"]
        pictures = ["content_sha256", "recipe", "width", "height", "format"]
        return cls(
            members=frame("inventory", "members").drop("offset", "method", "stored_bytes"),
            labels=frame("inventory", "labels"),
            ingested=judged_under(
                spark, frame("ingest", "ingested"), ingest_rules(settings.ingest), draft.ledger
            ),
            pictures=frame("ingest", "pictures", pictures)
            .filter(F.col("recipe") == recipe)
            .drop("recipe")
            .dropDuplicates(["content_sha256"]),
            vectors=frame("embed", "vectors", [*keys, "vector_no", "reason", "detail"])
            .filter(F.col("encoder") == encoder)
            .drop("encoder"),
            catalog=of_base(draft.base.release, "catalog"),
            rejects=of_base(draft.base.release, "rejects"),
        )


def _judged(tables: _Inputs) -> DataFrame:
    """Every member with what became of it: ``reason`` and ``stage`` are null for images."""
    later = Window.partitionBy("image_id").orderBy(F.desc("source"), F.desc("entry"))
    members = tables.members.withColumn("place", F.row_number().over(later))
    ingested = tables.ingested.withColumnsRenamed(
        {"reason": "ingest_reason", "detail": "ingest_detail"}
    )
    vectors = tables.vectors.withColumnsRenamed(
        {"reason": "embed_reason", "detail": "embed_detail"}
    )
    joined = (
        members.join(ingested, list(MEMBER_KEY), "left")
        .join(vectors, "content_sha256", "left")
        .join(_collisions(vectors), ["vector_no", "content_sha256"], "left")
    )
    duplicate = F.col("place") > 1
    return (
        joined.withColumn(
            "reason",
            F.when(duplicate, F.lit("duplicate_name")).otherwise(
                F.coalesce("ingest_reason", "embed_reason", "collision")
            ),
        )
        .withColumn(
            "detail",
            F.when(duplicate, F.lit("a later member has this image_id")).otherwise(
                F.coalesce("ingest_detail", "embed_detail")
            ),
        )
        .withColumn(
            "stage",
            F.when(duplicate, F.lit("inventory"))
            .when(F.col("ingest_reason").isNotNull(), F.lit("ingest"))
            .when(F.col("reason").isNotNull(), F.lit("embed")),
        )
    )


def _collisions(vectors: DataFrame) -> DataFrame:
    """Contents that share a vector_no with a smaller content: 63 bits are not quite enough."""
    window = Window.partitionBy("vector_no").orderBy("content_sha256")
    return (
        vectors.select("vector_no", "content_sha256", F.row_number().over(window).alias("place"))
        .filter("place > 1")
        .select("vector_no", "content_sha256", F.lit("vector_no_collision").alias("collision"))
    )


def _images(judged: DataFrame, tables: _Inputs) -> DataFrame:
    return (
        judged.filter(F.col("reason").isNull())
        .join(tables.pictures, "content_sha256", "left")
        .join(tables.labels, ["source", "entry"], "left")
    )


def _rejects(judged: DataFrame) -> DataFrame:
    return judged.filter(F.col("reason").isNotNull())


def _with_history(images: DataFrame, before: DataFrame | None, release_id: str) -> DataFrame:
    """first_release is carried over; changed_release too, where picture and labels are the same."""
    tonight = F.lit(release_id)
    if before is None:
        return images.withColumn("first_release", tonight).withColumn("changed_release", tonight)
    kept = ["content_sha256", *_LABELS]
    old = before.select(
        "image_id",
        F.col("first_release").alias("old_first"),
        F.col("changed_release").alias("old_changed"),
        _fingerprint(kept).alias("old_facts"),
    )
    same = _fingerprint(kept) == F.col("old_facts")
    return (
        images.join(old, "image_id", "left")
        .withColumn("first_release", F.coalesce("old_first", tonight))
        .withColumn("changed_release", F.when(same, F.col("old_changed")).otherwise(tonight))
    )


def _fingerprint(columns: list[str]) -> Column:
    """Text that is equal for equal values; maps themselves cannot be compared."""
    return F.to_json(F.struct(*(F.col(name) for name in columns)))


def _reject_history(rejects: DataFrame, before: DataFrame | None, release_id: str) -> DataFrame:
    """first_release is carried over; attempts count how often the member was read."""
    tonight = F.lit(release_id)
    counted = rejects.withColumn("attempts", F.coalesce("attempts", F.lit(1).cast("int")))
    if before is None:
        return counted.withColumn("first_release", tonight)
    old = before.groupBy("source", "image_id", "reason").agg(
        F.min("first_release").alias("old_first")
    )
    return counted.join(old, ["source", "image_id", "reason"], "left").withColumn(
        "first_release", F.coalesce("old_first", tonight)
    )
