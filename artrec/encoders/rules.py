"""What a training's result depends on besides its examples; known without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from artrec.config import TrainSettings

__all__ = ["Rules"]


@dataclass(frozen=True)
class Rules:
    """The settings of ``train`` that a training itself reads, under their names there.

    A field that only some recipes read has a default.
    """

    side: int
    channels: tuple[int, ...]
    epochs: int
    batch: int
    learning_rate: float
    patience: int
    seed: int
    recipe: str = "convolutional"
    latent: int = 0
    center: bool = True
    loss: str = ""
    schedule: str = "constant"
    precision: str = "auto"
    processes: int = 1
    license: str = ""

    @classmethod
    def of(cls, settings: TrainSettings) -> Self:
        """Those of the settings."""
        return cls(**{each.name: getattr(settings, each.name) for each in fields(cls)})
