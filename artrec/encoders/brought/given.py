"""Vectors that somebody else made, by image or by content, in the place of an encoder.

The vectors stand beside the card, in ``encoders/<id>/``: Parquet of the table ``given_vectors``,
named by a list of receipts that the card's parameters hash. A picture gets the vector of its name;
one without a name there is a reject.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from artrec.encoders import Metric
from artrec.encoders.card import Card, Tensors
from artrec.errors import ConfigError

__all__ = ["Given", "Key", "Parameters", "RECEIPTS_FILE"]

Key = Literal["image_id", "content_sha256"]
RECEIPTS_FILE = "vectors.json"


class Parameters(BaseModel):
    """The card's parameters: what names a vector, how many there are, and a digest of all rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Key
    rows: PositiveInt
    digest: str = Field(pattern="^[0-9a-f]{32,64}$")


class Given:
    """Stands for vectors; it cannot encode a picture."""

    def __init__(self, encoder_id: str, card: Card, tensors: Tensors) -> None:
        self.id = encoder_id
        self.dim = card.dim
        self.metric: Metric = card.metric
        self.preprocess = card.preprocess
        self.parameters = _parameters(card)

    @staticmethod
    def shapes(card: Card) -> dict[str, tuple[int, ...]]:
        _parameters(card)
        return {}

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``ConfigError``, always."""
        raise self.unable()

    def unable(self) -> ConfigError:
        """What to tell who has a picture to encode."""
        return ConfigError(
            f"encoder {self.id} is vectors made elsewhere: it cannot encode a picture; ask with an "
            "image of the catalog, or with vectors of the same origin"
        )


def _parameters(card: Card) -> Parameters:
    try:
        return Parameters.model_validate(card.parameters)
    except ValidationError as error:
        raise ConfigError(f"parameters of encoder {card.name}: {error}") from error
