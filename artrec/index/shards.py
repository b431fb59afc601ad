"""Asking shards: each answers with exact distances, and their lists are merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artrec.errors import ConfigError, InputError
from artrec.index.sidecar import Sidecar
from artrec.vectors import TopK, check_vectors, exact, merge
from artrec.vectors.topk import select

__all__ = ["CANDIDATES", "Shard", "ShardSet"]

CANDIDATES = 20
"""Where no search_k is set, a shard examines this many for each tree and neighbor (10 or more)."""

_SPARE = 16  # asked for beyond 2 k: Annoy's own distances are rounded, and equal vectors tie


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """An open Annoy file: ``numbers`` int64 [n], ascending, are the vector_no of its items."""

    sidecar: Sidecar
    index: Any
    numbers: NDArray[np.int64]

    def search(self, queries: NDArray[np.float32], k: int, search_k: int = 0) -> TopK:
        """Lists [n, k] of ``queries`` [n, d]: what Annoy finds, measured and ordered exactly."""
        examined = search_k or CANDIDATES * max(k, 10) * self.sidecar.trees
        wanted = 2 * k + _SPARE
        found = [self.index.get_nns_by_vector(q, wanted, max(examined, wanted)) for q in queries]
        rows = np.repeat(np.arange(len(found)), [len(each) for each in found])
        items = np.array([item for each in found for item in each], np.int64)
        if not len(items):
            return TopK.empty(len(queries), k)
        distances = exact(self.sidecar.metric, queries[rows], self._vectors(items))
        return select(rows, distances, self.numbers[items], len(queries), k)

    def vector(self, number: int) -> NDArray[np.float32] | None:
        """The vector of that number, float32 [d]; None if it is not here."""
        item = int(np.searchsorted(self.numbers, number))
        if item == len(self.numbers) or self.numbers[item] != number:
            return None
        found: NDArray[np.float32] = self._vectors(np.array([item]))[0]
        return found

    def _vectors(self, items: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.array([self.index.get_item_vector(item) for item in items.tolist()], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class ShardSet:
    """The approximate Searcher over all shards of an index.

    ``search_k`` candidates are examined in each shard; 0: ``CANDIDATES`` for each tree and
    neighbor.
    """

    shards: Sequence[Shard]
    metric: str
    dim: int
    search_k: int = 0

    def is_exact(self) -> bool:
        return False

    def search(self, queries: NDArray[np.float32], k: int) -> TopK:
        """The lists [n, k] of ``queries`` [n, d]. Raises InputError for queries that do not fit."""
        if k < 1:
            raise ConfigError(f"k must be at least 1, got {k}")
        check_vectors(queries, np.arange(len(queries)), self.metric)
        if queries.shape[1] != self.dim:
            raise InputError(f"queries have {queries.shape[1]} dimensions, shards {self.dim}")
        lists = (shard.search(queries, k, self.search_k) for shard in self.shards)
        return reduce(merge, lists, TopK.empty(len(queries), k))

    def vector(self, number: int) -> NDArray[np.float32] | None:
        """The vector of that number, float32 [d]; None if it is in no shard."""
        found = (shard.vector(number) for shard in self.shards)
        return next((vector for vector in found if vector is not None), None)
