"""Colours in pairs of opponent channels, whole and by quarters: 3,840 numbers.

Histograms of two channels at a time (brightness with either chroma, both chromas) say nearly what
one of three says, and every count is large enough to mean something; of the whole picture and of
its quarters, since where a colour lies is composition (Lazebnik, Schmid and Ponce, "Beyond bags of
features: spatial pyramid matching", 2006).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artrec.encoders.features.planes import Pixels, Planes, halved, opponent

__all__ = ["COLOUR_NUMBERS", "PAIRS", "STEPS", "STRETCH", "colour_shares"]

STEPS = 16
PAIRS = ((0, 1), (0, 2), (1, 2))
STRETCH = 2  # chroma about grey, since strong colours are rare
COLOUR_NUMBERS = len(PAIRS) * STEPS**2 * (1 + 4)


def colour_shares(pictures: Pixels) -> NDArray[np.float32]:
    """``uint8 [n, h, w, 3]`` to ``float32 [n, 3840]``, of the picture at half its size.

    By pair, the whole and then the quarters row by row, by the first channel's step, by the
    second's: shares of the pixels. An odd last row or column is in no quarter.
    """
    steps = _steps(halved(opponent(pictures)))
    count, height, width = len(pictures), *(side // 2 * 2 for side in steps.shape[-2:])
    quarters = _quarters(count, height // 2, width // 2) * STEPS**2
    found = []
    for first, second in PAIRS:
        bins = steps[:, first, :height, :width] * np.uint8(STEPS)
        bins += steps[:, second, :height, :width]
        counts = np.bincount((bins + quarters).ravel(), minlength=count * 4 * STEPS**2)
        parts = counts.reshape(count, 4, STEPS**2) / (height * width // 4)
        found += [parts.mean(axis=1), parts.reshape(count, -1)]
    return np.concatenate(found, axis=1).astype(np.float32)


def _steps(planes: Planes) -> Planes:
    """0 to 15 for each value of ``[n, 3, h, w]``."""
    found = planes.astype(np.int16)
    found[:, 1:] -= 128
    found[:, 1:] *= STRETCH
    found[:, 1:] += 128
    return (found.clip(0, 255) >> 4).astype(np.uint8)


def _quarters(count: int, height: int, width: int) -> NDArray[np.intp]:
    """The number of the quarter of every pixel: ``[n, 2 height, 2 width]``."""
    rows = np.repeat(np.arange(2), height)[:, None] * 2
    columns = np.repeat(np.arange(2), width)
    each = (rows + columns)[None] + 4 * np.arange(count)[:, None, None]
    return np.asarray(each, dtype=np.intp)
