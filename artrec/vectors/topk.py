"""Lists of the k nearest: how they are ordered, merged and searched for.

Every list is ordered by (distance, id), and :func:`merge` is a fold with an identity: a search cut
into shards, or a join cut into blocks, gives the lists of the whole, whatever the cuts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from artrec.errors import ConfigError, InputError
from artrec.vectors.distance import (
    Floats,
    Ints,
    Wides,
    check_metric,
    check_vectors,
    distances_of_pairs,
    squared_norms,
)

__all__ = [
    "BruteForce",
    "NOBODY",
    "Searcher",
    "TopK",
    "merge",
    "order_entries",
    "orderable",
    "select",
]

NOBODY = -1  # the id of an empty place, whose distance is +inf

_TILE_QUERIES, _TILE_VECTORS = 64, 4096
_MOST_DROPPED = 14  # bits of a distance that a first sort may do without


@dataclass(frozen=True, slots=True, eq=False)
class TopK:
    """The nearest of n queries: ``distances`` float32 [n, k], ``ids`` int64 [n, k].

    Rows are ordered by (distance, id); places left over at their end hold +inf and NOBODY.
    """

    distances: Floats
    ids: Ints

    @staticmethod
    def empty(n: int, k: int) -> TopK:
        """Lists without entries: the identity of :func:`merge`."""
        return TopK(
            np.full((n, k), np.inf, dtype=np.float32), np.full((n, k), NOBODY, dtype=np.int64)
        )

    @property
    def counts(self) -> Ints:
        """Entries of each list, int64 [n]."""
        return np.asarray((self.ids != NOBODY).sum(axis=1), dtype=np.int64)


class Searcher(Protocol):
    """Finds the nearest of the vectors that it holds."""

    def is_exact(self) -> bool:
        """Whether its lists may be taken for the truth."""
        ...

    def search(self, queries: Floats, k: int) -> TopK:
        """The lists [n, k] of ``queries`` float32 [n, d]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class BruteForce:
    """The exact Searcher: every distance, in float64, without any screen.

    ``vectors`` float32 [n, d], ``ids`` int64 [n], each once and none negative. Time is about
    1 ns * d for each pair and core; memory beyond the vectors is that of a tile. For many queries
    ``join`` gives the same lists at the cost of a float32 product.
    """

    vectors: Floats
    ids: Ints
    metric: str

    def __post_init__(self) -> None:
        check_metric(self.metric)
        check_vectors(self.vectors, self.ids, self.metric)
        if len(self.ids) and (len(np.unique(self.ids)) < len(self.ids) or self.ids.min() < 0):
            raise InputError("ids of vectors must differ from each other and not be negative")

    def is_exact(self) -> bool:
        return True

    def search(self, queries: Floats, k: int) -> TopK:
        """Raises InputError for queries of another dimension, or with NaN, naming their rows."""
        if k < 1:
            raise ConfigError(f"k must be at least 1, got {k}")
        check_vectors(queries, np.arange(len(queries)), self.metric)
        if queries.shape[1] != self.vectors.shape[1]:
            raise InputError(
                f"queries have {queries.shape[1]} dimensions, vectors {self.vectors.shape[1]}"
            )
        found = TopK.empty(len(queries), k)
        squares = squared_norms(self.vectors)
        for first in range(0, len(queries), _TILE_QUERIES):
            rows = slice(first, first + _TILE_QUERIES)
            lists = self._search_tile(queries[rows], k, squares)
            found.distances[rows], found.ids[rows] = lists.distances, lists.ids
        return found

    def _search_tile(self, queries: Floats, k: int, squares: Wides) -> TopK:
        lists = TopK.empty(len(queries), k)
        lengths = squared_norms(queries)
        for start in range(0, len(self.ids), _TILE_VECTORS):
            tile = np.arange(start, min(start + _TILE_VECTORS, len(self.ids)))
            rows, columns = (
                np.repeat(np.arange(len(queries)), len(tile)),
                np.tile(tile, len(queries)),
            )
            distances = distances_of_pairs(
                self.metric, queries, lengths, rows, self.vectors, squares, columns
            )
            lists = merge(lists, select(rows, distances, self.ids[columns], len(queries), k))
        return lists


def merge(a: TopK, b: TopK) -> TopK:
    """The nearest of both, for the same queries: associative, commutative, ``empty`` is neutral.

    An id that stands in both (or twice in one) stands once in the result, at its smaller distance.
    Raises InputError where the shapes differ: a shorter list would cut the longer one.
    """
    if a.ids.shape != b.ids.shape:
        raise InputError(f"lists [n, k] differ in shape: {a.ids.shape} against {b.ids.shape}")
    n, k = a.ids.shape
    distances, ids = np.hstack((a.distances, b.distances)), np.hstack((a.ids, b.ids))
    rows, places = np.nonzero(ids != NOBODY)
    flat, names = distances[rows, places], ids[rows, places]
    order = np.lexsort((flat, names, rows))
    rows, flat, names = rows[order], flat[order], names[order]
    fresh = np.ones(len(rows), dtype=np.bool_)
    fresh[1:] = (rows[1:] != rows[:-1]) | (names[1:] != names[:-1])
    return select(rows[fresh], flat[fresh], names[fresh], n, k)


def select(rows: Ints, distances: Floats, ids: Ints, n: int, k: int) -> TopK:
    """The lists [n, k] of m entries: row (0 to n - 1), distance and id, each [m], in any order.

    Nothing is collapsed: an id that stands twice in a row fills two places.
    """
    order, listed = order_entries(rows, distances, ids)
    place = np.arange(len(listed)) - np.searchsorted(listed, np.arange(n))[listed]
    kept = place < k
    lists = TopK.empty(n, k)
    where = (listed[kept], place[kept])
    lists.distances[where] = distances[order[kept]] + np.float32(0.0)  # no -0.0
    lists.ids[where] = ids[order[kept]]
    return lists


def order_entries(rows: Ints, distances: Floats, ids: Ints) -> tuple[Ints, Ints]:
    """The permutation that sorts by (row, distance, id), and the rows in that order.

    Row, the first bits of the distance and the place in the input are sorted as one number, which
    is several times as fast as sorting places by a key; the few that tie are then sorted in full.
    """
    keys = orderable(distances)
    place_bits = len(rows).bit_length()
    row_bits = int(rows.max(initial=0)).bit_length()
    dropped = np.uint64(max(0, 32 + row_bits + place_bits - 64))
    near = (rows.view(np.uint64) << (np.uint64(32) - dropped)) | (keys >> dropped)
    if dropped > _MOST_DROPPED:
        near = (rows.view(np.uint64) << np.uint64(32)) | keys
        order = np.argsort(near)
        near = near[order]
    else:
        packed = (near << np.uint64(place_bits)) | np.arange(len(rows), dtype=np.uint64)
        packed.sort()
        order = (packed & np.uint64((1 << place_bits) - 1)).astype(np.int64)
        near = packed >> np.uint64(place_bits)
    same = near[1:] == near[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    if len(tied):
        ties = order[tied]
        order[tied] = ties[np.lexsort((ids[ties], keys[ties], near[tied]))]
    return order, rows[order]


def orderable(values: Floats) -> NDArray[np.uint64]:
    """Whole numbers below 2^32 in the order of ``values`` (no NaN); -0.0 counts as 0.0."""
    bits = (values + np.float32(0.0)).view(np.int32)
    flips = bits >> 31  # all bits of a negative number, of others the sign alone
    flips |= np.int32(-(1 << 31))
    flips ^= bits
    return flips.view(np.uint32).astype(np.uint64)
