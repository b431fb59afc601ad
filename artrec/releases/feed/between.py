"""The feed from one release to any other: the nights between them chained, or both compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from artrec.errors import NotFound, UsageError
from artrec.releases.feed.chain import Row, chained_entries, chained_images
from artrec.releases.feed.entries import changed_entries
from artrec.releases.feed.images import COLUMNS, changed_images
from artrec.releases.feed.reading import in_step, spans
from artrec.releases.published import Release, table_receipts
from artrec.releases.runs import read_document, receipts_of
from artrec.schemas import TABLES, ruled
from artrec.storage import Store
from artrec.tables import read_table

__all__ = ["Between", "feed_between", "feed_tables"]

ROWS = 10_000  # of a batch


@dataclass(frozen=True)
class Between:
    """The feed of one table: ``batches`` of ``table``, in its order.

    ``nights`` names the releases whose feeds were chained; empty where both were compared.
    """

    table: str
    nights: tuple[str, ...]
    batches: Iterator[pa.RecordBatch]


def feed_tables(release: Release) -> dict[str, str]:
    """Name of a feed -> the table that it is the feed of, for all that a release has."""
    tables = {name for stage in release.stages.values() for name in stage.tables}
    fed = {"catalog_changes": "catalog", "neighbor_changes": "neighbors_nested"}
    fed |= {f"neighbors_{name}_changes": f"neighbors_{name}_nested" for name in ruled(tables)}
    return {name: table for name, table in fed.items() if table in tables}


def feed_between(store: Store, old: Release, new: Release, name: str) -> Between:
    """What to take out of a table of ``old``, and what to put in, to have that of ``new``.

    The feeds of the nights from ``old`` to ``new`` are chained. Where one is gone, or ``new`` does
    not stand on ``old``, both tables are read and compared; ``kind`` of an image is then by names
    alone. Memory does not grow with either.
    """
    fed = feed_tables(new)
    if name not in fed:
        known = ", ".join(fed) or "none"
        raise UsageError(f"release {new.release_id} has no feed {name}; it has: {known}")
    nights = _nights(store, old, new, name)
    if nights is None:
        return Between(name, (), _compared(store, old, new, name, fed[name]))
    chained = chained_images if name == "catalog_changes" else chained_entries
    feeds = [_rows(store, night, name) for night in nights]
    names = tuple(night.release_id for night in nights)
    return Between(name, names, _batches(name, chained(feeds)))


def _nights(store: Store, old: Release, new: Release, name: str) -> list[Release] | None:
    """The releases behind ``old`` up to ``new``, if each has its feed from the one before."""
    found: list[Release] = []
    at = new
    while at.release_id != old.release_id:
        if at.previous is None or _from(at, name) != at.previous:
            return None
        found.insert(0, at)
        try:
            before = read_document(store, f"releases/{at.previous}.json", Release)
        except NotFound:
            return None
        if before.created > at.created:  # a name that was taken again
            return None
        at = before
    return found


def _from(release: Release, name: str) -> str | None:
    """The release that a feed of this one is to be applied to."""
    evaluate = release.stages.get("evaluate")
    told = evaluate.notes.get("changes", {}).get(name, {}) if evaluate else {}
    found: str | None = told.get("from")
    return found


def _rows(store: Store, release: Release, name: str) -> Iterator[Row]:
    for batch in read_table(store, receipts_of(store, release.refs(name), name)):
        for start in range(0, batch.num_rows, ROWS):
            yield from batch.slice(start, ROWS).to_pylist()


def _batches(name: str, rows: Iterator[Row]) -> Iterator[pa.RecordBatch]:
    waiting: list[Row] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == ROWS:
            yield pa.RecordBatch.from_pylist(waiting, schema=TABLES[name].columns)
            waiting = []
    if waiting:
        yield pa.RecordBatch.from_pylist(waiting, schema=TABLES[name].columns)


def _compared(
    store: Store, old: Release, new: Release, name: str, table: str
) -> Iterator[pa.RecordBatch]:
    one, other = (table_receipts(store, release, table) for release in (old, new))
    images = name == "catalog_changes"
    columns = COLUMNS if images else ["query_id", "ids", "distances"]
    for span in spans(one, other):
        for before, after in in_step(store, one, other, columns, span):
            changed = changed_images if images else changed_entries
            rows, _ = changed(before, after)
            if rows.num_rows:
                yield rows
