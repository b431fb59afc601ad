"""artrec files: the files of a table, of the index or of a report, as a list of paths."""

from __future__ import annotations

from artrec.commands.show import as_json
from artrec.commands.stores import store_of
from artrec.errors import NotFound
from artrec.releases import (
    StageRuns,
    iter_runs,
    list_releases,
    read_document,
    read_release,
    receipts_of,
    table_receipts,
)
from artrec.schemas import TABLES
from artrec.stages import ORDER
from artrec.storage import Store

__all__ = ["files_of", "show"]


def files_of(store: Store, table: str, release_id: str | None = None) -> list[str]:
    """Paths or URLs of a table's files, in the table's order.

    Files that are no table go by the name that their run has for them: ``shards`` are those of the
    index, each an Annoy file and its sidecar. Of a draft there are the tables that its stages have
    recorded so far, such as the rejects of a release that was refused.
    """
    if release_id is not None and release_id not in list_releases(store):
        found = _of_draft(store, release_id, table)
        if found:
            return found
    release = read_release(store, release_id)
    if not release.refs(table) or table == "report":
        runs = iter_runs(store, release)
        others = [store.path_url(f.path) for run in runs for f in run.artifacts.get(table, [])]
        if others:
            return others
    return [store.path_url(receipt.path) for receipt in table_receipts(store, release, table)]


def _of_draft(store: Store, name: str, table: str) -> list[str]:
    for stage in ORDER:
        try:
            runs = read_document(store, f"drafts/{name}/{stage}.json", StageRuns)
        except NotFound:
            continue
        if table in runs.tables and table in TABLES:
            receipts = receipts_of(store, runs.tables[table], table)
            return [store.path_url(receipt.path) for receipt in receipts]
    return []


def show(root: str | None, table: str, release_id: str | None, json: bool) -> None:
    """Print the paths, one a line."""
    paths = files_of(store_of(root), table, release_id)
    if json:
        as_json(paths)
    else:
        print("\n".join(paths))
