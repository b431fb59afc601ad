"""One span of candidates against the queries: multiply, compare, measure what is left, merge.

The part of the join that takes the time. Rows are tiles of queries, columns tiles of the span.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from artrec.errors import ConfigError
from artrec.vectors.distance import Floats, Ints, Wides, distances_of_pairs
from artrec.vectors.screen import Frame, Screen
from artrec.vectors.topk import NOBODY, TopK, orderable, select

__all__ = ["Span", "Tiling", "sift"]

_STRIP_CELLS = 1 << 18  # cells compared at once: bounds what one comparison can emit
_PIECE = 1 << 19  # entries measured and merged at once
_LEAST_ROOM = 1 << 16  # survivors that may wait, at the least
_GROUPS = (8, 4, 2, 1)

# A survivor is one number that sorts by (row, cost, column): 9 + 32 + 23 bits.
_ROW_BITS, _COLUMN_BITS = 9, 23
_COLUMN = np.uint64((1 << _COLUMN_BITS) - 1)
_SHIFT = np.uint64(_COLUMN_BITS)
_ROW_SHIFT = np.uint64(_COLUMN_BITS + 32)

Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Tiling:
    """Sizes that change the speed and memory of a join, never its result.

    A tile of costs is ``rows`` queries (at most 512) by ``columns`` candidates; a span, the part of
    the candidates between two rounds of exact measuring, is about ``span_bytes`` of vectors.
    """

    rows: int = 512
    columns: int = 8192
    span_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= 1 << _ROW_BITS or self.columns < 1 or self.span_bytes < 1:
            raise ConfigError(
                f"a tile has 1 to {1 << _ROW_BITS} rows and 1 or more columns: {self}"
            )

    def span_rows(self, dim: int) -> int:
        """Vectors of dimension ``dim`` in a span."""
        return min(max(1, self.span_bytes // (4 * dim)), 1 << _COLUMN_BITS)


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Candidates: ``vectors`` [r, d] distinct, ``squares`` [r]; the numbers of each are
    ``numbers[starts[i]:starts[i] + sizes[i]]``, ascending, as many as one list can take.
    """

    vectors: Floats
    squares: Wides
    numbers: Ints
    starts: Ints
    sizes: Ints

    @classmethod
    def of(cls, numbers: Ints, vectors: Floats, squares: Wides, copy_of: Ints, width: int) -> Span:
        """The span of ``numbers`` [n], ascending, whose vectors are ``vectors[copy_of]``."""
        sizes = np.bincount(copy_of, minlength=len(vectors))
        grouped = numbers[np.argsort(copy_of, kind="stable")]
        return cls(vectors, squares, grouped, np.cumsum(sizes) - sizes, np.minimum(sizes, width))

    def expanded(self, columns: Ints) -> tuple[Ints, Ints]:
        """For each of the numbers behind ``columns`` [m]: its place in them, and itself."""
        sizes = self.sizes[columns]
        place = np.repeat(np.arange(len(columns)), sizes)
        nth = np.arange(len(place)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return place, self.numbers[self.starts[columns][place] + nth]


def sift(
    frame: Frame, queries: Floats, squares: Wides, span: Span, lists: TopK, tiling: Tiling
) -> None:
    """Merge ``span`` into ``lists``, in place, for ``queries`` [n, d] with their squared norms."""
    screen = Screen(frame, span.vectors, span.squares)
    buffer = np.empty(tiling.rows * tiling.columns, dtype=np.float32)
    for first in range(0, len(queries), tiling.rows):
        rows = slice(first, first + tiling.rows)
        part = TopK(lists.distances[rows], lists.ids[rows])
        _Sieve(screen, queries[rows], squares[rows], span, part).run(tiling.columns, buffer)


class _Sieve:
    """The lists of one tile of queries while a span passes.

    ``_ceilings`` [q]: as many candidates as a list takes are known to be that near or nearer, so
    what costs more than ``_limits`` [q] cannot enter.
    """

    def __init__(
        self, screen: Screen, queries: Floats, squares: Wides, span: Span, lists: TopK
    ) -> None:
        self._screen, self._span, self._lists = screen, span, lists
        self._queries, self._squares = queries, squares
        self._left, self._lengths = screen.left(queries, squares)
        self._ceilings: Floats = lists.distances[:, -1].copy()
        self._limits = screen.limits(self._lengths, self._ceilings)
        self._pending: list[Keys] = []
        self._count = 0
        self._room = max(5 * lists.ids.size // 2, _LEAST_ROOM)

    def run(self, columns: int, buffer: Floats) -> None:
        right = self._screen.right
        for start in range(0, len(right), columns):
            tile = right[start : start + columns]
            costs = buffer[: len(self._left) * len(tile)].reshape(len(self._left), len(tile))
            np.matmul(self._left, tile.T, out=costs)
            if start == 0:
                self._seed(costs)
            step = max(1, _STRIP_CELLS // len(tile))
            for top in range(0, len(costs), step):
                self._emit(costs[top : top + step], top, start)
        self._measure(self._pruned())

    def _lower(self, ceilings: Floats, rows: Ints | slice) -> None:
        self._ceilings[rows] = np.minimum(self._ceilings[rows], ceilings)
        self._limits = self._screen.limits(self._lengths, self._ceilings)

    def _seed(self, costs: Floats) -> None:
        """Ceilings for rows that have none: as many cells as a list takes are within ``kth``.

        The k-th least of the minima of groups of cells is little above the k-th least cell, and
        much cheaper than a partition of the cells.
        """
        width = self._lists.ids.shape[1]
        if np.isfinite(self._ceilings).all() or costs.shape[1] < width:
            return
        group = next(g for g in _GROUPS if costs.shape[1] // g >= 2 * width or g == 1)
        across = costs.shape[1] // group
        grouped = costs[:, : group * across].reshape(len(costs), group, across)
        least = np.minimum.reduce(grouped, axis=1)
        kth = np.partition(least, width - 1, axis=1)[:, width - 1]
        self._lower(self._screen.ceilings(self._lengths, kth), slice(None))

    def _emit(self, costs: Floats, top: int, start: int) -> None:
        """Keep what is within the limits of a strip whose corner is at (top, start)."""
        within = costs <= self._limits[top : top + len(costs), None]
        cells = np.flatnonzero(within)
        if not len(cells):
            return
        keys = orderable(costs.reshape(-1)[cells]) << _SHIFT
        rows = cells // costs.shape[1]
        cells -= rows * costs.shape[1]
        cells += start
        rows += top
        keys |= rows.view(np.uint64) << _ROW_SHIFT
        keys |= cells.view(np.uint64)
        self._pending.append(keys)
        self._count += len(keys)
        if self._count > self._room:
            left = self._pruned()
            if len(left) > 2 * self._room // 3:
                self._measure(left)
            else:
                self._pending, self._count = [left], len(left)

    def _pruned(self) -> Keys:
        """The pending survivors, sorted, without those that nearer ones have overtaken."""
        keys = np.sort(np.concatenate(self._pending)) if self._pending else np.empty(0, np.uint64)
        self._pending, self._count = [], 0
        rows = (keys >> _ROW_SHIFT).astype(np.int64)
        # The cell at which a row's numbers, copies included, first fill a list.
        filled = np.cumsum(self._span.sizes[_columns(keys)])
        ends = np.searchsorted(rows, np.arange(len(self._left)), side="right")
        before = np.append(0, filled)[np.append(0, ends[:-1])]
        kth = np.searchsorted(filled, before + self._lists.ids.shape[1])
        full = np.flatnonzero(kth < ends)
        costs = _costs(keys[kth[full]])
        self._lower(self._screen.ceilings(self._lengths[full], costs), full)
        return keys[_costs(keys) <= self._limits[rows]]

    def _measure(self, keys: Keys) -> None:
        """Merge the exact distances of survivors, sorted, into the lists."""
        if not len(keys):
            return
        entries = np.cumsum(self._span.sizes[_columns(keys)])
        cuts = np.searchsorted(entries, np.arange(_PIECE, entries[-1], _PIECE))
        for start, stop in pairwise((0, *cuts.tolist(), len(keys))):
            piece = keys[start:stop]
            self._merge((piece >> _ROW_SHIFT).astype(np.int64), _columns(piece))
        self._ceilings = self._lists.distances[:, -1].copy()
        self._limits = self._screen.limits(self._lengths, self._ceilings)

    def _merge(self, rows: Ints, columns: Ints) -> None:
        span, lists = self._span, self._lists
        distances = distances_of_pairs(
            self._screen.metric,
            self._queries,
            self._squares,
            rows,
            span.vectors,
            span.squares,
            columns,
        )
        place, numbers = span.expanded(columns)
        held = np.nonzero(lists.ids != NOBODY)
        merged = select(
            np.concatenate((held[0], rows[place])),
            np.concatenate((lists.distances[held], distances[place])),
            np.concatenate((lists.ids[held], numbers)),
            *lists.ids.shape,
        )
        lists.distances[...], lists.ids[...] = merged.distances, merged.ids


def _columns(keys: Keys) -> Ints:
    return (keys & _COLUMN).astype(np.int64)


def _costs(keys: Keys) -> Floats:
    """The costs that went into ``keys``: the inverse of ``orderable``."""
    bits = (keys >> _SHIFT).astype(np.uint32)
    return np.where(bits >> 31, bits & np.uint32((1 << 31) - 1), ~bits).view(np.float32)
