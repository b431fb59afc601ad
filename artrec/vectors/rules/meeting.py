"""Blocks met pair by pair under a rule: each product once, for its row and its column.

As in :mod:`artrec.vectors.pairs`, a pair that may be near enough for either end is measured exactly
and entered; here it must be allowed to one end as well, and of values that are counted each has a
limit of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from artrec.vectors.distance import Floats, Ints, distances_of_pairs
from artrec.vectors.rules.bounds import Bounds
from artrec.vectors.rules.kinds import Kinds, unlike
from artrec.vectors.rules.lists import FREE, Flat, Lists, joined, ranks, take
from artrec.vectors.rules.rule import Codes, Flags
from artrec.vectors.screen import Frame, Screen
from artrec.vectors.sieve import Tiling
from artrec.vectors.topk import orderable

__all__ = ["RuledSide", "meet_ruled"]

_STRIP_CELLS = 1 << 18  # cells compared at once: they stay in a core's cache
_PIECE = 1 << 20  # pairs measured at once
_ROOM = 1 << 20  # entries that may wait, at the least


@dataclass(slots=True, eq=False)
class _Found:
    """Entries that wait: rows, distances, ids and values, in any order."""

    parts: list[Flat] = field(default_factory=list)
    count: int = 0

    def add(self, rows: Ints, distances: Floats, ids: Ints, values: Codes) -> None:
        self.parts.append((rows, distances, ids, values))
        self.count += len(rows)

    def lists(self, n: int, width: int, most: int | None) -> Lists:
        if not self.parts:
            return Lists.empty(n, width)
        return take(*joined(self.parts), n, width, most)


class RuledSide:
    """A block in a meeting: kinds, their factors, limits and what was found for them.

    An entry is of no use to a row whose list is full within ``ceilings`` [r], nor beyond what is
    known of its value: ``of_value`` [r, v + 1] are costs that the entries of each value must not
    exceed, the last column for those that are not counted; without these (v = 0) ``of_own`` [r]
    are those of the row's own value. ``few``: values are so few that lists may never be full. Rows
    that are ``silent`` [s] ask nobody: their lists stay empty.
    """

    def __init__(
        self,
        frame: Frame,
        kinds: Kinds,
        bounds: Bounds,
        width: int,
        most: int | None,
        few: bool,
        silent: Ints | None = None,
    ) -> None:
        rows = kinds.rows
        self.kinds, self.width, self.most, self.few = kinds, width, most, few
        self.screen = Screen(frame, rows.vectors, rows.squares)
        self.left = self.screen.own_left()
        self.found = _Found()
        self._silent = np.zeros(0, np.int64) if silent is None else silent
        self._look_to(bounds.full)
        self.of_own = self.screen.column_limits(bounds.own)
        self.of_value = np.full((len(kinds), bounds.values.shape[1] + 1), np.inf, np.float32)
        known = np.nonzero(np.isfinite(bounds.values))
        self._lower(known[0], known[1], bounds.values[known])

    def _look_to(self, ceilings: Floats) -> None:
        self.ceilings = ceilings
        self.limits = self.screen.column_limits(ceilings)
        self.limits[self._silent] = -np.inf

    def _lower(self, rows: Ints, values: Ints | Codes, distances: Floats) -> None:
        """Know that there are enough of ``values`` [m] within ``distances`` of ``rows``."""
        limits = self.screen.column_limits(distances, rows)
        if self.of_value.shape[1] > 1:
            self.of_value[rows, values] = np.minimum(self.of_value[rows, values], limits)
            return
        own = np.flatnonzero(self.kinds.rows.values[rows] == values)
        rows, limits = rows[own], limits[own]
        self.of_own[rows] = np.minimum(self.of_own[rows], limits)

    def tile_limits(self, rows: slice, values: Codes) -> Floats:
        """Costs that cells of ``rows`` by columns of ``values`` must not exceed, or [rows, 1]."""
        limits = self.limits[rows, None]
        return np.minimum(self.of_value[rows][:, values], limits) if self.few else limits

    def asks(self, rows: Ints, other: RuledSide, columns: Ints, costs: Floats) -> Flags:
        """Whether ``columns`` [m] of ``other`` may stand in the lists of ``rows``, bool [m]."""
        kinds = other.kinds
        found = (columns < kinds.offered) & (costs <= self.limits[rows])
        values = kinds.rows.values[columns]
        if self.of_value.shape[1] > 1:
            found &= costs <= self.of_value[rows, values]  # FREE is -1: the last
        elif self.most is not None:
            found &= (values != self.kinds.rows.values[rows]) | (costs <= self.of_own[rows])
        if kinds.rule.collapse:
            at = np.flatnonzero(found)
            found[at] = kinds.first_for(self.kinds.rows, rows[at], columns[at])
        return found

    def crowded_out(self, rows: Ints, other: RuledSide, columns: Ints, costs: Floats) -> Flags:
        """Whether others of the value of ``columns`` [m], met with them, leave them no place."""
        values = other.kinds.rows.values[columns]
        across = self.of_value.shape[1]
        counted = np.flatnonzero(values != FREE)
        if self.most is None or across == 1 or not len(counted):
            return np.zeros(len(rows), dtype=np.bool_)
        cells = rows[counted] * across + values[counted]
        keys = (cells.view(np.uint64) << np.uint64(32)) | orderable(costs[counted])
        order = np.argsort(keys)
        cells = cells[order]
        new = np.flatnonzero(np.append(True, cells[1:] != cells[:-1]))
        new = new[np.diff(np.append(new, len(cells))) >= self.most]
        at = counted[order[new + self.most - 1]]
        far = other.screen.ceilings(self.screen.lengths[rows[at]], costs[at])
        self._lower(rows[at], values[at], far)
        return costs > self.of_value[rows, values]

    def enter(self, rows: Ints, distances: Floats, other: RuledSide, kinds: Ints) -> None:
        """``kinds`` [m] of ``other`` at ``distances`` from ``rows``, as far as they are of use."""
        near = np.flatnonzero(distances <= self.ceilings[rows])
        place, ids = other.kinds.expanded(kinds[near], self.width)
        near = near[place]
        self.found.add(rows[near], distances[near], ids, other.kinds.rows.values[kinds[near]])
        if self.found.count > max(_ROOM, 2 * len(self.kinds) * self.width):
            self.tighten()

    def lists(self) -> Lists:
        """The lists of all that was found."""
        return self.found.lists(len(self.kinds), self.width, self.most)

    def know(self, lists: Lists) -> None:
        """Look no further than what was found before; that is not entered again."""
        self.found = _Found()
        self.found.add(*lists.flat())
        self.tighten()
        self.found = _Found()

    def tighten(self) -> None:
        """Forget what has been overtaken, and look no further than what is left."""
        lists = self.lists()
        self.found = _Found()
        rows, distances, ids, values = lists.flat()
        self.found.add(rows, distances, ids, values)
        self._look_to(np.minimum(self.ceilings, lists.distances[:, -1]))
        if self.most is not None:
            last = np.flatnonzero((ranks(rows, values) == self.most - 1) & (values != FREE))
            self._lower(rows[last], values[last], distances[last])


def meet_ruled(a: RuledSide, b: RuledSide, tiling: Tiling) -> int:
    """Enter all pairs of ``a`` and ``b`` (of ``a`` with itself, each once) that may count.

    Returns the number of products computed: those of pairs that may not stand in any list are not.
    """
    buffer = np.empty(tiling.rows * tiling.columns, dtype=np.float32)
    products = 0
    for top in range(0, len(a.kinds), tiling.rows):
        left = a.left[top : top + tiling.rows]
        stop = len(b.kinds) if top < a.kinds.offered else b.kinds.offered
        waiting = _Waiting(a, b)
        for start in range(top if a is b else 0, stop, tiling.columns):
            right = b.screen.right[start : min(start + tiling.columns, stop)]
            costs = buffer[: len(left) * len(right)].reshape(len(left), len(right))
            np.matmul(left, right.T, out=costs)
            products += costs.size
            for rows, columns, near in _survivors(costs, a, b, top, start):
                waiting.add(rows, columns, near)
        waiting.measure()
    return products


def _survivors(
    costs: Floats, a: RuledSide, b: RuledSide, top: int, start: int
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Rows, columns and costs of the cells within a limit of either; of a triangle those above."""
    height, across = costs.shape
    columns = slice(start, start + across)
    step = max(1, _STRIP_CELLS // across)
    for first in range(0, height, step):
        strip = costs[first : first + step]
        rows = slice(top + first, top + first + len(strip))
        within = strip <= a.tile_limits(rows, b.kinds.rows.values[columns])
        within |= strip <= b.tile_limits(columns, a.kinds.rows.values[rows]).T
        if a is b and start < rows.stop:
            within &= np.arange(start, columns.stop) > np.arange(rows.start, rows.stop)[:, None]
        cells = np.flatnonzero(within)
        if len(cells):
            at = cells // across
            yield at + rows.start, cells - at * across + start, strip.reshape(-1)[cells]


class _Waiting:
    """Pairs of two sides that may count, until there are enough to measure."""

    def __init__(self, a: RuledSide, b: RuledSide) -> None:
        self._a, self._b = a, b
        self._pairs: list[tuple[Ints, Ints, Floats, Flags, Flags]] = []
        self._count = 0

    def add(self, rows: Ints, columns: Ints, costs: Floats) -> None:
        a, b = self._a, self._b
        may = np.flatnonzero(unlike(a.kinds.rows, rows, b.kinds.rows, columns))
        rows, columns, costs = rows[may], columns[may], costs[may]
        asks_a = a.asks(rows, b, columns, costs)
        asks_b = b.asks(columns, a, rows, costs)
        kept = np.flatnonzero(asks_a | asks_b)
        self._pairs.append((rows[kept], columns[kept], costs[kept], asks_a[kept], asks_b[kept]))
        self._count += len(kept)
        if self._count > _PIECE:
            self.measure()

    def measure(self) -> None:
        """Enter what waits at its exact distances."""
        if not self._count:
            return
        a, b = self._a, self._b
        rows, columns, costs, asks_a, asks_b = (
            np.concatenate(parts) for parts in zip(*self._pairs, strict=True)
        )
        self._pairs, self._count = [], 0
        for side, here, other, there, asks in (
            (a, rows, b, columns, asks_a),
            (b, columns, a, rows, asks_b),
        ):
            at = np.flatnonzero(asks)
            asks[at[side.crowded_out(here[at], other, there[at], costs[at])]] = False
        left, right = a.kinds.rows, b.kinds.rows
        kept = np.flatnonzero(asks_a | asks_b)
        rows, columns, asks_a, asks_b = rows[kept], columns[kept], asks_a[kept], asks_b[kept]
        distances = distances_of_pairs(
            a.screen.metric, left.vectors, left.squares, rows, right.vectors, right.squares, columns
        )
        a.enter(rows[asks_a], distances[asks_a], b, columns[asks_a])
        b.enter(columns[asks_b], distances[asks_b], a, rows[asks_b])
