"""The vectors of an Annoy file where they lie in it, mapped: nothing is read that is not asked for.

Annoy keeps nodes of one size, first those of the items in their order: some words of its own, then
the vector. How many words is found by comparing, not known: where no comparison holds, vectors are
fetched one by one, as Annoy gives them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artrec.vectors import TopK, exact, merge
from artrec.vectors.distance import Floats, Ints, Wides, squared_norms
from artrec.vectors.topk import select

__all__ = ["Scan", "mapped_vectors", "vectors_at"]

_WORDS = range(1, 17)
_BLOCK = 1 << 17  # vectors scanned at once
_ROUNDOFF, _UNDERFLOW = 2.0**-24, 2.0**-126  # of float32
_LEAST_SQUARE = 1e-30  # underflow is nothing beside it


def mapped_vectors(path: Path, index: Any, items: int, dim: int) -> Floats | None:
    """A view [items, dim] of the file's vectors; None where they do not lie as they should."""
    words, left = divmod(path.stat().st_size, 4)
    if left or not items:
        return None
    flat = np.memmap(path, np.float32, mode="r")
    probed = np.unique(np.linspace(0, items - 1, 16).astype(np.int64))
    for header in _WORDS:
        node = header + dim
        if words % node or words < items * node:
            continue
        view = flat[: items * node].reshape(items, node)[:, header:]
        if vectors_at(index, None, probed).tobytes() == view[probed].tobytes():
            return view
    return None


def vectors_at(index: Any, mapped: Floats | None, items: Ints) -> Floats:
    """The vectors [n, d] of some items, wherever they come from."""
    if mapped is not None:
        return np.ascontiguousarray(mapped[items])
    return np.array([index.get_item_vector(item) for item in items.tolist()], np.float32)


class Scan:
    """The exact lists of a shard, by a float32 product of all its vectors with a query.

    A float32 product of d terms errs by no more than gamma = d u / (1 - d u) times the lengths, u =
    2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 3.1 and 3.5), a squared
    length by gamma of itself; and two distances that round to one float32 are no further apart than
    2^-22 of them. What may be among the nearest, under all that, is measured exactly. Held beside
    the map: 8 bytes for each vector. Those that are not ``live`` bool [n] are left out.
    """

    def __init__(
        self,
        vectors: Floats,
        numbers: Ints,
        metric: str,
        live: NDArray[np.bool_] | None = None,
    ) -> None:
        self._vectors, self._numbers, self._metric = vectors, numbers, metric
        self._live = live
        self._parts = [slice(at, at + _BLOCK) for at in range(0, len(numbers), _BLOCK)]
        squares = (_squares(vectors[part]) for part in self._parts)
        self._lengths = np.sqrt(np.concatenate([np.zeros(0), *squares]))

    def search(self, queries: Floats, k: int) -> TopK:
        """The lists [n, k] of ``queries`` [n, d]."""
        lists = TopK.empty(len(queries), k)
        for row, length in enumerate(np.sqrt(squared_norms(queries)).tolist()):
            found = self._nearest(queries[row], length, k)
            lists.distances[row], lists.ids[row] = found.distances[0], found.ids[0]
        return lists

    def _nearest(self, query: Floats, length: float, k: int) -> TopK:
        found = TopK.empty(1, k)
        for part in self._parts:
            near = self._possible(query, length, part, k)
            if self._live is not None:
                near = near[self._live[near]]
            if not len(near):
                continue
            vectors = np.ascontiguousarray(self._vectors[near])
            distances = exact(self._metric, np.broadcast_to(query, vectors.shape), vectors)
            rows = np.zeros(len(near), np.int64)
            found = merge(found, select(rows, distances, self._numbers[near], 1, k))
        return found

    def _possible(self, query: Floats, length: float, part: slice, k: int) -> Ints:
        """Rows of a part, of which none is left out that could be among its k nearest."""
        with np.errstate(over="ignore", invalid="ignore"):
            dots = (self._vectors[part] @ query).astype(np.float64)
        if len(dots) <= k or not np.isfinite(dots).all():
            return np.arange(part.start, part.start + len(dots))
        lengths = self._lengths[part]
        products = lengths * length
        dim = len(query)
        slack = 2 * dim * _ROUNDOFF / (1 - dim * _ROUNDOFF) + 4 * _ROUNDOFF
        errors = slack * products + dim * _UNDERFLOW
        if self._metric == "cosine":
            costs, errors = 1.0 - dots / products, errors / products
        elif self._metric == "dot":
            costs = -dots
        else:
            sizes = lengths**2 + length**2
            costs, errors = sizes - 2 * dots, 2 * (errors + slack * sizes)
        bounds = costs + errors
        if self._live is not None:
            bounds[~self._live[part]] = np.inf
        most = np.partition(bounds, k - 1)[k - 1]
        near: Ints = np.flatnonzero(costs - errors <= most) + part.start
        return near


def _squares(vectors: Floats) -> Wides:
    """Squared lengths [n]; in float32, unless some are too small or too large for it."""
    with np.errstate(over="ignore"):
        found: Wides = np.einsum("ij,ij->i", vectors, vectors).astype(np.float64)
    if np.isfinite(found).all() and found.min() > _LEAST_SQUARE:
        return found
    return squared_norms(np.ascontiguousarray(vectors))
