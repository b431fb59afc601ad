"""Planes of a batch of pictures: brightness, opponent colours, half sizes; all in whole numbers.

Whole numbers, since rounding would turn flat areas into noise that patterns count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BRIGHT", "Pixels", "Planes", "THIRD", "bright", "halved", "opponent"]

BRIGHT = (77, 150, 29)
"""What red, green and blue count, in 256 parts."""
THIRD = 21846
"""In 65536 parts a third, exactly for what can occur: 3 * 255."""

Pixels = NDArray[np.uint8]
"""``[n, h, w, 3]``."""
Planes = NDArray[np.uint8]
"""``[n, h, w]``, or any number of planes before the two sides: ``[n, c, h, w]``."""


def bright(pictures: Pixels) -> Planes:
    """Brightness by ITU-R BT.601 in 8-bit fixed point: ``[n, h, w]``."""
    red, green, blue = (pictures[..., channel].astype(np.uint16) for channel in range(3))
    red *= np.uint16(BRIGHT[0])
    green *= np.uint16(BRIGHT[1])
    blue *= np.uint16(BRIGHT[2])
    red += green
    red += blue
    red += np.uint16(128)
    return (red >> 8).astype(np.uint8)


def opponent(pictures: Pixels) -> Planes:
    """Intensity, red against green, yellow against blue, each 0 to 255: ``[n, 3, h, w]``.

    (r + g + b) / 3, (r - g + 255) / 2 and (r + g - 2 b + 510) / 4, rounded down (van de Sande,
    Gevers and Snoek, "Evaluating color descriptors for object and scene recognition", 2010).
    """
    red, green, blue = (pictures[..., channel].astype(np.int16) for channel in range(3))
    found = np.empty((len(pictures), 3, *pictures.shape[1:3]), dtype=np.uint8)
    both = red + green
    found[:, 0] = ((both + blue).astype(np.uint32) * np.uint32(THIRD)) >> np.uint32(16)
    found[:, 1] = (red - green + np.int16(255)) >> 1
    found[:, 2] = (both - 2 * blue + np.int16(510)) >> 2
    return found


def halved(planes: Planes) -> Planes:
    """Means of 2 x 2, rounded half up: ``[..., h, w]`` to ``[..., h // 2, w // 2]``.

    An odd last row or column is left out.
    """
    height, width = (side // 2 * 2 for side in planes.shape[-2:])
    rows = planes[..., 0:height:2, :width].astype(np.uint16)
    rows += planes[..., 1:height:2, :width]
    means = rows[..., 0::2] + rows[..., 1::2]
    means += np.uint16(2)
    return (means >> 2).astype(np.uint8)
