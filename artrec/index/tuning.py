"""How shards are best asked: trees and candidates that find enough at least cost, or a scan of all.

One shard is enough, for all are dealt alike. It is built once, with the most trees; an index of
fewer is the same file without some of the roots that stand at its end. Random vectors of the shard
ask it, for more and more candidates, and what they find is held against exact lists. Costs are
counted (:mod:`artrec.index.costs`), not clocked, so that the same vectors choose the same way.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from artrec.errors import ConfigError
from artrec.index.building import MOST_NODES, Recipe, build_shard
from artrec.index.costs import annoy_cost, depth_within, exact_cost, most_bytes
from artrec.index.mapped import mapped_vectors
from artrec.index.shards import SPARE, Found
from artrec.index.sidecar import Tried, Tuning, new_index
from artrec.vectors import Block, join
from artrec.vectors.approximate.recall import interval
from artrec.vectors.distance import Floats, Ints, Wides

__all__ = ["TREES", "Target", "USUAL_TREES", "tune"]

TREES = (5, 10, 20, 40)
"""Numbers of trees that are tried."""

USUAL_TREES = 20
"""Where nothing says that others are better."""

_K = 50  # of the lists that are tuned for, as long as evaluation asks; shorter ones are easier
_QUERIES, _MOST_QUERIES = 400, 4000
_SHOWING = 8  # queries, by the share that may be missed, of which an interval can show it
_SPREAD = 1.05  # times the mean: shards are not of one size
_NEAR = 1.1  # times the least cost: for that little, fewer trees are built

Blocks = Callable[[], Iterable[Block]]


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted of an index of ``items`` vectors in ``shards``.

    ``recall`` is of lists of all shards together. ``memory`` bounds the bytes that a look-up maps
    or holds; 0: nothing does. ``trees``, unless 0, are set.
    """

    recall: float
    items: int
    shards: int
    memory: int = 0
    trees: int = 0

    @property
    def of_one(self) -> int:
        """Items of one shard, about."""
        return -(-self.items // max(1, self.shards))

    @property
    def queries(self) -> int:
        """Vectors that ask the trial: enough that what is wanted can be shown."""
        showing = round(_SHOWING / (1 - self.recall)) if self.recall < 1 else 0
        return min(_MOST_QUERIES, max(_QUERIES, showing))

    @property
    def is_beyond_trial(self) -> bool:
        """Whether so much is wanted that no trial, were nothing missed, could show it."""
        return self.recall > interval(np.ones(self.queries))[0]

    def choices(self, dim: int) -> Sequence[int]:
        """Numbers of trees that fit, ascending; maybe none."""
        nodes = self.of_one * _SPREAD
        counted = [t for t in TREES if Recipe("", dim, t, 0).most_nodes(int(nodes)) <= MOST_NODES]
        wanted = [self.trees] if self.trees else counted or TREES[:1]
        return [t for t in wanted if not self.memory or self.bytes(dim, t) <= self.memory]

    def bytes(self, dim: int, trees: int) -> int:
        return most_bytes(self.items, dim, trees)

    def check(self, dim: int) -> None:
        """Raises ConfigError where not even a scan fits into ``memory``."""
        least = self.bytes(dim, 0)
        if self.memory and least > self.memory:
            raise ConfigError(
                f"index.memory: found {self.memory} bytes, expected at least {least}, which a scan "
                f"of {self.items} vectors of {dim} numbers takes; allow as many, or 0 for no limit"
            )

    def usual(self, dim: int) -> int:
        """Trees of an index that no look-up asks."""
        fitting = [t for t in self.choices(dim) if t <= USUAL_TREES]
        return self.trees or max(fitting, default=min(TREES))

    def trial(self, dim: int) -> int:
        """Trees of the index that tuning builds and asks; 0: it needs none."""
        return 0 if self.scan(dim) else max(self.choices(dim))

    def scan(self, dim: int) -> Tuning | None:
        """The tuning that needs no trial: shards so small that nothing is faster than to scan
        them, or too large for ``memory`` with any trees, or of which all is wanted.
        """
        room = [] if self.is_beyond_trial else self.choices(dim)
        least = annoy_cost(dim, min(room), 2 * _K + SPARE) if room else math.inf
        return _scan(self, dim, 0, []) if exact_cost(dim, self.of_one) <= least else None


def tune(scratch: Path, numbers: Ints, blocks: Blocks, recipe: Recipe, target: Target) -> Tuning:
    """The tuning of shards like the one of ``blocks``, whose numbers are ``numbers``.

    ``blocks`` are asked for three times, if at all. Memory is that of building the shard;
    ``scratch``, a folder, takes its file. ``recipe.trees`` does not count. Raises ConfigError where
    no way fits into the memory.
    """
    target.check(recipe.dim)
    dim, room = recipe.dim, target.choices(recipe.dim)
    ceiling = exact_cost(dim, target.of_one)
    known = target.scan(dim)
    if known is not None or len(numbers) <= _K:
        return known or _scan(target, dim, 0, [])
    whole = replace(recipe, trees=max(room))
    trial = _Trial.built(Path(scratch, "tuned.annoy"), numbers, blocks, whole, target)
    best: Tried | None = None
    for trees in sorted(room, reverse=True):
        found = trial.first_enough(trees, ceiling)
        if found is None and best is None:
            break  # fewer trees find less
        best = found or best
        ceiling = min(ceiling, _NEAR * found.cost) if found else ceiling
    queries = len(trial.queries.numbers)
    if best is None:
        return _scan(target, dim, queries, trial.tried)
    facts = _facts(target, dim, best.trees, queries, trial.tried)
    return Tuning(**best.model_dump(), **facts, exact=False)


def _scan(target: Target, dim: int, queries: int, tried: list[Tried]) -> Tuning:
    """Look-ups scan; the shards are built all the same, for whoever opens them elsewhere."""
    trees, cost = target.usual(dim), round(exact_cost(dim, target.of_one), 1)
    way = Tried(trees=trees, search_k=0, recall=1.0, low=1.0, high=1.0, cost=cost)
    facts = _facts(target, dim, trees, queries, tried) | {"bytes": target.bytes(dim, 0)}
    return Tuning(**way.model_dump(), **facts, exact=True)


def _facts(
    target: Target, dim: int, trees: int, queries: int, tried: list[Tried]
) -> dict[str, Any]:
    return {
        "target": target.recall,
        "memory": target.memory,
        "bytes": target.bytes(dim, trees),
        "k": _K,
        "queries": queries,
        "exact_cost": round(exact_cost(dim, target.of_one), 1),
        "tried": tried,
    }


@dataclass
class _Trial:
    """A shard asked with fewer and fewer trees: the file at ``path`` was built with ``most``.

    ``queries`` are random vectors of it, ``true`` [q, k] the distances of their nearest others;
    ``size`` is the file's, ``node`` that of one node, 0 if unknown.
    """

    path: Path
    numbers: Ints
    blocks: Blocks
    recipe: Recipe
    target: Target
    queries: Block
    true: Floats
    size: int
    node: int
    tried: list[Tried]

    @classmethod
    def built(
        cls, path: Path, numbers: Ints, blocks: Blocks, recipe: Recipe, target: Target
    ) -> _Trial:
        queries = _chosen(numbers, blocks, recipe.seed, target.queries)
        true = join(queries, blocks(), k=_K, metric=recipe.metric).distances
        build_shard(path, numbers, blocks(), recipe)
        whole = new_index(recipe.dim, recipe.metric)
        whole.load(str(path))
        mapped = mapped_vectors(path, whole, len(numbers), recipe.dim)
        node = 0 if mapped is None else mapped.strides[0]
        size = path.stat().st_size
        return cls(path, numbers, blocks, recipe, target, queries, true, size, node, [])

    def first_enough(self, trees: int, ceiling: float) -> Tried | None:
        """The fewest candidates, about, that reach the target below a cost; None: none do.

        They are doubled until they do, then brought back halfway, twice.
        """
        index = self._open(trees)
        mapped = mapped_vectors(self.path, index, len(self.numbers), self.recipe.dim)
        most = depth_within(ceiling, self.recipe.dim, trees)
        enough, low, high = None, 0, min(2 * _K + SPARE, most)
        while enough is None and high > _NEAR * low:
            asked = self._asked(index, mapped, trees, high)
            if asked.low >= self.target.recall:
                enough = asked
            else:
                low, high = high, min(2 * high, most)
        for _ in range(2 if enough and low else 0):
            asked = self._asked(index, mapped, trees, (low + high) // 2)
            if asked.low >= self.target.recall:
                enough, high = asked, asked.search_k
            else:
                low = asked.search_k
        index.unload()
        return enough

    def _open(self, trees: int) -> Any:
        """The index with so many trees, no more than it was opened with before.

        At the file's end stand copies of all roots. Of a shorter one Annoy takes the copies that
        are left, and the last tree's own root, which lies before them.
        """
        dropped = self.recipe.trees - trees
        if dropped and self.node:
            os.truncate(self.path, self.size - (dropped + 1) * self.node)
        index = new_index(self.recipe.dim, self.recipe.metric)
        index.load(str(self.path))
        if index.get_n_trees() != trees:
            index.unload()
            build_shard(self.path, self.numbers, self.blocks(), replace(self.recipe, trees=trees))
            index.load(str(self.path))
        return index

    def _asked(self, index: Any, mapped: Floats | None, trees: int, depth: int) -> Tried:
        asked = self.queries.vectors
        given = Found.by(index, mapped, self.numbers, asked, _K + 1, depth)
        lists = given.lists(self.recipe.metric, asked, _K + 1)
        own = lists.ids == self.queries.numbers[:, None]
        found = np.sort(np.where(own, np.float32(np.inf), lists.distances), axis=1)
        recalls = _owed(self.true, found, self.target.shards)
        low, high = (round(end, 6) for end in interval(recalls))
        cost = round(annoy_cost(self.recipe.dim, trees, depth), 1)
        mean = round(float(recalls.mean()), 6)
        way = Tried(trees=trees, search_k=depth, recall=mean, low=low, high=high, cost=cost)
        self.tried.append(way)
        return way


def _chosen(numbers: Ints, blocks: Blocks, seed: int, count: int) -> Block:
    """Some vectors of the shard, always the same."""
    order = np.random.default_rng(seed).permutation(len(numbers))
    wanted = np.sort(numbers[order[:count]])
    parts = [
        (block.numbers[mine], block.vectors[mine])
        for block in blocks()
        if (mine := np.isin(block.numbers, wanted)).any()
    ]
    found, vectors = zip(*parts, strict=True)
    return Block(np.concatenate(found), np.concatenate(vectors))


def _owed(true: Floats, found: Floats, shards: int) -> Wides:
    """Recall [q] of one of ``shards``: what it owes to the k nearest of all of them together.

    ``true`` [q, k] are the distances of its own nearest, ``found`` [q, m] of what was found, both
    ascending, places left over at +inf. Its j-th nearest is among the k of all if at least j of
    those are its own: they are dealt by hash, so that is binomial, and hits count by that chance.
    As many of equal distances are found as were listed.
    """
    k = true.shape[1]
    rank = (true[:, :, None] == true[:, None, :]).cumsum(axis=2).diagonal(axis1=1, axis2=2)
    listed = (true[:, :, None] == found[:, None, :]).sum(axis=2)
    hits = listed >= rank
    own = [math.comb(k, j) * (shards - 1) ** (k - j) / shards**k for j in range(k + 1)]
    weights = np.cumsum(own[::-1])[::-1][1:] * np.isfinite(true)
    totals = weights.sum(axis=1)
    return np.where(totals > 0, (weights * hits).sum(axis=1) / np.maximum(totals, 1e-300), 1.0)
