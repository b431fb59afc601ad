"""Sweep: what no kept release and no open draft needs is removed; first it is only told.

The order is that of dependence, from what readers open downwards: the documents of releases, those
of drafts, the records of runs, and files last. A sweep that is killed anywhere leaves every kept
release whole, and no document whose files are gone before it. Memory grows with the number of
files, not of images.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from artrec.errors import NotFound, StoreFormatError
from artrec.failpoints import reached
from artrec.releases.forgotten import Ledger, ledger_of
from artrec.releases.heads import CLOCK_STEP, abandon, open_heads
from artrec.releases.history import were_current
from artrec.releases.lease import Lease
from artrec.releases.published import Base, Current, Release, read_base, read_pointer
from artrec.releases.runs import Run, read_document
from artrec.storage import Entry, Store, Unfinished, Versioned

__all__ = ["KINDS", "Rules", "Sweep", "carry_out", "give_up", "plan_sweep", "runs_in"]

KINDS = ("releases", "drafts", "runs", "files", "orphans", "encoders", "unfinished", "versions")
"""What is removed, in this order. ``files`` are those that a removed run lists, ``orphans`` those
that no run lists: of tasks that were repeated, and of attempts that ended early. ``versions`` are
older ones of files that are gone, in a store that keeps such, once a picture was forgotten."""

NOT_RECORDS = ("draft.json", "outcome.json", "gates.json", "abandoned.json", "plan.json")


@dataclass(frozen=True)
class Rules:
    """What is kept: the newest ``keep`` releases that were current, and all younger than ``age``.

    ``used`` are encoders that the settings name; None keeps all encoders. ``open_drafts`` keeps
    those too.
    """

    keep: int
    age: timedelta
    open_drafts: bool = True
    used: frozenset[str] | None = None


@dataclass
class Sweep:
    """What a sweep removes, by kind and in order, and the releases and drafts that it keeps."""

    kept: list[str]
    open: list[str]
    doomed: dict[str, list[Entry]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def counts(self) -> dict[str, tuple[int, int]]:
        """Kind -> (objects, bytes)."""
        return {k: (len(each), sum(e.bytes for e in each)) for k, each in self.doomed.items()}


def plan_sweep(store: Store, rules: Rules, now: datetime) -> Sweep:
    """What a sweep would remove; ``now`` is by the clock of the store. Nothing is changed."""
    base = read_base(store)
    before = now - rules.age
    releases = _kept_releases(store, base, rules.keep, before)
    opened = [head.release_id for head in open_heads(store, base)] if rules.open_drafts else []
    plan = Sweep(kept=[each.release_id for each in releases], open=opened)

    def doom(kind: str, entries: Iterable[Entry]) -> None:
        plan.doomed[kind] += [entry for entry in entries if entry.modified < before]

    doom("releases", _documents(store, plan))
    plan.doomed["drafts"] += _drafts(store, plan, before)
    needed = {path for each in releases for path in runs_in(each.model_dump(mode="json"))}
    needed.update(path for name in opened for path in _runs_of_draft(store, name))
    made = _plan_runs(store, plan, needed, before)
    if rules.used is not None:
        used = {*rules.used, *made, *_encoders_of(releases), *_encoders_of_drafts(store, opened)}
        found = store.list("encoders")
        doom("encoders", (entry for entry in found if entry.path.split("/")[1] not in used))
    if isinstance(store, Unfinished):
        doom("unfinished", store.unfinished())
    if isinstance(store, Versioned) and Ledger.read(store).hashes:
        doom("versions", store.versions("runs"))
    return plan


def give_up(store: Store, lease: Lease) -> None:
    """Abandon every open draft."""
    base = read_base(store)
    for head in open_heads(store, base):
        lease.confirm()
        abandon(store, head.release_id, base)


def carry_out(store: Store, plan: Sweep, lease: Lease) -> None:
    """Remove what was planned, as long as the lease is held: Superseded (8) otherwise."""
    for kind in KINDS:
        if kind == "versions" and isinstance(store, Versioned):
            plan.doomed[kind] += _left_behind(store, plan)
        for entry in plan.doomed[kind]:
            lease.confirm(within=lease.period / 6)
            reached("sweep.delete")
            with suppress(NotFound):  # an earlier answer was lost
                if kind == "unfinished" and isinstance(store, Unfinished):
                    store.discard(entry)
                elif kind == "versions" and isinstance(store, Versioned):
                    store.purge(entry)
                else:
                    store.delete(entry.path)


def _left_behind(store: Versioned, plan: Sweep) -> list[Entry]:
    """The versions of what this sweep itself has removed just now, where they are to go as well."""
    if not Ledger.read(store).hashes:
        return []
    gone = {entry.path for kind in ("runs", "files", "orphans") for entry in plan.doomed[kind]}
    known = {(entry.path, entry.etag) for entry in plan.doomed["versions"]}
    found = store.versions("runs")
    return [each for each in found if each.path in gone and (each.path, each.etag) not in known]


def _kept_releases(store: Store, base: Base, keep: int, before: datetime) -> list[Release]:
    """The newest of those that were current, the current one, and the one that a rollback would
    lead to; and whatever is young, with its runs, which may be older.
    """
    entries = [entry for entry in store.list("releases") if entry.path.endswith(".json")]
    found = [read_document(store, entry.path, Release) for entry in entries]
    published = were_current(store, found)
    ranked = sorted(found, key=lambda each: (each.created, each.release_id))
    newest = [each.release_id for each in ranked if each.release_id in published][-keep:]
    pointer = read_pointer(store)
    names = {*newest, base.release_id, _way_back(found, base, pointer)}
    return [
        release
        for entry, release in zip(entries, found, strict=True)
        if release.release_id in names or entry.modified >= before
    ]


def _way_back(
    found: list[Release], base: Base, pointer: tuple[Current, Entry] | None
) -> str | None:
    """Where a rollback would lead; nowhere, if that would bring back what was forgotten since."""
    ledgers = {
        r.release_id: ledger_of(r.stages["ingest"].notes) for r in found if "ingest" in r.stages
    }
    previous = pointer[0].previous if pointer else None
    same = ledgers.get(previous or "", "") == ledgers.get(base.release_id or "", "")
    return previous if same else None


def _documents(store: Store, plan: Sweep) -> list[Entry]:
    """JSON and views of releases that are neither kept nor those of an open draft; of each the
    JSON first.
    """
    kept = {*plan.kept, *plan.open}
    entries = [
        entry
        for entry in store.list("releases")
        if entry.path.rpartition("/")[2].rpartition(".")[0] not in kept
    ]
    return sorted(entries, key=lambda entry: (not entry.path.endswith(".json"), entry.path))


def _drafts(store: Store, plan: Sweep, before: datetime) -> Iterator[Entry]:
    """What lies in the folders of drafts that are neither open nor those of a kept release.

    A folder goes as a whole, its head first; word that it is abandoned does not make it young.
    """
    kept = {*plan.kept, *plan.open}
    for name, folder in groupby(store.list("drafts"), key=lambda entry: entry.path.split("/")[1]):
        entries = sorted(folder, key=lambda entry: not entry.path.endswith("/draft.json"))
        young = (e for e in entries if e.modified >= before)
        if name not in kept and all(e.path.endswith("/abandoned.json") for e in young):
            yield from entries


def _runs_of_draft(store: Store, name: str) -> Iterator[str]:
    for entry in store.list(f"drafts/{name}"):
        if entry.path.endswith(".json") and not entry.path.endswith(NOT_RECORDS):
            yield from runs_in(json.loads(store.read(entry.path)))


def runs_in(value: Any) -> Iterator[str]:
    """The records of all runs that a document names, wherever it does."""
    if isinstance(value, dict):
        if isinstance(value.get("run_id"), str) and isinstance(value.get("stage"), str):
            yield f"runs/{value['stage']}/{value['run_id']}/run.json"
        for each in value.values():
            yield from runs_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from runs_in(each)


def _plan_runs(store: Store, plan: Sweep, needed: set[str], before: datetime) -> set[str]:
    """Runs that nothing names, and files that no kept run lists; returns encoders of kept runs.

    Finished segments of an open draft are not named by it yet, nor are the checkpoints of a run
    that is under way: what was written since it began is kept. A run that stays without the encoder
    that it made would be found again, and be of no use.
    """
    before = min(before, _begun(store, plan.open) or before)
    encoders: set[str] = set()
    listed: set[str] = set()
    files: list[Entry] = []
    of_doomed: set[str] = set()
    seen: set[str] = set()
    for entry in store.list("runs"):
        if not entry.path.endswith("/run.json"):
            files.append(entry)
            continue
        run = read_document(store, entry.path, Run)
        own = set(_files_of(run))
        seen.add(entry.path)
        if entry.modified >= before or entry.path in needed:
            listed |= own
            encoders.add(str(run.notes.get("encoder_id", "")))
        else:
            plan.doomed["runs"].append(entry)
            of_doomed |= own
    _refuse_missing(store, sorted(needed - seen))
    for entry in files:
        if entry.path not in listed and entry.modified < before:
            kind = "files" if entry.path in of_doomed else "orphans"
            plan.doomed[kind].append(entry)
    return encoders


def _refuse_missing(store: Store, missing: list[str]) -> None:
    if missing:
        raise StoreFormatError(
            f"{store.url}: {missing[0]} is missing, though a release or draft that is kept names it"
            f" ({len(missing)} such runs): nothing was removed; look with artrec releases verify, "
            "or keep fewer releases"
        )


def _files_of(run: Run) -> Iterator[str]:
    """A run's files may lie in another run's folder: those of an index that was gone on with."""
    for receipts in run.tables.values():
        yield from (each.path for each in receipts)
    for artifacts in run.artifacts.values():
        yield from (each.path for each in artifacts)


def _begun(store: Store, names: list[str]) -> datetime | None:
    begun = [store.stat(f"drafts/{name}/draft.json").modified for name in names]
    return min(begun) - CLOCK_STEP if begun else None


def _encoders_of(releases: Iterable[Release]) -> Iterator[str]:
    for release in releases:
        yield release.encoder
        for stage in release.stages.values():
            yield str(stage.notes.get("encoder_id", ""))


def _encoders_of_drafts(store: Store, names: Iterable[str]) -> Iterator[str]:
    """Any word of an open draft's documents may be the id of an encoder."""
    for name in names:
        for entry in store.list(f"drafts/{name}"):
            if entry.path.endswith(".json"):
                yield from _words(json.loads(store.read(entry.path)))


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _words(each)
