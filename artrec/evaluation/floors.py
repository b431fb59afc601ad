"""Two encoders that know next to nothing, to be measured beside the real one.

A 64-bin colour histogram (4 x 4 x 4 steps of red, green, blue) and the 16 x 16 pixels. An encoder
that does not beat them has learnt nothing but colours or layout.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artrec.vectors.distance import Floats

__all__ = ["FLOORS", "FLOOR_METRIC", "SIDE", "centered", "histogram", "thumbnail"]

FLOORS = ("histogram", "pixels")
SIDE = 64
"""Height and width to which a picture is stretched first, by averaging areas."""

FLOOR_METRIC = "euclidean"
"""Of :func:`centered` vectors: of unit vectors it orders as the cosine does."""

_STEPS, _SMALL = 4, 16

Pixels = NDArray[np.uint8]


def histogram(pixels: Pixels) -> Floats:
    """The share of the pixels of ``uint8 [SIDE, SIDE, 3]`` in each of 64 colours, float32 [64]."""
    steps = (pixels.reshape(-1, 3) // (256 // _STEPS)).astype(np.int64)
    bins = (steps[:, 0] * _STEPS + steps[:, 1]) * _STEPS + steps[:, 2]
    counts = np.bincount(bins, minlength=_STEPS**3)
    return np.asarray(counts / len(bins), dtype=np.float32)


def thumbnail(pixels: Pixels) -> Floats:
    """The mean colours of 16 x 16 areas of ``uint8 [SIDE, SIDE, 3]``, 0 to 1, float32 [768]."""
    area = SIDE // _SMALL
    areas = pixels.reshape(_SMALL, area, _SMALL, area, 3).mean(axis=(1, 3), dtype=np.float64)
    return np.asarray(areas.ravel() / 255, dtype=np.float32)


def centered(vectors: Floats) -> Floats:
    """``vectors`` [n, d] about their mean, each of length 1; what is the mean itself stays 0.

    Equal vectors stay equal. A zero is as far from every unit vector as from any other, so a
    sample of one picture, or of equal ones, breaks nothing.
    """
    wide = vectors.astype(np.float64)
    wide -= wide.mean(axis=0) if len(wide) else 0.0
    lengths = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    # what centring leaves of equal vectors is rounding, not a direction
    real = lengths > 1e-9 * max(1.0, float(np.abs(vectors).max(initial=0.0)))
    unit = np.where(real, wide / np.where(real, lengths, 1.0), 0.0)
    return np.asarray(unit, dtype=np.float32)
