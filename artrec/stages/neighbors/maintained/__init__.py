"""The neighbor table of the current release, kept up to date by what came and went since.

Ranges of the vectors then and now are compared by their numbers (:mod:`finding`). What is added
meets all that stays, block by block, and each product counts for both its ends; what is gone leaves
the lists (:mod:`meeting`). Lists that have fewer than k entries left are joined anew, and the new
pool is written in order (:mod:`merging`). Of exact tables the first k of each list are those of a
whole join, of the same name as that; :mod:`artrec.vectors.update` has the reasons.
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import SparkSession

from artrec import log
from artrec.config import Settings
from artrec.failpoints import reached
from artrec.planning.maintaining import Change, kept_up_products, whole_products
from artrec.releases import Draft, Run
from artrec.stages.frames import TaskReport, add_counters
from artrec.stages.neighbors.laying import Scratch
from artrec.stages.neighbors.maintained.before import Before, table_before
from artrec.stages.neighbors.maintained.finding import Changes, find_changes
from artrec.stages.neighbors.maintained.meeting import Met, meet_added
from artrec.stages.neighbors.maintained.merging import merge
from artrec.stages.neighbors.onesided import join_some
from artrec.tables import Receipt

__all__ = ["maintain", "table_before"]


def maintain(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    run: Run,
    live: list[Receipt],
    metadata: dict[str, str],
) -> list[TaskReport] | None:
    """The pools of all live vectors, files in order; None where a whole join is to be made.

    The last report has notes of what changed, and the products that it took.
    """
    before = table_before(draft, run.inputs)
    if before is None:
        return None
    rows = sum(receipt.rows for receipt in live)
    scratch = Scratch(draft.store, run.folder(draft.attempt), metadata, rows)
    whole = _whole(settings, before, rows)
    if _dear(settings, before, Change.least(before.rows, rows), whole):
        return None
    changes = find_changes(spark, settings, scratch, before, live)
    if _dear(settings, before, changes.change, whole):
        return None
    met = meet_added(spark, settings, draft, scratch, before, changes)
    reached("neighbors.met")
    lacking = met.lacking_rows
    if lacking * rows > settings.neighbors.rebuild_share * whole:
        _tell_anew(before, f"{lacking} lists have too few entries left")
        return None
    again: list[TaskReport] = []
    if lacking:
        again = join_some(spark, settings, draft, run, met.lacking, live, metadata)
    pool = merge(spark, scratch, changes, met, [file for each in again for file in each.receipts])
    return _reports(before, changes, met, again, pool, whole)


def _whole(settings: Settings, before: Before, rows: int) -> int:
    """Products of a whole join of ``rows``; of an approximate one as the last one took."""
    if before.exact:
        return whole_products(rows, settings.neighbors.pairs_from)
    return int(before.notes["products"] * rows / before.rows)


def _dear(settings: Settings, before: Before, change: Change, whole: int) -> bool:
    """Whether so much has changed that a whole join is to be made, which is told then."""
    rules = settings.neighbors
    products = kept_up_products(change, rules.k, rules.k + rules.slack)
    if products < rules.rebuild_share * whole:
        return False
    counts = f"at least {change.added} of {change.after} vectors are new, {change.gone} are gone"
    _tell_anew(before, f"{counts}: {products} of {whole} products")
    return True


def _tell_anew(before: Before, why: str) -> None:
    log.get(stage="neighbors").info("joined anew", since=before.release, why=why)


def _reports(
    before: Before,
    changes: Changes,
    met: Met,
    again: list[TaskReport],
    pool: list[TaskReport],
    whole: int,
) -> list[TaskReport]:
    reports = [*changes.reports, *met.reports, *again, *pool]
    counters = add_counters(report.counters for report in reports)
    facts: dict[str, Any] = {
        "since": before.release,
        "added": changes.change.added,
        "gone": changes.change.gone,
        "recomputed": met.lacking_rows,
        "products": counters.get("products", 0),
        "whole_products": whole,
    }
    log.get(stage="neighbors").info("maintained", **facts)
    names = ("added", "gone", "recomputed", "products")
    kept = {key: counters[key] for key in ("task_milliseconds", "worker_peak_bytes")}
    own = {"vectors": changes.change.after, **{name: facts[name] for name in names}, **kept}
    receipts = [file for report in pool for file in report.receipts]
    notes = {"maintained": facts, **({} if before.exact else before.notes)}
    return [TaskReport(receipts=receipts, counters=own, notes=notes)]
