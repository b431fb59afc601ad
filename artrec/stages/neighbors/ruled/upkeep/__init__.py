"""A table under a rule, kept up to date by what came and went since the last release.

What came meets all that is in its group, each product counts for both ends; what is gone leaves the
lists (:mod:`artrec.vectors.rules.update`). Lists from which the rule cannot take k any more are
joined anew in a second round. So the first k are those of a join from nothing.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from artrec import log
from artrec.config import Settings
from artrec.errors import ArtrecError
from artrec.planning.joins import seen_blocks
from artrec.releases import Draft, Run
from artrec.stages.frames import TaskReport, add_counters, parallelism, run_tasks
from artrec.stages.neighbors.laying import Scratch
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.stages.neighbors.ruled.upkeep.finding import (
    Before,
    Found,
    find_changes,
    table_before,
)
from artrec.stages.neighbors.ruled.upkeep.meeting import Meeting, gather, meet
from artrec.stages.progress import Watch
from artrec.stages.session import describe
from artrec.tables import Receipt

__all__ = ["kept_up"]


def kept_up(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    scratch: Scratch,
    asked: Asked,
    run: Run,
    entities: list[Receipt],
    live: list[Receipt],
) -> tuple[list[TaskReport], dict[str, Any]] | None:
    """Reports with files of ruled_pools, and what was done; None where all is to be joined anew."""
    before, share = table_before(draft, run, asked.name), settings.neighbors.rebuild_share
    if before is None or not share:
        return None
    describe(spark, f"neighbors_{asked.name}: what changed since {before.release}")
    found = find_changes(spark, scratch, asked, before, entities, live)
    if found.products > share * found.whole:
        _tell_anew(asked, before, f"{found.added} entities came, {found.gone} went")
        return None
    first = _first(spark, settings, scratch, asked, before, found, live)
    with _watch(settings, draft, first).watching(part=f"{asked.name}: changes") as marks:
        reports = meet(spark, first, marks)
    again = [file for each in reports for file in each.receipts if file.table == "ruled_visitors"]
    recomputed = sum(file.rows for file in again)
    if 2 * recomputed > share * found.entities:
        _tell_anew(asked, before, f"{recomputed} lists have too few entries left")
        return None
    if recomputed:
        describe(spark, f"neighbors_{asked.name}: {recomputed} lists anew")
        blocks = -(-recomputed // settings.neighbors.block_rows)
        second = replace(first, first=False, guests=again, blocks=blocks)
        with _watch(settings, draft, second).watching(part=f"{asked.name}: again") as marks:
            reports += meet(spark, second, marks)
    return _made(asked, before, found, reports)


def _first(
    spark: SparkSession,
    settings: Settings,
    scratch: Scratch,
    asked: Asked,
    before: Before,
    found: Found,
    live: list[Receipt],
) -> Meeting:
    """The first round: with those who came, and with copies apart."""
    rows = settings.neighbors.block_rows
    meeting = Meeting(
        scratch,
        asked,
        tuple(file.model_dump_json() for file in found.files),
        live,
        before.pool,
        found.entities,
        seen_blocks(found.entities, rows, parallelism(spark)),
        copies=-(-found.copied // rows),
        blocks=max(1, -(-found.came // rows)),
    )
    written = run_tasks(spark, meeting.ranges, partial(gather, meeting))
    guests = [file for each in written for file in each.receipts[: each.notes["came"]]]
    copied = [file for each in written for file in each.receipts[each.notes["came"] :]]
    return replace(meeting, guests=guests, copied=copied)


def _watch(settings: Settings, draft: Draft, meeting: Meeting) -> Watch:
    total, every = meeting.ranges + meeting.copies, settings.log.every
    return Watch(draft, "neighbors", total, ("meetings",), "meetings", every)


def _made(
    asked: Asked, before: Before, found: Found, reports: list[TaskReport]
) -> tuple[list[TaskReport], dict[str, Any]]:
    counters = add_counters(report.counters for report in reports)
    joined = counters.get("entities", 0)
    if joined != found.entities:
        raise ArtrecError(
            f"neighbors_{asked.name}: kept up to date, the pools are those of {joined:,} of "
            f"{found.entities:,} entities (vectors with their labels), so lists would lack "
            "entries; the table is not recorded. Run the same command again with --set "
            "neighbors.rebuild_share=0, which joins all anew"
        )
    facts = {
        "since": before.release,
        **{name: getattr(found, name) for name in ("added", "gone", "relabelled")},
        "recomputed": counters.get("recomputed", 0),
        "products": counters.get("products", 0),
        "whole_products": found.whole,
    }
    log.get(stage="neighbors").info("maintained", table=asked.name, **facts)
    kept = [
        report.model_copy(
            update={"receipts": [f for f in report.receipts if f.table == "ruled_pools"]}
        )
        for report in reports
    ]
    return kept, facts


def _tell_anew(asked: Asked, before: Before, why: str) -> None:
    found = log.get(stage="neighbors")
    found.info("joined anew", table=asked.name, since=before.release, why=why)
