"""What a night is expected to cost: counts and a timed sample put into the formulas of planning.

A dry run prints it. A night that has something to do keeps it in its draft, once, and puts beside
it what each stage was measured to; both go into the release.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np

from artrec import log
from artrec.archive import Archive, Member, Pin
from artrec.config import Settings, TrainSettings
from artrec.encoders import BUILTIN, Encoder, encoder_named
from artrec.encoders.costing import operations
from artrec.encoders.recipes import preprocess_of
from artrec.encoders.rules import Rules
from artrec.index import Target, shard_count
from artrec.planning import (
    Figures,
    Prices,
    Rates,
    RuledWork,
    Work,
    expected,
    expected_tables,
    joins_of,
    total,
)
from artrec.releases import (
    Draft,
    Planned,
    Release,
    StageRuns,
    read_runs,
    receipts_of,
)
from artrec.stages.listing import LISTED, Listing, as_member, pinned_archives
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.stages.outlook import Outlook, look
from artrec.stages.sampling import GROUP, GROUPS, sample
from artrec.storage import Store
from artrec.tables import read_table

__all__ = ["foresee", "foreseen", "measure"]

LITTLE = 20
"""A night that reads less than such a part of its members is planned without a sample."""

_IMAGES = {
    **{"inventory": "listed", "ingest": "read", "train": "examples", "embed": "encoded"},
    **{"catalog": "images", "index": "items", "neighbors": "vectors", "evaluate": "queries"},
    **{"report": "thumbnails", "publish": "stored"},
}
"""The counter that says how many images a stage worked on."""

PNG = 0.55
"""Bytes of an example as it is stored, for each of its pixels' bytes."""


def foresee(settings: Settings, draft: Draft, cores: int) -> Planned | None:
    """Keep in the draft what its night is expected to cost; found again by a later attempt.

    To be called when inventory is done. None, and no time taken, where nothing is to be done.
    """
    if not draft.is_begun:
        return None
    found = draft.planned()
    if found is not None:
        return found
    inventory, store = draft.need("inventory"), draft.store
    tables = {name: receipts_of(store, inventory.tables[name], name) for name in LISTED}
    receipts = [receipt for each in tables.values() for receipt in each]
    listing = Listing(store, receipts, inventory.notes["pins"], dict(inventory.counters))
    release = draft.base.release
    outlook = look(settings, store, release, listing)
    planned = foreseen(settings, store, release, listing, outlook, cores)
    draft.keep_planned(planned)
    whole = total(planned.expected)
    log.get(stage="inventory").info(
        "planned", seconds=round(whole.seconds, 1), cores=cores, sampled=planned.rates.pictures
    )
    return planned


def foreseen(
    settings: Settings,
    store: Store,
    release: Release | None,
    listing: Listing,
    outlook: Outlook,
    cores: int = 0,
) -> Planned:
    """What the stages will cost; takes about ``plan.sample_seconds`` where there is work."""
    encoder = _encoder(settings, store, release)
    work = _work(settings, release, listing, outlook, encoder, cores)
    rates, rules = Rates(), settings.plan
    if not {"ingest", "embed", "neighbors", "evaluate"} <= work.kept:
        vectors = 0 if "neighbors" in work.kept else work.images
        chosen = list(_chosen(settings, listing, outlook))
        known = _known_rates(release, listing, outlook)
        rates = known or sample(chosen, settings, encoder, vectors, work.cores)
    prices = Prices(hour=rules.price_hour, request=rules.price_request, gb=rules.price_gb)
    joins = joins_of(work, rates) if work.joins and "neighbors" not in work.kept else None
    return Planned(
        cores=work.cores,
        rates=rates,
        expected=expected(work, rates, prices),
        tables=expected_tables(work, rates, prices),
        joins=joins,
    )


def _known_rates(release: Release | None, listing: Listing, outlook: Outlook) -> Rates | None:
    """Those of the last release's plan, where little is to be read: a sample would take as long."""
    before = release.plan if release else None
    unread = int(outlook.unread.sum())
    if before is None or not before.rates.pictures or not outlook.kept["embed"]:
        return None
    return before.rates if unread * LITTLE <= listing.counters["listed"] else None


def _encoder(settings: Settings, store: Store, release: Release | None) -> Encoder:
    named = release.stages["embed"].notes["encoder_id"] if release else BUILTIN[0]
    name = settings.encoder.id or str(named)
    return encoder_named(store, name)


def _work(
    settings: Settings,
    release: Release | None,
    listing: Listing,
    outlook: Outlook,
    encoder: Encoder,
    cores: int,
) -> Work:
    listed, size = listing.counters["listed"], listing.counters["listed_bytes"]
    count, new = int(outlook.unread.sum()), int(outlook.sizes[outlook.unread].sum())
    encode = (count, new) if outlook.kept["embed"] else (listed, size)
    kept = {name for name, same in outlook.kept.items() if same}
    idle = {"ingest": not count, "embed": not encode[0]}
    kept = kept - {"embed"} | {name for name, same in idle.items() if same}
    if all(outlook.kept.values()):
        kept.add("publish")
    index = settings.index
    shards = shard_count(listed, index.shard_rows, index.shards)
    target = Target(index.recall, listed, shards, index.memory, index.trees)
    told = index.trees and index.search_k
    return Work(
        listed=listed,
        listed_bytes=size,
        unread=count,
        unread_bytes=new,
        encode=encode[0],
        encode_bytes=encode[1],
        images=listed,
        dim=encoder.dim,
        cores=cores or settings.plan.cores or os.cpu_count() or 1,
        kept=frozenset(kept),
        trains=outlook.trains,
        torch=not encoder.id.startswith(BUILTIN),
        side=max(encoder.preprocess.size),
        trees=target.usual(encoder.dim),
        trial_trees=0 if told else target.trial(encoder.dim),
        shards=shards if outlook.beside is None else outlook.counts["index"]["shards kept"],
        beside=outlook.beside,
        decoded=count if release and outlook.kept["embed"] else listed,
        **_training(settings.train, min(listed, settings.train.max_pictures), outlook.trains),
        sources=len(listing.pins),
        alone_bytes=max(
            (p["bytes"] for p in listing.pins.values() if not Pin(**p).sliced), default=0
        ),
        joins="neighbors" in outlook.lists,
        ruled=_ruled(settings, outlook),
        change=outlook.change,
        **_as_set(settings),
    )


