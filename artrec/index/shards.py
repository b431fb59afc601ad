"""Asking shards: each answers with exact distances, and their lists are merged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np

from artrec.errors import ConfigError, InputError
from artrec.index.mapped import Scan, vectors_at
from artrec.index.side import Live, Side
from artrec.index.sidecar import Sidecar
from artrec.vectors import TopK, check_vectors, exact, merge
from artrec.vectors.distance import Floats, Ints
from artrec.vectors.topk import select

__all__ = ["CANDIDATES", "Found", "SPARE", "Shard", "ShardSet", "live_lists"]

CANDIDATES = 20
"""Where nothing was tuned or set, so many are examined for each tree and neighbor (10 or more)."""

SPARE = 16  # asked for beyond 2 k: Annoy's own distances are rounded, and equal vectors tie
_MARGIN = 1.25  # asked for beyond what is masked on average
_AT_ONCE = 1 << 14  # vectors measured at once


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found for some queries: its row, number and vector of each find, in any order."""

    rows: Ints
    numbers: Ints
    vectors: Floats

    @classmethod
    def by(
        cls,
        index: Any,
        mapped: Floats | None,
        numbers: Ints,
        queries: Floats,
        k: int,
        examined: int,
        live: Live | None = None,
    ) -> Found:
        """By an Annoy index, for lists of ``k``; only of the items that are ``live``."""
        wanted = 2 * k + SPARE
        if live is None:
            lists = [
                index.get_nns_by_vector(query, wanted, max(examined, wanted)) for query in queries
            ]
        else:
            lists = live_lists(index, queries, wanted, examined, live)
        rows = np.repeat(np.arange(len(lists)), [len(each) for each in lists])
        items = np.array([item for each in lists for item in each], np.int64)
        vectors = vectors_at(index, mapped, items) if len(items) else queries[:0]
        return cls(rows, numbers[items], vectors)

    @classmethod
    def together(cls, parts: Sequence[Found]) -> Found:
        columns = ([getattr(part, name) for part in parts] for name in cls.__slots__)
        return cls(*map(np.concatenate, columns))

    def lists(self, metric: str, queries: Floats, k: int) -> TopK:
        """Lists [n, k], measured and ordered exactly."""
        if not len(self.rows):
            return TopK.empty(len(queries), k)
        distances = exact(metric, queries[self.rows], self.vectors)
        return select(self.rows, distances, self.numbers, len(queries), k)


@dataclass(frozen=True, eq=False)
class Shard:
    """An open Annoy file: ``numbers`` int64 [n], ascending, are the vector_no of its items.

    ``mapped`` [n, d] are its vectors as they lie in the file, None if they have to be fetched.
    Of masked items ``live`` bool [n] is false; None where there is none.
    """

    sidecar: Sidecar
    index: Any
    numbers: Ints
    mapped: Floats | None = None
    live: Live | None = None

    @property
    def count(self) -> int:
        """Vectors that it lists."""
        return len(self.numbers) if self.live is None else int(self.live.sum())

    def found(self, queries: Floats, k: int, search_k: int = 0) -> Found:
        """What Annoy finds for lists of ``k`` of ``queries`` [n, d]."""
        examined = search_k or self.depth(k)
        return Found.by(self.index, self.mapped, self.numbers, queries, k, examined, self.live)

    def scan(self, queries: Floats, k: int) -> TopK:
        """The exact lists [n, k] of ``queries`` [n, d]: of all vectors, whatever that takes."""
        return self._scan.search(queries, k)

    def depth(self, k: int) -> int:
        """Candidates that are examined for lists of ``k``, unless told otherwise."""
        tuning = self.sidecar.tuning
        usual = CANDIDATES * max(k, 10) * self.sidecar.trees
        return tuning.depth(k) if tuning and tuning.search_k else usual

    def vector(self, number: int) -> Floats | None:
        """The vector of that number, float32 [d]; None if it is not here."""
        item = int(np.searchsorted(self.numbers, number))
        if item == len(self.numbers) or self.numbers[item] != number:
            return None
        if self.live is not None and not self.live[item]:
            return None
        found: Floats = vectors_at(self.index, self.mapped, np.array([item]))[0]
        return found

    @cached_property
    def _scan(self) -> Scan:
        vectors = self.mapped
        if vectors is None:
            vectors = vectors_at(self.index, None, np.arange(len(self.numbers)))
        return Scan(vectors, self.numbers, self.sidecar.metric, self.live)


