"""154 counts for colour, texture and edges.

Three histograms: 32 bins for each of red, green and blue; 26 rotation-invariant uniform local
binary patterns (Ojala, Pietikäinen and Mäenpää, "Multiresolution gray-scale and rotation
invariant texture classification with local binary patterns", 2002; 24 points, radius 3); 32 bins
of the Sobel gradient's magnitude.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from artrec.encoders.features.planes import Pixels, bright

__all__ = [
    "BINS",
    "NUMBERS",
    "POINTS",
    "RADIUS",
    "RING",
    "SMALLEST",
    "STEEPEST",
    "UNIT",
    "counts",
    "edge_bins",
    "numbers",
]

BINS = 32
POINTS = 24
RADIUS = 3
NUMBERS = 3 * BINS + (POINTS + 2) + BINS  # 154
SMALLEST = 2 * RADIUS + 1
STEEPEST = 1020.0  # Sobel magnitude of a straight edge from 0 to 255
UNIT = 16  # parts of a pixel; 255 * 16 * 16 still fits into 16 bits

# Where the 24 neighbors lie, in sixteenths of a pixel: (down, right).
_ANGLES = 2 * np.pi * np.arange(POINTS) / POINTS
_OFFSETS = np.rint(UNIT * RADIUS * np.stack([np.sin(_ANGLES), np.cos(_ANGLES)], axis=1))
RING: list[tuple[int, int]] = [(int(down), int(right)) for down, right in _OFFSETS]


def numbers(pictures: Pixels) -> NDArray[np.float32]:
    """The 154 counts themselves, before powers and weights: ``[n, h, w, 3]`` to ``[n, 154]``."""
    return np.concatenate(counts(pictures, root=True), axis=1).astype(np.float32)


def counts(pictures: Pixels, root: bool) -> list[NDArray[np.int64]]:
    """Colours ``[n, 96]``, patterns ``[n, 26]`` and edges ``[n, 32]``; see ``edge_bins``."""
    gray = bright(pictures)
    colours = [_histogram(pictures[..., channel] >> 3, BINS) for channel in range(3)]
    texture = _histogram(_patterns(gray), POINTS + 2)
    edges = _histogram(_edges(gray, root=root), BINS)
    return [np.concatenate(colours, axis=1), texture, edges]


def _histogram(bins: NDArray[np.integer[Any]], count: int) -> NDArray[np.int64]:
    """How often each bin occurs in each picture: ``[n, ...]`` to ``[n, count]``."""
    rows = len(bins)
    flat = bins.reshape(rows, -1) + count * np.arange(rows)[:, None]
    return np.bincount(flat.ravel(), minlength=rows * count).reshape(rows, count)


def _patterns(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pattern of every pixel that has a whole ring: ``[n, h, w]`` to ``[n, h-6, w-6]``.

    The number of points as bright as the middle (0 to 24) if along the ring they form one arc,
    else 25. All is in whole numbers: rounding would turn flat areas into noise.
    """
    wide = gray.astype(np.uint16)
    height, width = gray.shape[1] - 2 * RADIUS, gray.shape[2] - 2 * RADIUS
    middle = wide[:, RADIUS : RADIUS + height, RADIUS : RADIUS + width] * np.uint16(UNIT**2)
    brighter = np.zeros(middle.shape, dtype=np.uint8)
    changes = np.zeros(middle.shape, dtype=np.uint8)
    last = (_at(wide, *RING[-1], height, width) >= middle).view(np.uint8)
    for down, right in RING:
        bit = (_at(wide, down, right, height, width) >= middle).view(np.uint8)
        brighter += bit
        changes += bit ^ last
        last = bit
    return np.where(changes <= 2, brighter, np.uint8(POINTS + 1))


def _at(
    wide: NDArray[np.uint16], down: int, right: int, height: int, width: int
) -> NDArray[np.uint16]:
    """The brightness at an offset from every middle, interpolated, times 256."""
    (top, below), (left, beside) = divmod(down, UNIT), divmod(right, UNIT)
    rows = slice(RADIUS + top, RADIUS + top + height)
    upper = _between(wide[:, rows], left, beside, width)
    upper *= np.uint16(UNIT - below)
    if below:
        rows = slice(rows.start + 1, rows.stop + 1)
        lower = _between(wide[:, rows], left, beside, width)
        lower *= np.uint16(below)
        upper += lower
    return upper


def _between(rows: NDArray[np.uint16], left: int, beside: int, width: int) -> NDArray[np.uint16]:
    start = RADIUS + left
    mixed = rows[:, :, start : start + width] * np.uint16(UNIT - beside)
    if beside:
        mixed += rows[:, :, start + 1 : start + 1 + width] * np.uint16(beside)
    return mixed


def _edges(gray: NDArray[np.uint8], root: bool) -> NDArray[np.uint8]:
    """The bin of the Sobel magnitude: ``[n, h, w]`` to ``[n, h-2, w-2]``.

    Bins are of equal width up to the steepest straight edge, or with ``root`` of equal width in
    the square root of the magnitude, since most edges are faint.
    """
    deep = gray.astype(np.int16)
    columns = deep[:, :-2] + 2 * deep[:, 1:-1] + deep[:, 2:]
    rows = deep[:, :, :-2] + 2 * deep[:, :, 1:-1] + deep[:, :, 2:]
    across = (columns[:, :, 2:] - columns[:, :, :-2]).astype(np.float32)
    along = (rows[:, 2:] - rows[:, :-2]).astype(np.float32)
    across *= across
    along *= along
    across += along
    return edge_bins(across, root)


def edge_bins(squares: NDArray[np.float32], root: bool) -> NDArray[np.uint8]:
    """The bins of squared magnitudes, which are written over."""
    share = np.sqrt(squares, out=squares)
    share /= np.float32(STEEPEST)
    if root:
        np.sqrt(share, out=share)
    share *= np.float32(BINS)
    return np.minimum(share, np.float32(BINS - 1)).astype(np.uint8)
