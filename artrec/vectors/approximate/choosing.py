"""How many cells each vector must look at: from the truth of a random sample, without a trial.

The neighbors of the sample are found exactly, and of each how many cells must be looked at to see
it: the rank of its cell for the row, or of the row's cell for it, whatever is less. So the recall
of any number of cells is known before one list is made.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from artrec.vectors.approximate.lists import Flags
from artrec.vectors.approximate.recall import NORMAL, interval
from artrec.vectors.cells import cell_costs, coordinates
from artrec.vectors.distance import Floats, Ints, Wides, squared_norms
from artrec.vectors.join import Block, Pools, join
from artrec.vectors.layout import Layout
from artrec.vectors.topk import NOBODY, order_entries

__all__ = [
    "Candidates",
    "Choice",
    "Links",
    "choose",
    "is_sampled",
    "links_of",
    "margin",
    "nearest_of",
    "sample_size",
]

LEAST, MOST = 4, 12
"""Cells near a cell, at the least and at the most."""

Candidates = tuple[Ints, Ints, Floats]
"""Cells, numbers and vectors of a block."""

_LONG = 256  # numbers of a vector from which on it pays to fill lists from the least

_ROWS, _MOST, _SHARE = 500, 4000, 200  # of a sample: at least, and at most that share of all
_SHOWING = 8  # rows, by the share that may be missed, of which an interval can show it
_DEVIATIONS = 3.0  # so seldom is a join refused for a recall that it was planned for


def sample_size(total: int, target: float) -> int:
    """Rows of the random sample of ``total`` by which recall is planned.

    >>> sample_size(81_446, 0.98), sample_size(10_000_000, 0.98), sample_size(300, 0.98)
    (500, 4000, 300)
    """
    showing = round(_SHOWING / (1 - target)) if target < 1 else 0
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
    """Neighbors of the rows of a sample, as entries [m]: row, distance, number.

    To see them either end must look at more than ``ranks`` [m] cells, or more than ``near`` [m]
    cells must be near either end's cell.
    """

    rows: Ints
    distances: Floats
    others: Ints
    ranks: Ints
    near: Ints

    def nearest(self, n: int, k: int) -> Links:
        """Of each of ``n`` rows the nearest ``k``, in order."""
        order, rows = order_entries(self.rows, self.distances, self.others)
        kept = np.arange(len(rows)) - np.searchsorted(rows, np.arange(n))[rows] < k
        return Links(*(getattr(self, each.name)[order[kept]] for each in fields(self)))

    @staticmethod
    def together(parts: Sequence[Links]) -> Links:
        """Those of several parts of the candidates."""
        columns = ([getattr(part, each.name) for part in parts] for each in fields(Links))
        return Links(*map(np.concatenate, columns))


def nearest_of(
    sample: Block, blocks: Iterable[Candidates], metric: str, k: int
) -> tuple[Pools, float]:
    """The nearest ``k`` of each row of ``sample`` among all of ``blocks``, and the processor's
    seconds that went to it, their reading left out.
    """
    read = 0.0

    def in_order() -> Iterator[Block]:
        nonlocal read
        begun = time.process_time()
        for _, numbers, vectors in blocks:
            order = np.argsort(numbers)
            block = Block(numbers[order], vectors[order])
            read += time.process_time() - begun
            yield block
            begun = time.process_time()

    begun = time.process_time()
    pools = join(sample, in_order(), k=k, metric=metric)
    return pools, time.process_time() - begun - read


def links_of(sample: Block, pools: Pools, blocks: Iterable[Candidates], layout: Layout) -> Links:
    """Of the nearest of each row of ``sample``, all in ``blocks``: how many cells show them."""
    rows, places = np.nonzero(pools.others != NOBODY)
    others, distances = pools.others[rows, places], pools.distances[rows, places]
    points, cells = _placed(layout, sample.vectors)
    ranks, near = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for own_cells, numbers, vectors in blocks:
        order = np.argsort(numbers)
        place = np.minimum(np.searchsorted(numbers[order], others), len(order) - 1)
        mine = np.flatnonzero(numbers[order][place] == others)
        at = order[place[mine]]
        here, there = cells[rows[mine]], own_cells[at]
        near[mine] = np.minimum(
            _ranks(layout.centers, layout.centers, here, there),
            _ranks(layout.centers, layout.centers, there, here),
        )
        near[mine[here == there]] = 0
        ranks[mine] = _ranks(layout.centers, points, rows[mine], there)
        far = np.flatnonzero(near[mine] >= LEAST)  # nearer ones are seen in any case
        looking, which = np.unique(at[far], return_inverse=True)
        ends, _ = _placed(layout, vectors[looking])
        back = _ranks(layout.centers, ends, which, here[far])
        ranks[mine[far]] = np.minimum(ranks[mine[far]], back)
    return Links(rows, distances, others, ranks, near)


def _placed(layout: Layout, vectors: Floats) -> tuple[Floats, Ints]:
    """Where vectors lie among the centers, and their cells."""
    squares = squared_norms(vectors)
    return coordinates(layout.frame, vectors, squares), layout.cells(vectors, squares)


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
    """``near`` cells from which lists are filled, ``probes`` cells at which each vector looks (0:
    at no others), the recall [s] that each row of the sample will have then, and how far its last
    neighbor is, [s].
    """

    near: int
    probes: int
    recalls: Wides
    furthest: Floats


def choose(
    links: Links, rows: int, layout: Layout, *, target: float, total: int, asked: int
) -> Choice:
    """The fewest cells that do, by the ``links`` of ``rows`` of ``total``, drawn at random.

    With them the lower end of the 95 % interval by ``asked`` other random rows reaches ``target``,
    but for one time in a thousand; all cells, where no number is sure to.
    """
    cells, dim = layout.centers.shape
    counts = np.bincount(links.rows, minlength=rows)
    last = np.cumsum(counts) - 1
    furthest = np.where(counts > 0, links.distances[np.maximum(last, 0)], np.float32(0))

    def recalls(near: int, probes: int) -> Wides:
        found = (links.near < near) | (links.ranks < probes)
        seen = np.bincount(links.rows, found, minlength=rows)
        return np.where(counts > 0, seen / np.maximum(counts, 1), 1.0)

    def enough(near: int, probes: int) -> bool:
        return _will_show(recalls(near, probes), target, total, asked)

    for near in range(LEAST, MOST + 1):
        if near >= cells or enough(near, 0):
            return Choice(near, 0, recalls(near, 0), furthest)
    near = LEAST if dim >= _LONG else 2 * LEAST
    probes = bisect_left(range(cells), True, key=lambda probes: enough(near, probes))
    return Choice(near, probes, recalls(near, probes), furthest)


def _will_show(recalls: Wides, target: float, total: int, asked: int) -> bool:
    """Whether an interval by ``asked`` other rows will most likely reach ``target``, too."""
    if len(recalls) == total and asked >= total:
        return bool(recalls.mean() >= target)
    return bool(interval(recalls)[0] >= target + margin(recalls, total, asked))


def margin(recalls: Wides, total: int, asked: int) -> float:
    """By how much the interval of ``recalls`` [s] has to exceed what that of others shall reach.

    They are ``asked`` other random rows of ``total``, and miss it one time in a thousand. One more
    row, of no recall, stands for what the sample has not shown.
    """
    seen, rows = np.append(recalls, 0.0), len(recalls)
    theirs, ours = (1 / min(asked, total) - 1 / total, 1 / rows - 1 / total)
    spread = NORMAL * theirs**0.5 + _DEVIATIONS * (theirs + ours) ** 0.5
    more: float = float(seen.std()) * (spread - NORMAL / len(seen) ** 0.5)
    return max(0.0, more)
