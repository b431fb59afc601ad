"""Blocks met pair by pair under a rule: each product once, for its row and its column.

As in :mod:`artrec.vectors.pairs`, a pair that may be near enough for either end is measured exactly
and entered; here it must be allowed to one end as well, and a row has more than one ceiling: one
for what is counted with its own value, or one for each value where these are few.
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
    """A block in a meeting: kinds, their factors, ceilings and what was found for them.

    ``ceilings`` [r, c]: the distance beyond which an entry is of no use to a row, by its class.
    With ``few`` values that is the entry's value, FREE the last of c; else class 1 is the row's own
    value where values are counted, class 0 all others.
    """

    def __init__(
        self, frame: Frame, kinds: Kinds, bounds: Bounds, width: int, most: int | None
    ) -> None:
        self.kinds, self.width, self.most = kinds, width, most
        self.few = bounds.values.shape[1] > 0
        self.screen = Screen(frame, kinds.rows.vectors, kinds.rows.squares)
        self.left, _ = self.screen.left(kinds.rows.vectors, kinds.rows.squares)
        self.found = _Found()
        classes = [bounds.full]
        if self.few:
            classes = [*bounds.values.T, bounds.full]
        elif most is not None:
            classes = [bounds.full, bounds.own]
        self.ceilings = np.minimum(np.column_stack(classes), bounds.full[:, None])
        self._limit()

    def _limit(self) -> None:
        limits = [self.screen.column_limits(column) for column in self.ceilings.T]
        self.limits = np.column_stack(limits)

    def classes(self, rows: Ints, values: Codes) -> Ints:
        """The class of entries with ``values`` [m] for ``rows`` [m]."""
        if self.few:
            return values.astype(np.int64)  # FREE is -1: the last
        if self.most is None:
            return np.zeros(len(rows), dtype=np.int64)
        own = self.kinds.rows.values[rows]
        return np.asarray((own == values) & (own != FREE), dtype=np.int64)

    def tile_limits(self, rows: slice, values: Codes) -> Floats:
        """Costs that cells of ``rows`` by columns of ``values`` must not exceed, or [rows, 1]."""
        return self.limits[rows][:, values] if self.few else self.limits[rows, :1]

    def enter(self, rows: Ints, distances: Floats, other: RuledSide, kinds: Ints) -> None:
        """``kinds`` [m] of ``other`` at ``distances`` from ``rows``, as far as they are of use."""
        values = other.kinds.rows.values[kinds]
        near = np.flatnonzero(distances <= self.ceilings[rows, self.classes(rows, values)])
        place, ids = other.kinds.expanded(kinds[near], self.width)
        near = near[place]
        self.found.add(rows[near], distances[near], ids, values[near])
        if self.found.count > max(_ROOM, 2 * len(self.kinds) * self.width):
            self.tighten()

    def lists(self) -> Lists:
        """The lists of all that was found."""
        return self.found.lists(len(self.kinds), self.width, self.most)

    def tighten(self) -> None:
        """Forget what has been overtaken, and look no further than what is left."""
        lists = self.lists()
        self.found = _Found()
        entries = lists.flat()
        self.found.add(*entries)
        self.ceilings = np.minimum(self.ceilings, lists.distances[:, -1:])
        if self.most is not None:
            rows, distances, _, values = entries
            last = (ranks(rows, values) == self.most - 1) & (values != FREE)
            rows, values, distances = rows[last], values[last], distances[last]
            classes = self.classes(rows, values)
            if not self.few:
                rows, distances, classes = (a[classes == 1] for a in (rows, distances, classes))
            self.ceilings[rows, classes] = np.minimum(self.ceilings[rows, classes], distances)
        self._limit()


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
        self._pairs: list[tuple[Ints, Ints, Flags, Flags]] = []
        self._count = 0

    def add(self, rows: Ints, columns: Ints, costs: Floats) -> None:
        a, b = self._a, self._b
        may = np.flatnonzero(unlike(a.kinds.rows, rows, b.kinds.rows, columns))
        rows, columns, costs = rows[may], columns[may], costs[may]
        asks_a = _asks(a, rows, b, columns, costs)
        asks_b = _asks(b, columns, a, rows, costs)
        kept = np.flatnonzero(asks_a | asks_b)
        self._pairs.append((rows[kept], columns[kept], asks_a[kept], asks_b[kept]))
        self._count += len(kept)
        if self._count > _PIECE:
            self.measure()

    def measure(self) -> None:
        """Enter what waits at its exact distances."""
        if not self._count:
            return
        a, b = self._a, self._b
        rows, columns, asks_a, asks_b = (
            np.concatenate(parts) for parts in zip(*self._pairs, strict=True)
        )
        self._pairs, self._count = [], 0
        left, right = a.kinds.rows, b.kinds.rows
        distances = distances_of_pairs(
            a.screen.metric, left.vectors, left.squares, rows, right.vectors, right.squares, columns
        )
        a.enter(rows[asks_a], distances[asks_a], b, columns[asks_a])
        b.enter(columns[asks_b], distances[asks_b], a, rows[asks_b])


def _asks(side: RuledSide, rows: Ints, other: RuledSide, columns: Ints, costs: Floats) -> Flags:
    """Whether ``columns`` of ``other`` may stand in the lists of ``rows``, bool [m]."""
    kinds = other.kinds
    classes = side.classes(rows, kinds.rows.values[columns])
    found = columns < kinds.offered
    found &= costs <= side.limits[rows, classes]
    if kinds.rule.collapse:
        at = np.flatnonzero(found)
        found[at] = kinds.first_for(side.kinds.rows, rows[at], columns[at])
    return found
