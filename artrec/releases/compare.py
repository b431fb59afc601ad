"""What differs between two releases: of documents by key, of tables by one pass over both.

Both tables are sorted by their keys, so they are merged as they are read, and memory does not grow
with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from artrec.config import flat
from artrec.errors import StoreFormatError
from artrec.releases.published import Release
from artrec.releases.runs import receipts_of
from artrec.schemas import TABLES
from artrec.storage import Store
from artrec.tables import read_table

__all__ = ["Change", "Comparison", "Difference", "SHOWN", "compare"]

SHOWN = 5
"""Names that are told of each kind of difference."""

ROWS = 1024  # of a batch that are Python objects at once

LABELS = ("style", "artist", "title", "year", "genre", "split", "license", "extra")
"""Columns of the catalog that may change while the picture stays the same."""

Row = dict[str, Any]
Change = tuple[Any, Any]
"""(in the first release, in the second); None where it has none."""


@dataclass
class Difference:
    """How many rows of one kind there are, and the first of their keys."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(name)


@dataclass
class Comparison:
    """All that differs; what is equal is not named, and a count of 0 is."""

    facts: dict[str, Change]
    settings: dict[str, Change]
    versions: dict[str, Change]
    counts: dict[str, Change]
    rows: dict[str, Change]
    images: dict[str, Difference]
    lists: dict[str, Difference]
    entries: dict[str, int]


def compare(store: Store, one: Release, other: Release) -> Comparison:
    """What differs from ``one`` to ``other``; catalog and neighbor lists are read."""
    names = ("encoder", "metric", "dim", "k")
    entries = {"inserted": 0, "deleted": 0}
    return Comparison(
        facts=_changes({n: getattr(one, n) for n in names}, {n: getattr(other, n) for n in names}),
        settings=_changes(flat(one.settings), flat(other.settings)),
        versions=_changes(one.versions, other.versions),
        counts=_changes(one.counts, other.counts),
        rows=_changes(_rows(one), _rows(other)),
        images=_images(store, one, other),
        lists=_lists(store, one, other, entries),
        entries=entries,
    )


def _changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Change]:
    return {
        name: (one.get(name), other.get(name))
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    }


def _rows(release: Release) -> dict[str, int]:
    return {table: stage.rows(table) for stage in release.stages.values() for table in stage.tables}


def _images(store: Store, one: Release, other: Release) -> dict[str, Difference]:
    """Images added and gone, and those whose picture or labels are others."""
    found = {n: Difference() for n in ("added", "gone", "with_other_picture", "with_other_labels")}
    columns = ["image_id", "content_sha256", *LABELS]
    for key, before, after in _merged(store, one, other, "catalog", columns):
        if before is None or after is None:
            found["added" if before is None else "gone"].add(key)
            continue
        if before["content_sha256"] != after["content_sha256"]:
            found["with_other_picture"].add(key)
        if any(before[name] != after[name] for name in LABELS):
            found["with_other_labels"].add(key)
    return found


def _lists(
    store: Store, one: Release, other: Release, entries: dict[str, int]
) -> dict[str, Difference]:
    """Lists added, gone and changed; ``entries`` counts the neighbors that came and went."""
    found = {n: Difference() for n in ("added", "gone", "changed", "with_other_first")}
    columns = ["query_id", "ids", "distances"]
    for key, before, after in _merged(store, one, other, "neighbors_nested", columns):
        old, new = (set(row["ids"]) if row else set() for row in (before, after))
        entries["inserted"] += len(new - old)
        entries["deleted"] += len(old - new)
        if before is None or after is None:
            found["added" if before is None else "gone"].add(key)
            continue
        if before != after:
            found["changed"].add(key)
        if before["ids"][:1] != after["ids"][:1]:
            found["with_other_first"].add(key)
    return found


def _merged(
    store: Store, one: Release, other: Release, table: str, columns: list[str]
) -> Iterator[tuple[str, Row | None, Row | None]]:
    """(key, row of the one, row of the other), in order; nothing where both have the same runs."""
    runs = [[ref.run_id for ref in release.refs(table)] for release in (one, other)]
    if runs[0] == runs[1]:
        return
    key = TABLES[table].sort[0]
    left, right = (_stream(store, release, table, columns) for release in (one, other))
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[key] < b[key]):
            assert a is not None
            yield a[key], a, None
            a = next(left, None)
        elif a is None or b[key] < a[key]:
            yield b[key], None, b
            b = next(right, None)
        else:
            yield a[key], a, b
            a, b = next(left, None), next(right, None)


def _stream(store: Store, release: Release, table: str, columns: list[str]) -> Iterator[Row]:
    key, last = TABLES[table].sort[0], ""
    for batch in read_table(store, receipts_of(store, release.refs(table), table), columns):
        for start in range(0, batch.num_rows, ROWS):
            for row in batch.slice(start, ROWS).to_pylist():
                if row[key] < last:
                    raise StoreFormatError(
                        f"{store.url}: table {table} of release {release.release_id} is not sorted "
                        f"by {key}: {row[key]!r} comes after {last!r}"
                    )
                last = row[key]
                yield row
