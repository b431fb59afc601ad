"""A perceptual hash: pictures that look alike get numbers that differ in few bits.

The DCT hash of C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions"
(2010), section 3.2.1: 32x32 brightness values, their two-dimensional DCT, the 8x8 lowest
frequencies without the first row and column, one bit each for being above their median. The
shrinking is by averaging areas instead of a 7x7 mean filter.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

__all__ = ["perceptual_hash"]

_SIDE = 32
_BITS = 8

# Whole numbers, so that the same pixels give the same bits on every machine.
_COSINES = np.rint(
    np.cos(np.outer(np.arange(1, _BITS + 1), 2 * np.arange(_SIDE) + 1) * np.pi / (2 * _SIDE))
    * 2**12
).astype(np.int64)  # [8, 32]


def perceptual_hash(image: Image.Image) -> int:
    """A signed 64-bit integer for an opaque picture, any mode that converts to L.

    Compare two by the number of bits that differ: 0 to about 8 of 64 for the same picture in
    another size or compression, about 32 for unrelated ones.
    """
    small = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.int64)  # [32, 32]
    waves = (_COSINES @ pixels @ _COSINES.T).ravel()  # [64]
    middle = np.sort(waves)[31:33].sum()  # twice the median
    return int.from_bytes(np.packbits(2 * waves > middle).tobytes(), "big", signed=True)
