"""Releases and CURRENT: what readers see, and the one swap that changes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field

from artrec.errors import ConditionFailed, NotFound, StoreFormatError, Superseded, UsageError
from artrec.failpoints import reached
from artrec.planning import Figures, Joins, Rates
from artrec.releases.runs import (
    Document,
    Run,
    RunRef,
    create,
    parse_document,
    read_document,
    read_runs,
    receipts_of,
)
from artrec.schemas import published
from artrec.storage import Entry, Store
from artrec.tables import Receipt

__all__ = [
    "Base",
    "CURRENT",
    "Current",
    "GateReport",
    "GateResult",
    "Planned",
    "Release",
    "StageRuns",
    "current_release",
    "duckdb_views",
    "iter_runs",
    "list_releases",
    "point_to",
    "publish",
    "read_base",
    "read_pointer",
    "read_release",
    "table_receipts",
]

CURRENT = "CURRENT.json"


class StageRuns(Document):
    """What a release takes from one stage: for each table the runs whose files make it up.

    ``inputs`` is a digest of all that can change these tables: a stage that finds it again in the
    current release has nothing to do.
    """

    stage: str
    inputs: str
    tables: dict[str, list[RunRef]]
    counters: dict[str, int] = Field(default_factory=dict)
    seconds: float = 0.0
    notes: dict[str, Any] = Field(default_factory=dict)

    def rows(self, table: str) -> int:
        return sum(ref.rows.get(table, 0) for ref in self.tables.get(table, []))


class GateResult(Document):
    """What one gate found and what it expected; ``overridden`` is why it does not refuse."""

    gate: str
    passed: bool
    found: str
    expected: str
    overridden: str | None = None

    @property
    def refuses(self) -> bool:
        return not self.passed and self.overridden is None


class GateReport(Document):
    """What all gates found in one draft; kept also when the release is refused."""

    gates: list[GateResult]
    counts: dict[str, int]


class Planned(Document):
    """What each stage of a night was expected to cost, and what it was measured to.

    ``measured`` lacks stages that found their work done, and whatever comes after it was kept.
    ``tables``, under rules, are parts of what neighbors was expected to cost. ``joins`` says how
    neighbors are found and why, where lists are to be made.
    """

    cores: int
    rates: Rates
    expected: dict[str, Figures]
    measured: dict[str, Figures] = Field(default_factory=dict)
    tables: dict[str, Figures] = Field(default_factory=dict)
    joins: Joins | None = None


class Release(Document):
    """One coherent set of tables under a name; never changed once written.

    ``migrated`` is not empty where ``artrec migrate`` made it of the one before: the tables that it
    wrote again, and the versions that they had.
    """

    release_id: str
    previous: str | None
    inputs: str
    created: datetime
    settings: dict[str, Any]
    versions: dict[str, str]
    encoder: str
    metric: str
    dim: int
    k: int
    stages: dict[str, StageRuns]
    gates: list[GateResult]
    counts: dict[str, int]
    plan: Planned | None = None
    migrated: dict[str, tuple[int, ...]] = Field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"releases/{self.release_id}.json"

    def refs(self, table: str) -> list[RunRef]:
        """The runs whose files make up a table, in order."""
        for stage in self.stages.values():
            if table in stage.tables:
                return stage.tables[table]
        return []


class Current(Document):
    """The pointer that readers follow; ``sha256`` is that of the release's JSON.

    ``previous`` is what the release was made on, also after a rollback: going back twice is two
    releases back. ``swaps`` counts all swaps, so that no two states of a store are equal, and a
    night that began before a rollback and its undoing is refused wherever an ETag is a checksum.
    ``rolled_back`` are releases that rollbacks led away from: nothing else would tell that they
    ever were current.
    """

    release: str
    previous: str | None
    sha256: str
    swaps: int = 0
    rolled_back: tuple[str, ...] = ()


@dataclass(frozen=True)
class Base:
    """The state of a store when a draft began: the release then current, and CURRENT's ETag."""

    release: Release | None
    etag: str | None
    modified: datetime | None = None
    swaps: int = 0
    rolled_back: tuple[str, ...] = ()

    @property
    def release_id(self) -> str | None:
        return self.release.release_id if self.release else None


def read_pointer(store: Store) -> tuple[Current, Entry] | None:
    """CURRENT as it stands, and what the store says of it; None in an empty store."""
    while True:
        try:
            entry = store.stat(CURRENT)
            data = store.read(CURRENT, etag=entry.etag)
        except NotFound:
            return None
        except ConditionFailed:  # swapped between the two calls
            continue
        return parse_document(data, f"{store.url}/{CURRENT}", Current), entry


def read_base(store: Store) -> Base:
    """What is current now; an empty store has neither release nor ETag."""
    found = read_pointer(store)
    if found is None:
        return Base(None, None)
    current, entry = found
    release = _checked_release(store, current)
    return Base(release, entry.etag, entry.modified, current.swaps, current.rolled_back)


def _checked_release(store: Store, current: Current) -> Release:
    path = f"releases/{current.release}.json"
    data = store.read(path)
    found = hashlib.sha256(data).hexdigest()
    if found != current.sha256:
        raise StoreFormatError(
            f"{store.url}/{path}: altered since it was published: sha256 {found}, "
            f"CURRENT.json says {current.sha256}"
        )
    return parse_document(data, f"{store.url}/{path}", Release)


def current_release(store: Store) -> Release:
    """The release that readers are to see."""
    base = read_base(store)
    if base.release is None:
        raise UsageError(
            f"{store.url}: no release has been published here; run jobs/nightly.py first"
        )
    return base.release


