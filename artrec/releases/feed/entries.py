"""Changed entries of neighbor lists: which came, went, or stand elsewhere than the rest tells."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from artrec.schemas import TABLES

__all__ = ["changed_entries"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_WORDS = ("delete", "insert", "update")
_DELETE, _INSERT, _UPDATE = range(3)


def changed_entries(old: pa.Table, new: pa.Table) -> tuple[pa.RecordBatch, Counter[str]]:
    """The rows of ``neighbor_changes`` between two tables of lists, in their order; and counts.

    Both have query_id, ids and distances, each query once. Counted are ``insert``, ``delete`` and
    ``update``; the lists now (``images``), how many of them are ``new`` and of the old ones
    ``gone``; of queries in both their ``lists``, how many ``changed``, in how many the ``first`` is
    another, their ``entries`` now, and those that ``came`` and ``went``.
    """
    names = _Names.of(old, new)
    before, after = _Lists.of(old, names), _Lists.of(new, names)
    order = np.argsort(before.keys, kind="stable")
    found = np.searchsorted(before.keys, after.keys, sorter=order)
    place = order[np.minimum(found, len(order) - 1)] if len(order) else np.zeros_like(found)
    both = np.zeros(len(found), np.bool_)
    if len(order):
        both = before.keys[place] == after.keys
    same = both.copy()
    same[both] = before.bits[place[both]] == after.bits[both]
    stays = _in_order(after.rows, before.ranks, place, same)
    left = np.ones(len(before.keys), np.bool_)
    left[place[both]] = False

    here, gone = np.flatnonzero(~stays), np.flatnonzero(left)
    change = np.append(np.where(both[here], _UPDATE, _INSERT), np.full(len(gone), _DELETE))
    keys = np.append(after.keys[here], before.keys[gone])
    was = before.ranks[place[here]] if len(order) else np.zeros(len(here), np.int64)
    old_ranks = np.append(was, before.ranks[gone])
    sorting = np.argsort(keys, kind="stable")
    change, keys = change[sorting], keys[sorting]
    rows = names.rows(keys) | {
        "change": pa.array(_WORDS).take(pa.array(change)),
        "rank": _ranks(np.append(after.ranks[here], gone * 0)[sorting], change == _DELETE),
        "old_rank": _ranks(old_ranks[sorting], change == _INSERT),
        "distance": pa.array(np.append(after.far[here], before.far[gone])[sorting]),
    }
    schema = TABLES["neighbor_changes"].columns
    batch = pa.RecordBatch.from_arrays([rows[name] for name in schema.names], schema=schema)
    return batch, _counted(before, after, change, keys // names.width)


@dataclass(frozen=True, eq=False)
class _Names:
    """Queries and ids of both tables, each sorted: an entry is one number, its key."""

    queries: pa.Array
    ids: pa.Array

    @classmethod
    def of(cls, old: pa.Table, new: pa.Table) -> _Names:
        return cls(
            *(
                _sorted(pa.concat_arrays([_of(table) for table in (old, new)]))
                for _of in (_queries, _ids)
            )
        )

    @property
    def width(self) -> int:
        return max(1, len(self.ids))

    def rows(self, keys: Ints) -> dict[str, pa.Array]:
        return {
            "query_id": self.queries.take(pa.array(keys // self.width)),
            "neighbor_id": self.ids.take(pa.array(keys % self.width)),
        }


@dataclass(frozen=True, eq=False)
class _Lists:
    """Lists as entries: ``rows`` [n] are places among the queries, ``ranks`` begin with 1."""

    own: Ints
    sizes: Ints
    rows: Ints
    keys: Ints
    ranks: Ints
    far: NDArray[np.float32]

    @classmethod
    def of(cls, table: pa.Table, names: _Names) -> _Lists:
        own = _places(_queries(table), names.queries)
        lists = _whole(table.column("ids"))
        sizes = np.asarray(lists.value_lengths(), np.int64)
        rows = np.repeat(own, sizes)
        nth = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        keys = rows * names.width + _places(lists.flatten(), names.ids)
        far = np.asarray(_whole(table.column("distances")).flatten(), np.float32)
        return cls(own, sizes, rows, keys, nth + 1, far)

    @property
    def bits(self) -> NDArray[np.int32]:
        """Distances as they are stored, to be compared."""
        return self.far.view(np.int32)

    def firsts(self, count: int) -> Ints:
        """The key of each query's first entry, of ``count`` queries; -1 without one."""
        found = np.full(count, -1, np.int64)
        first = self.ranks == 1
        found[self.rows[first]] = self.keys[first]
        return found


def _queries(table: pa.Table) -> pa.Array:
    return _whole(table.column("query_id"))


def _ids(table: pa.Table) -> pa.Array:
    return _whole(table.column("ids")).flatten()


def _whole(column: pa.ChunkedArray) -> Any:
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    if len(chunks) == 1:
        return chunks[0]
    return pa.concat_arrays(chunks) if chunks else pa.array([], column.type)


def _sorted(values: pa.Array) -> pa.Array:
    distinct = pc.unique(values)
    return distinct.take(pc.sort_indices(distinct))


def _places(values: pa.Array, among: pa.Array) -> Ints:
    return np.asarray(pc.index_in(values, value_set=among), np.int64)


def _ranks(ranks: Ints, absent: Flags) -> pa.Array:
    return pa.array(ranks.astype(np.int32), mask=absent)


def _in_order(rows: Ints, old_ranks: Ints, place: Ints, same: Flags) -> Flags:
    """Entries that need no word: the same distance, and in the order that they had among others.

    Of a list whose entries changed places (equal distances, or a re-ranked one) the most that are
    in order stay.
    """
    stays = same.copy()
    kept = np.flatnonzero(same)
    if not len(kept):
        return stays
    row, was = rows[kept], old_ranks[place[kept]]
    back = (row[1:] == row[:-1]) & (was[1:] <= was[:-1])
    for each in np.unique(row[1:][back]).tolist():
        low, high = np.searchsorted(row, each), np.searchsorted(row, each, side="right")
        stays[kept[low:high]] = _longest_rise(was[low:high].tolist())
    return stays


def _longest_rise(values: list[int]) -> list[bool]:
    """Which of the values belong to a longest strictly rising part of them."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for at, value in enumerate(values):
        size = bisect_left(tails, value)
        tails[size : size + 1], ends[size : size + 1] = [value], [at]
        before.append(ends[size - 1] if size else -1)
    kept = [False] * len(values)
    at = ends[-1] if ends else -1
    while at >= 0:
        kept[at] = True
        at = before[at]
    return kept


def _counted(before: _Lists, after: _Lists, change: Ints, rows: Ints) -> Counter[str]:
    count = int(max([0, *(int(own.max()) + 1 for own in (before.own, after.own) if len(own))]))
    was, now, touched = (np.zeros(count, np.bool_) for _ in range(3))
    was[before.own], now[after.own], touched[rows] = True, True, True
    both = was & now
    within = change[both[rows]]
    sizes = np.zeros(count, np.int64)
    sizes[after.own] = after.sizes
    facts = {
        **{word: change == number for number, word in enumerate(_WORDS)},
        **{"images": now, "new": now & ~was, "gone": was & ~now, "lists": both},
        **{
            "changed": both & touched,
            "first": both & (before.firsts(count) != after.firsts(count)),
        },
        **{"entries": sizes[both], "came": within == _INSERT, "went": within == _DELETE},
    }
    return Counter({name: int(each.sum()) for name, each in facts.items()})
