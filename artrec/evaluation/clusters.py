"""Clusters of vectors by k-means: centers fitted on a sample, each vector put to its nearest one.

Distances are Euclidean, under ``cosine`` between unit vectors. Which center is nearest is decided
by exact distances, of equal ones by the first, and squares are summed as whole numbers: so nothing
depends on the blocks in which the vectors come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from artrec.vectors.cells import assign_cells, cell_costs, fit_cells
from artrec.vectors.distance import Floats, Ints, distances_of_pairs, squared_norms
from artrec.vectors.screen import reciprocal_power

__all__ = [
    "Clusters",
    "Member",
    "SAMPLE",
    "SEEN",
    "Tally",
    "fit_clusters",
    "placed",
    "silhouettes",
]

SAMPLE = 5_000
"""Vectors that centers are fitted on, at most."""
SEEN = 2_000
"""Vectors whose silhouettes are measured, at most: all their pairs are."""

_TRIES, _ROUNDS = 4, 25
_UNIT = 1 << 40  # of the scaled squares that are summed
_ROUNDOFF = 2.0**-24

Member = tuple[float, int, str]
"""Distance, vector_no and image_id of an image of a cluster."""


def placed(metric: str, vectors: Floats) -> Floats:
    """``vectors`` [n, d] where clusters are sought: of length 1 for cosine, else as they are."""
    if metric != "cosine":
        return vectors
    lengths = np.sqrt(squared_norms(vectors))[:, None]
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), np.float32)


@dataclass(frozen=True)
class Clusters:
    """Centers [k, d], numbered from 1 in this order."""

    centers: Floats
    metric: str

    def assign(self, vectors: Floats) -> tuple[Ints, Floats]:
        """(numbers [n], distances [n]) of the nearest center of each of ``vectors`` [n, d]."""
        points = placed(self.metric, vectors)
        squares, lengths = squared_norms(points), squared_norms(self.centers)
        scale = reciprocal_power(float(np.sqrt(lengths.max(initial=0.0))))
        small, centers = points * np.float32(scale), self.centers * np.float32(scale)
        longest = scale * (np.sqrt(squares) + np.sqrt(lengths.max(initial=0.0)))
        # what two float32 products of these lengths can differ by, with room
        slack = (4 * (points.shape[1] + 8) * _ROUNDOFF) * longest**2
        rows, columns = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for part, costs in cell_costs(centers, small):
            near = costs <= (costs.min(axis=1) + slack[part])[:, None]
            at, which = np.nonzero(near)
            rows.append(at + part.start)
            columns.append(which)
        row, column = np.concatenate(rows), np.concatenate(columns)
        apart = distances_of_pairs("euclidean", points, squares, row, self.centers, lengths, column)
        order = np.lexsort((column, apart, row))
        _, first = np.unique(row[order], return_index=True)
        chosen = order[first]
        return column[chosen] + 1, apart[chosen]


def fit_clusters(sample: Floats, count: int, metric: str) -> Clusters:
    """At most ``count`` clusters of a ``sample`` [n, d] of the vectors, the largest first.

    The best of some tries by inertia. No more than there are different vectors.
    """
    points = placed(metric, sample)
    scale = reciprocal_power(float(np.sqrt(squared_norms(points).max(initial=0.0))))
    points = points * np.float32(scale)
    count = min(count, len(np.unique(points, axis=0)))
    if not count:
        return Clusters(np.zeros((0, points.shape[1]), np.float32), metric)
    tries = [
        fit_cells(points, count, seed, _ROUNDS, _spread_out(points, count, seed))
        for seed in range(_TRIES)
    ]
    centers = min(tries, key=lambda each: _inertia(each, points))
    sizes = np.bincount(assign_cells(centers, points), minlength=len(centers))
    order = np.lexsort((*centers.T[:1:-1], -sizes))
    kept = order[sizes[order] > 0]
    return Clusters(np.asarray(centers[kept] / np.float32(scale), np.float32), metric)


def _spread_out(points: Floats, count: int, seed: int) -> Floats:
    """``count`` of ``points``, each drawn by its squared distance from those drawn before it
    (k-means++: Arthur and Vassilvitskii, SODA 2007).
    """
    rng = np.random.default_rng(seed)
    chosen = [int(rng.integers(len(points)))]
    left = np.full(len(points), np.inf)
    while len(chosen) < count:
        apart = (points - points[chosen[-1]]).astype(np.float64)
        left = np.minimum(left, np.einsum("ij,ij->i", apart, apart))
        sums = np.cumsum(left)
        chosen.append(int(np.searchsorted(sums, rng.random() * sums[-1], side="right")))
    return points[chosen]


def _inertia(centers: Floats, points: Floats) -> float:
    apart = points - centers[assign_cells(centers, points)]
    return float(np.einsum("ij,ij->", apart, apart, dtype=np.float64))


@dataclass
class Tally:
    """Counts, inertia and nearest members of ``count`` clusters; rows come in any parts."""

    count: int
    scale: float
    members: int = 12
    images: Ints = field(init=False)
    vectors: Ints = field(init=False)
    squares: list[int] = field(init=False)
    nearest: list[list[Member]] = field(init=False)

    def __post_init__(self) -> None:
        self.images = np.zeros(self.count, np.int64)
        self.vectors = np.zeros(self.count, np.int64)
        self.squares = [0] * self.count
        self.nearest = [[] for _ in range(self.count)]

    def add(
        self, clusters: Ints, distances: Floats, numbers: Ints, first: Any, names: Sequence[Any]
    ) -> None:
        """Rows of the table clusters [n]; ``first`` [n] marks one image of each vector. Few of the
        ``names``, texts or a column of them, are looked at."""
        self.images += np.bincount(clusters - 1, minlength=self.count)
        firsts = np.flatnonzero(first)
        self.vectors += np.bincount(clusters[firsts] - 1, minlength=self.count)
        wide = distances.astype(np.float64) * self.scale
        units = np.rint(np.square(wide) * _UNIT)
        for cluster in np.unique(clusters[firsts]):
            own = firsts[clusters[firsts] == cluster]
            self.squares[cluster - 1] += sum(map(int, units[own].tolist()))
            best = own[np.lexsort((numbers[own], distances[own]))][: self.members]
            found = [(float(distances[n]), int(numbers[n]), str(names[n])) for n in best]
            kept = sorted([*self.nearest[cluster - 1], *found])
            self.nearest[cluster - 1] = kept[: self.members]

    @property
    def inertias(self) -> list[float]:
        """Of each cluster the sum of its vectors' squared distances from the center."""
        return [each / _UNIT / self.scale**2 for each in self.squares]


