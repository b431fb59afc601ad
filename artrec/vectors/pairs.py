"""Blocks met pair by pair: each product computed once and tested for its rows and its columns.

Every vector comes with a *ceiling*: a distance within which as many candidates are known to be as
its list takes. A pair leaves a meeting only if it is within the ceiling of one of its ends; what
the float32 product lets through is measured exactly first (``distance``). Ceilings only decide how
much is measured: the lists that are merged from all meetings are the exact ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from artrec.vectors.distance import Floats, Ints, distances_of_pairs
from artrec.vectors.screen import Frame, Screen
from artrec.vectors.sieve import Span, Tiling
from artrec.vectors.topk import TopK, select

__all__ = ["Entries", "Side", "enter", "meet"]

_STRIP_CELLS = 1 << 18  # cells compared at once: they stay in a core's cache
_PIECE = 1 << 20  # pairs measured at once
_ROOM = 1 << 20  # entries that may wait, at the least


@dataclass(slots=True, eq=False)
class Entries:
    """What was found for n vectors: row, distance and number [m] each, in any order."""

    n: int
    width: int
    rows: list[Ints] = field(default_factory=list)
    distances: list[Floats] = field(default_factory=list)
    others: list[Ints] = field(default_factory=list)
    count: int = 0
    met: int = 0

    def add(self, rows: Ints, distances: Floats, others: Ints) -> None:
        self.rows.append(rows)
        self.distances.append(distances)
        self.others.append(others)
        self.count += len(rows)
        self.met += len(rows)

    @property
    def crowded(self) -> bool:
        """Whether twice as many wait as their lists could take."""
        return self.count > max(_ROOM, 2 * self.n * self.width)

    def lists(self) -> TopK:
        """The nearest ``width`` of each vector."""
        return select(*self.flat(), self.n, self.width)

    def flat(self) -> tuple[Ints, Floats, Ints]:
        """All of them: rows int64, distances float32 and numbers int64."""
        if not self.rows:
            return np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64)
        return (
            np.concatenate(self.rows),
            np.concatenate(self.distances),
            np.concatenate(self.others),
        )

    def compact(self) -> TopK:
        """Forget what cannot be among the nearest ``width``; they are returned, too."""
        lists = self.lists()
        rows, places = np.nonzero(lists.ids >= 0)
        self.rows, self.distances = [rows], [lists.distances[rows, places]]
        self.others, self.count = [lists.ids[rows, places]], len(rows)
        return lists


class Side:
    """A block in a meeting: distinct vectors in some order, their factors, ceilings and entries.

    ``span`` holds the vectors and the numbers behind each; ``ceilings`` float32 [n] are its own.
    """

    def __init__(self, frame: Frame, span: Span, ceilings: Floats, width: int) -> None:
        self.span = span
        self.screen = Screen(frame, span.vectors, span.squares)
        self.entries = Entries(len(span.vectors), width)
        self.ceilings = ceilings.copy()
        self._limit()

    @cached_property
    def left(self) -> Floats:
        """The left factor [n, m]: only of a block whose rows are asked for."""
        return self.screen.own_left()

    def _limit(self) -> None:
        # The reach of either end is bounded by the frame: the same limit for rows and columns.
        self.limits = self.screen.column_limits(self.ceilings)

    def lower(self, ceilings: Floats) -> None:
        """Know that lists are full within ``ceilings`` [n], too."""
        self.ceilings = np.minimum(self.ceilings, ceilings)
        self._limit()

    def tighten(self) -> TopK:
        """Forget what more entries than a list takes have overtaken; the lists that are left."""
        lists = self.entries.compact()
        self.lower(lists.distances[:, -1])
        return lists


def meet(a: Side, b: Side, tiling: Tiling, *, both: bool = True) -> int:
    """Enter all pairs of ``a`` and ``b`` (of ``a`` with itself, each once) that may count.

    Without ``both`` only ``a`` is told. Returns the number of products computed.
    """
    same = a is b
    buffer = np.empty(tiling.rows * tiling.columns, dtype=np.float32)
    products = 0
    for top in range(0, len(a.left), tiling.rows):
        left = a.left[top : top + tiling.rows]
        pairs: list[tuple[Ints, Ints]] = []
        for start in range(top if same else 0, len(b.screen.right), tiling.columns):
            right = b.screen.right[start : start + tiling.columns]
            costs = buffer[: len(left) * len(right)].reshape(len(left), len(right))
            np.matmul(left, right.T, out=costs)
            products += costs.size
            columns = b.limits[start:] if both else None
            pairs.extend(_within(costs, a.limits[top:], columns, top, start, same))
            if sum(len(rows) for rows, _ in pairs) > _PIECE:
                enter(a, b, pairs, both)
                pairs = []
        enter(a, b, pairs, both)
    return products


def _within(
    costs: Floats,
    row_limits: Floats,
    column_limits: Floats | None,
    top: int,
    start: int,
    same: bool,
) -> list[tuple[Ints, Ints]]:
    """Rows and columns of the cells within the limit of either; of a triangle those above."""
    found = []
    step = max(1, _STRIP_CELLS // costs.shape[1])
    for first in range(0, len(costs), step):
        strip = costs[first : first + step]
        within = strip <= row_limits[first : first + len(strip), None]
        if column_limits is not None:
            within |= strip <= column_limits[: costs.shape[1]]
        if same and start < top + len(costs):
            within &= np.arange(start, start + strip.shape[1]) > (
                top + first + np.arange(len(strip))[:, None]
            )
        cells = np.flatnonzero(within)
        if len(cells):
            rows = cells // costs.shape[1]
            cells -= rows * costs.shape[1]
            found.append((rows + (top + first), cells + start))
    return found


def enter(a: Side, b: Side, pairs: list[tuple[Ints, Ints]], both: bool = True) -> None:
    """Measure pairs of rows of both, and enter those within the ceilings of an end."""
    if not pairs:
        return
    rows = np.concatenate([each[0] for each in pairs])
    columns = np.concatenate([each[1] for each in pairs])
    for start in range(0, len(rows), _PIECE):
        part = slice(start, start + _PIECE)
        _measure(a, b, rows[part], columns[part], both)


def _measure(a: Side, b: Side, rows: Ints, columns: Ints, both: bool) -> None:
    distances = distances_of_pairs(
        a.screen.metric,
        a.span.vectors,
        a.span.squares,
        rows,
        b.span.vectors,
        b.span.squares,
        columns,
    )
    for own, here, other, there in ((a, rows, b, columns), (b, columns, a, rows))[: 1 + both]:
        near = np.flatnonzero(distances <= own.ceilings[here])
        place, numbers = other.span.expanded(there[near])
        own.entries.add(here[near][place], distances[near][place], numbers)
        if own.entries.crowded:
            own.tighten()