def live_lists(
    index: Any, queries: Floats, wanted: int, examined: int, live: Live
) -> list[list[int]]:
    """For each query the ``wanted`` nearest live items, as far as Annoy finds them.

    It does not know of masks, so it is asked for more, and examines more, by what is masked on
    average and a quarter. Where so many are masked just there that fewer than ``wanted`` are left,
    it is asked for twice as many, until there are enough or everything was listed. So of the live
    ones at least as many are examined as without masks.
    """
    count = int(live.sum())
    return [
        _live_list(index, query, wanted, examined, live, count) if count else []
        for query in queries
    ]


def _live_list(
    index: Any, query: Floats, wanted: int, examined: int, live: Live, count: int
) -> list[int]:
    more = _MARGIN * len(live) / count
    while True:
        asked, depth = (math.ceil(more * each) for each in (wanted, max(examined, wanted)))
        found = np.array(index.get_nns_by_vector(query, asked, depth), np.int64)
        kept: list[int] = found[live[found]].tolist()
        if len(kept) >= wanted or len(kept) == len(found) or len(found) == len(live):
            return kept[:wanted]
        more *= 2


@dataclass(frozen=True, slots=True, eq=False)
class ShardSet:
    """The Searcher over all shards of an index: approximate, unless it ``scans``.

    A ``side`` shard, of vectors that came later, is scanned in any case.

    ``search_k`` candidates are examined in each shard; 0: as many as its tuning says, or
    ``CANDIDATES`` for each tree and neighbor where there is none.
    """

    shards: Sequence[Shard]
    metric: str
    dim: int
    search_k: int = 0
    scans: bool = False
    side: Side | None = None

    @property
    def count(self) -> int:
        """Vectors that it lists."""
        later = 0 if self.side is None else len(self.side.numbers)
        return sum(shard.count for shard in self.shards) + later

    def is_exact(self) -> bool:
        return self.scans

    def search(self, queries: Floats, k: int) -> TopK:
        """The lists [n, k] of ``queries`` [n, d]. Raises InputError for queries that do not fit."""
        if k < 1:
            raise ConfigError(f"k must be at least 1, got {k}")
        check_vectors(queries, np.arange(len(queries)), self.metric)
        if queries.shape[1] != self.dim:
            raise InputError(f"queries have {queries.shape[1]} dimensions, shards {self.dim}")
        lists = self._searched(queries, k)
        return lists if self.side is None else merge(lists, self.side.scan(queries, k))

    def _searched(self, queries: Floats, k: int) -> TopK:
        """The lists of the shards alone."""
        if self.scans or not self.shards:
            scans = (shard.scan(queries, k) for shard in self.shards)
            return reduce(merge, scans, TopK.empty(len(queries), k))
        step = max(1, _AT_ONCE // (len(self.shards) * (2 * k + SPARE)))
        parts = [self._asked(queries[at : at + step], k) for at in range(0, len(queries), step)]
        lists = [TopK.empty(0, k), *parts]
        return TopK(
            np.concatenate([part.distances for part in lists]),
            np.concatenate([part.ids for part in lists]),
        )

    def _asked(self, queries: Floats, k: int) -> TopK:
        """All shards are asked, and what they find is measured at once."""
        found = Found.together([each.found(queries, k, self.search_k) for each in self.shards])
        return found.lists(self.metric, queries, k)

    def vector(self, number: int) -> Floats | None:
        """The vector of that number, float32 [d]; None if it is in no shard, or masked."""
        found = [shard.vector(number) for shard in self.shards]
        if self.side is not None:
            found.append(self.side.vector(number))
        return next((vector for vector in found if vector is not None), None)
