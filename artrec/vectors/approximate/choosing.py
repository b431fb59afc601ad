"""How many cells each vector must look at: from the truth of a random sample, without a trial.

The neighbors of the sample are found exactly, and of each how many cells must be looked at to see
it: the rank of its cell for the row, or of the row's cell for it, whatever is less. So the recall
of any number of cells is known before one list is made.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from artrec.vectors.approximate.lists import Flags
from artrec.vectors.approximate.recall import NORMAL, interval
from artrec.vectors.cells import cell_costs, coordinates
from artrec.vectors.distance import Floats, Ints, Wides, squared_norms
from artrec.vectors.join import Block, join
from artrec.vectors.layout import Layout
from artrec.vectors.topk import NOBODY, order_entries

__all__ = ["LEAST", "Choice", "Links", "choose", "is_sampled", "links_of", "sample_size"]

LEAST = 4
"""Cells to look at, at the least: below that more is missed than is saved."""

_ROWS, _MOST, _SHARE = 500, 4000, 100  # of a sample: at least, and at most that share of all
_SHOWING = 16  # rows, by the share that may be missed, of which an interval can show it
_DEVIATIONS = 3.0  # so seldom is a join refused for a recall that it was planned for


def sample_size(total: int, target: float) -> int:
    """Rows of the random sample of ``total`` by which recall is planned.

    >>> sample_size(81_446, 0.98), sample_size(10_000_000, 0.98), sample_size(300, 0.98)
    (814, 4000, 300)
    """
    showing = int(_SHOWING / (1 - target)) if target < 1 else 0
    return min(total, max(_ROWS, showing, min(_MOST, total // _SHARE)))


def is_sampled(numbers: Ints, share: float, seed: int = 0) -> Flags:
    """Which of ``numbers`` [n] are in a random sample that holds about ``share`` of all.

    By a hash (splitmix64), so that each block can say it alone, and none of the rows that the
    layout was planned from are likelier than others.
    """
    if share >= 1:
        return np.ones(len(numbers), dtype=np.bool_)
    mixed = numbers.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: Flags = (mixed ^ (mixed >> np.uint64(31))) < np.uint64(share * 2.0**64)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Neighbors of the rows of a sample, as entries [m]: row, distance, number, and how many cells
    are nearer than the one that has to be looked at (``ranks``).
    """

    rows: Ints
    distances: Floats
    others: Ints
    ranks: Ints

    def nearest(self, n: int, k: int) -> Links:
        """Of each of ``n`` rows the nearest ``k``, in order."""
        order, rows = order_entries(self.rows, self.distances, self.others)
        kept = np.arange(len(rows)) - np.searchsorted(rows, np.arange(n))[rows] < k
        return self._taken(order[kept])

    def _taken(self, at: Ints) -> Links:
        return Links(self.rows[at], self.distances[at], self.others[at], self.ranks[at])

    @staticmethod
    def together(parts: Iterable[Links]) -> Links:
        columns = [(each.rows, each.distances, each.others, each.ranks) for each in parts]
        return Links(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def links_of(
    sample: Block, candidates: Iterable[tuple[Ints, Ints, Floats]], layout: Layout, k: int
) -> Links:
    """The nearest ``k`` of each row of ``sample`` among ``candidates``: cells, numbers and vectors
    of blocks.
    """
    metric = layout.frame.metric
    points = coordinates(layout.frame, sample.vectors, squared_norms(sample.vectors))
    cells = layout.cells(sample.vectors, squared_norms(sample.vectors))
    nobody = np.empty(0, np.int64)
    found = Links(nobody, np.empty(0, np.float32), nobody, nobody)
    furthest = np.full(len(sample.numbers), np.inf, np.float32)
    for own_cells, numbers, vectors in candidates:
        order = np.argsort(numbers)
        block = Block(numbers[order], vectors[order])
        pools = join(sample, [block], k=k, metric=metric)
        near = (pools.others != NOBODY) & (pools.distances <= furthest[:, None])
        rows, places = np.nonzero(near)
        others = pools.others[rows, places]
        at = order[np.searchsorted(block.numbers, others)]
        ranks = _ranks(layout.centers, points, rows, own_cells[at])
        far = np.flatnonzero(ranks >= LEAST)  # nearer ones are seen in any case
        if len(far):
            looking, which = np.unique(at[far], return_inverse=True)
            ends = vectors[looking]
            ends = coordinates(layout.frame, ends, squared_norms(ends))
            back = _ranks(layout.centers, ends, which, cells[rows[far]])
            ranks[far] = np.minimum(ranks[far], back)
        new = Links(rows, pools.distances[rows, places], others, ranks)
        found = Links.together((found, new)).nearest(len(furthest), k)
        counts = np.bincount(found.rows, minlength=len(furthest))
        full = np.flatnonzero(counts == k)
        furthest[full] = found.distances[np.cumsum(counts)[full] - 1]
    return found


def _ranks(centers: Floats, points: Floats, which: Ints, cells: Ints) -> Ints:
    """How many centers are nearer to ``points[which]`` [m] than those of ``cells`` [m]."""
    ranks = np.empty(len(which), dtype=np.int64)
    order = np.argsort(which, kind="stable")
    ends = np.append(0, np.cumsum(np.bincount(which, minlength=len(points))))
    for part, costs in cell_costs(centers, points):
        asked = order[ends[part.start] : ends[part.stop]]
        for piece in np.array_split(asked, 1 + len(asked) * len(centers) // (1 << 20)):
            own = costs[which[piece] - part.start]
            mine = own[np.arange(len(piece)), cells[piece], None]
            ranks[piece] = (own < mine).sum(axis=1)
    return ranks


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """``probes`` cells to look at, the recall [s] that each row of the sample will have then, and
    how far its last neighbor is, [s].
    """

    probes: int
    recalls: Wides
    furthest: Floats


def choose(links: Links, rows: int, cells: int, *, target: float, total: int, asked: int) -> Choice:
    """The fewest of ``cells`` to look at, by the ``links`` of ``rows`` of ``total``, at random.

    With them the lower end of the 95 % interval by ``asked`` other random rows reaches ``target``,
    but for one time in a thousand; all, where no number is sure to.
    """
    counts = np.bincount(links.rows, minlength=rows)
    last = np.cumsum(counts) - 1
    furthest = np.where(counts > 0, links.distances[np.maximum(last, 0)], np.float32(0))

    def recalls(probes: int) -> Wides:
        seen = np.bincount(links.rows, links.ranks < probes, minlength=rows)
        return np.where(counts > 0, seen / np.maximum(counts, 1), 1.0)

    def enough(probes: int) -> bool:
        return _will_show(recalls(probes), target, total, asked)

    probes = LEAST + bisect_left(range(LEAST, cells), True, key=enough)
    probes = min(probes, cells)
    return Choice(probes, recalls(probes), furthest)


def _will_show(recalls: Wides, target: float, total: int, asked: int) -> bool:
    """Whether an interval by ``asked`` other rows will most likely reach ``target``, as this does.

    One more row, of no recall, stands for what the sample has not shown.
    """
    seen, rows = np.append(recalls, 0.0), len(recalls)
    asked = min(asked, total)
    theirs, ours = (1 / asked - 1 / total, 1 / rows - 1 / total)
    spread = NORMAL * theirs**0.5 + _DEVIATIONS * (theirs + ours) ** 0.5
    if rows == total and asked == total:
        return bool(recalls.mean() >= target)
    return bool(seen.mean() - seen.std() * spread >= target <= interval(recalls)[0])
