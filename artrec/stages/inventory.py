"""inventory: the sources' listings become the tables members, labels and label_misses."""

from __future__ import annotations

import time
from dataclasses import asdict

from pyspark.sql import SparkSession

from artrec import log
from artrec.archive import Pin
from artrec.config import Settings
from artrec.digests import name_of
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    Ledger,
    Run,
    RunRef,
    StageRuns,
    begin_run,
    find_run,
    record_run,
)
from artrec.stages import RESULT_VERSIONS
from artrec.stages.listing import LISTED, Listing, known_sources, list_sources, listed_from
from artrec.stages.sources import refuse_shrunken

__all__ = ["RESULT_VERSION", "draft_inputs", "listing_id", "run"]

RESULT_VERSION = RESULT_VERSIONS["inventory"]
NOTHING = Ledger(frozenset())


def run(spark: SparkSession | None, settings: Settings, draft: Draft) -> StageRuns:
    """List the sources and settle the draft's name; the listing itself needs no Spark.

    The draft is held by the listing's rows and the settings that change results. Raises
    InputError for an unreadable source, ReleaseConflict if the draft's name is held by others, and
    GateRefused where a source has lost too many of its members.
    """
    begun = time.monotonic()
    known = known_sources(draft.base.release)
    digests, pins = listed_from(settings, known)
    before = _listed_before(draft, digests)
    if before is not None:
        return _as_before(settings, draft, before, pins, begun)
    with list_sources(settings, known) as listing:
        name = listing_id(listing)
        draft.hold(draft_inputs(name, settings, draft.ledger))
        refuse_shrunken(settings.gates, draft, listing.sources)
        reached("inventory.listed")
        found = find_run(draft.store, "inventory", name) or _write(draft, listing, begun)
        reached("inventory.run")
        log.get(stage="inventory").info("listed", run=name, **listing.counters)
        for source, size in listing.whole.items():
            log.get(stage="inventory").warning(
                "a compressed tar is read by one task, and from its start if that task fails; a "
                "plain tar or a zip is shared",
                source=source,
                bytes=size,
            )
        for source, examples in listing.misses.items():
            log.get(stage="inventory").warning("labels missed", source=source, **examples)
        ref = RunRef.of(found)
        return draft.record(
            StageRuns(
                stage="inventory",
                inputs=name,
                tables={table: [ref] for table in LISTED},
                counters=listing.counters,
                seconds=time.monotonic() - begun,
                notes={
                    "pins": listing.pins,
                    "sources": listing.sources,
                    **({"listed_from": digests} if digests else {}),
                },
            )
        )


def _listed_before(draft: Draft, digests: dict[str, str]) -> StageRuns | None:
    """The last release's inventory, where tonight's is made from the same; else None."""
    release = draft.base.release
    before = release.stages.get("inventory") if release else None
    same = before is not None and digests and before.notes.get("listed_from") == digests
    return before if same else None


def _as_before(
    settings: Settings, draft: Draft, before: StageRuns, pins: dict[str, Pin], begun: float
) -> StageRuns:
    """The same tables: a directory that is the same byte for byte lists the same members."""
    draft.hold(draft_inputs(before.inputs, settings, draft.ledger))
    refuse_shrunken(settings.gates, draft, before.notes["sources"])
    reached("inventory.listed")
    reached("inventory.run")
    log.get(stage="inventory").info("listed as before", run=before.inputs, **before.counters)
    notes = before.notes | {"pins": {name: asdict(pin) for name, pin in pins.items()}}
    seconds = time.monotonic() - begun
    return draft.record(before.model_copy(update={"notes": notes, "seconds": seconds}))


def draft_inputs(listing: str, settings: Settings, ledger: Ledger = NOTHING) -> str:
    """A digest of all that a release is made from: listing, settings, code, what was forgotten.

    How an encoder is trained is the train stage's own business: a night that keeps its encoder is
    the same night under other ``train`` settings.
    """
    used = {key: value for key, value in settings.results().items() if key.split(".")[0] != "train"}
    facts = {"listing": listing, "settings": used, "versions": RESULT_VERSIONS}
    return name_of(facts | ledger.inputs)


def listing_id(listing: Listing) -> str:
    """The name of the run that holds these rows."""
    return _begun(listing).run_id


def _begun(listing: Listing) -> Run:
    inputs = {table: listing.digest(table) for table in LISTED}
    return begin_run("inventory", RESULT_VERSION, inputs, {})


def _write(draft: Draft, listing: Listing, begun: float) -> Run:
    draft.begin_work()
    run = _begun(listing)
    tables = listing.upload(draft.store, run.folder(draft.attempt))
    reached("inventory.uploaded")
    return record_run(draft.store, run.done(tables, begun, listing.counters))
