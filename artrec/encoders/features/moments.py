"""How small waves in the colours go together: second moments of a cosine transform, 4,536 numbers.

Texture is in which filters answer together (Gatys, Ecker and Bethge, "Texture synthesis using
convolutional neural networks", 2015); here the filters are the lowest waves of an 8 x 8 cosine
transform in three opponent channels, pooled as in Carreira, Caseiro, Batista and Sminchisescu,
"Semantic segmentation with second-order pooling", 2012.

The squares lie 5, 3 and 2 pixels apart: a JPEG's own transform has squares of the same size, and
at steps that divide 8 one would read its rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from artrec.encoders.features.planes import Pixels, Planes, halved, opponent

__all__ = ["ANSWERS", "FAINT", "MOMENT_NUMBERS", "PAIRS", "SIDE", "STEPS", "WAVES", "wave_moments"]

SIDE = 8
STEPS = (5, 3, 2)  # of the picture, its half, its quarter
FAINT = 1.0  # answers below that are mostly rounding, and have no root
_FREQUENCIES = [(a, b) for a in range(4) for b in range(4 - a) if a + b]
ANSWERS = 3 * len(_FREQUENCIES)
PAIRS = np.triu_indices(2 * ANSWERS)
MOMENT_NUMBERS = len(STEPS) * (len(PAIRS[0]) + ANSWERS)

Floats = NDArray[np.float32]


def _waves() -> Floats:
    """The cosine waves as columns: ``[64, 9]``, each of length 1."""
    middles = (2 * np.arange(SIDE) + 1) * np.pi / (2 * SIDE)
    lines = np.cos(np.arange(SIDE)[:, None] * middles) * np.sqrt(2 / SIDE)
    lines[0] /= np.sqrt(2)
    waves = [np.outer(lines[down], lines[across]).ravel() for down, across in _FREQUENCIES]
    return np.stack(waves, axis=1).astype(np.float32)


WAVES = _waves()


def wave_moments(pictures: Pixels) -> Floats:
    """``uint8 [n, h, w, 3]`` to ``float32 [n, 4536]``.

    Of the answers a / sqrt(|a| + 1) and of their absolute values (54 numbers for each square), by
    scale: the mean products of two, upper triangle row by row, then the 27 mean absolute ones.
    """
    planes, found = opponent(pictures), []
    for scale, step in enumerate(STEPS):
        if scale:
            planes = halved(planes)
        found += _of_scale(planes, step)
    return np.concatenate(found, axis=1)


def _of_scale(planes: Planes, step: int) -> list[Floats]:
    squares = sliding_window_view(planes, (SIDE, SIDE), axis=(2, 3))[:, :, ::step, ::step]
    count, channels = squares.shape[:2]
    flat = squares.reshape(count, channels, -1, SIDE * SIDE).astype(np.float32)
    answers = flat @ WAVES
    strengths = np.abs(answers)
    answers /= np.sqrt(strengths + np.float32(FAINT))
    both = np.stack([answers, np.abs(answers)], axis=1)
    # [n, 2, 3, m, 9] to [n, 54, m]
    both = np.moveaxis(both, 3, 4).reshape(count, 2 * ANSWERS, -1)
    products = both @ both.transpose(0, 2, 1) / np.float32(both.shape[2])
    return [products[:, PAIRS[0], PAIRS[1]], both[:, ANSWERS:].mean(axis=2)]
