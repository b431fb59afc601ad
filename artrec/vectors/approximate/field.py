"""Vectors in the order of their cells, and the lists that an approximate join has for them so far.

While the join runs, lists hold float32 costs (:class:`artrec.vectors.screen.Screen`) and positions;
what comes out of it is measured exactly at the end, each entry once (:meth:`Field.measured`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from artrec.vectors.distance import Floats, Ints, Wides, distances_of_pairs
from artrec.vectors.join import Block, Pools, distinct, pools_of
from artrec.vectors.layout import Layout
from artrec.vectors.screen import Screen
from artrec.vectors.sieve import Span
from artrec.vectors.topk import TopK, orderable, select

__all__ = ["Field", "Lists", "Places", "from_orderable"]

Places = NDArray[np.int32]
Flags = NDArray[np.bool_]

_SPARE = 4  # places beyond k: costs near the k-th may stand in the wrong order
_ROWS = 1 << 14  # lists measured at once


@dataclass(slots=True, eq=False)
class Lists:
    """Of r vectors the nearest so far: ``costs`` float32 and ``others`` int32 [r, w], ascending.

    Places left over hold +inf and -1. ``new`` bool [r, w] marks entries that no round of refinement
    has looked from. What is offered waits until :meth:`settle`.
    """

    costs: Floats
    others: Places
    new: Flags
    repeated: bool = False  # whether a pair may be offered that is listed already
    waiting: list[tuple[Places, Floats, Places, Flags]] = field(default_factory=list)
    count: int = 0

    @classmethod
    def empty(cls, rows: int, width: int) -> Lists:
        shape = (rows, width)
        return cls(
            np.full(shape, np.inf, np.float32), np.full(shape, -1, np.int32), np.ones(shape, bool)
        )

    @property
    def limits(self) -> Floats:
        """Costs [r] that an entry must be below, to enter."""
        return self.costs[:, -1]

    @property
    def crowded(self) -> bool:
        return self.count > max(1 << 20, 2 * self.costs.size)

    def offer(
        self, rows: Places, costs: Floats, others: Places, new: Flags | None = None
    ) -> None:
        if len(rows):
            new = np.ones(len(rows), dtype=np.bool_) if new is None else new
            self.waiting.append((rows, costs, others, new))
            self.count += len(rows)

    def settle(self) -> None:
        """Merge what waits: of each row the least costs stay, of a repeated pair one."""
        if not self.waiting:
            return
        held = np.nonzero(self.others >= 0)
        listed = (held[0].astype(np.int32), self.costs[held], self.others[held], self.new[held])
        parts = zip(listed, *self.waiting, strict=True)
        rows, costs, others, new = (np.concatenate(part) for part in parts)
        self.waiting, self.count = [], 0
        packing = _Packing.of(len(self.costs), costs)
        if self.repeated:
            rows, costs, others, new = packing.once(rows, costs, others, new)
        self._fill(*packing.by_cost(rows, costs, others, new))

    def _fill(self, rows: Ints, costs: Floats, others: Places, new: Flags) -> None:
        """Make these, sorted by row and cost, the lists."""
        ends = np.cumsum(np.bincount(rows, minlength=len(self.costs)))
        place = np.arange(len(rows)) - np.append(0, ends[:-1])[rows]
        kept = np.flatnonzero(place < self.costs.shape[1])
        where = (rows[kept], place[kept])
        self.costs.fill(np.inf)
        self.others.fill(-1)
        self.new.fill(True)
        self.costs[where], self.others[where] = costs[kept], others[kept]
        self.new[where] = new[kept]


@dataclass(frozen=True, slots=True)
class _Packing:
    """Entries as single numbers, which sort many times as fast as places by keys.

    A cost takes the bits that two positions and a flag leave; its last ones may be dropped.
    """

    position: int
    base: int
    drop: int
    cost: int

    @classmethod
    def of(cls, rows: int, costs: Floats) -> _Packing:
        position = max(1, rows.bit_length())
        keys = orderable(costs)
        base, top = int(keys.min(initial=1 << 32)), int(keys.max(initial=0))
        needed = max(1, (max(0, top - base)).bit_length())
        cost = min(needed, 63 - 2 * position)
        return cls(position, base, needed - cost, cost)

    def _cost(self, costs: Floats) -> NDArray[np.uint64]:
        return (orderable(costs) - np.uint64(self.base)) >> np.uint64(self.drop)

    def once(
        self, rows: Places, costs: Floats, others: Places, new: Flags
    ) -> tuple[Ints, Floats, Places, Flags]:
        """Each pair once: as it was listed, or else at its least cost."""
        keys = (rows.astype(np.uint64) << np.uint64(self.position)) | others.astype(np.uint64)
        keys = (keys << np.uint64(1)) | new
        keys = (keys << np.uint64(self.cost)) | self._cost(costs)
        keys.sort()
        pair = keys >> np.uint64(self.cost + 1)
        keys = keys[np.append(True, pair[1:] != pair[:-1])]
        pair = keys >> np.uint64(self.cost + 1)
        return (
            (pair >> np.uint64(self.position)).astype(np.int64),
            self._costs(keys),
            (pair & np.uint64((1 << self.position) - 1)).astype(np.int32),
            (keys >> np.uint64(self.cost)) & np.uint64(1) != 0,
        )

    def by_cost(
        self, rows: Places | Ints, costs: Floats, others: Places, new: Flags
    ) -> tuple[Ints, Floats, Places, Flags]:
        """Sorted by row, cost and position."""
        keys = (rows.astype(np.uint64) << np.uint64(self.cost)) | self._cost(costs)
        keys = (keys << np.uint64(self.position)) | others.astype(np.uint64)
        keys = (keys << np.uint64(1)) | new
        keys.sort()
        first = np.uint64(self.position + 1)
        return (
            (keys >> np.uint64(self.cost + self.position + 1)).astype(np.int64),
            self._costs(keys >> first),
            ((keys >> np.uint64(1)) & np.uint64((1 << self.position) - 1)).astype(np.int32),
            keys & np.uint64(1) != 0,
        )

    def _costs(self, keys: NDArray[np.uint64]) -> Floats:
        keys = keys & np.uint64((1 << self.cost) - 1)
        return from_orderable((keys << np.uint64(self.drop)) + np.uint64(self.base))


def from_orderable(keys: NDArray[np.uint64]) -> Floats:
    """The inverse of ``orderable``."""
    bits = keys.astype(np.uint32)
    return np.where(bits >> 31, bits & np.uint32((1 << 31) - 1), ~bits).view(np.float32)


class Field:
    """The distinct vectors of a block in the order of their cells, with their ``lists``.

    Cell c holds the positions ``starts[c]`` to ``starts[c + 1]``. ``left`` and ``right`` [r, m] are
    the factors of costs, ``halves`` [r] half the squared lengths of the first ``dim`` columns of
    ``left`` (0 for ``dot``): a cost is ``halves[i] + halves[j] - left[i, :dim] @ left[j, :dim]``.
    """

    def __init__(self, layout: Layout, block: Block, squares: Wides, k: int) -> None:
        self.numbers, self.k, self.metric = block.numbers, k, layout.frame.metric
        first, copy_of = distinct(block.vectors, squares)
        vectors = block.vectors if len(first) == len(squares) else block.vectors[first]
        cells = layout.cells(vectors, squares[first])
        order = np.argsort(cells, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self.copy_of = place[copy_of]
        self.cells = cells[order].astype(np.int32)
        self.starts = np.searchsorted(self.cells, np.arange(len(layout.centers) + 1))
        self.span = Span.of(
            block.numbers, vectors[order], squares[first][order], self.copy_of, k + 1
        )
        self.screen = Screen(layout.frame, self.span.vectors, self.span.squares)
        self.right = self.screen.right
        self.left, lengths = self.screen.left(self.span.vectors, self.span.squares)
        self.dim = vectors.shape[1]
        halves = lengths**2 / 2 if self.metric != "dot" else np.zeros(len(lengths))
        self.halves = halves.astype(np.float32)
        self.lists = Lists.empty(len(first), min(k, max(1, len(first) - 1)) + _SPARE)

    @property
    def sizes(self) -> Ints:
        """Vectors of each cell, [c]."""
        return np.diff(self.starts)

    def positions(self, cells: Ints) -> Places:
        """The positions of the vectors of ``cells``, in their order."""
        runs = [np.arange(self.starts[c], self.starts[c + 1], dtype=np.int32) for c in cells]
        return np.concatenate(runs) if runs else np.empty(0, np.int32)

    def measured(self, positions: Ints) -> TopK:
        """The lists of the vectors at ``positions``, themselves included, exact and in order."""
        found = TopK.empty(len(positions), self.k + 1)
        for start in range(0, len(positions), _ROWS):
            part = slice(start, start + _ROWS)
            lists = self._measured(positions[part])
            found.distances[part], found.ids[part] = lists.distances, lists.ids
        return found

    def _measured(self, positions: Ints) -> TopK:
        span = self.span
        others = np.concatenate((positions[:, None], self.lists.others[positions]), axis=1)
        rows, places = np.nonzero(others >= 0)
        columns = others[rows, places].astype(np.int64)
        distances = distances_of_pairs(
            self.metric,
            span.vectors,
            span.squares,
            positions[rows],
            span.vectors,
            span.squares,
            columns,
        )
        place, numbers = span.expanded(columns)
        return select(rows[place], distances[place], numbers, len(positions), self.k + 1)

    def pools(self) -> Pools:
        """The pools of all vectors of the block, in the order of their numbers."""
        lists = self.measured(np.arange(len(self.cells)))
        others = np.full(len(self.numbers), len(self.numbers) - 1)
        return pools_of(self.numbers, lists, self.copy_of, self.k, others)
