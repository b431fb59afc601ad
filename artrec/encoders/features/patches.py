"""Small squares of a picture, from which codebooks are made: of pixels, and of gradients."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from artrec.encoders.features.gradients import cells
from artrec.encoders.features.planes import Pixels, bright, halved

__all__ = ["EDGE_NUMBERS", "PATCH_NUMBERS", "edge_patches", "pixel_patches"]

_SIDE = 8
_STEP = 6  # a JPEG is cut into squares of 8 too: its grid is met at every other pixel
PATCH_NUMBERS = _SIDE * _SIDE * 3

_CELL, _CELLS, _DIRECTIONS = 4, 4, 8
_FLAT = 5.0  # mean magnitude of edges at which a patch begins to be one
_HIGHEST = 0.25
EDGE_NUMBERS = _CELLS * _CELLS * _DIRECTIONS

Floats = NDArray[np.float32]


def pixel_patches(pictures: Pixels) -> Floats:
    """8 x 8 pixels, 6 apart: ``float32 [n, m, 192]``."""
    windows = sliding_window_view(pictures, (_SIDE, _SIDE), axis=(1, 2))[:, ::_STEP, ::_STEP]
    # [n, rows, columns, 3, 8, 8] to pixel by pixel
    return np.moveaxis(windows, 3, 5).reshape(len(pictures), -1, PATCH_NUMBERS).astype(np.float32)


def edge_patches(pictures: Pixels, size: int = 1, step: int = 1) -> Floats:
    """4 x 4 cells of 4 pixels, in each the gradients by 8 directions: ``float32 [n, m, 128]``.

    Dense descriptors after Lowe, "Distinctive image features from scale-invariant keypoints",
    2004: of length 1 (less where there is hardly an edge), no number above .25, then the square
    root. The picture is halved ``size`` times; patches are ``step`` cells apart.
    """
    planes = bright(pictures)
    for _ in range(size):
        planes = halved(planes)
    grid = cells(planes, planes.shape[1] // _CELL, _DIRECTIONS, turns=1.0, root=False)
    windows = sliding_window_view(grid, (_CELLS, _CELLS), axis=(1, 2))[:, ::step, ::step]
    found = np.moveaxis(windows, 3, 5).reshape(len(pictures), -1, EDGE_NUMBERS)
    lengths = np.sqrt(np.square(found).sum(axis=2, keepdims=True)) + np.float32(_FLAT)
    bounded: Floats = np.sqrt(np.minimum(found / lengths, np.float32(_HIGHEST)))
    return bounded
