"""Planes of a batch, as numpy's are: brightness, opponent colours, half sizes; in whole numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from artrec.encoders.features.planes import BRIGHT, THIRD

__all__ = ["Seen", "bright", "halved", "opponent"]


class Seen:
    """A batch of pictures and its planes at every scale, each made once however many ask."""

    def __init__(self, pictures: Tensor) -> None:
        self.values = pictures.to(torch.float32)
        self._bright: list[Tensor] = []
        self._opponent: list[Tensor] = []

    def bright(self, halvings: int = 0) -> Tensor:
        """``[n, h, w]``, halved so many times."""
        if not self._bright:
            self._bright.append(bright(self.values))
        return _halved(self._bright, halvings)

    def opponent(self, halvings: int = 0) -> Tensor:
        """``[n, 3, h, w]``, halved so many times."""
        if not self._opponent:
            self._opponent.append(opponent(self.values))
        return _halved(self._opponent, halvings)


def bright(values: Tensor) -> Tensor:
    """Brightness: ``[n, h, w, 3]`` to ``[n, h, w]``."""
    red, green, blue = (values[..., channel] * BRIGHT[channel] for channel in range(3))
    return torch.floor((red + green + blue + 128) * 2**-8)


def opponent(values: Tensor) -> Tensor:
    """Intensity, red against green, yellow against blue: ``[n, h, w, 3]`` to ``[n, 3, h, w]``."""
    red, green, blue = (values[..., channel] for channel in range(3))
    both = red + green
    planes = (
        (both + blue) * THIRD * 2**-16,
        (red - green + 255) * 0.5,
        (both - 2 * blue + 510) * 0.25,
    )
    return torch.floor(torch.stack(planes, dim=1))


def halved(planes: Tensor) -> Tensor:
    """Means of 2 x 2, rounded half up; an odd last row or column is left out."""
    height, width = (side // 2 * 2 for side in planes.shape[-2:])
    rows = planes[..., 0:height:2, :width] + planes[..., 1:height:2, :width]
    return torch.floor((rows[..., 0::2] + rows[..., 1::2] + 2) * 0.25)


def _halved(scales: list[Tensor], halvings: int) -> Tensor:
    while len(scales) <= halvings:
        scales.append(halved(scales[-1]))
    return scales[halvings]
