"""neighbors: the list of each image's nearest others, exact or (for very many) approximate.

The join runs over distinct vectors, by number; names come in at the end, in a run of their own. Its
pool keeps more entries than are published, with the radius within which it is complete (of an
approximate one nowhere: ``artrec.exact`` in its metadata says which it is). So most nights it is
kept up to date from the current release's, and not joined anew.
"""

from __future__ import annotations

import time
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
    record_run,
)
from artrec.stages import RESULT_VERSIONS
from artrec.stages.frames import add_counters, stage_frame
from artrec.stages.neighbors import ruled
from artrec.stages.neighbors.lists import published_lists
from artrec.stages.neighbors.pools import metadata_of, method_inputs, pool_inputs, pool_run, tonight

__all__ = ["RESULT_VERSION", "method_inputs", "run"]

RESULT_VERSION = RESULT_VERSIONS["neighbors"]


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Join all live vectors with each other and publish the first k neighbors of each image."""
    begun, rules = time.monotonic(), settings.neighbors
    inputs = pool_inputs(settings, draft)
    names = draft.need("catalog").tables["catalog"]
    named = {**inputs, "catalog": digest_of(draft.store, names, "catalog", ("vector_no",))}
    tables = ruled.begun_runs(settings, draft)
    more = {"tables": [each.run_id for each in tables.values()]} if tables else {}
    digest = name_of(named | more)
    known = draft.known("neighbors", digest)
    if known is not None:
        return draft.record(known)
    draft.begin_work()
    pools = pool_run(spark, settings, draft, inputs)
    reached("neighbors.pool")
    lists = _list_run(spark, settings, draft, named, pools)
    reached("neighbors.run")
    refs = {table: RunRef.of(run) for run in (pools, lists) for table in run.tables}
    counters, notes = tonight(draft, pools)
    rows = {table: ref.rows[table] for table, ref in refs.items()}
    log.get(stage="neighbors").info("done", run=lists.run_id, pool=pools.run_id, **rows)
    made = ruled.make_tables(spark, settings, draft, tables)
    return draft.record(
        StageRuns(
            stage="neighbors",
            inputs=digest,
            tables={table: [ref] for table, ref in refs.items()} | made.tables,
            counters=add_counters([counters, lists.counters, made.counters]),
            seconds=time.monotonic() - begun,
            notes={"k": rules.k, "slack": rules.slack, "exact": True, **notes, **made.shown},
        )
    )


def _list_run(
    spark: SparkSession, settings: Settings, draft: Draft, inputs: dict[str, Any], pools: Run
) -> Run:
    """The run with the tables neighbors and neighbors_nested."""
    begun = time.monotonic()
    run = begin_run("neighbors", RESULT_VERSION, inputs, {})
    found = find_run(draft.store, run.stage, run.run_id)
    if found is not None:
        return found
    catalog = stage_frame(spark, draft, "catalog", "catalog", ["image_id", "vector_no"])
    pool, folder = pools.receipts("neighbor_pool"), run.folder(draft.attempt)
    metadata = metadata_of(settings, draft, inputs)
    nested, flat = published_lists(spark, settings, draft, catalog, pool, folder, metadata)
    tables = {"neighbors_nested": nested, "neighbors": flat}
    return record_run(draft.store, run.done(tables, begun))
