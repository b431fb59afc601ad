"""artrec files: the Parquet files of a table, for readers that take a list of paths."""

from __future__ import annotations

from artrec.commands.show import as_json
from artrec.commands.stores import store_of
from artrec.releases import read_release, table_receipts
from artrec.storage import Store

__all__ = ["files_of", "show"]


def files_of(store: Store, table: str, release_id: str | None = None) -> list[str]:
    """Paths or URLs of a table's files, in the table's order."""
    release = read_release(store, release_id)
    return [store.path_url(receipt.path) for receipt in table_receipts(store, release, table)]


def show(root: str | None, table: str, release_id: str | None, json: bool) -> None:
    """Print the paths, one a line."""
    paths = files_of(store_of(root), table, release_id)
    if json:
        as_json(paths)
    else:
        print("\n".join(paths))
