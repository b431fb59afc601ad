"""How vectors are laid out for a self-join: by cells, and runs of cells to blocks.

A layout is made from a sample and is small; every vector then finds its cell and block alone. What
is near each other lies in one block, mostly, so that the meeting of a block with itself already
bounds the lists of its rows well. Lists do not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artrec.errors import ConfigError
from artrec.vectors.cells import (
    SAMPLE,
    assign_cells,
    cell_count,
    coordinates,
    fit_cells,
    nearest_cells,
    order_cells,
)
from artrec.vectors.distance import Floats, Ints, Wides, squared_norms
from artrec.vectors.screen import Frame, Screen

__all__ = ["Layout", "plan_layout", "sample_rows"]

_PROBES = 8  # cells looked at to bound a row
_ENOUGH = 1024  # candidates that bound it, at the least
_MOST = 4096  # and at the most
_ROWS = 512
_GROUP = 4


def sample_rows(total: int) -> int:
    """Vectors from which the layout of ``total`` is planned."""
    return min(total, SAMPLE * cell_count(total))


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Centers [c, d] of cells in their order; block b holds cells ``firsts[b]`` to
    ``firsts[b + 1]``, of [m + 1]. ``frame`` is that of all vectors.
    """

    frame: Frame
    centers: Floats
    firsts: Ints

    @property
    def blocks(self) -> int:
        return len(self.firsts) - 1

    def cells(self, vectors: Floats, squares: Wides) -> Ints:
        """The cell, int64 [n], of each of ``vectors`` [n, d] with their squared norms [n]."""
        return assign_cells(self.centers, coordinates(self.frame, vectors, squares))

    def blocks_of(self, cells: Ints) -> Ints:
        """The block, int64 [n], of each of ``cells``."""
        return np.searchsorted(self.firsts, cells, side="right") - 1

    def ceilings(self, screen: Screen, left: Floats, cells: Ints, width: int) -> Floats:
        """Distances [n] within which each row has ``width`` rows of its block, itself counted.

        ``cells`` [n], ascending, are those of the rows, of the factors ``left`` and
        ``screen.right``. Looked at are rows of the nearest cells, as many as make a few times
        ``width``.
        """
        found = np.full(len(left), np.inf, dtype=np.float32)
        if not len(cells):
            return found
        first, last = int(cells[0]), int(cells[-1])
        starts = np.searchsorted(cells, np.arange(first, last + 2))
        sizes = np.diff(starts)
        near = nearest_cells(
            self.centers[first : last + 1], self.centers[first : last + 1], _PROBES
        )
        enough, most = max(_ENOUGH, 4 * width), max(_MOST, 4 * width)
        for cell in np.flatnonzero(sizes).tolist():
            looked = near[cell][: 1 + int(np.searchsorted(np.cumsum(sizes[near[cell]]), enough))]
            parts = [screen.right[starts[c] : starts[c + 1]] for c in looked.tolist()]
            candidates = np.concatenate(parts)[:most]
            if len(candidates) < width:
                continue
            for top in range(starts[cell], starts[cell + 1], _ROWS):
                rows = slice(top, min(top + _ROWS, starts[cell + 1]))
                kth = _about_kth(left[rows] @ candidates.T, width)
                found[rows] = screen.ceilings(screen.lengths[rows], kth)
        return found


def _about_kth(costs: Floats, k: int) -> Floats:
    """Costs [q] that at least ``k`` of each row do not exceed: little above the k-th least.

    The k-th least of the minima of groups is found much faster than the k-th least of all.
    """
    group = max(1, min(_GROUP, costs.shape[1] // (2 * k)))
    across = costs.shape[1] // group
    grouped = costs[:, : group * across].reshape(len(costs), group, across)
    least = np.minimum.reduce(grouped, axis=1)
    return np.partition(least, k - 1, axis=1)[:, k - 1]


def plan_layout(
    sample: Floats, total: int, metric: str, blocks: int, longest: float, seed: int = 0
) -> Layout:
    """The layout of ``total`` vectors, the longest of length ``longest``, from a random sample.

    Blocks hold equal parts of the sample, as nearly as whole cells do; there may be fewer.
    """
    if blocks < 1:
        raise ConfigError(f"{blocks} blocks: there must be at least 1")
    squares = squared_norms(sample)
    frame = Frame.of_all(metric, sample, squares, longest)
    points = coordinates(frame, sample, squares)
    centers = fit_cells(points, cell_count(total), seed)
    sizes = np.bincount(assign_cells(centers, points), minlength=len(centers))
    order = order_cells(centers, sizes)
    filled = np.cumsum(sizes[order])
    cuts = 1 + np.searchsorted(filled, np.arange(1, blocks) * (len(sample) / blocks))
    firsts = np.unique(np.concatenate(([0], cuts, [len(centers)])))
    return Layout(frame, centers[order], firsts)
