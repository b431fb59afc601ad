"""The descriptor: blocks of hand-made features, joined and reduced by what was fitted on pictures.

Encoding takes numpy and nothing of torch. All that was fitted stands in the weights: codebooks,
centres, projections. How they come about: ``describing``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from artrec.encoders import Metric
from artrec.encoders.blocks import Blocks, Part
from artrec.encoders.card import Card, Tensors
from artrec.encoders.features import SMALLEST
from artrec.encoders.features.planes import Pixels
from artrec.encoders.fitted import Projection
from artrec.encoders.twinned import Twinned
from artrec.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Descriptor", "Parameters"]

Floats = NDArray[np.float32]

_BATCH = 32


class Parameters(BaseModel):
    """The card's parameters: the blocks in their order, and whether a last projection follows.

    Without one the blocks' numbers are the vector: its centre alone is taken away.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    blocks: tuple[Part, ...] = Field(min_length=1)
    reduced: bool = True


class Descriptor(Twinned):
    """The encoder."""

    def __init__(self, encoder_id: str, card: Card, tensors: Tensors) -> None:
        self.id = encoder_id
        self.dim = card.dim
        self.metric: Metric = card.metric
        self.preprocess = card.preprocess
        parameters = _parameters(card)
        self._blocks = Blocks(parameters.blocks, tensors)
        self._last = Projection(
            tensors["center"],
            tensors["projection"] if parameters.reduced else np.eye(card.dim, dtype=np.float32),
        )

    @staticmethod
    def shapes(card: Card) -> dict[str, tuple[int, ...]]:
        parameters = _parameters(card)
        tensors = Blocks.shapes(parameters.blocks)
        wide = sum(part.dim for part in parameters.blocks)
        tensors["center"] = (wide,)
        if parameters.reduced:
            tensors["projection"] = (wide, card.dim)
        elif card.dim != wide:
            raise ConfigError(
                f"encoder {card.name}: its blocks give {wide} numbers, the card says {card.dim}"
            )
        return tensors

    def _computed(self, pictures: Pixels) -> Floats:
        vectors = np.empty((len(pictures), self.dim), dtype=np.float32)
        for start in range(0, len(pictures), _BATCH):
            part = slice(start, start + _BATCH)
            vectors[part] = self._last(self._blocks(pictures[part]))
        return vectors

    def whole(self) -> nn.Module:
        from artrec.encoders.twins.blocks import Joined, Twins

        return Joined([Twins(self._blocks)], [1.0], self._last)


def _parameters(card: Card) -> Parameters:
    try:
        parameters = Parameters.model_validate(card.parameters)
    except ValidationError as error:
        raise ConfigError(f"parameters of encoder {card.name}: {error}") from error
    names = [part.name for part in parameters.blocks]
    if len(set(names)) < len(names):
        raise ConfigError(f"encoder {card.name}: a block stands twice in {', '.join(names)}")
    if not any(part.weight for part in parameters.blocks):
        raise ConfigError(f"encoder {card.name}: one of the weights must be above 0")
    if min(card.preprocess.size) < SMALLEST:
        raise ConfigError(f"encoder {card.name}: size {card.preprocess.size} is under {SMALLEST}")
    return parameters
