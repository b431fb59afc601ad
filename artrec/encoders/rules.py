"""What a training's result depends on besides its examples; known without torch."""

from __future__ import annotations

from dataclasses import dataclass

from artrec.encoders import Preprocess

__all__ = ["Rules"]


@dataclass(frozen=True)
class Rules:
    """The settings of ``train`` that a training itself reads."""

    side: int
    channels: tuple[int, ...]
    epochs: int
    batch: int
    learning_rate: float
    patience: int
    seed: int

    @property
    def preprocess(self) -> Preprocess:
        """What the network is given: the whole picture stretched to a square, values 0 to 1."""
        return Preprocess(
            size=(self.side, self.side), fit="stretch", filter="lanczos", scale=1 / 255
        )
