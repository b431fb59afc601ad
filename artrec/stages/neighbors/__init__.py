"""neighbors: the list of each image's nearest others, exact or (for very many) approximate.

The join runs over distinct vectors, by number; names come in at the end. Its pool keeps more
entries than are published, with the radius within which it is complete (of an approximate one
nowhere: ``artrec.exact`` in its metadata says which it is).
"""

from __future__ import annotations

import time
from typing import Any

from pyspark.sql import SparkSession

from artrec import log
from artrec.config import NeighborsSettings, Settings
from artrec.digests import name_of
from artrec.failpoints import reached
from artrec.planning.joins import fits_alone, resolved
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
from artrec.stages import RESULT_VERSIONS
from artrec.stages.frames import add_counters, stage_frame
from artrec.stages.neighbors import ruled
from artrec.stages.neighbors.alone import join_alone
from artrec.stages.neighbors.approximate import join_approximate
from artrec.stages.neighbors.lists import published_lists
from artrec.stages.neighbors.onesided import join_onesided
from artrec.stages.neighbors.symmetric import join_symmetric

__all__ = ["RESULT_VERSION", "run"]

RESULT_VERSION = RESULT_VERSIONS["neighbors"]


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Join all live vectors with each other and publish the first k neighbors of each image."""
    begun = time.monotonic()
    store, rules = draft.store, settings.neighbors
    catalog, embed = draft.need("catalog"), draft.need("embed")
    inputs = {
        "version": RESULT_VERSION,
        "catalog": digest_of(store, catalog.tables["catalog"], "catalog", ("vector_no",)),
        "vectors": digest_of(
            store, embed.tables["vectors"], "vectors", ("vector_no", "embedding", "reason")
        ),
        "encoder": embed.notes["encoder"],
        "metric": embed.notes["metric"],
        "k": rules.k,
        "slack": rules.slack,
        **method_inputs(
            rules, draft.need("catalog").rows("live_vectors"), settings.evaluate.queries
        ),
    }
    tables = ruled.begun_runs(settings, draft)
    named = {"tables": [each.run_id for each in tables.values()]} if tables else {}
    digest = name_of(inputs | named)
    known = draft.known("neighbors", digest)
    if known is not None:
        return draft.record(known)
    draft.begin_work()
    run = begin_run("neighbors", RESULT_VERSION, inputs, {})
    found = find_run(store, run.stage, run.run_id)
    if found is None:
        found = _write(spark, settings, draft, run, begun)
    reached("neighbors.run")
    ref = RunRef.of(found)
    log.get(stage="neighbors").info("done", run=found.run_id, **ref.rows)
    made = ruled.make_tables(spark, settings, draft, tables)
    return draft.record(
        StageRuns(
            stage="neighbors",
            inputs=digest,
            tables={table: [ref] for table in found.tables} | made.tables,
            counters=add_counters([found.counters, made.counters]),
            seconds=time.monotonic() - begun,
            notes={"k": rules.k, "slack": rules.slack, "exact": True, **found.notes, **made.shown},
        )
    )


def method_inputs(rules: NeighborsSettings, rows: int, asked: int) -> dict[str, Any]:
    """What of the method changes the rows of the tables: nothing, where it is the exact one."""
    if rows < 2 or resolved(rules.method, rows, rules.exact_rows) == "exact":
        return {}
    return {"method": "approximate", "recall": rules.recall, "asked": asked}


def _write(spark: SparkSession, settings: Settings, draft: Draft, run: Run, begun: float) -> Run:
    store = draft.store
    embed = draft.need("embed").notes
    folder = run.folder(draft.attempt)
    metadata = {key: str(embed[key]) for key in ("encoder", "metric", "dim")}
    metadata["k"] = str(settings.neighbors.k)
    catalog = stage_frame(spark, draft, "catalog", "catalog", ["image_id", "vector_no"])
    live = receipts_of(store, draft.need("catalog").tables["live_vectors"], "live_vectors")
    rows = sum(receipt.rows for receipt in live)
    exact = run.inputs.get("method") != "approximate"
    metadata["exact"] = str(exact).lower()
    rules = settings.neighbors
    if exact:
        joined = join_symmetric if rows >= rules.pairs_from else join_onesided
    else:
        alone = fits_alone(rows, int(embed["dim"]), rules.k + rules.slack)
        joined = join_alone if alone else join_approximate
    before = time.monotonic()
    reports = joined(spark, settings, draft, run, live, metadata)
    joining = {"join_milliseconds": int(1000 * (time.monotonic() - before))}
    pool = [receipt for report in reports for receipt in report.receipts]
    reached("neighbors.pool")
    nested, flat = published_lists(spark, settings, draft, catalog, pool, folder, metadata)
    counters = add_counters([joining, *(report.counters for report in reports)])
    tables = {
        "neighbor_pool": pool,
        "neighbors_nested": nested,
        "neighbors": flat,
    }
    notes = {} if exact else {"exact": False, **reports[-1].notes}
    return record_run(store, run.done(tables, begun, counters, notes))
