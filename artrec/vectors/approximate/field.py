"""Vectors in the order of their cells, and the lists that an approximate join has for them so far.

While the join runs, lists hold float32 costs (:class:`artrec.vectors.screen.Screen`) and positions;
what comes out of it is measured exactly at the end, each entry once (:meth:`Field.measured`).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from artrec.vectors.approximate.lists import Entries, Lists, Places, from_orderable
from artrec.vectors.cells import coordinates
from artrec.vectors.distance import Floats, Ints, Wides, distances_of_lists, distances_of_pairs
from artrec.vectors.join import Block, Pools, distinct, pools_of
from artrec.vectors.layout import Layout
from artrec.vectors.screen import Screen
from artrec.vectors.sieve import Span
from artrec.vectors.topk import NOBODY, TopK, orderable, select

__all__ = ["Field", "NEVER"]

NEVER = np.uint8(255)

_SPARE = 4  # places beyond k: costs near the k-th may stand in the wrong order
_ROWS = 1 << 14  # lists measured at once


class Field:
    """The distinct vectors of a block in the order of their cells, with their ``lists``.

    Cell c holds the positions ``starts[c]`` to ``starts[c + 1]``. ``left`` and ``right`` [r, m] are
    the factors of costs, ``halves`` [r] half the squared lengths of the first ``dim`` columns of
    ``left`` (0 for ``dot``): a cost is ``halves[i] + halves[j] - left[i, :dim] @ left[j, :dim]``.
    ``seeds`` bool [c, c] are the pairs of cells from which lists were filled; ``level`` is the turn
    of probing under way.
    """

    CHUNK = 1 << 14

    def __init__(self, layout: Layout, block: Block, squares: Wides, k: int) -> None:
        self.numbers, self.k, self.metric = block.numbers, k, layout.frame.metric
        first, copy_of = distinct(block.vectors, squares)
        vectors = block.vectors if len(first) == len(squares) else block.vectors[first]
        cells = layout.cells(vectors, squares[first])
        order = np.argsort(cells, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self.copy_of = place[copy_of]
        self.centers, self._frame = layout.centers, layout.frame
        self.cells = cells[order].astype(np.int32)
        self.starts = np.searchsorted(self.cells, np.arange(len(layout.centers) + 1))
        self.span = Span.of(
            block.numbers, vectors[order], squares[first][order], self.copy_of, k + 1
        )
        self.screen = Screen(layout.frame, self.span.vectors, self.span.squares)
        self.right = self.screen.right
        self.left, self._lengths = self.screen.own_left(), self.screen.lengths
        self._row_of, self._copied = first[order], self.span.sizes > 1
        self.dim = vectors.shape[1]
        halves = self._lengths**2 / 2 if self.metric != "dot" else np.zeros(len(first))
        self.halves = halves.astype(np.float32)
        self.seeds = np.zeros((len(self.centers), len(self.centers)), dtype=np.bool_)
        self.level = 0
        self.lists = Lists.empty(len(first), min(k, max(1, len(first) - 1)) + _SPARE)

    @property
    def sizes(self) -> Ints:
        """Vectors of each cell, [c]."""
        return np.diff(self.starts)

    @cached_property
    def levels(self) -> NDArray[np.uint8]:
        """The turn [r, c] in which each looked at a cell: 0 where lists were filled; or NEVER."""
        return np.where(self.seeds, np.uint8(0), NEVER)[self.cells]

    def points(self, positions: Ints | slice) -> Floats:
        """Where the vectors at ``positions`` lie among the centers."""
        return coordinates(self._frame, self.span.vectors[positions], self.span.squares[positions])

    def measured(self, positions: Ints) -> TopK:
        """The lists of the vectors at ``positions``, themselves included, exact and in order."""
        found = TopK.empty(len(positions), self.k + 1)
        for start in range(0, len(positions), _ROWS):
            part = slice(start, start + _ROWS)
            lists = self._measured(positions[part])
            found.distances[part], found.ids[part] = lists.distances, lists.ids
        return found

    def _measured(self, positions: Ints) -> TopK:
        own = positions[:, None].astype(np.int32)
        others = np.concatenate((own, self.lists.others(positions)), axis=1)
        found = np.full(others.shape, np.inf, dtype=np.float32)
        first = others[:, : self.k + 1]
        known = np.where(first >= 0, first, positions[:, None])
        distances = distances_of_lists(
            self.metric, self.span.vectors, self.span.squares, positions, known
        )
        found[:, : self.k + 1] = np.where(first >= 0, distances, np.float32(np.inf))
        # Costs are rounded: spare ones count where they may be nearer than the k-th.
        full = np.flatnonzero((others[:, self.k + 1 :] >= 0).any(axis=1))
        at = positions[full]
        furthest = found[full, 1 : self.k + 1].max(axis=1, initial=-np.inf)
        limits = self.screen.limits(self._lengths[at], furthest)
        may_count = self.lists.costs(at)[:, self.k :] <= limits[:, None]
        rows, places = np.nonzero(may_count & (others[full, self.k + 1 :] >= 0))
        rows, places = full[rows], places + self.k + 1
        columns = others[rows, places].astype(np.int64)
        ends = positions[rows], self.span.vectors, self.span.squares, columns
        found[rows, places] = distances_of_pairs(
            self.metric, self.span.vectors, self.span.squares, *ends
        )
        return self._ordered(others, found)

    def _ordered(self, others: Places, found: Floats) -> TopK:
        """The nearest k + 1 numbers behind ``others`` [q, w], at distances +inf where unknown."""
        keys = orderable(found) << np.uint64(32)
        keys |= self._row_of[others].astype(np.uint64)
        keys.sort(axis=1)
        lists = self._decoded(keys[:, : self.k + 1])
        if self._copied.any():  # elsewhere each vector stands for one number
            mixed = np.flatnonzero(self._copied[others].any(axis=1))
            more = self._expanded(others[mixed], found[mixed])
            lists.distances[mixed], lists.ids[mixed] = more.distances, more.ids
        return lists

    def _expanded(self, others: Places, found: Floats) -> TopK:
        rows, places = np.nonzero(np.isfinite(found))
        place, numbers = self.span.expanded(others[rows, places].astype(np.int64))
        distances = found[rows, places][place]
        return select(rows[place], distances, numbers, len(others), self.k + 1)

    def _decoded(self, keys: Entries) -> TopK:
        lists = TopK.empty(len(keys), self.k + 1)
        distances = from_orderable(keys >> np.uint64(32))
        numbers = self.numbers[(keys & np.uint64(2**32 - 1)).astype(np.int64)]
        width = keys.shape[1]
        lists.distances[:, :width] = distances
        lists.ids[:, :width] = np.where(np.isfinite(distances), numbers, NOBODY)
        return lists

    def pools(self) -> Pools:
        """The pools of all vectors of the block, in the order of their numbers."""
        lists = self.measured(np.arange(len(self.cells)))
        others = np.full(len(self.numbers), len(self.numbers) - 1)
        return pools_of(self.numbers, lists, self.copy_of, self.k, others)
