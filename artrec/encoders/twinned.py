"""Encoders of numpy that have a twin in torch, for other devices and for files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from artrec.encoders import Preprocess
from artrec.encoders.device import Precision

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Twinned"]

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Twinned(ABC):
    """Computes by numpy on a processor, by its twin elsewhere; torch is imported for the latter."""

    dim: int
    preprocess: Preprocess
    precisions: ClassVar[tuple[Precision, ...]] = ("float32",)
    _moved: Callable[[Pixels], Floats] | None = None

    @abstractmethod
    def _computed(self, pictures: Pixels) -> Floats:
        """By numpy."""

    @abstractmethod
    def whole(self) -> nn.Module:
        """``uint8 [n, h, w, 3]`` to the vectors, in one module of torch."""

    def encode(self, pictures: Pixels) -> Floats:
        """``uint8 [n, h, w, 3]`` to ``float32 [n, dim]`` of length 1."""
        self.preprocess.check(pictures)
        return (self._moved or self._computed)(pictures)

    def move(self, device: str, precision: Precision) -> None:
        """Run there from now on, in float32."""
        self._moved = None
        if device != "cpu":
            from artrec.encoders.twins.moving import Moved

            self._moved = Moved(self.whole(), self.dim, device)
