"""artrec changes: the change feed from one release to any later one, counted or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artrec.commands.export import check_target, write_account, write_batches
from artrec.commands.show import as_json, grid
from artrec.commands.stores import store_of
from artrec.config import load
from artrec.errors import UsageError
from artrec.releases import Release, read_release
from artrec.releases.feed.between import Between, feed_between, feed_tables
from artrec.storage import Store, open_store

__all__ = ["changes", "show"]

CHANGES = ("insert", "delete", "update")


def changes(
    store: Store,
    old: str,
    new: str | None = None,
    table: str | None = None,
    to: Store | None = None,
    format: str = "parquet",
) -> list[dict[str, Any]]:
    """Of each table, or of the one named: what changed from release ``old`` to ``new``.

    A table goes by its own name or that of its feed; one under a rule by the rule's too. With
    ``to``, which must be empty, the feed is written there as ``export`` writes a table. Returns for
    each from, to, table, how it was found, and how many rows of each change there are. Raises
    UsageError for what is not there.
    """
    one, other = read_release(store, old), read_release(store, new)
    fed = feed_tables(other)
    names = list(fed) if table is None else [_feed_of(table, fed, other)]
    if to is not None:
        if table is None:
            raise UsageError(f"name one of them by --table: {', '.join(fed)}")
        check_target(to, format)
    accounts = []
    for name in names:
        found = feed_between(store, one, other, name)
        counts = Counter[str]()
        files = _written(found, counts, to, format)
        account = {
            "from": one.release_id,
            "to": other.release_id,
            "table": name,
            "nights": list(found.nights),
            **{change: counts[change] for change in CHANGES},
        }
        if to is not None:
            account |= {"format": format, "files": files}
            write_account(to, account)
        accounts.append(account)
    return accounts


def _feed_of(table: str, fed: dict[str, str], release: Release) -> str:
    for name, origin in fed.items():
        rule = name.removeprefix("neighbors_").removesuffix("_changes")
        if table in (name, origin, origin.removesuffix("_nested"), rule):
            return name
    known = ", ".join(origin.removesuffix("_nested") for origin in fed.values())
    raise UsageError(
        f"release {release.release_id} has no feed of {table}; it has those of: {known}"
    )


def _written(found: Between, counts: Counter[str], to: Store | None, format: str) -> list[str]:
    batches = _counted(found.batches, counts)
    if to is None:
        for _ in batches:
            pass
        return []
    return write_batches(batches, found.table, to, format)[1]


def _counted(batches: Iterator[pa.RecordBatch], counts: Counter[str]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for each in pc.value_counts(batch.column("change")).to_pylist():
            counts[each["values"]] += each["counts"]
        yield batch


def show(
    root: str | None,
    old: str,
    new: str | None,
    table: str | None,
    to: str | None,
    format: str,
    json: bool,
) -> None:
    """Tell what changed, and what was written."""
    target = open_store(to, load()[0].store.options) if to else None
    found = changes(store_of(root), old, new, table, target, format)
    if json:
        as_json(found)
        return
    print(f"from {found[0]['from']} to {found[0]['to']}")
    titles = ["table", *CHANGES, "found by"]
    grid(titles, [[each["table"], *(each[c] for c in CHANGES), _how(each)] for each in found])
    if target is not None:
        print(f"{len(found[0]['files'])} files in {target.url}")


def _how(account: dict[str, Any]) -> str:
    count = len(account["nights"])
    if account["from"] == account["to"]:
        return "one release"
    return f"the feeds of {count} nights" if count else "comparing both"
