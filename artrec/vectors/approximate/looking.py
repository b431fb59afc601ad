"""The approximate self-join dealt out by blocks of a layout: who looks where, and what is seen.

Every vector looks at the ``probes`` cells nearest to it, wherever they lie, and a pair is seen if
either end looks at the other's cell. A list holds the nearest of all that its vector has seen, with
exact distances in the exact order: what is listed depends on the cells alone, not on the blocks
they are cut to, nor on who met first.

A block sees itself first, which bounds its lists (:meth:`Looking.see_itself`); then pairs of blocks
of which one looks at the other meet (:func:`see`), and what passes the bounds of either end is
measured exactly. How far each vector looks travels with the block as one number: a cost between
those of the last cell looked at and of the next one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artrec.vectors.approximate.lists import Flags, Lists, Places, entries
from artrec.vectors.approximate.probing import list_least, pair_ranks, seeds
from artrec.vectors.cells import cell_costs, coordinates
from artrec.vectors.distance import Floats, Ints, distances_of_lists
from artrec.vectors.layout import Layout
from artrec.vectors.pairs import Side, enter
from artrec.vectors.selfjoin import Laid
from artrec.vectors.topk import TopK, orderable, select

__all__ = ["Looking", "reaches", "see"]

_SPARE = 4  # places beyond k: costs near the k-th may stand in the wrong order
_NEAR = 8  # cells of its block that a cell is listed from first
_ROWS = 512
_STRIP_CELLS = 1 << 17  # costs computed and compared at once: they stay in a core's cache
_PIECE = 1 << 20  # pairs measured at once
_MEASURED = 1 << 14  # lists measured at once


@dataclass(slots=True, eq=False)
class Looking:
    """A block of a layout whose distinct vectors [r] have ``cells`` [r], ascending, and ``points``
    [r, d] among the centers; cell ``first + i`` holds ``starts[i]`` to ``starts[i + 1]``.

    ``reach`` [r] is how far each looks (:func:`reaches`); ``side`` holds ceilings and entries.
    """

    laid: Laid
    side: Side
    cells: Ints
    points: Floats
    first: int
    starts: Ints
    reach: Floats

    @classmethod
    def of(cls, layout: Layout, block: int, laid: Laid, cells: Ints, k: int) -> Looking:
        """``cells`` [n] are those of all rows of the block."""
        span = laid.span
        side = laid.side(layout.frame, np.full(len(laid.first), np.inf, np.float32), k)
        first, after = layout.firsts[block : block + 2].tolist()
        own = cells[laid.first]
        points = coordinates(layout.frame, span.vectors, span.squares)
        starts = np.searchsorted(own, np.arange(first, after + 1))
        return cls(laid, side, own, points, first, starts, np.empty(0, np.float32))

    def looks(self, layout: Layout, first: int, after: int) -> Flags:
        """At which of the cells ``first`` to ``after`` each looks, bool [r, after - first]."""
        found = np.empty((len(self.cells), after - first), dtype=np.bool_)
        for part, costs in cell_costs(layout.centers[first:after], self.points):
            np.less(costs, self.reach[part, None], out=found[part])
        return found

    def see_itself(self, layout: Layout, k: int) -> tuple[TopK, int]:
        """Lists [r, k] of what each sees in its block, and the products made.

        Ceilings are lowered to them.
        """
        after = self.first + len(self.starts) - 1
        looks = self.looks(layout, self.first, after)
        sizes = np.diff(self.starts)
        others = max(1, len(self.cells) - 1)
        lists = Lists.empty(len(self.cells), min(k, others) + _SPARE)
        near = seeds(pair_ranks(layout.centers[self.first : after]), sizes, _NEAR, min(k, others))
        products = self._list_near(lists, looks, near)
        products += self._look_further(lists, looks, looks & ~near[self.cells - self.first])
        found = self._measured(lists, k)
        self.side.lower(found.distances[:, -1])
        return found, products

    def _list_near(self, lists: Lists, looks: Flags, near: Flags) -> int:
        """Make lists of what each cell sees of those ``near`` [c, c] it, both ways."""
        starts, sizes = self.starts, np.diff(self.starts)
        left, right, products = self.side.left, self.side.screen.right, 0
        for cell in np.flatnonzero(sizes).tolist():
            asked = np.flatnonzero(near[cell])
            columns = np.concatenate(
                [np.arange(starts[c], starts[c + 1], dtype=np.int32) for c in asked]
            )
            back, factor = looks[columns, cell], right[columns].T
            for top in range(starts[cell], starts[cell + 1], _ROWS):
                rows = np.arange(top, min(top + _ROWS, starts[cell + 1]))
                costs = left[rows] @ factor
                products += costs.size
                seen = np.repeat(looks[rows][:, asked], sizes[asked], axis=1)
                seen |= back
                own = np.searchsorted(columns, rows)
                seen[np.arange(len(rows)), own] = False
                np.copyto(costs, np.float32(np.inf), where=~seen)
                list_least(lists, rows, costs, columns)
        return products

    def _look_further(self, lists: Lists, looks: Flags, further: Flags) -> int:
        """Offer what is seen beyond near cells; a pair that is seen from both ends, once."""
        left, right, products = self.side.left, self.side.screen.right, 0
        own, starts = self.cells - self.first, self.starts
        for cell, rows in _asking(further):
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

    def _measured(self, lists: Lists, k: int) -> TopK:
        """The nearest ``k`` numbers of each list, exact and in order."""
        span, found = self.laid.span, TopK.empty(len(self.cells), k)
        firsts = span.numbers[span.starts]
        order = np.argsort(firsts, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        for start in range(0, len(self.cells), _MEASURED):
            rows = np.arange(start, min(start + _MEASURED, len(self.cells)))
            others = lists.others(rows)
            distances = distances_of_lists(
                self.side.screen.metric,
                span.vectors,
                span.squares,
                rows,
                np.where(others >= 0, others, rows[:, None]),
            )
            distances[others < 0] = np.inf
            keys = orderable(distances) << np.uint64(32)
            keys |= place[others].astype(np.uint64)
            at = np.argsort(keys, axis=1)[:, :k]
            width = at.shape[1]
            near = np.take_along_axis(distances, at, axis=1)
            numbers = firsts[np.take_along_axis(others, at, axis=1)]
            found.distances[rows, :width] = near
            found.ids[rows, :width] = np.where(np.isfinite(near), numbers, -1)
            mixed = np.flatnonzero((span.sizes[others] > 1).any(axis=1))
            if len(mixed):  # vectors that stand for several numbers
                at, places = np.nonzero(others[mixed] >= 0)
                entry, numbers = span.expanded(others[mixed][at, places].astype(np.int64))
                far = distances[mixed][at, places][entry]
                more = select(at[entry], far, numbers, len(mixed), k)
                found.distances[rows[mixed]], found.ids[rows[mixed]] = more.distances, more.ids
        return found


def reaches(layout: Layout, points: Floats, probes: int) -> tuple[Floats, Ints]:
    """How far each of ``points`` [r, d] looks: a cost above those of its nearest ``probes`` cells
    and below those of the others, +inf where there are no others; and how many look at each cell.
    """
    cells = len(layout.centers)
    found, looks = np.full(len(points), np.inf, dtype=np.float32), np.zeros(cells, np.int64)
    if probes >= cells:
        return found, looks + len(points)
    for part, costs in cell_costs(layout.centers, points):
        ends = np.partition(costs, (probes - 1, probes), axis=1)[:, probes - 1 : probes + 1]
        # Where both are equal, or next to each other, their mean may be the former.
        between = ends.mean(axis=1, dtype=np.float64).astype(np.float32)
        found[part] = np.maximum(between, np.nextafter(ends[:, 0], np.float32(np.inf)))
        looks += (costs < found[part, None]).sum(axis=0)
    return found, looks


def see(one: Looking, other: Looking, layout: Layout) -> int:
    """Enter into both what either sees in the other: the products made."""
    forth = one.looks(layout, other.first, other.first + len(other.starts) - 1)
    back = other.looks(layout, one.first, one.first + len(one.starts) - 1)
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