def read_release(store: Store, release_id: str | None) -> Release:
    """A release by name, or the current one."""
    if release_id is None:
        return current_release(store)
    try:
        return read_document(store, f"releases/{release_id}.json", Release)
    except NotFound:
        known = ", ".join(list_releases(store)) or "none"
        raise UsageError(f"{store.url}: no release {release_id}; there are: {known}") from None


def list_releases(store: Store) -> list[str]:
    """Names of all releases, in the order of their names; also of those never current."""
    paths = (entry.path for entry in store.list("releases"))
    return [p.removeprefix("releases/").removesuffix(".json") for p in paths if p.endswith(".json")]


def table_receipts(store: Store, release: Release, table: str) -> list[Receipt]:
    """The files of one table of a release, in order."""
    refs = release.refs(table)
    if not refs:
        known = sorted(name for stage in release.stages.values() for name in stage.tables)
        raise UsageError(
            f"release {release.release_id} has no table {table}; it has: {', '.join(known)}"
        )
    return receipts_of(store, refs, table)


def publish(
    store: Store, release: Release, base: Base, confirm: Callable[[], None] = lambda: None
) -> Release:
    """Write the release and its views, then swap CURRENT against the state the draft began from.

    A release of that name from an interrupted attempt is adopted if it names the same runs.
    ``confirm`` is called before anything is written and right before the swap, and stops both by
    raising. Raises Superseded when CURRENT changed meanwhile; nothing that readers see has changed
    then, and no release was written unless it changed in the last moment.
    """
    confirm()
    _look_first(store, release, base)
    if not create(store, release.path, release):
        found = read_document(store, release.path, Release)
        if _runs(found) != _runs(release):
            raise Superseded(f"release {release.release_id} exists with other contents")
        release = found
    reached("publish.release")
    _create_views(store, release)
    reached("publish.views")
    confirm()
    point_to(store, release, base)
    return release


def point_to(store: Store, release: Release, base: Base) -> Current:
    """Swap CURRENT to a release of the store; Superseded if it is not as in ``base`` any more."""
    sha256 = hashlib.sha256(store.read(release.path)).hexdigest()
    current = Current(
        release=release.release_id,
        previous=release.previous,
        sha256=sha256,
        swaps=base.swaps + 1,
        rolled_back=tuple(name for name in base.rolled_back if name != release.release_id),
    )
    _swap(store, current, base)
    return current


def _runs(release: Release) -> dict[str, dict[str, list[str]]]:
    return {
        name: {table: [r.run_id for r in refs] for table, refs in stage.tables.items()}
        for name, stage in release.stages.items()
    }


def _create_views(store: Store, release: Release) -> None:
    with suppress(ConditionFailed):  # from an interrupted attempt, and made from the same release
        store.write(f"releases/{release.release_id}.sql", duckdb_views(store, release).encode())


def _look_first(store: Store, release: Release, base: Base) -> None:
    """Superseded where the swap would be refused anyway: a release that stays would mislead."""
    found = read_pointer(store)
    etag = found[1].etag if found else None
    if etag != base.etag and (found is None or found[0].release != release.release_id):
        raise _superseded(store, found[0].release if found else "nothing", release.release_id, base)


def _superseded(store: Store, found: str, name: str, base: Base) -> Superseded:
    return Superseded(
        f"{store.url}: {found} was published since this draft began from "
        f"{base.release_id or 'an empty store'}; release {name} is not current. "
        "Run the job again to build on what is current now"
    )


def _swap(store: Store, current: Current, base: Base) -> None:
    data = current.to_bytes()
    try:
        store.write(CURRENT, data, if_etag=base.etag)
    except (ConditionFailed, NotFound) as error:
        try:
            if store.read(CURRENT) == data:
                return  # a retried write had already succeeded
            found = read_document(store, CURRENT, Current).release
        except NotFound:
            found = "nothing"
        raise _superseded(store, found, current.release, base) from error


_CLOUDS = {
    "s3": ("S3", "httpfs"),
    "gs": ("Google Cloud Storage", "httpfs"),
    "az": ("Azure", "azure"),
}


_DISTANCES = """CREATE OR REPLACE VIEW neighbor_distances AS
  SELECT query_id, len(ids) AS listed, distances[1] AS nearest, distances[len(ids)] AS kth
  FROM neighbors_nested;"""


def duckdb_views(store: Store, release: Release) -> str:
    """SQL that makes a view for each published table, for DuckDB, and ``neighbor_distances``."""
    lines = [f"-- release {release.release_id}: in DuckDB, .read this file, then query its views"]
    scheme, _, rest = store.url.partition("://")
    if rest:
        name, extension = _CLOUDS[scheme]
        lines.append(
            f"-- the files are on {name}: DuckDB needs its extension {extension} and a secret"
        )
    tables = {name for stage in release.stages.values() for name in stage.tables}
    for table in published(name for name in tables if release.refs(name)):
        files = [store.path_url(r.path) for r in table_receipts(store, release, table)]
        listed = ",\n  ".join("'" + file.replace("'", "''") + "'" for file in files)
        lines.append(
            f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM read_parquet([\n  {listed}\n]);"
        )
    if release.refs("neighbors_nested"):
        lines += ["-- of each list: how long it is, and its nearest and furthest entry", _DISTANCES]
    return "\n".join(lines) + "\n"


def iter_runs(store: Store, release: Release) -> Iterator[Run]:
    """Every run that a release names, once."""
    refs = {
        ref.path: ref
        for stage in release.stages.values()
        for listed in stage.tables.values()
        for ref in listed
    }
    for ref in refs.values():
        yield from read_runs(store, [ref])
