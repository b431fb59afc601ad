"""Local binary patterns of 8 points at 4 scales in 3 opponent channels: 3,072 numbers.

For every pixel, which of its 8 neighbors are at least as bright as it is: one of 256 patterns
(Ojala, Pietikäinen and Mäenpää, "Multiresolution gray-scale and rotation invariant texture
classification with local binary patterns", 2002), counted in each opponent channel apart
(Mäenpää and Pietikäinen, "Classification with color and texture: jointly or separately?", 2004).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artrec.encoders.features.planes import Pixels, Planes, halved, opponent

__all__ = ["PATTERN_NUMBERS", "PATTERN_RING", "PATTERN_SCALES", "pattern_shares"]

PATTERN_SCALES = 4
PATTERN_NUMBERS = PATTERN_SCALES * 3 * 256

# (down, right), from the upper left, clockwise; the first is bit 0
PATTERN_RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def pattern_shares(pictures: Pixels) -> NDArray[np.float32]:
    """``uint8 [n, h, w, 3]`` to ``float32 [n, 3072]``: the share of the pixels with each pattern.

    By scale (the picture, its half, its quarter, its eighth), by channel, by pattern; each 256
    add up to 1.
    """
    planes, found = opponent(pictures), []
    for scale in range(PATTERN_SCALES):
        if scale:
            planes = halved(planes)
        found.append(_shares(_codes(planes)))
    return np.concatenate(found, axis=1)


def _codes(planes: Planes) -> Planes:
    """The pattern around every pixel that has 8 neighbors: ``[n, c, h - 2, w - 2]``."""
    height, width = planes.shape[-2] - 2, planes.shape[-1] - 2
    middle = planes[..., 1 : 1 + height, 1 : 1 + width]
    codes = np.zeros(middle.shape, dtype=np.uint8)
    for bit, (down, right) in enumerate(PATTERN_RING):
        beside = planes[..., 1 + down : 1 + down + height, 1 + right : 1 + right + width]
        codes |= (beside >= middle).view(np.uint8) << np.uint8(bit)
    return codes


def _shares(codes: Planes) -> NDArray[np.float32]:
    """How often each pattern occurs in each plane: ``[n, c, h, w]`` to ``[n, c * 256]``."""
    pictures, channels = codes.shape[:2]
    planes = codes.reshape(pictures * channels, -1)
    flat = planes + 256 * np.arange(len(planes), dtype=np.intp)[:, None]
    counts = np.bincount(flat.ravel(), minlength=256 * len(planes))
    shares = counts.reshape(pictures, -1) / planes.shape[1]
    return shares.astype(np.float32)
