"""Recall of an approximate search, by distance: what is as near as the true k-th is no mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artrec.errors import ConfigError
from artrec.vectors import Block, Searcher, TopK, join
from artrec.vectors.distance import Floats, Ints, distances_of_pairs, squared_norms
from artrec.vectors.topk import NOBODY

__all__ = [
    "Blocks",
    "RECALL_CUTS",
    "Streamed",
    "answers",
    "measured",
    "others",
    "recalls",
    "shares",
    "true_distances",
]

RECALL_CUTS = (1, 10, 50)

Blocks = Callable[[], Iterable[Block]]
"""All vectors, anew at each call."""


@dataclass(frozen=True, slots=True, eq=False)
class Streamed:
    """The exact Searcher over vectors that need not fit into memory."""

    blocks: Blocks
    metric: str

    def is_exact(self) -> bool:
        return True

    def search(self, queries: Floats, k: int) -> TopK:
        """The lists [n, k] of ``queries``, which may be among the vectors themselves."""
        own = Block(np.arange(len(queries), dtype=np.int64), queries)
        pools = join(own, self.blocks(), k=k, metric=self.metric, self_join=False)
        return TopK(pools.distances, pools.others)


def recalls(
    searcher: Searcher, truth: Searcher, queries: Block, blocks: Blocks, metric: str
) -> dict[int, NDArray[np.float64]]:
    """k -> recall@k [q] of ``searcher`` for ``queries``, which are among the vectors of ``blocks``.

    The share of the k nearest others (of all others, where there are fewer) that it found: a vector
    no further than the true k-th counts, whichever it is, once. Each cut is a search of its own
    (for one more, since the query is there too): asked for more, an approximate searcher looks
    harder. What it says of distances is not believed: they are measured. Raises ConfigError for a
    ``truth`` that is not exact.
    """
    if not truth.is_exact():
        raise ConfigError(
            f"{type(truth).__name__} is approximate and cannot be the truth that a recall is "
            "measured by; use an exact searcher"
        )
    found = {
        k: measured(others(lists, queries.numbers, k).ids, queries, blocks, metric)
        for k, lists in answers(searcher, queries).items()
    }
    return shares(true_distances(truth, queries), found)


def answers(searcher: Searcher, queries: Block) -> dict[int, TopK]:
    """Each cut -> what is found when asked for so many and the query itself."""
    return {k: searcher.search(queries.vectors, k + 1) for k in RECALL_CUTS}


def true_distances(truth: Searcher, queries: Block) -> Floats:
    """Of the nearest others, as many as the largest cut, [q, 50]; +inf where there are fewer."""
    width = max(RECALL_CUTS)
    return others(truth.search(queries.vectors, width + 1), queries.numbers, width).distances


def shares(true: Floats, found: Mapping[int, Floats]) -> dict[int, NDArray[np.float64]]:
    """k -> recall@k [q], from the ``true_distances`` and the measured ones of what was found."""
    counts = np.isfinite(true).sum(axis=1)
    result = {}
    for k, part in found.items():
        possible = np.minimum(k, counts)
        far = true[np.arange(len(part)), np.maximum(possible - 1, 0)]
        near = np.isfinite(part) & (part <= far[:, None])
        share = np.minimum(near.sum(axis=1), possible) / np.maximum(possible, 1)
        result[k] = np.where(possible > 0, share, 1.0)
    return result


def others(lists: TopK, own: Ints, k: int) -> TopK:
    """The first k of each list, in its order, without the query itself and second mentions."""
    ids = lists.ids
    order = np.argsort(ids, axis=1, kind="stable")
    ordered = np.take_along_axis(ids, order, axis=1)
    again = np.zeros(ids.shape, dtype=np.bool_)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    dropped = np.empty_like(again)
    np.put_along_axis(dropped, order, again, axis=1)
    dropped |= (ids == own[:, None]) | (ids == NOBODY)
    kept = np.argsort(dropped, axis=1, kind="stable")[:, :k]
    gone = np.take_along_axis(dropped, kept, axis=1)
    found = TopK.empty(len(ids), k)
    part = slice(0, kept.shape[1])
    found.ids[:, part] = np.where(gone, NOBODY, np.take_along_axis(ids, kept, axis=1))
    distances = np.take_along_axis(lists.distances, kept, axis=1)
    found.distances[:, part] = np.where(gone, np.float32(np.inf), distances)
    return found


def measured(ids: Ints, queries: Block, blocks: Blocks, metric: str) -> Floats:
    """The distance of each listed vector from its query; +inf where there is no such vector."""
    distances = np.full(ids.shape, np.inf, dtype=np.float32)
    squares = squared_norms(queries.vectors)
    for block in blocks():
        if not len(block.numbers):
            continue
        at = np.minimum(np.searchsorted(block.numbers, ids), len(block.numbers) - 1)
        rows, places = np.nonzero(block.numbers[at] == ids)
        distances[rows, places] = distances_of_pairs(
            metric,
            queries.vectors,
            squares,
            rows,
            block.vectors,
            squared_norms(block.vectors),
            at[rows, places],
        )
    return distances
