"""Features made by hand: pictures to numbers, nothing learnt but a codebook of some.

A *block* is one kind of numbers. All are pure functions of ``uint8 [n, h, w, 3]``, at one place
vectorised over pictures and pixels; a picture's numbers are the same in every batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artrec.encoders.features.colours import COLOUR_NUMBERS, colour_shares
from artrec.encoders.features.counts import NUMBERS, numbers
from artrec.encoders.features.fisher import Codebook, fisher
from artrec.encoders.features.gradients import GRADIENT_NUMBERS, gradient_means
from artrec.encoders.features.moments import MOMENT_NUMBERS, wave_moments
from artrec.encoders.features.patches import (
    EDGE_NUMBERS,
    PATCH_NUMBERS,
    edge_patches,
    pixel_patches,
)
from artrec.encoders.features.patterns import PATTERN_NUMBERS, pattern_shares
from artrec.encoders.features.planes import Pixels

__all__ = ["BLOCKS", "Coded", "Plain", "SMALLEST", "raw"]

Floats = NDArray[np.float32]

SMALLEST = 64
"""Height and width below which the coarsest scales would have nothing to count."""

_CHUNK = 2  # pictures at once: their planes fit into a core's cache


@dataclass(frozen=True)
class Plain:
    """Numbers that need nothing but the pictures."""

    numbers: int
    make: Callable[[Pixels], Floats]


@dataclass(frozen=True)
class Coded:
    """Fisher vectors of patches [n, m, p], reduced to ``dim``, by that many Gaussians."""

    patch: int
    patches: Callable[[Pixels], Floats]
    dim: int
    gaussians: int

    @property
    def numbers(self) -> int:
        return 2 * self.dim * self.gaussians

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the codebook's arrays."""
        mixture = (self.gaussians, self.dim)
        return {
            "center": (self.patch,),
            "directions": (self.patch, self.dim),
            "weights": (self.gaussians,),
            "means": mixture,
            "variances": mixture,
        }


BLOCKS: dict[str, Plain | Coded] = {
    "handmade": Plain(NUMBERS, numbers),
    "colours": Plain(COLOUR_NUMBERS, colour_shares),
    "patterns": Plain(PATTERN_NUMBERS, pattern_shares),
    "gradients": Plain(GRADIENT_NUMBERS, gradient_means),
    "moments": Plain(MOMENT_NUMBERS, wave_moments),
    "pixel_fisher": Coded(PATCH_NUMBERS, pixel_patches, dim=32, gaussians=32),
    "edge_fisher": Coded(EDGE_NUMBERS, edge_patches, dim=40, gaussians=24),
}
"""Every block by its name."""


def raw(name: str, pictures: Pixels, codebook: Codebook | None = None) -> Floats:
    """A block's own numbers, ``float32 [n, d]``; a coded one needs its codebook."""
    block = BLOCKS[name]
    found = np.empty((len(pictures), block.numbers), dtype=np.float32)
    for start in range(0, len(pictures), _CHUNK):
        part = slice(start, start + _CHUNK)
        if isinstance(block, Plain):
            found[part] = block.make(pictures[part])
        else:
            assert codebook is not None, f"block {name} needs its codebook"
            found[part] = fisher(block.patches(pictures[part]), codebook)
    return found
