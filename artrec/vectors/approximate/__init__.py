"""The approximate self-join, for sizes at which the exact one is too dear.

Method: vectors are laid out by the cells of a k-means quantiser (:mod:`artrec.vectors.layout`).
Each looks at the vectors of the cells nearest to it, and a pair that is looked at counts for both
(:mod:`probing`); rounds of refinement offer the neighbors of a neighbor to each other
(:mod:`refining`). How many cells and rounds is found while it runs, from the recall of a random
sample of rows whose exact neighbors are known (:mod:`steering`), so that the lower end of its 95 %
interval reaches the target. What is listed has its exact distance and stands in the exact order: a
list may miss a neighbor, but never says a wrong distance. Of many vectors that lie nearer to each
other than float32 costs can tell, any k may be listed.

With r vectors of dimension d, w = k + 4 places and c cells (2 sqrt(r)) one process needs, in bytes,

    4 r (3 d + 8)     the vectors in their order, and both factors
    r (8 w + c)       lists, and which cells each has looked at
    36 r w            entries that wait to be merged, and their merging
    8 r k'            circles, k' = 64, in a round of refinement

It can be dealt out by blocks of a layout, with lists kept between turns as tables of (row, other,
cost), and ``levels`` (a byte, or a bit, for each row and cell) with the block:

- layout, sample and truth are made once; centers and sizes of cells are small;
- filling: a block reads the cells that the seeds of its own name, most of which are its own;
- probing: each block says which rows look at which cells (row, its vector, limit and the cells it
  looked at); a block gets those that look at its cells, multiplies them with the cells, and offers
  go to the blocks of their rows, which merge them;
- refining: a block gets its circles (its lists, and entries shuffled by their other end), reads the
  vectors that stand in them, most of which lie in near blocks, and offers in the same way;
- between turns the lists of the sample alone are collected, and who stands in circles with it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from artrec.errors import ConfigError
from artrec.vectors.approximate.choosing import margin
from artrec.vectors.approximate.field import Field
from artrec.vectors.approximate.probing import fill, pair_ranks, probe, seeds
from artrec.vectors.approximate.recall import Recall, Sample
from artrec.vectors.approximate.refining import circles, refine
from artrec.vectors.approximate.steering import Outlook, first_probes, link_ranks
from artrec.vectors.distance import Ints, Wides, check_metric, check_vectors, squared_norms
from artrec.vectors.join import Block, Pools, join
from artrec.vectors.layout import plan_layout, sample_rows

__all__ = ["Approximate", "Recall", "Step", "approximate_self_join"]

_SAMPLE = 500
_SHOWING = 5  # rows, by the share that may be missed, for an interval that ends within it
_MOST_STEPS = 12
_SYMMETRIC = 0.6  # seconds of the exact self-join by those of a join that multiplies pairs twice


@dataclass(frozen=True, slots=True)
class Step:
    """What was done: nearest ``probes`` cells looked at (the first time those nearest to a cell,
    then to each vector), or, where that is 0, a round of refinement; the recall after it.
    """

    probes: int
    products: int
    seconds: float
    recall: float
    low: float


@dataclass(frozen=True, slots=True, eq=False)
class Approximate:
    """Approximate ``pools`` and how they came about.

    ``plan``, the ``probes`` of each step, makes the same pools again without a search. ``products``
    and ``seconds`` (of the processor) are those of all, ``planning`` seconds of them went to
    sample and choice; the exact self-join has ``exact_products`` and would take about
    ``exact_seconds``, judged by the truth of the sample. The layout has ``cells``.
    """

    pools: Pools
    plan: tuple[int, ...]
    steps: tuple[Step, ...]
    recall: Recall
    products: int
    seconds: float
    planning: float
    exact_products: int
    exact_seconds: float
    cells: int


def approximate_self_join(
    block: Block,
    *,
    k: int,
    metric: str,
    target: float = 0.98,
    plan: Sequence[int] | None = None,
    groups: Sequence[str] | None = None,
    sample: int = _SAMPLE,
    asked: int = 0,
    seed: int = 0,
) -> Approximate:
    """Pools of at most ``k`` others for each vector of ``block``, most of which are the true ones.

    With a ``plan`` its steps are made and their recall measured; else steps follow until the lower
    end of the 95 % interval of recall@k reaches ``target``, or everything was looked at. Measured
    are ``sample`` random rows, or as many as can show such a recall. With ``asked`` steps follow
    until so many other random rows will show it, too, but one time in a thousand. ``groups`` [n]
    names the group of each vector, for recall by group. Raises as ``join`` does.
    """
    check_metric(metric)
    if k < 1:
        raise ConfigError(f"k must be at least 1, got {k}")
    if not 0 < target <= 1:
        raise ConfigError(f"a recall above 0, up to 1, can be aimed at, not {target}")
    if plan is not None and (not plan or min(plan) < 0 or not plan[0]):
        raise ConfigError(f"a plan probes cells first, then more or 0 (refines), got {plan}")
    check_vectors(block.vectors, block.numbers, metric)
    if len(block.numbers) < 2:
        return _nobody(block, k, metric)
    if plan is None and target < 1:
        sample = max(sample, int(_SHOWING / (1 - target)))
    return _Run(block, k, metric, target, sample, asked, seed).made(plan, groups)


def _nobody(block: Block, k: int, metric: str) -> Approximate:
    pools = join(block, [block], k=k, metric=metric)
    return Approximate(pools, (), (), Recall(1.0, 1.0, 1.0, 0), 0, 0.0, 0.0, 0, 0.0, 0)


class _Run:
    """One join under way."""

    def __init__(
        self,
        block: Block,
        k: int,
        metric: str,
        target: float,
        sample: int,
        asked: int,
        seed: int,
    ) -> None:
        self._began = time.process_time()
        self._target, self._asked = target, asked
        total, squares = len(block.numbers), squared_norms(block.vectors)
        chosen = np.sort(np.random.default_rng(seed).permutation(total)[: sample_rows(total)])
        longest = float(np.sqrt(squares.max(initial=0.0)))
        layout = plan_layout(block.vectors[chosen], total, metric, 1, longest, seed)
        self._field = Field(layout, block, squares, k)
        self._ranks = pair_ranks(layout.centers)
        before = time.process_time()
        self._sample = Sample.of(self._field, block, sample, seed + 1)
        self._planning = time.process_time() - before
        each = self._planning / max(1, len(self._sample.rows))
        self._exact_seconds = _SYMMETRIC * each * total
        self._products = (len(self._sample.rows) + len(layout.centers)) * total
        self._steps: list[Step] = []
        self._recalls: Wides = np.zeros(len(self._sample.rows))
        self._outlook: Outlook | None = None
        self._links: Ints | None = None

    def made(self, plan: Sequence[int] | None, groups: Sequence[str] | None) -> Approximate:
        if plan is not None:
            for probes in plan:
                self._step(probes)
        else:
            self._step(first_probes(self._ranks, self._field, self._sample, self._target))
            while not self._done():
                self._step(self._next())
        field, total = self._field, len(self._field.cells)
        pools = field.pools()
        recall = self._sample.summary(field, self._recalls, groups)
        return Approximate(
            pools=pools,
            plan=tuple(step.probes for step in self._steps),
            steps=tuple(self._steps),
            recall=recall,
            products=self._products + sum(step.products for step in self._steps),
            seconds=time.process_time() - self._began,
            planning=self._planning,
            exact_products=total * (total - 1) // 2,
            exact_seconds=self._exact_seconds,
            cells=len(self._ranks),
        )

    def _done(self) -> bool:
        return self._steps[-1].low >= self._goal or self._probed == len(self._ranks)

    @property
    def _goal(self) -> float:
        """What the lower end has to reach, by the recalls of the last step.

        Recalls spread less the less is missed, about as its root.
        """
        if not self._asked:
            return self._target
        more = margin(self._recalls, len(self._field.numbers), self._asked)
        miss = 1 - float(self._recalls.mean())
        if miss > 1 - self._target:
            more *= ((1 - self._target) / miss) ** 0.5
        return min(1.0, self._target + more)

    @property
    def _probed(self) -> int:
        return min(len(self._ranks), max(step.probes for step in self._steps))

    def _next(self) -> int:
        if len(self._steps) == _MOST_STEPS:
            return len(self._ranks)
        before = time.process_time()
        if self._links is None:
            self._links = link_ranks(self._field, self._sample)
        self._outlook = Outlook(self._field, self._links, self._sample, self._probed, self._recalls)
        chosen = self._outlook.cheapest(self._goal)
        self._planning += time.process_time() - before
        return chosen

    def _step(self, probes: int) -> None:
        before = time.process_time()
        products = self._refined() if not probes else self._looked(probes)
        seconds = time.process_time() - before
        before = time.process_time()
        self._recalls = self._sample.recalls(self._field)
        recall = self._sample.summary(self._field, self._recalls, None)
        self._planning += time.process_time() - before
        self._steps.append(Step(probes, products, seconds, recall.mean, recall.low))

    def _refined(self) -> int:
        around = self._outlook.circles if self._outlook is not None else None
        self._outlook = None
        return refine(self._field, around or circles(self._field.lists))

    def _looked(self, probes: int) -> int:
        field, self._outlook = self._field, None
        if not self._steps:
            width = field.lists.width
            return fill(field, seeds(self._ranks, field.sizes, probes, width))
        return probe(field, min(probes, len(self._ranks)))
