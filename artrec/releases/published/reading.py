"""Releases as readers find them: by name or as the current one, down to the files of a table."""

from __future__ import annotations

from collections.abc import Iterator

from artrec.errors import NotFound, UsageError, meant
from artrec.releases.published.current import read_base
from artrec.releases.published.release import Release
from artrec.releases.runs import Run, read_document, read_runs, receipts_of
from artrec.releases.views import views_sql
from artrec.schemas import published, ruled
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = [
    "current_release",
    "duckdb_views",
    "iter_runs",
    "list_releases",
    "read_release",
    "table_receipts",
]


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
        raise UsageError(_no_table(release.release_id, table, known, _other_files(store, release)))
    return receipts_of(store, refs, table)


def _no_table(release_id: str, table: str, known: list[str], others: list[str]) -> str:
    if table in others:
        return (
            f"{table} are files of release {release_id} and no table: artrec files {table} prints "
            "their paths"
        )
    what = f"release {release_id} has no table {table}{meant(table, [*known, *others])}"
    files = f", and files that are no table: {', '.join(others)}" if others else ""
    return f"{what}; it has: {', '.join(known)}{files}"


def _other_files(store: Store, release: Release) -> list[str]:
    """What else ``artrec files`` knows: kinds of files that are no table, such as shards."""
    try:
        return sorted({kind for run in iter_runs(store, release) for kind in run.artifacts})
    except NotFound:
        return []  # of a store that is not whole the tables are told


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


def duckdb_views(store: Store, release: Release) -> str:
    """SQL that makes a view for each published table, for DuckDB, and one of the distances of each
    table of neighbors: ``neighbor_distances``, and ``neighbor_distances_NAME`` under a rule.
    """
    tables = {name for stage in release.stages.values() for name in stage.tables}
    shown = published(name for name in tables if release.refs(name))
    files = {
        table: [store.path_url(r.path) for r in table_receipts(store, release, table)]
        for table in shown
    }
    lengths = {"": release.k} if release.refs("neighbors_nested") else {}
    for name in ruled(tables):
        rule = release.stages["neighbors"].notes.get("tables", {}).get(name, {})
        lengths[f"_{name}"] = int(rule.get("k", release.k))
    return views_sql(release.release_id, store.url, files, lengths)
