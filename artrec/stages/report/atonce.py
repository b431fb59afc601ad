"""What a report shows of a night's changes, found by one task where the tables are small.

The rows are those of Spark's joins in :mod:`artrec.stages.report.changes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artrec.config import ReportSettings
from artrec.stages.atonce import array_of, codes_of, few, places_in, whole
from artrec.stages.frames import Attempt, TaskReport
from artrec.storage import Store
from artrec.tables import Receipt, read_range, read_table

__all__ = [
    "FRESH",
    "Feed",
    "IMAGE",
    "ORPHANS",
    "REJECT",
    "SAMPLES",
    "Shown",
    "changed_list",
    "of_task",
]

REJECT = ["source", "entry", "image_id", "stage", "reason", "detail"]
SAMPLES = 6  # of each kind, and of each reason
ORPHANS = 12
FRESH = ("new", "healed")
IMAGE = ["image_id", "content_sha256", "style", "artist", "title"]
ENTRIES = 8  # entries that changed, for each row that one task may hold: they are narrow

Row = dict[str, Any]


@dataclass(frozen=True)
class Feed:
    """A night's feed and the tables that it is about, as files; ``entries`` are of lists."""

    store: Store
    images: Sequence[Receipt]
    entries: Sequence[Receipt]
    lists: Sequence[Receipt]
    catalog: Sequence[Receipt]
    before: Sequence[Receipt]
    settings: ReportSettings
    seed: str

    @property
    def is_small(self) -> bool:
        """Whether one task may hold it; lists are streamed."""
        entries = [each.model_copy(update={"rows": each.rows // ENTRIES}) for each in self.entries]
        return few(self.images, entries, self.catalog, self.before)

    def gathered(self, attempt: Attempt) -> TaskReport:
        """One task: the rows of :class:`Changes`, by its names; contents are hex digits."""
        columns = ["change", "kind", "picture", "other_id", *IMAGE]
        feed = whole(self.store, self.images, "catalog_changes", columns)
        notes: dict[str, Any] = {"kinds": self._kinds(feed), "fresh": self._fresh(feed)}
        if self.entries:
            columns = ["query_id", "neighbor_id", "change"]
            entries = whole(self.store, self.entries, "neighbor_changes", columns)
            entries = entries.filter(pc.not_equal(entries.column("change"), "update"))
            turned = self._turned(entries, feed)
            lists = {
                row["query_id"]: changed_list(
                    self.store, self.entries, row["query_id"], self.settings.neighbors
                )
                for row in turned
            }
            total, orphans = self._orphans(entries, feed)
            notes |= {"turned": turned, "lists": lists, "orphans": orphans, "new_orphans": total}
            notes["gone"] = self._gone(feed, lists.values())
        return TaskReport(notes=notes)

    def _kinds(self, feed: pa.Table) -> list[Row]:
        moved = pc.and_(pc.equal(feed.column("change"), "delete"), _is(feed, "kind", "moved"))
        now = feed.filter(pc.invert(moved)).select(["kind", "image_id", "other_id"])
        now = now.sort_by([("kind", "ascending"), ("image_id", "ascending")])
        rows: list[Row] = []
        for kind in pc.unique(now.column("kind")).to_pylist():
            some = now.filter(_is(now, "kind", kind)).slice(0, SAMPLES).to_pylist()
            rows += [row | {"place": place} for place, row in enumerate(some, 1)]
        return rows

    def _fresh(self, feed: pa.Table) -> list[Row]:
        rows = feed.filter(pc.is_in(feed.column("kind"), value_set=pa.array(FRESH)))
        return _rows(_drawn(rows.select([*IMAGE, "kind"]), self.settings.fresh, self.seed))

    def _turned(self, entries: pa.Table, feed: pa.Table) -> list[Row]:
        """Lists of images whose own picture is what it was, the most changed first."""
        own = array_of(feed.filter(feed.column("picture")).column("image_id"))
        mine = entries.filter(pc.invert(pc.is_in(entries.column("query_id"), value_set=own)))
        codes, came = codes_of(mine.column("query_id")), _truths(_is(mine, "change", "insert"))
        names = pc.unique(mine.column("query_id"))
        counts = {
            "came": np.bincount(codes, came, len(names)).astype(np.int64),
            "went": np.bincount(codes, ~came, len(names)).astype(np.int64),
        }
        found = pa.table({"query_id": names, **counts, "all": counts["came"] + counts["went"]})
        found = found.sort_by([("all", "descending"), ("query_id", "ascending")])
        rows: list[Row] = found.drop(["all"]).slice(0, self.settings.turned).to_pylist()
        return rows

    def _orphans(self, entries: pa.Table, feed: pa.Table) -> tuple[int, list[Row]]:
        """How many images stand in no list that are new or stood in one, and some of them by name.

        Nobody else can have become one: who was in a list and is in none has left one.
        """
        left = entries.filter(_is(entries, "change", "delete")).column("neighbor_id")
        came = feed.filter(_is(feed, "change", "insert")).column("image_id")
        maybe = pc.unique(pa.concat_arrays([array_of(left), array_of(came)]))
        listed = np.zeros(len(maybe), np.bool_)
        for batch in read_table(self.store, self.lists, ["neighbor_id"]):
            at = pc.index_in(batch.column(0), value_set=maybe)
            listed[np.asarray(pc.drop_null(at), np.int64)] = True
        alone = maybe.filter(pa.array(~listed))
        catalog = whole(self.store, self.catalog, "catalog", IMAGE)
        found = catalog.filter(pc.is_in(catalog.column("image_id"), value_set=alone))
        return len(found), _rows(found.sort_by("image_id").slice(0, ORPHANS))

    def _gone(self, feed: pa.Table, lists: Iterable[list[Row]]) -> list[Row]:
        """Neighbors that are no images any more, as the last release had them."""
        names = pa.array(
            sorted({row["neighbor_id"] for rows in lists for row in rows}), pa.string()
        )
        deleted = array_of(feed.filter(_is(feed, "change", "delete")).column("image_id"))
        gone = names.filter(pc.is_in(names, value_set=deleted))
        if not len(gone):
            return []
        catalog = whole(self.store, self.before, "catalog", IMAGE)
        places = places_in(pa.chunked_array([gone]), catalog.column("image_id"))
        return _rows(catalog.take(pc.drop_null(places)))


@dataclass(frozen=True)
class Shown:
    """Images of a catalog, and rejects, that a report shows whatever the night changed."""

    store: Store
    catalog: Sequence[Receipt]
    rejects: Sequence[Receipt]

    @property
    def is_small(self) -> bool:
        return few(self.catalog, self.rejects)

    def first(self, count: int, seed: str, _: Attempt) -> TaskReport:
        """One task: so many ``queries`` drawn at random, and the first ``rejects`` of each reason,
        the most frequent reasons first."""
        catalog = whole(self.store, self.catalog, "catalog", IMAGE)
        return TaskReport(
            notes={"queries": _rows(_drawn(catalog, count, seed)), "rejects": self._rejects()}
        )

    def named(self, image_ids: Sequence[str], _: Attempt) -> TaskReport:
        """One task: the rows of these images, as ``images``."""
        catalog = whole(self.store, self.catalog, "catalog", IMAGE)
        names = pa.array(image_ids, pa.string())
        mine = pc.is_in(catalog.column("image_id"), value_set=names)
        return TaskReport(notes={"images": _rows(catalog.filter(mine))})

    def _rejects(self) -> list[Row]:
        rows = whole(self.store, self.rejects, "rejects", REJECT)
        rows = rows.sort_by([("source", "ascending"), ("entry", "ascending")])
        kinds = rows.group_by(["stage", "reason"]).aggregate([("entry", "count")]).to_pylist()
        kinds.sort(key=lambda kind: (-kind["entry_count"], kind["stage"], kind["reason"]))
        found: list[Row] = []
        for kind in kinds:
            mine = pc.and_(_is(rows, "stage", kind["stage"]), _is(rows, "reason", kind["reason"]))
            some = rows.filter(mine).slice(0, SAMPLES).to_pylist()
            found += [row | {"count": kind["entry_count"]} for row in some]
        return found


def _drawn(rows: pa.Table, count: int, seed: str) -> pa.Table:
    """So many of the rows, the same for the same seed and names."""
    names = rows.column("image_id").to_pylist()

    def key(place: int) -> tuple[bytes, str]:
        text = f"{seed}/{names[place]}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=8).digest(), names[place]

    chosen = nsmallest(count, range(len(names)), key=key)
    return rows.take(pa.array(chosen, pa.int64()))


def changed_list(store: Store, receipts: Sequence[Receipt], image_id: str, most: int) -> list[Row]:
    """A list's rows of the feed: the nearest that came, and the nearest that went."""
    batches = read_range(store, receipts, (image_id,), (image_id,))
    rows = [row for batch in batches for row in batch.to_pylist()]
    rows.sort(key=lambda row: (row["rank"] or row["old_rank"], row["neighbor_id"]))
    came, went = ([row for row in rows if row["change"] == word] for word in ("insert", "delete"))
    return came[:most] + went[:most]


def _is(rows: pa.Table, column: str, word: str) -> pa.ChunkedArray:
    return pc.equal(rows.column(column), word)


def _truths(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(column, np.bool_)


def of_task(rows: Iterable[Row]) -> list[Row]:
    """Rows of a task's report as they stand in their table."""
    return [row | {"content_sha256": bytes.fromhex(row["content_sha256"])} for row in rows]


def _rows(table: pa.Table) -> list[Row]:
    """Rows that a report can carry: contents as hex digits."""
    return [row | {"content_sha256": row["content_sha256"].hex()} for row in table.to_pylist()]
