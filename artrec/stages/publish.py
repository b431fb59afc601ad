"""publish: the gates are asked, the release is written, and CURRENT is swapped."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec import log
from artrec.config import Settings
from artrec.errors import GateRefused
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    GateReport,
    GateResult,
    Release,
    StageRuns,
    publish,
    receipts_of,
    versions,
)
from artrec.schemas import TABLES
from artrec.stages import NAMES, ORDER
from artrec.stages.frames import read_frame

__all__ = ["run"]

_KEY = ["source", "entry"]


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Publish what the stages recorded; nothing, where no stage recorded anything new.

    Raises GateRefused (the draft is kept, CURRENT untouched) and Superseded.
    """
    begun = time.monotonic()
    stages = {name: draft.need(name) for name in _recorded(draft)}
    result = StageRuns(stage="publish", inputs="", tables={})
    if draft.unchanged:
        notes = {"status": "unchanged", "release": draft.base.release_id}
        return result.model_copy(update={"notes": notes})
    counts, gates = _checked(spark, draft, stages)
    reached("publish.gates")
    draft.keep_gates(GateReport(gates=gates, counts=counts))
    refused = [gate for gate in gates if not gate.passed]
    if refused:
        raise GateRefused(
            "; ".join(f"gate {g.gate}: found {g.found}, expected {g.expected}" for g in refused)
            + f". Release {draft.release_id} is not published; its draft is kept"
        )
    embed = stages["embed"].notes
    release = Release(
        release_id=draft.release_id,
        previous=draft.base.release_id,
        inputs=draft.head.inputs if draft.head else "",
        created=datetime.now(UTC),
        settings=settings.model_dump(mode="json"),
        versions=versions(),
        encoder=embed["encoder"],
        metric=embed["metric"],
        dim=embed["dim"],
        k=stages["neighbors"].notes["k"],
        stages=stages,
        gates=gates,
        counts=counts,
    )
    published = publish(draft.store, release, draft.base)
    reached("publish.current")
    log.get(stage="publish").info("published", release=published.release_id, **counts)
    notes = {"status": "published", "release": published.release_id}
    seconds = time.monotonic() - begun
    return result.model_copy(update={"notes": notes, "counters": counts, "seconds": seconds})


def _recorded(draft: Draft) -> list[str]:
    """The stages of this release, in order; train only where one chose the encoder, once."""
    names = [name for name in ORDER if name in NAMES or draft.stage(name) is not None]
    return [name for name in names if name != "publish"]


def _checked(
    spark: SparkSession, draft: Draft, stages: dict[str, StageRuns]
) -> tuple[dict[str, int], list[GateResult]]:
    """Counts of the release, and the gates on them; never by subtracting counts."""

    def frame(stage: str, table: str, columns: list[str]) -> DataFrame:
        receipts = receipts_of(draft.store, stages[stage].tables[table], table)
        return read_frame(spark, draft.store, receipts, TABLES[table], columns)

    members = frame("inventory", "members", _KEY)
    catalog = frame("catalog", "catalog", [*_KEY, "image_id"])
    rejects = frame("catalog", "rejects", [*_KEY, "reason"])
    accounted = catalog.select(*_KEY).unionByName(rejects.select(*_KEY))
    counts = {
        "listed": stages["inventory"].rows("members"),
        "stored": stages["catalog"].rows("catalog"),
        "rejected": stages["catalog"].rows("rejects"),
        "lost": members.join(accounted, _KEY, "left_anti").count(),
        "invented": accounted.join(members, _KEY, "left_anti").count(),
        "double": accounted.groupBy(*_KEY).count().filter("count > 1").count(),
        "double_ids": catalog.groupBy("image_id").count().filter("count > 1").count(),
        "lists": stages["neighbors"].rows("neighbors_nested"),
    }
    for row in rejects.groupBy("reason").agg(F.count("*").alias("n")).orderBy("reason").collect():
        counts[f"rejected_{row.reason}"] = row.n
    return counts, _gates(counts)


def _gates(counts: dict[str, int]) -> list[GateResult]:
    balance = {name: counts[name] for name in ("lost", "invented", "double")}
    found = ", ".join(f"{value} {name}" for name, value in balance.items())
    return [
        GateResult(
            gate="balance",
            passed=not any(balance.values()),
            found=found,
            expected="every member in exactly one of catalog and rejects",
        ),
        GateResult(
            gate="identity",
            passed=counts["double_ids"] == 0,
            found=f"{counts['double_ids']} image_ids more than once",
            expected="each image_id once",
        ),
        GateResult(
            gate="lists",
            passed=counts["lists"] == counts["stored"],
            found=f"{counts['lists']} neighbor lists",
            expected=f"{counts['stored']}, one for each image",
        ),
        GateResult(
            gate="images",
            passed=counts["stored"] > 0,
            found=f"{counts['stored']} images",
            expected="at least one",
        ),
    ]
