"""The convolutional autoencoder: it learns to repeat pictures; its inner half is the encoder.

A block of the encoder is a 3x3 convolution, ReLU and 2x2 max pooling; the decoder doubles the
picture again, block for block. A vector is the largest value of each channel of the last block,
over the whole picture: what occurs, not where. Such values are all positive and so alike that four
arbitrary paintings have cosines above .9; less the mean of the training examples they spread out.

This module needs torch, and is imported only where such an encoder is loaded or trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from artrec.encoders import Metric
from artrec.encoders.card import Card, Tensors
from artrec.encoders.device import Precision
from artrec.encoders.forward import Forward, scaled
from artrec.errors import ConfigError

__all__ = [
    "Autoencoder",
    "Convolutional",
    "Parameters",
    "features",
    "finished",
    "scaled",
]


class Parameters(BaseModel):
    """The card's parameters: numbers of channels, from the first block to the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[PositiveInt, ...] = Field(min_length=1)


class Encoder(nn.Module):
    """The inner half: ``[n, 3, h, w]`` to ``[n, channels[-1], h / 2**b, w / 2**b]``."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        steps = pairwise((3, *channels))
        self.blocks = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in steps)

    def forward(self, pictures: Tensor) -> Tensor:
        for block in self.blocks:
            # pooled before ReLU: the same values, for a quarter of the work
            pictures = functional.relu(functional.max_pool2d(block(pictures), 2))
        return pictures


class Decoder(nn.Module):
    """The outer half: back to ``[n, 3, h, w]``, values 0 to 1."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        back = list(reversed(channels))
        self.blocks = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=1)
            for a, b in pairwise((back[0], *back))
        )
        self.last = nn.Conv2d(back[-1], 3, 3, padding=1)

    def forward(self, codes: Tensor) -> Tensor:
        for block in self.blocks:
            codes = functional.relu(block(codes))
        return torch.sigmoid(self.last(codes))


class Autoencoder(nn.Module):
    """Both halves; with the channels 64-128-256-512 it has 5,461,251 parameters."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.encoder = Encoder(channels)
        self.decoder = Decoder(channels)

    def forward(self, pictures: Tensor) -> Tensor:
        repeated: Tensor = self.decoder(self.encoder(pictures))
        return repeated


def features(encoder: nn.Module, pictures: Tensor) -> Tensor:
    """The largest value of each channel: ``[n, 3, h, w]`` to ``[n, channels[-1]]``."""
    largest: Tensor = encoder(pictures).amax(dim=(2, 3))
    return largest


def finished(found: NDArray[np.float32], center: NDArray[np.float32]) -> NDArray[np.float32]:
    """Less the center, and of length 1; a row of zeros stays, for the caller to see."""
    vectors = found.astype(np.float64) - center
    lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


class Convolutional:
    """The encoder of a card: its network, then centered and of length 1.

    Weights and pictures lie channels last, as pictures come: twice as fast on a processor.
    """

    def __init__(self, encoder_id: str, card: Card, tensors: Tensors) -> None:
        self.id = encoder_id
        self.dim = card.dim
        self.metric: Metric = card.metric
        self.preprocess = card.preprocess
        self._center = np.array(tensors["center"], dtype=np.float32)
        self._network = Encoder(_parameters(card).channels)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        names = (name for name in tensors if name != "center")
        self._network.load_state_dict({name: torch.tensor(tensors[name]) for name in names})
        self._network.eval()
        self._forward = Forward(self._network, card.preprocess, features)

    def move(self, device: str, precision: Precision) -> None:
        """Run there from now on; the center is taken off here, in float64, wherever it runs."""
        self._forward.move(device, precision)

    @staticmethod
    def shapes(card: Card) -> dict[str, tuple[int, ...]]:
        channels = _parameters(card).channels
        if card.dim != channels[-1]:
            raise ConfigError(
                f"encoder {card.name}: its last block gives {channels[-1]} numbers, the card says "
                f"{card.dim}"
            )
        tensors: dict[str, tuple[int, ...]] = {"center": (card.dim,)}
        for block, (before, after) in enumerate(pairwise((3, *channels))):
            tensors[f"blocks.{block}.weight"] = (after, before, 3, 3)
            tensors[f"blocks.{block}.bias"] = (after,)
        return tensors

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``uint8 [n, h, w, 3]`` to ``float32 [n, dim]`` of length 1."""
        height, width = self.preprocess.size
        if pictures.dtype != np.uint8 or pictures.shape[1:] != (height, width, 3):
            raise ValueError(
                f"pictures are {pictures.dtype} {pictures.shape}, "
                f"expected uint8 (n, {height}, {width}, 3)"
            )
        return finished(self._forward(pictures, self.dim), self._center)


def _parameters(card: Card) -> Parameters:
    try:
        parameters = Parameters.model_validate(card.parameters)
    except ValidationError as error:
        raise ConfigError(f"parameters of encoder {card.name}: {error}") from error
    least = 2 ** len(parameters.channels)
    if min(card.preprocess.size) < least:
        raise ConfigError(f"encoder {card.name}: size {card.preprocess.size} is under {least}")
    if card.metric == "dot":
        raise ConfigError(f"encoder {card.name}: vectors of length 1 are no matter for metric dot")
    return parameters
