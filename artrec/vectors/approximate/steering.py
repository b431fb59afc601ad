"""Which step comes next: cells further away, or a round of refinement.

After each step the recall of a sample of rows is measured. What further cells would find is known
then without looking, since the cells of all true neighbors of the sample are known; what a round of
refinement would find, too: a missing neighbor that stands in one circle with the row. Sequences of
steps that reach the target are compared by a formula of their cost, not by a clock, so the same
vectors always take the same steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artrec.vectors.approximate.field import Field
from artrec.vectors.approximate.recall import Sample, interval
from artrec.vectors.approximate.refining import CIRCLE, Circles, circles
from artrec.vectors.cells import cell_costs
from artrec.vectors.distance import Ints, Wides

__all__ = ["Outlook", "first_probes", "link_ranks"]

_LEAST, _MOST = 4, 12  # cells to fill the lists from
_LONG = 256  # numbers of a vector from which on it pays to fill them from the least
_GROWTH = 1.12
_TYPICAL = 1.2  # of the power of a round, once lists are good; short lists foretell less
_LEAVES = (0.38, 0.65, 0.8)  # what rounds leave of the missing at the least, as they follow
_JUDGES = 250  # rows of the sample by whose neighbors the steps are compared

# Nanoseconds on one core, fitted to joins of 81,446 vectors of 128 and of 512 numbers: of a pair,
# by the dimension and beside it, and of a row.
_PROBE, _PROBE_ROW = (0.030, 1.6), 18_000
_REFINE = (0.038, 5.8)
_LATER = 0.6  # what a further round costs, by the first


def _grid(least: int, most: int) -> list[int]:
    """Numbers of cells worth probing: from ``least``, each 1.12 times the one before, to all."""
    found, probes = [], float(least)
    while probes < most:
        found.append(int(probes))
        probes = max(probes + 1, probes * _GROWTH)
    return [*found, most]


def first_probes(ranks: NDArray[np.int32], field: Field, sample: Sample, target: float) -> int:
    """Cells to fill the lists from: as many as reach the target, if few do.

    Else they are to say what need not be listed later; more cells say it better, for more products.
    """
    links = ranks[field.cells[sample.positions][:, None], field.cells[sample.links]]
    links = np.where(sample.links >= 0, links, -1)
    for probes in _grid(_LEAST, _MOST):
        if interval((links < probes).mean(axis=1))[0] >= target:
            return probes
    return _LEAST if field.dim >= _LONG else 2 * _LEAST


def link_ranks(field: Field, sample: Sample) -> Ints:
    """Of rows and their true neighbors [s, k]: the cells that either must probe to find the other.

    Whatever is nearer, one's cell to the other or the other's to it; -1 where there is none, and
    for rows beyond the first, who are enough to choose by.
    """
    ranks = np.full(sample.links.shape, -1)
    rows, places = np.nonzero(sample.links[:_JUDGES] >= 0)
    ones, others = sample.positions[rows], sample.links[rows, places]
    ranks[rows, places] = np.minimum(_ranks(field, ones, others), _ranks(field, others, ones))
    return ranks


def _ranks(field: Field, of: Ints, wanted: Ints) -> Ints:
    """How many cells are nearer to each of ``of`` [m] than the cell of ``wanted`` [m]."""
    ranks = np.empty(len(of), dtype=np.int64)
    positions, which = np.unique(of, return_inverse=True)
    order = np.argsort(which, kind="stable")
    ends = np.append(0, np.cumsum(np.bincount(which, minlength=len(positions))))
    for start in range(0, len(positions), field.CHUNK):
        chosen = positions[start : start + field.CHUNK]
        for part, costs in cell_costs(field.centers, field.points(chosen)):
            first, last = start + part.start, start + part.start + len(costs)
            asked = order[ends[first] : ends[last]]
            for piece in np.array_split(asked, 1 + costs.size // (1 << 20)):
                own = costs[which[piece] - first]
                cells = field.cells[wanted[piece]]
                ranks[piece] = (own < own[np.arange(len(piece)), cells, None]).sum(axis=1)
    return ranks


class Outlook:
    """What may come after ``probes`` cells were probed and some rounds were made."""

    def __init__(
        self, field: Field, links: Ints, sample: Sample, probes: int, recalls: Wides
    ) -> None:
        self._field, self._sample, self._probes = field, sample, probes
        self._miss = float(1 - recalls.mean())
        self._below = 1 - self._miss - interval(recalls)[0]
        self._links = links
        self._missing = ~sample.found(field) & (links >= 0)
        self.circles: Circles | None = None

    def cheapest(self, target: float) -> int:
        """The first step of the cheapest sequence: cells to probe, or 0 for a refinement."""
        cells = len(self._field.centers)
        further = [p for p in _grid(self._probes + 1, cells) if p > self._probes]
        by_cells = [
            (self._cost_of(probes), probes)
            for probes in further
            if self._reaches(self._left(probes), target)
        ]
        best = min(by_cells, default=(np.inf, 0))
        at_best = self._with_rounds(further, np.inf, target)
        if best[0] <= at_best[0]:  # the circles need not be asked
            return best[1]
        return min(best, self._with_rounds(further, self._power(), target))[1]

    def _with_rounds(self, further: list[int], power: float, target: float) -> tuple[float, int]:
        """Cost and first step of the cheapest sequence that ends in refinement."""
        best = (np.inf, 0)
        for probes in (self._probes, *further):
            cost, miss = self._cost_of(probes), self._left(probes)
            after = power if probes == self._probes else max(power, _TYPICAL)
            for turn, least in enumerate(_LEAVES):
                cost += self._round_cost() * (1.0 if turn == 0 else _LATER)
                miss *= max(least, float(np.exp(-after * (1 - miss) ** 2)))
                if self._reaches(miss, target):
                    best = min(best, (cost, probes if probes > self._probes else 0))
                    break
        return best

    def _cost_of(self, probes: int) -> float:
        cells, rows = len(self._field.centers), len(self._field.cells)
        pairs = float(rows) ** 2 / cells * (probes - self._probes)
        each = _PROBE[0] * self._field.dim + _PROBE[1]
        return float(pairs * each + rows * _PROBE_ROW * (probes > self._probes))

    def _round_cost(self) -> float:
        pairs = float(len(self._field.cells)) * CIRCLE**2
        return float(pairs * (_REFINE[0] * self._field.dim + _REFINE[1]))

    def _left(self, probes: int) -> float:
        """The share of neighbors still missing after so many cells."""
        if not self._missing.any():
            return self._miss if probes == self._probes else 0.0
        return self._miss * float((self._links[self._missing] >= probes).mean())

    def _reaches(self, miss: float, target: float) -> bool:
        """Whether the lower end would reach the target; its distance shrinks as a root does."""
        rows = len(self._sample.rows)
        share = miss / self._miss if self._miss > 0 else 1.0
        below = max(self._below * float(share) ** 0.5, 3 / rows)
        return bool(1 - miss - below >= target)

    def _power(self) -> float:
        """With r found, a round leaves exp(-power r^2) of what is missing: by what it would now."""
        rows, places = np.nonzero(self._missing)
        if not len(rows):
            return 0.0
        self.circles = circles(self._field.lists)
        ends = self._sample.positions[rows], self._sample.links[rows, places]
        left = 1 - _met(self.circles, len(self._field.cells), *ends).mean()
        return float(-np.log(max(left, 0.02)) / (1 - self._miss) ** 2)


def _met(around: Circles, total: int, one: Ints, other: Ints) -> NDArray[np.bool_]:
    """Which of the pairs [m] stand in one circle."""
    asked = np.zeros(total + 1, dtype=np.bool_)
    asked[one] = asked[other] = True
    asked[-1] = False
    circle, place = np.nonzero(asked[around.all])
    member = around.all[circle, place].astype(np.int64)
    keys = np.sort(member * len(around.all) + circle)
    starts = np.searchsorted(keys, one * len(around.all))
    counts = np.searchsorted(keys, (one + 1) * len(around.all)) - starts
    pair = np.repeat(np.arange(len(one)), counts)
    nth = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    pivots = keys[starts[pair] + nth] % len(around.all)
    wanted = other[pair] * len(around.all) + pivots
    at = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    hit = keys[at] == wanted if len(keys) else np.zeros(len(pair), dtype=np.bool_)
    return np.bincount(pair, hit, len(one)) > 0
