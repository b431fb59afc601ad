"""The run of the pools: found, kept up to date from the current release's, or joined anew.

It knows nothing of names, so it is found again where only names changed.
"""

from __future__ import annotations

import time
from typing import Any

from pyspark.sql import SparkSession

from artrec.config import NeighborsSettings, Settings
from artrec.planning.joins import fits_alone, resolved
from artrec.releases import (
    Draft,
    Run,
    RunRef,
    begin_run,
    digest_of,
    find_run,
    receipts_of,
    record_run,
)
from artrec.stages import RESULT_VERSIONS
from artrec.stages.frames import TaskReport, add_counters
from artrec.stages.neighbors.alone import join_alone
from artrec.stages.neighbors.approximate import join_approximate
from artrec.stages.neighbors.maintained import maintain
from artrec.stages.neighbors.onesided import join_onesided
from artrec.stages.neighbors.symmetric import join_symmetric
from artrec.tables import Receipt

__all__ = ["metadata_of", "method_inputs", "pool_inputs", "pool_run", "tonight"]


def pool_inputs(settings: Settings, draft: Draft) -> dict[str, Any]:
    """All that can change the pools."""
    rules, catalog, embed = settings.neighbors, draft.need("catalog"), draft.need("embed").notes
    live = catalog.tables["live_vectors"]
    return {
        "version": RESULT_VERSIONS["neighbors"],
        "vectors": digest_of(draft.store, live, "live_vectors", ("embedding",)),
        "encoder": embed["encoder"],
        "metric": embed["metric"],
        "k": rules.k,
        "slack": rules.slack,
        **method_inputs(rules, catalog.rows("live_vectors"), settings.evaluate.queries),
    }


def method_inputs(rules: NeighborsSettings, rows: int, asked: int) -> dict[str, Any]:
    """What of the method changes the rows of the tables: nothing, where it is the exact one."""
    if rows < 2 or resolved(rules.method, rows, rules.exact_rows) == "exact":
        return {}
    return {"method": "approximate", "recall": rules.recall, "asked": asked}


def pool_run(spark: SparkSession, settings: Settings, draft: Draft, inputs: dict[str, Any]) -> Run:
    """The run with the table neighbor_pool."""
    begun = time.monotonic()
    run = begin_run("neighbors", RESULT_VERSIONS["neighbors"], inputs, {})
    found = find_run(draft.store, run.stage, run.run_id)
    if found is not None:
        return found
    live = receipts_of(draft.store, draft.need("catalog").tables["live_vectors"], "live_vectors")
    metadata = metadata_of(settings, draft, inputs)
    before = time.monotonic()
    reports = maintain(spark, settings, draft, run, live, metadata)
    if reports is None:
        reports = _joined(spark, settings, draft, run, live, metadata)
    joining = {"join_milliseconds": int(1000 * (time.monotonic() - before))}
    pool = [receipt for report in reports for receipt in report.receipts]
    counters = add_counters([joining, *(report.counters for report in reports)])
    notes = {} if metadata["exact"] == "true" else {"exact": False}
    notes |= reports[-1].notes if reports else {}
    return record_run(draft.store, run.done({"neighbor_pool": pool}, begun, counters, notes))


def metadata_of(settings: Settings, draft: Draft, inputs: dict[str, Any]) -> dict[str, str]:
    """What the files of the neighbor tables say of themselves."""
    embed = draft.need("embed").notes
    metadata = {key: str(embed[key]) for key in ("encoder", "metric", "dim")}
    exact = inputs.get("method") != "approximate"
    return metadata | {"k": str(settings.neighbors.k), "exact": str(exact).lower()}


def _joined(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    run: Run,
    live: list[Receipt],
    metadata: dict[str, str],
) -> list[TaskReport]:
    """All vectors with each other."""
    rules, rows = settings.neighbors, sum(receipt.rows for receipt in live)
    if metadata["exact"] == "true":
        join = join_symmetric if rows >= rules.pairs_from else join_onesided
    else:
        alone = fits_alone(rows, int(metadata["dim"]), rules.k + rules.slack)
        join = join_alone if alone else join_approximate
    return join(spark, settings, draft, run, live, metadata)


def tonight(draft: Draft, run: Run) -> tuple[dict[str, int], dict[str, Any]]:
    """Counters and notes of the pools: of those that the current release has, that nothing is done.

    An earlier attempt at this night, which made them, counts as this one.
    """
    base, ref = draft.base.release, RunRef.of(run)
    if base is None or ref not in base.refs("neighbor_pool"):
        return run.counters, run.notes
    none = {"added": 0, "gone": 0, "recomputed": 0, "products": 0}
    facts = {"since": base.release_id, **none, "whole_products": 0}
    counters = {"vectors": ref.rows["neighbor_pool"], **none}
    return counters, {**run.notes, "maintained": facts}
