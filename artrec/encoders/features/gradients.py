"""Gradients by direction in the cells of a grid, at 3 scales: 1,008 numbers.

Histograms of oriented gradients (Dalal and Triggs, "Histograms of oriented gradients for human
detection", 2005) with two changes that paid: every edge counts with the square root of its
magnitude, since strong ones would drown the brushwork, and cells are pooled over a pyramid
(Bosch, Zisserman and Munoz, "Representing shape with a spatial pyramid kernel", 2007) instead of
being normalised by blocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artrec.encoders.features.planes import Pixels, Planes, bright, halved

__all__ = ["DIRECTIONS", "GRADIENT_NUMBERS", "GRID", "SCALES", "cells", "gradient_means"]

SCALES = 3
DIRECTIONS = 16
GRID = 4
GRADIENT_NUMBERS = SCALES * DIRECTIONS * (1 + 4 + 16)


def gradient_means(pictures: Pixels) -> NDArray[np.float32]:
    """``uint8 [n, h, w, 3]`` to ``float32 [n, 1008]``.

    By scale (the picture, its half, its quarter), by level (all of it, 2 x 2, 4 x 4 cells), by
    cell, by direction from 0 to pi: the mean of the square roots of the magnitudes.
    """
    planes, found = bright(pictures), []
    for scale in range(SCALES):
        if scale:
            planes = halved(planes)
        fine = cells(planes, GRID, DIRECTIONS, turns=0.5, root=True)
        middle = fine.reshape(len(fine), 2, 2, 2, 2, DIRECTIONS).mean(axis=(2, 4))
        whole = middle.mean(axis=(1, 2))
        found += [part.reshape(len(fine), -1) for part in (whole, middle, fine)]
    return np.concatenate(found, axis=1)


def cells(
    planes: Planes, grid: int, directions: int, turns: float, root: bool
) -> NDArray[np.float32]:
    """``[n, h, w]`` to ``[n, grid, grid, directions]``: mean magnitude by direction.

    The gradient is the difference of the two neighbors, 0 at the picture's edge. Its direction,
    within ``turns`` of a full one (.5: without sign), counts for the two nearest of
    ``directions`` equal steps by nearness. Rows and columns that no whole cell holds are left out.
    """
    count, height, width = len(planes), planes.shape[1] // grid, planes.shape[2] // grid
    planes = planes[:, : height * grid, : width * grid]
    magnitude, turn = _polar(planes.astype(np.float32), directions / (2 * np.pi * turns))
    if root:
        np.sqrt(magnitude, out=magnitude)
    low = np.floor(turn)
    turn -= low  # what the next step gets
    low = low.astype(np.intp)
    low %= directions
    place = _places(count, grid, height, width) * directions
    upper = magnitude * turn
    magnitude -= upper
    size = count * grid * grid * directions
    total = np.bincount((low + place).ravel(), magnitude.ravel(), size)
    low += 1
    low[low == directions] = 0
    total += np.bincount((low + place).ravel(), upper.ravel(), size)
    means = (total / (height * width)).reshape(count, grid, grid, directions)
    return np.asarray(means, dtype=np.float32)


def _polar(
    planes: NDArray[np.float32], steps: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Magnitude, and direction in steps; both ``[n, h, w]``."""
    across, down = np.zeros_like(planes), np.zeros_like(planes)
    np.subtract(planes[:, :, 2:], planes[:, :, :-2], out=across[:, :, 1:-1])
    np.subtract(planes[:, 2:], planes[:, :-2], out=down[:, 1:-1])
    turn = np.arctan2(down, across)
    turn *= np.float32(steps)
    across *= across
    down *= down
    across += down
    return np.sqrt(across, out=across), turn


def _places(count: int, grid: int, height: int, width: int) -> NDArray[np.intp]:
    """The number of the cell of every pixel: ``[n, grid * height, grid * width]``."""
    rows = np.repeat(np.arange(grid), height)[:, None] * grid
    columns = np.repeat(np.arange(grid), width)
    each = (rows + columns)[None] + grid * grid * np.arange(count)[:, None, None]
    return np.asarray(each, dtype=np.intp)
