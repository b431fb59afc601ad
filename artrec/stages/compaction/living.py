"""Which rows of the appended tables are live: those that tonight's members lead to.

Under tonight's rules, and under the last release's too: a setting that is tried for one night and
taken back finds everything as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache, reduce
from operator import or_
from typing import Any

from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.config import IngestSettings, Settings
from artrec.releases import Draft, Ledger, RunRef, StageRuns, digest_of
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.compaction import Living
from artrec.stages.frames import frame_of, stage_frame
from artrec.stages.rules import MEMBER_KEY, ingest_rules

__all__ = ["ledger_frame", "living_pictures", "living_vectors"]


def ledger_frame(spark: SparkSession, ledger: Ledger) -> DataFrame:
    """The forgotten contents, one a row."""
    rows = [(each,) for each in sorted(ledger.hashes)]
    return spark.createDataFrame(rows, "content_sha256 binary")


def living_pictures(
    spark: SparkSession, settings: Settings, draft: Draft, stage: StageRuns
) -> Living:
    """Of ``pictures`` and ``ingested``, as ingest is about to record them."""
    used = _rules_in_use(settings, draft)
    recipes = tuple(sorted({each["recipe"] for each in used}))

    @cache
    def frames() -> tuple[DataFrame, DataFrame, DataFrame]:
        members = stage_frame(spark, draft, "inventory", "members", MEMBER_KEY)
        known = _ingested(spark, draft, stage.tables["ingested"])
        return members, known, ledger_frame(spark, draft.ledger)

    @cache
    def unlisted() -> DataFrame:
        members, known, forgotten = frames()
        gone = known.join(forgotten, "content_sha256", "left_semi")
        return gone.join(members, list(MEMBER_KEY), "left_anti")

    def live() -> dict[str, DataFrame]:
        members, known, forgotten = frames()
        read = _under(known, used).join(members, list(MEMBER_KEY), "left_semi")
        contents = _contents(read, forgotten)
        pictures = _located(spark, draft, stage, "pictures")
        return {
            "ingested": read,
            "pictures": _firsts(pictures, "pictures", recipes, contents),
        }

    def forbidden() -> list[DataFrame]:
        pictures = _located(spark, draft, stage, "pictures")
        return [pictures.join(frames()[2], "content_sha256", "left_semi"), unlisted()]

    sizes, stored = settings.ingest, stage.counters.get("stored", 0)
    return Living(
        version=RESULT_VERSIONS["ingest"],
        rows={
            "ingested": draft.need("inventory").rows("members"),
            "pictures": _live_before(draft, stage, "pictures") + stored,
        },
        live=live,
        forbidden=forbidden,
        facts=_facts(draft, stage, {"rules": used}),
        slice_bytes=sizes.slice_bytes,
        segment_bytes=sizes.segment_bytes,
        strays=lambda: bool(draft.ledger.hashes) and not unlisted().isEmpty(),
        kept={"pictures": recipes},
    )


def living_vectors(
    spark: SparkSession, settings: Settings, draft: Draft, stage: StageRuns, identity: str
) -> Living:
    """Of ``vectors``, as embed is about to record them."""
    used, base = _rules_in_use(settings, draft), draft.base.release
    encoders = tuple(sorted({identity, *([base.stages["embed"].notes["encoder"]] if base else [])}))

    @cache
    def forgotten() -> DataFrame:
        return ledger_frame(spark, draft.ledger)

    def live() -> dict[str, DataFrame]:
        members = stage_frame(spark, draft, "inventory", "members", MEMBER_KEY)
        known = _ingested(spark, draft, draft.need("ingest").tables["ingested"])
        read = _under(known, used).join(members, list(MEMBER_KEY), "left_semi")
        vectors = _located(spark, draft, stage, "vectors")
        return {"vectors": _firsts(vectors, "vectors", encoders, _contents(read, forgotten()))}

    def forbidden() -> list[DataFrame]:
        vectors = _located(spark, draft, stage, "vectors")
        return [vectors.join(forgotten(), "content_sha256", "left_semi")]

    made = sum(stage.counters.get(name, 0) for name in ("encoded", "rejected"))
    counted = "compacted_segments" in draft.need("ingest").counters  # then vectors have died, too
    return Living(
        version=RESULT_VERSIONS["embed"],
        rows={"vectors": 0 if counted else _live_before(draft, stage, "vectors") + made},
        live=live,
        forbidden=forbidden,
        facts=_facts(
            draft,
            stage,
            {
                "encoders": encoders,
                "rules": used,
                "ingested": [ref.run_id for ref in draft.need("ingest").tables["ingested"]],
            },
        ),
        slice_bytes=settings.embed.slice_bytes,
        segment_bytes=settings.embed.segment_bytes,
        kept={"vectors": encoders},
    )


def _rules_in_use(settings: Settings, draft: Draft) -> list[dict[str, Any]]:
    found = [ingest_rules(settings.ingest)]
    if draft.base.release is not None:
        with suppress(ValidationError):  # an artrec with other settings made it
            before = IngestSettings.model_validate(draft.base.release.settings.get("ingest", {}))
            if ingest_rules(before) not in found:
                found.append(ingest_rules(before))
    return found


def _live_before(draft: Draft, stage: StageRuns, table: str) -> int:
    """Contents of the last release; all rows where there was none, as they are tonight's."""
    base = draft.base.release.stages.get("catalog") if draft.base.release else None
    return base.rows("live_vectors") if base else stage.rows(table)


def _facts(draft: Draft, stage: StageRuns, more: dict[str, Any]) -> dict[str, Any]:
    """What decides which rows are live: the listing, what was read, and the rules in use."""
    listed = draft.need("inventory").tables["members"]
    refs = {name: [ref.run_id for ref in refs] for name, refs in stage.tables.items()}
    return {
        "members": digest_of(draft.store, listed, "members", MEMBER_KEY),
        "segments": refs,
        "forgotten": draft.ledger.name,
        **more,
    }


def _ingested(spark: SparkSession, draft: Draft, refs: Sequence[RunRef]) -> DataFrame:
    columns = [*TABLES["ingested"].key, "content_sha256"]
    return frame_of(spark, draft.store, refs, "ingested", columns, located=True)


def _located(spark: SparkSession, draft: Draft, stage: StageRuns, table: str) -> DataFrame:
    columns = TABLES[table].key
    return frame_of(spark, draft.store, stage.tables[table], table, columns, located=True)


def _under(ingested: DataFrame, used: Sequence[dict[str, Any]]) -> DataFrame:
    same = (
        (F.col("recipe") == each["recipe"]) & (F.col("decoder") == each["decoder"]) for each in used
    )
    return ingested.filter(reduce(or_, same))


def _contents(read: DataFrame, forgotten: DataFrame) -> DataFrame:
    found = read.select("content_sha256").filter(F.col("content_sha256").isNotNull()).distinct()
    return found.join(forgotten, "content_sha256", "left_anti")


def _firsts(rows: DataFrame, table: str, values: Sequence[str], contents: DataFrame) -> DataFrame:
    """Of each live key the first place: what stands twice is dead the second time."""
    key = TABLES[table].key
    return (
        rows.filter(F.col(key[1]).isin(list(values)))
        .join(contents, "content_sha256", "left_semi")
        .groupBy(*key)
        .agg(F.min(F.struct("file", "row_group")).alias("first"))
        .select(*key, "first.*")
    )
