"""The approximate self-join dealt out by blocks of a layout: who looks where, and what is seen.

A pair of vectors is seen if their cells are near each other (either is among the ``near`` nearest
of the other), or if either looks at the other's cell: every vector looks at the ``probes`` cells
nearest to it, wherever they lie. A list holds the nearest of all that its vector has seen, with
exact distances in the exact order: it depends on the cells alone, not on the blocks they are cut
to, nor on who met first. Only of many that lie nearer to each other than float32 costs can tell,
any may be listed.

A block is filled first, from its own vectors and those of near cells of other blocks, which bounds
its lists (:meth:`Looking.fill`); then pairs of blocks of which one looks at the other meet
(:func:`see`), and what passes the bounds of either end is measured exactly. How far each vector
looks travels with the block as one number (:func:`artrec.vectors.approximate.reaching.reaches`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artrec.vectors.approximate.lists import Flags, Lists, Places, entries, from_orderable
from artrec.vectors.approximate.probing import list_least
from artrec.vectors.approximate.reaching import near_cells
from artrec.vectors.cells import cell_costs, coordinates
from artrec.vectors.distance import Floats, Ints, distances_of_lists, squared_norms
from artrec.vectors.join import Pools, pools_of
from artrec.vectors.layout import Layout
from artrec.vectors.pairs import Side, enter
from artrec.vectors.screen import Screen
from artrec.vectors.selfjoin import Laid
from artrec.vectors.sieve import Span
from artrec.vectors.topk import NOBODY, TopK, orderable, select

__all__ = ["Looking", "Others", "see"]

_SPARE = 4  # places beyond k: costs near the k-th may stand in the wrong order
_ROWS = 512
_STRIP_CELLS = 1 << 17  # costs computed and compared at once: they stay in a core's cache
_PIECE = 1 << 20  # pairs measured at once
_MEASURED = 1 << 14  # lists measured at once


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """Vectors [m, d] of other blocks, by their ``cells`` [m], ascending, and ``numbers`` [m]."""

    cells: Ints
    numbers: Ints
    vectors: Floats


@dataclass(slots=True, eq=False)
class Looking:
    """A block of a layout whose distinct vectors [r] have ``cells`` [r], ascending, and ``points``
    [r, d] among the centers; cell ``first + i`` holds ``starts[i]`` to ``starts[i + 1]``.

    ``near`` [b, c] are the cells near those of the block, ``reach`` [r] is how far each looks
    (:func:`artrec.vectors.approximate.reaching.reaches`); ``side`` holds ceilings and entries.
    """

    laid: Laid
    side: Side
    cells: Ints
    points: Floats
    first: int
    starts: Ints
    near: Flags
    reach: Floats

    @classmethod
    def of(
        cls, layout: Layout, block: int, laid: Laid, cells: Ints, k: int, close: Floats
    ) -> Looking:
        """``cells`` [n] are those of all rows of the block, ``close`` [c] how far cells are near.

        It looks nowhere yet.
        """
        span = laid.span
        side = laid.side(layout.frame, np.full(len(laid.first), np.inf, np.float32), k)
        first, after = layout.firsts[block : block + 2].tolist()
        own = cells[laid.first]
        points = coordinates(layout.frame, span.vectors, span.squares)
        starts = np.searchsorted(own, np.arange(first, after + 1))
        near = near_cells(layout, close, first, after)
        nowhere = np.full(len(own), -np.inf, np.float32)
        return cls(laid, side, own, points, first, starts, near, nowhere)

    @property
    def after(self) -> int:
        return self.first + len(self.starts) - 1

    def looks(self, layout: Layout, first: int, after: int) -> Flags:
        """At which of the cells ``first`` to ``after`` each looks that are not near its own, bool
        [r, after - first].
        """
        found = np.empty((len(self.cells), after - first), dtype=np.bool_)
        for part, costs in cell_costs(layout.centers[first:after], self.points):
            np.less(costs, self.reach[part, None], out=found[part])
        return found & ~self.near[self.cells - self.first, first:after]

    def fill(self, layout: Layout, others: Others, k: int) -> tuple[TopK, int]:
        """Lists [r, k] of what is in near cells, of which ``others`` are in other blocks, and of
        what is seen further away in this block; and the products made.

        Ceilings are lowered to them.
        """
        span, m = self.laid.span, len(others.numbers)
        squares = squared_norms(others.vectors)
        right = self.side.screen.right
        if m:
            outer = Screen(layout.frame, others.vectors, squares)
            right = np.concatenate((right, outer.right))
        everyone = Span(
            np.concatenate((span.vectors, others.vectors)),
            np.concatenate((span.squares, squares)),
            np.concatenate((span.numbers, others.numbers)),
            np.concatenate((span.starts, len(span.numbers) + np.arange(m))),
            np.concatenate((span.sizes, np.ones(m, span.sizes.dtype))),
        )
        width = min(k, max(1, len(everyone.vectors) - 1)) + _SPARE
        lists = Lists.empty(len(self.cells), width)
        products = self._list_near(lists, right, others.cells)
        looks = self.looks(layout, self.first, self.after)
        products += self._look_further(lists, looks)
        found = _measured(self.side.screen.metric, everyone, lists, k)
        self.side.lower(found.distances[:, -1])
        return found, products

    def pools(self, lists: TopK, k: int, total: int) -> Pools:
        """The pools of the block's rows, where ``lists`` [r, k] are all there is."""
        laid, entries = self.laid, self.side.entries
        if (laid.span.sizes == 1).all():
            others = np.full(len(laid.numbers), total - 1)
            return pools_of(laid.numbers, lists, laid.copy_of, k, others)
        rows, places = np.nonzero(lists.ids != NOBODY)
        entries.add(rows, lists.distances[rows, places], lists.ids[rows, places])
        return laid.pools(self.side.screen.metric, entries, k, total)

    def _list_near(self, lists: Lists, right: Floats, outer: Ints) -> int:
        """Make lists of what is in the cells near each; positions of others follow the own."""
        left, starts, products = self.side.left, self.starts, 0
        count = self.near.shape[1]
        begins = np.searchsorted(outer, np.arange(count)) + len(self.cells)
        ends = np.searchsorted(outer, np.arange(count), side="right") + len(self.cells)
        begins[self.first : self.after], ends[self.first : self.after] = starts[:-1], starts[1:]
        for cell in np.flatnonzero(np.diff(starts)).tolist():
            own = starts[cell]
            asked = np.flatnonzero(self.near[cell])
            asked = np.append(self.first + cell, asked[asked != self.first + cell])
            spans = [(begins[c], ends[c]) for c in asked.tolist()]
            columns = np.concatenate([np.arange(*span, dtype=np.int32) for span in spans])
            factor = right[columns].T
            for top in range(own, starts[cell + 1], _ROWS):
                rows = np.arange(top, min(top + _ROWS, starts[cell + 1]))
                costs = left[rows] @ factor
                products += costs.size
                costs[np.arange(len(rows)), rows - own] = np.inf  # itself
                list_least(lists, rows, costs, columns)
        return products

    def _look_further(self, lists: Lists, looks: Flags) -> int:
        """Offer what is seen in the block beyond near cells; what both ends see, once."""
        left, right, products = self.side.left, self.side.screen.right, 0
        own, starts = self.cells - self.first, self.starts
        for cell, rows in _asking(looks):
            start, stop = starts[cell], starts[cell + 1]
            step = max(1, _STRIP_CELLS // max(1, stop - start))
            for first in range(0, len(rows) if stop > start else 0, step):
                asking = rows[first : first + step]
                costs = left.take(asking, axis=0) @ right[start:stop].T
                products += costs.size
                here, there, found = _within(costs, lists.limits, asking, start, stop)
                near = np.flatnonzero(found < lists.limits[here])
                lists.offer(here[near], entries(found[near], there[near]))
                back = looks[there, own[here]]  # then it is offered when the other looks
                near = np.flatnonzero(~back & (found < lists.limits[there]))
                lists.offer(there[near], entries(found[near], here[near]))
            if lists.crowded:
                lists.settle()
        lists.settle()
        return products


def see(one: Looking, other: Looking, layout: Layout) -> int:
    """Enter into both what either sees in the other beyond near cells: the products made."""
    forth = one.looks(layout, other.first, other.after)
    back = other.looks(layout, one.first, one.after)
    return _enter_seen(one, other, forth, None) + _enter_seen(other, one, back, forth)


def _enter_seen(asking: Looking, asked: Looking, looks: Flags, done: Flags | None) -> int:
    """Enter what is seen one way, but not pairs of which the other end ``done`` [r, c] looked."""
    left, right, products = asking.side.left, asked.side.screen.right, 0
    own, pairs, waiting = asking.cells - asking.first, [], 0
    for cell, rows in _asking(looks):
        start, stop = asked.starts[cell], asked.starts[cell + 1]
        step = max(1, _STRIP_CELLS // max(1, stop - start))
        for first in range(0, len(rows) if stop > start else 0, step):
            some = rows[first : first + step]
            costs = left.take(some, axis=0) @ right[start:stop].T
            products += costs.size
            within = costs <= asking.side.limits[some, None]
            within |= costs <= asked.side.limits[start:stop]
            at = np.flatnonzero(within)
            row = at // costs.shape[1]
            here, there = some[row].astype(np.int64), at - row * costs.shape[1] + start
            if done is not None:
                new = ~done[there, own[here]]
                here, there = here[new], there[new]
            pairs.append((here, there))
            waiting += len(here)
        if waiting > _PIECE:
            enter(asking.side, asked.side, pairs)
            pairs, waiting = [], 0
    enter(asking.side, asked.side, pairs)
    return products


def _asking(looks: Flags) -> list[tuple[int, Places]]:
    """The cells [c] of ``looks`` [r, c] that somebody looks at, and who does."""
    cells, found = np.nonzero(looks.T)
    cuts = np.flatnonzero(np.append(True, cells[1:] != cells[:-1])) if len(cells) else cells
    rows: Places = found.astype(np.int32)
    ends = [*cuts[1:].tolist(), len(rows)]
    spans = zip(cuts.tolist(), ends, strict=False)
    return [(int(cells[start]), rows[start:end]) for start, end in spans]


def _within(
    costs: Floats, limits: Floats, rows: Places, start: int, stop: int
) -> tuple[Places, Places, Floats]:
    """The pairs of ``rows`` and the positions ``start`` to ``stop`` within the limit of either."""
    within = costs < limits[rows, None]
    within |= costs < limits[start:stop]
    at = np.flatnonzero(within)
    row = at // costs.shape[1]
    there = (at - row * costs.shape[1] + start).astype(np.int32)
    return rows[row], there, costs.reshape(-1)[at]


def _measured(metric: str, span: Span, lists: Lists, k: int) -> TopK:
    """The nearest ``k`` numbers of each list of the first rows of ``span``, exact and in order."""
    found = TopK.empty(len(lists.entries), k)
    firsts = span.numbers[span.starts]
    order = np.argsort(firsts, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    for start in range(0, len(lists.entries), _MEASURED):
        rows = np.arange(start, min(start + _MEASURED, len(lists.entries)))
        others = lists.others(rows)
        known = np.where(others >= 0, others, rows[:, None])
        distances = distances_of_lists(metric, span.vectors, span.squares, rows, known)
        distances[others < 0] = np.inf
        keys = orderable(distances) << np.uint64(32)
        keys |= place[others].astype(np.uint64)
        keys.sort(axis=1)
        near = keys[:, :k]
        numbers = firsts[order[(near & np.uint64(2**32 - 1)).astype(np.int64)]]
        width = near.shape[1]
        far = from_orderable(near >> np.uint64(32))
        found.distances[rows, :width] = far
        found.ids[rows, :width] = np.where(np.isfinite(far), numbers, -1)
        mixed = np.flatnonzero((span.sizes[others] > 1).any(axis=1))
        if len(mixed):  # vectors that stand for several numbers
            at, places = np.nonzero(others[mixed] >= 0)
            entry, numbers = span.expanded(others[mixed][at, places].astype(np.int64))
            far = distances[mixed][at, places][entry]
            more = select(at[entry], far, numbers, len(mixed), k)
            found.distances[rows[mixed]], found.ids[rows[mixed]] = more.distances, more.ids
    return found