def silhouettes(points: Floats, clusters: Ints) -> Floats | None:
    """(b - a) / max(a, b) of each of ``points`` [n, d]: a is its mean distance from the others of
    its cluster, b that from the nearest other cluster. 0 for one alone in its cluster; None where
    there are fewer than two clusters.
    """
    names, of = np.unique(clusters, return_inverse=True)
    if len(names) < 2:
        return None
    wide = points.astype(np.float64)
    squares = np.einsum("ij,ij->i", wide, wide)
    sums = np.empty((len(wide), len(names)))
    member = np.eye(len(names))[of]
    for start in range(0, len(wide), 256):
        part = slice(start, start + 256)
        apart = squares[part, None] + squares - 2 * (wide[part] @ wide.T)
        np.fill_diagonal(apart[:, start:], 0.0)
        sums[part] = np.sqrt(np.maximum(apart, 0.0)) @ member
    sizes = np.bincount(of)
    rows = np.arange(len(wide))
    others = sizes[of] - 1
    within = sums[rows, of] / np.maximum(others, 1)
    means = sums / sizes
    means[rows, of] = np.inf
    beyond = means.min(axis=1)
    most = np.maximum(within, beyond)
    found = np.where((others > 0) & (most > 0), (beyond - within) / np.where(most > 0, most, 1), 0)
    return np.asarray(found, np.float32)