def _as_set(settings: Settings) -> dict[str, Any]:
    """What a plan takes from the settings as it stands there."""
    lists, measured = settings.neighbors, settings.evaluate
    return {
        "slice_bytes": settings.ingest.slice_bytes,
        "embed_slice_bytes": settings.embed.slice_bytes,
        "batch": settings.embed.batch,
        "k": lists.k,
        "pool": lists.k + lists.slack,
        "block_rows": lists.block_rows,
        "pairs_from": lists.pairs_from,
        "method": lists.method,
        "exact_rows": lists.exact_rows,
        "recall": lists.recall,
        "rebuild_share": lists.rebuild_share,
        "queries": measured.queries,
        "sample": measured.sample,
        "map_points": measured.map_points,
        "thumbnails": settings.report.thumbnails,
        "embeddings": settings.catalog.embeddings,
    }


def _ruled(settings: Settings, outlook: Outlook) -> tuple[RuledWork, ...]:
    """The tables under rules to be made, as far as their rules change what they cost."""
    rules = settings.neighbors
    return tuple(
        RuledWork(
            name=name,
            k=rules.k_of(table),
            pool=Asked(name, table, rules.k_of(table), rules.slack).size,
            within=bool(table.within),
            never=bool(table.never),
            counted=bool(table.at_most),
            flagged=bool(table.only),
            candidates=table.candidates,
            kept=f"neighbors_{name}" in outlook.upkept,
        )
        for name, table in sorted(rules.tables.items())
        if f"neighbors_{name}" in outlook.lists
    )


def _training(training: TrainSettings, examples: int, trains: bool) -> dict[str, Any]:
    """Examples, their bytes, and what is to be computed for each."""
    rules = Rules.of(training)
    height, width = preprocess_of(rules).size
    held_out = int(examples * training.held_out)
    work = operations(rules, examples - held_out) if trains else 0.0
    return {
        "examples": examples,
        "epochs": 1,
        "example_flops": work / max(1, examples),
        "example_bytes": int(PNG * 3 * height * width),
    }


def _chosen(
    settings: Settings, listing: Listing, outlook: Outlook
) -> Iterator[tuple[Archive, list[Member]]]:
    """Some members that lie beside each other, at several places of what is to be read.

    None of a compressed tar, which would be read from its start.
    """
    wanted = np.flatnonzero(outlook.unread)
    if not len(wanted):
        wanted = np.arange(len(outlook.unread))
    firsts = [int(len(wanted) * (n + 0.5) / GROUPS) for n in range(GROUPS)]
    places = np.unique(np.concatenate([wanted[first : first + GROUP] for first in firsts]))
    archives = pinned_archives(settings, listing.pins)
    rows = list(_rows_at(listing, places))
    for at in range(0, len(rows), GROUP):
        for source, group in groupby(rows[at : at + GROUP], key=lambda row: str(row["source"])):
            if archives[source].pin().sliced:
                yield archives[source], [as_member(row) for row in group]


def _rows_at(listing: Listing, places: np.ndarray[Any, Any]) -> Iterator[dict[str, Any]]:
    """Rows of the table members, by their places in it."""
    low = 0
    receipts = [receipt for receipt in listing.receipts if receipt.table == "members"]
    for batch in read_table(listing.scratch, receipts):
        mine = places[(places >= low) & (places < low + batch.num_rows)] - low
        if len(mine):
            yield from batch.take(mine).to_pylist()
        low += batch.num_rows
        if low > places[-1]:
            return


def measure(draft: Draft, runs: StageRuns) -> Figures | None:
    """What a stage took, kept beside what it was expected to; None where it had nothing to do."""
    base = draft.base.release
    before = base.stages.get(runs.stage) if base else None
    planned = draft.planned()
    if before == runs or planned is None:
        return None
    seen = {ref.path for refs in (before.tables.values() if before else ()) for ref in refs}
    own = {ref.path: ref for refs in runs.tables.values() for ref in refs if ref.path not in seen}
    made = read_runs(draft.store, own.values())
    sizes = [each.bytes for run in made for files in run.tables.values() for each in files]
    sizes += [each.bytes for run in made for files in run.artifacts.values() for each in files]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = Figures(
        images=runs.counters.get(_IMAGES[runs.stage], 0),
        seconds=round(runs.seconds, 3),
        worker_bytes=runs.counters.get("worker_peak_bytes", 0),
        driver_bytes=peak * (1 if sys.platform == "darwin" else 1024),
        bytes_written=sum(sizes),
    )
    measured = planned.measured | {runs.stage: figures}
    draft.keep_planned(planned.model_copy(update={"measured": measured}))
    return figures
