"""How much of the truth the lists of an approximate join hold, by a random sample of its rows.

What counts is the distance: a listed entry that is as near as the true k-th is no mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from artrec.vectors.approximate.field import Field
from artrec.vectors.approximate.lists import Flags
from artrec.vectors.distance import Floats, Ints, Wides
from artrec.vectors.join import Block, join
from artrec.vectors.topk import NOBODY, TopK

__all__ = ["NORMAL", "Recall", "Sample", "interval"]

NORMAL = 1.96
_QUARTERS = ("smallest cells", "smaller cells", "larger cells", "largest cells")


@dataclass(frozen=True, slots=True)
class Recall:
    """Mean recall@k of ``rows`` random rows, between ``low`` and ``high`` with 95 % confidence.

    ``by_density``: of the rows in each quarter by the size of their cell; ``by_group``: of the rows
    of each group, where groups were given.
    """

    mean: float
    low: float
    high: float
    rows: int
    by_density: dict[str, float] = field(default_factory=dict)
    by_group: dict[str, float] = field(default_factory=dict)


def interval(recalls: Wides) -> tuple[float, float]:
    """95 % interval of the mean of ``recalls`` [s], of random rows.

    Normal, with one more row at each end for what no row has shown yet: where none of s rows misses
    anything the lower end is about 1 - 3 / s, as by the rule of three.
    """
    ends = []
    for more in (0.0, 1.0):
        seen = np.append(recalls, more)
        ends.append((seen.mean(), NORMAL * seen.std() / np.sqrt(len(seen))))
    (low, below), (high, above) = ends
    return max(0.0, float(low - below)), min(1.0, float(high + above))


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Random rows and their true neighbors.

    ``rows`` int64 [s] of the block; ``truth``, their exact pools' distances [s, k]; ``counts`` [s];
    ``positions`` [s] and ``links`` [s, k] of the field, -1 where there is none.
    """

    rows: Ints
    truth: Floats
    counts: Ints
    positions: Ints
    links: Ints

    @classmethod
    def of(cls, field: Field, block: Block, size: int, seed: int) -> Sample:
        """``size`` random rows, joined with the whole block."""
        chosen = np.random.default_rng(seed).permutation(len(block.numbers))[:size]
        rows = np.sort(chosen)
        queries = Block(block.numbers[rows], block.vectors[rows])
        pools = join(queries, [block], k=field.k, metric=field.metric)
        at = np.searchsorted(block.numbers, np.maximum(pools.others, block.numbers[0]))
        links = np.where(pools.others == NOBODY, -1, field.copy_of[at])
        counts = pools.counts.astype(np.int64)
        return cls(rows, pools.distances, counts, field.copy_of[rows], links)

    def recalls(self, field: Field) -> Wides:
        """recall@k [s] of the lists of ``field``, as they would be published."""
        lists = field.measured(self.positions)
        return self.of_lists(field.numbers[self.rows], lists)

    def of_lists(self, own: Ints, lists: TopK) -> Wides:
        """recall@k [s] of ``lists`` [s, k or k + 1] of the rows, whose numbers are ``own``."""
        last = np.maximum(self.counts - 1, 0)
        far = self.truth[np.arange(len(own)), last]
        near = (lists.ids != NOBODY) & (lists.ids != own[:, None])
        near &= lists.distances <= far[:, None]
        share = np.minimum(near.sum(axis=1), self.counts) / np.maximum(self.counts, 1)
        return np.where(self.counts > 0, share, 1.0)

    def found(self, field: Field) -> Flags:
        """Which of ``links`` [s, k] are listed; copies and places left over count as listed."""
        listed = field.lists.others(self.positions)
        found: Flags = (self.links < 0) | (self.links == self.positions[:, None])
        for column in listed.T:
            found |= self.links == column[:, None]
        return found

    def summary(self, field: Field, recalls: Wides, groups: Sequence[str] | None) -> Recall:
        """All figures of ``recalls`` [s]; ``groups`` [n] of the rows of the block."""
        if not len(recalls):
            return Recall(1.0, 1.0, 1.0, 0)
        sizes = field.sizes[field.cells[self.positions]]
        quarter = np.argsort(np.argsort(sizes, kind="stable"), kind="stable") * 4 // len(sizes)
        by_density = {
            name: float(recalls[quarter == q].mean())
            for q, name in enumerate(_QUARTERS)
            if (quarter == q).any()
        }
        by_group: dict[str, float] = {}
        if groups is not None:
            names, which = np.unique([groups[row] for row in self.rows], return_inverse=True)
            means = np.bincount(which, recalls) / np.bincount(which)
            by_group = dict(zip(names.tolist(), means.tolist(), strict=True))
        low, high = interval(recalls)
        return Recall(float(recalls.mean()), low, high, len(recalls), by_density, by_group)
