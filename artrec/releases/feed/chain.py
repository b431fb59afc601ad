"""Feeds of several nights as one: what came and went again is not named, ranks are the last ones.

Nothing but the feeds is read. An entry that a feed does not name moves only by those that it does,
so its place in an older list can be counted out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any

from artrec.releases.feed.images import LABELS, PICTURE

__all__ = ["chained_entries", "chained_images"]

Row = dict[str, Any]


def chained_entries(feeds: Sequence[Iterable[Row]]) -> Iterator[Row]:
    """The rows of one ``neighbor_changes`` that does what these do, one after another.

    Each is in its order, and so is the result. A deleted entry has the last distance that it had.
    """
    for query, steps in _by_key(feeds, "query_id"):
        lists = _List()
        for rows in steps:
            lists.apply(rows)
        for row in sorted(lists.told(), key=itemgetter("neighbor_id")):
            yield {"query_id": query, **row}


def _by_key(feeds: Sequence[Iterable[Row]], key: str) -> Iterator[tuple[str, list[list[Row]]]]:
    """Of each key the rows of those feeds that name it, in the order of the feeds."""
    numbered = [_numbered(feed, number, key) for number, feed in enumerate(feeds)]
    for name, group in groupby(merge(*numbered, key=itemgetter(0, 1)), key=itemgetter(0)):
        steps = groupby(group, key=itemgetter(1))
        yield name, [[row for _, _, row in rows] for _, rows in steps]


def _numbered(feed: Iterable[Row], number: int, key: str) -> Iterator[tuple[str, int, Row]]:
    for row in feed:
        yield row[key], number, row


class _List:
    """One list as far as feeds tell: entries put into it, and those taken out of the first one."""

    def __init__(self) -> None:
        self._put: dict[str, tuple[int, float]] = {}
        self._taken: dict[str, tuple[int, float]] = {}

    def apply(self, rows: Sequence[Row]) -> None:
        """Go on to the next release's list."""
        out = [row for row in rows if row["change"] != "insert"]
        ranks = sorted(row["old_rank"] for row in out)
        first = {
            row["neighbor_id"]: (self._first_rank(row["old_rank"]), row["distance"])
            for row in out
            if row["neighbor_id"] not in self._put
        }
        last = {row["neighbor_id"]: row["distance"] for row in rows if row["change"] == "delete"}
        for name in last.keys() & self._taken.keys():
            self._taken[name] = (self._taken[name][0], last[name])
        self._taken = first | self._taken
        into = {
            row["neighbor_id"]: (row["rank"], row["distance"])
            for row in rows
            if row["change"] != "delete"
        }
        named = {row["neighbor_id"] for row in rows}
        free = sorted(rank for rank, _ in into.values())
        left = {
            name: (_behind(rank - _below(ranks, rank), free), distance)
            for name, (rank, distance) in self._put.items()
            if name not in named
        }
        self._put = left | into

    def told(self) -> Iterator[Row]:
        """What leads from the first list to this one."""
        for name in self._put.keys() | self._taken.keys():
            rank, distance = self._put.get(name, (None, self._taken.get(name, (0, 0.0))[1]))
            old_rank = self._taken[name][0] if name in self._taken else None
            change = "delete" if rank is None else "insert" if old_rank is None else "update"
            yield {
                "neighbor_id": name,
                "change": change,
                "rank": rank,
                "old_rank": old_rank,
                "distance": distance,
            }

    def _first_rank(self, rank: int) -> int:
        """Where an entry that nobody has named yet stood in the first list."""
        put = sorted(each for each, _ in self._put.values())
        return _behind(rank - _below(put, rank), sorted(each for each, _ in self._taken.values()))


def _below(ranks: Sequence[int], rank: int) -> int:
    return sum(each < rank for each in ranks)


def _behind(place: int, taken: Sequence[int]) -> int:
    """The ``place``-th of the ranks that are not ``taken``, which are in order."""
    for each in taken:
        if each > place:
            break
        place += 1
    return place


def chained_images(feeds: Sequence[Iterable[Row]]) -> Iterator[Row]:
    """The rows of one ``catalog_changes`` that does what these do, one after another.

    ``kind`` and ``other_id`` are those of the night when the image came or went.
    """
    for _, steps in _by_key(feeds, "image_id"):
        rows = [row for step in steps for row in step]
        first, last = rows[0], rows[-1]
        was, there = first["change"] != "insert", last["change"] != "delete"
        if len(rows) == 1:
            yield last
        elif was and there:
            yield _updated(rows)
        elif there:
            came = next(row for row in reversed(rows) if row["change"] == "insert")
            kind = {name: came[name] for name in ("change", "kind", "picture", "labels")}
            yield last | kind | {"other_id": came["other_id"], "old_content_sha256": None}
        elif was:
            yield last | {"old_content_sha256": first["old_content_sha256"]}


def _updated(rows: Sequence[Row]) -> Row:
    """One update for all that happened to an image that both releases have."""
    picture = labels = False
    gone: Row = {}
    for row in rows:
        if row["change"] == "delete":
            gone = row
        elif row["change"] == "update":
            picture, labels = picture or row["picture"], labels or row["labels"]
        else:
            picture = picture or any(gone[name] != row[name] for name in PICTURE)
            labels = labels or any(gone[name] != row[name] for name in LABELS)
    return rows[-1] | {
        "change": "update",
        "kind": "relabelled" if labels and not picture else "changed",
        "picture": picture,
        "labels": labels,
        "other_id": None,
        "old_content_sha256": rows[0]["old_content_sha256"],
    }
