"""A twin at work on a device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["AT_ONCE", "Moved"]

AT_ONCE = 32  # pictures: of 256 px they take some 640 MB at their height


class Moved:
    """``uint8 [n, h, w, 3]`` to ``float32 [n, dim]`` by a twin, in float32, on a device."""

    def __init__(self, twin: nn.Module, dim: int, device: str) -> None:
        self._dim, self._device = dim, torch.device(device)
        self._twin = twin.eval().to(self._device)

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = np.empty((len(pictures), self._dim), np.float32)
        with torch.inference_mode():
            for start in range(0, len(pictures), AT_ONCE):
                part = slice(start, start + AT_ONCE)
                seen = torch.from_numpy(np.require(pictures[part], requirements=["C", "W"]))
                found[part] = self._twin(seen.to(self._device)).cpu()
        return found
