"""inventory: the sources' listings become the tables members and labels."""

from __future__ import annotations

import time

from pyspark.sql import SparkSession

from artrec import log
from artrec.config import Settings
from artrec.digests import name_of
from artrec.failpoints import reached
from artrec.releases import Draft, Run, RunRef, StageRuns, find_run, record_run, run_id, versions
from artrec.stages.listing import Listing, list_sources

__all__ = ["RESULT_VERSION", "listing_id", "run"]

RESULT_VERSION = 1


def run(spark: SparkSession | None, settings: Settings, draft: Draft) -> StageRuns:
    """List the sources and settle the draft's name; the listing itself needs no Spark.

    The draft is held by the listing's rows and the settings that change results. Raises
    InputError for an unreadable source, ReleaseConflict if the draft's name is held by others.
    """
    begun = time.monotonic()
    with list_sources(settings) as listing:
        name = listing_id(listing)
        draft.hold(name_of({"listing": name, "settings": settings.results()}))
        reached("inventory.listed")
        found = find_run(draft.store, "inventory", name) or _write(draft, name, listing, begun)
        reached("inventory.run")
        log.get(stage="inventory").info("listed", run=name, **listing.counters)
        ref = RunRef.of(found)
        return draft.record(
            StageRuns(
                stage="inventory",
                inputs=name,
                tables={"members": [ref], "labels": [ref]},
                counters=listing.counters,
                seconds=time.monotonic() - begun,
                notes={"pins": listing.pins},
            )
        )


def listing_id(listing: Listing) -> str:
    """The name of the run that holds these rows."""
    inputs = {"members": listing.digest("members"), "labels": listing.digest("labels")}
    return run_id("inventory", RESULT_VERSION, inputs, {})


def _write(draft: Draft, name: str, listing: Listing, begun: float) -> Run:
    draft.begin_work()
    tables = listing.upload(draft.store, f"runs/inventory/{name}/{draft.attempt}")
    reached("inventory.uploaded")
    return record_run(
        draft.store,
        Run(
            stage="inventory",
            run_id=name,
            tables=tables,
            inputs={},
            settings={},
            versions=versions(),
            counters=listing.counters,
            seconds=time.monotonic() - begun,
        ),
    )
