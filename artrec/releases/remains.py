"""What a store still holds of what was forgotten: runs whose rows have it, and who names them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from artrec.releases.forgotten import Ledger
from artrec.releases.heads import open_heads
from artrec.releases.history import were_current
from artrec.releases.published import Release, list_releases, read_base, read_release
from artrec.releases.runs import Run, read_document
from artrec.releases.sweep import runs_in
from artrec.schemas import TABLES
from artrec.storage import Store
from artrec.tables import read_table

__all__ = ["Remains", "remains"]

FACTS = ("catalog_changes", "ingested", "rejects")
"""These keep the hash of a member that is still listed, so that it is not read again, or that an
image left, for those who copied the tables."""


@dataclass
class Remains:
    """What holds one content: ``runs`` of which the ``releases`` and open ``drafts`` name some.

    ``keep`` is the number of releases that a sweep may keep to remove the others; None where the
    current one holds it, so that a night has to come first.
    """

    runs: list[str] = field(default_factory=list)
    releases: list[str] = field(default_factory=list)
    drafts: list[str] = field(default_factory=list)
    keep: int | None = 1


def remains(store: Store, ledger: Ledger) -> dict[bytes, Remains]:
    """Each content of the ledger with what holds it. One column of every run's tables is read."""
    found = {content: Remains() for content in ledger.hashes}
    numbers = {int.from_bytes(each[:8], "big") >> 1: each for each in ledger.hashes}
    for entry in store.list("runs"):
        if entry.path.endswith("/run.json"):
            run = read_document(store, entry.path, Run)
            for content in set(_contents(store, run, ledger.hashes, numbers)):
                found[content].runs.append(entry.path)
    base = read_base(store)
    releases = [read_release(store, name) for name in list_releases(store)]
    named = {each.release_id: set(runs_in(each.model_dump(mode="json"))) for each in releases}
    drafts = {
        head.release_id: set(_runs_of_draft(store, head.release_id))
        for head in open_heads(store, base)
    }
    published = were_current(store, releases)
    newest = [each for each in sorted(releases, key=_age) if each.release_id in published]
    for each in found.values():
        each.releases = [name for name, runs in named.items() if not runs.isdisjoint(each.runs)]
        each.drafts = [name for name, runs in drafts.items() if not runs.isdisjoint(each.runs)]
        free = 0
        for release in reversed(newest):
            if release.release_id in each.releases:
                break
            free += 1
        each.keep = None if base.release_id in each.releases else max(1, free)
    return found


def _age(release: Release) -> tuple[object, str]:
    return release.created, release.release_id


def _runs_of_draft(store: Store, name: str) -> Iterator[str]:
    for entry in store.list(f"drafts/{name}"):
        if entry.path.endswith(".json"):
            yield from runs_in(json.loads(store.read(entry.path)))


def _contents(
    store: Store, run: Run, hashes: frozenset[bytes], numbers: dict[int, bytes]
) -> Iterator[bytes]:
    """The forgotten contents of a run's rows, and those that its pictures are named after."""
    for table, receipts in run.tables.items():
        known = table in TABLES and table not in FACTS
        columns = TABLES[table].columns.names if known else []
        if "content_sha256" in columns:
            for batch in read_table(store, receipts, ["content_sha256"]):
                yield from hashes.intersection(batch.column(0).to_pylist())
        elif "vector_no" in columns:
            for batch in read_table(store, receipts, ["vector_no"]):
                found = numbers.keys() & set(batch.column(0).to_pylist())
                yield from (numbers[number] for number in found)
    for artifacts in run.artifacts.values():
        for artifact in artifacts:
            stem = artifact.path.rpartition("/")[2].partition(".")[0]
            yield from (each for each in hashes if each.hex()[:16] == stem)
