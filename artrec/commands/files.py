"""artrec files: the files of a table, or of a report, for readers that take a list of paths."""

from __future__ import annotations

from artrec.commands.show import as_json
from artrec.commands.stores import store_of
from artrec.releases import artifacts_of, read_release, table_receipts
from artrec.storage import Store

__all__ = ["files_of", "show"]


def files_of(store: Store, table: str, release_id: str | None = None) -> list[str]:
    """Paths or URLs of a table's files, in the table's order."""
    release = read_release(store, release_id)
    found = table_receipts(store, release, table) or artifacts_of(store, release.refs(table), table)
    return [store.path_url(each.path) for each in found]


def show(root: str | None, table: str, release_id: str | None, json: bool) -> None:
    """Print the paths, one a line."""
    paths = files_of(store_of(root), table, release_id)
    if json:
        as_json(paths)
    else:
        print("\n".join(paths))
