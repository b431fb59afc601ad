"""Cells of a k-means quantiser: which vectors lie near each other, roughly.

Nothing exact depends on them. They say what to look at first: in which order vectors are laid out,
which others bound a row's k-th distance, what an approximate join may leave out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from artrec.errors import ConfigError
from artrec.vectors.distance import Floats, Ints, Wides, chunks
from artrec.vectors.screen import Frame, reciprocal_power

__all__ = [
    "assign_cells",
    "cell_costs",
    "cell_count",
    "coordinates",
    "fit_cells",
    "nearest_cells",
    "order_cells",
]

SAMPLE = 24  # vectors to fit for each cell, about
_ROUNDS = 4
_POWERS = 6
_CELLS = 1 << 22  # costs held at once


def cell_count(vectors: int) -> int:
    """Cells for so many vectors: twice the root, so that a cell and its list are about as long.

    >>> cell_count(81446)
    570
    """
    return max(1, int(2 * vectors**0.5))


def coordinates(frame: Frame, vectors: Floats, squares: Wides) -> Floats:
    """``vectors`` [n, d] where cells are sought: of length 1 for cosine, else below it."""
    lengths = np.sqrt(squares)
    if frame.metric != "cosine":  # of the least vectors that is less than a float32 can be
        lengths[:] = 1 / reciprocal_power(frame.reach)
    placed = np.empty_like(vectors)
    for part in chunks(*vectors.shape):
        np.divide(vectors[part], lengths[part, None], out=placed[part], casting="same_kind")
    return placed


def fit_cells(
    points: Floats,
    count: int,
    seed: int = 0,
    rounds: int = _ROUNDS,
    begun: Floats | None = None,
) -> Floats:
    """Centers [c, d] of at most ``count`` cells of ``points`` [n, d], by Lloyd's method (1982).

    It begins with random points, or ``begun`` [c, d], and ends after so many ``rounds``, or once a
    round moves no point. The same for the same points in the same order on one machine; another
    BLAS may differ in the last bits. A cell that loses all its points goes where the largest one
    is split.
    """
    if count < 1:
        raise ConfigError(f"{count} cells: there must be at least 1")
    if not len(points):
        return np.zeros((1, points.shape[1]), dtype=np.float32)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(points))[: min(count, len(points))])
    centers = points[chosen].copy() if begun is None else begun.copy()
    before: Ints | None = None
    for _ in range(rounds if len(chosen) < len(points) else 0):
        of = assign_cells(centers, points)
        if before is not None and np.array_equal(of, before):
            break
        before = of
        order = np.argsort(of, kind="stable")
        sizes = np.bincount(of, minlength=len(centers))
        full = np.flatnonzero(sizes)
        starts = (np.cumsum(sizes) - sizes)[full]
        sums = np.add.reduceat(points[order], starts, axis=0, dtype=np.float64)
        centers[full] = sums / sizes[full, None]
        by_size = full[np.argsort(-sizes[full], kind="stable")]
        for empty, largest in zip(np.flatnonzero(sizes == 0), by_size, strict=False):
            first = order[np.searchsorted(of[order], largest)]
            centers[empty] = points[first]
    return centers


def order_cells(centers: Floats, weights: Ints) -> Ints:
    """The order, int64 [c], in which cells that are near each other stand near each other.

    They are halved by weight across the direction of their largest spread, the halves again, down
    to single cells: so any run of the order is a region, and equal runs hold equal weights.
    """
    order = np.arange(len(centers))
    todo = [(0, len(centers))]
    while todo:
        start, stop = todo.pop()
        if stop - start < 3:
            continue
        part = order[start:stop]
        along = np.argsort(_spread_along(centers[part]), kind="stable")
        order[start:stop] = part[along]
        sums = np.cumsum(weights[order[start:stop]])
        half = 1 + int(np.searchsorted(sums, sums[-1] / 2))
        half = start + min(max(half, 1), stop - start - 1)
        todo += [(start, half), (half, stop)]
    return order


def _spread_along(points: Floats) -> Wides:
    """Coordinates [n] along the first principal direction, about, by a few power iterations."""
    centered = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    direction = centered[int(np.einsum("ij,ij->i", centered, centered).argmax())]
    for _ in range(_POWERS):
        direction = centered.T @ (centered @ direction)
        length = np.sqrt(direction @ direction)
        if length == 0.0:
            return np.zeros(len(points))
        direction /= length
    return np.asarray(centered @ direction)


def assign_cells(centers: Floats, points: Floats) -> Ints:
    """The nearest center, int64 [n], of each of ``points`` [n, d]; the first of equals."""
    found = np.empty(len(points), dtype=np.int64)
    for part, costs in cell_costs(centers, points):
        found[part] = costs.argmin(axis=1)
    return found


def nearest_cells(centers: Floats, points: Floats, probes: int) -> Ints:
    """The ``probes`` nearest centers, int64 [n, probes], of each of ``points``, nearest first."""
    probes = min(probes, len(centers))
    found = np.empty((len(points), probes), dtype=np.int64)
    for part, costs in cell_costs(centers, points):
        near = np.argpartition(costs, probes - 1, axis=1)[:, :probes]
        order = np.argsort(np.take_along_axis(costs, near, axis=1), axis=1, kind="stable")
        found[part] = np.take_along_axis(near, order, axis=1)
    return found


def cell_costs(centers: Floats, points: Floats) -> Iterator[tuple[slice, Floats]]:
    """Slices of ``points`` and what each has to pay for each center, so that the least is nearest.

    Half squared distances of points from all centers, less those of the points from 0.
    """
    halves = (np.einsum("ij,ij->i", centers, centers, dtype=np.float64) / 2).astype(np.float32)
    step = max(1, _CELLS // len(centers))
    for start in range(0, len(points), step):
        part = slice(start, min(start + step, len(points)))
        yield part, halves - points[part] @ centers.T
