"""Small squares of a picture, from which codebooks are made: of pixels, and of gradients."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from artrec.encoders.features.gradients import cells
from artrec.encoders.features.planes import Pixels, bright, halved

__all__ = [
    "CELL",
    "CELLS",
    "DIRECTIONS",
    "EDGE_NUMBERS",
    "FLAT",
    "HALVINGS",
    "HIGHEST",
    "PATCH_NUMBERS",
    "SIDE",
    "STEP",
    "edge_patches",
    "pixel_patches",
]

SIDE = 8
STEP = 6  # a JPEG is cut into squares of 8 too: its grid is met at every other pixel
PATCH_NUMBERS = SIDE * SIDE * 3

CELL, CELLS, DIRECTIONS = 4, 4, 8
FLAT = 5.0  # mean magnitude of edges at which a patch begins to be one
HIGHEST = 0.25
HALVINGS = 1
EDGE_NUMBERS = CELLS * CELLS * DIRECTIONS

Floats = NDArray[np.float32]


def pixel_patches(pictures: Pixels) -> Floats:
    """8 x 8 pixels, 6 apart: ``float32 [n, m, 192]``."""
    windows = sliding_window_view(pictures, (SIDE, SIDE), axis=(1, 2))[:, ::STEP, ::STEP]
    # [n, rows, columns, 3, 8, 8] to pixel by pixel
    return np.moveaxis(windows, 3, 5).reshape(len(pictures), -1, PATCH_NUMBERS).astype(np.float32)


def edge_patches(pictures: Pixels, size: int = HALVINGS, step: int = 1) -> Floats:
    """4 x 4 cells of 4 pixels, in each the gradients by 8 directions: ``float32 [n, m, 128]``.

    Dense descriptors after Lowe, "Distinctive image features from scale-invariant keypoints",
    2004: of length 1 (less where there is hardly an edge), no number above .25, then the square
    root. The picture is halved ``size`` times; patches are ``step`` cells apart.
    """
    planes = bright(pictures)
    for _ in range(size):
        planes = halved(planes)
    grid = cells(planes, planes.shape[1] // CELL, DIRECTIONS, turns=1.0, root=False)
    windows = sliding_window_view(grid, (CELLS, CELLS), axis=(1, 2))[:, ::step, ::step]
    found = np.moveaxis(windows, 3, 5).reshape(len(pictures), -1, EDGE_NUMBERS)
    lengths = np.sqrt(np.square(found).sum(axis=2, keepdims=True)) + np.float32(FLAT)
    bounded: Floats = np.sqrt(np.minimum(found / lengths, np.float32(HIGHEST)))
    return bounded
