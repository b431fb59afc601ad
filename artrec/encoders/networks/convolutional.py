"""Blocks of convolution and pooling: what occurs in a picture, not where.

A block of the encoder is a 3x3 convolution, ReLU and 2x2 max pooling; the decoder doubles the
picture again, block for block. A vector is the largest value of each channel of the last block,
over the whole picture. Such values are all positive and so alike that four arbitrary paintings
have cosines above .9; less the mean of the training examples they spread out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from artrec.encoders.networks.base import Inner, Network, Parameters, Size
from artrec.encoders.rules import Rules
from artrec.errors import ConfigError

__all__ = ["Convolutional", "Decoder", "Encoder", "Kept"]


class Kept(Parameters):
    """Numbers of channels, from the first block to the last."""

    channels: tuple[PositiveInt, ...] = Field(min_length=1)


class Encoder(Inner):
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

    def codes(self, pictures: Tensor) -> Tensor:
        """The largest value of each channel."""
        largest: Tensor = self(pictures).amax(dim=(2, 3))
        return largest


class Decoder(nn.Module):
    """The outer half: back to ``[n, 3, h, w]``, logits."""

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
        logits: Tensor = self.last(codes)
        return logits


class Convolutional(Network):
    """convolutional autoencoder; the largest value of each channel of its last block.

    With the channels 64-128-256-512 it has 5,461,251 parameters, the encoder 1,550,976.
    """

    known = Kept

    @classmethod
    def dim_of(cls, parameters: Kept, size: Size) -> int:
        least = 2 ** len(parameters.channels)
        if min(size) < least:
            raise ConfigError(f"size {size} is under {least}")
        return parameters.channels[-1]

    @classmethod
    def inner_half(cls, parameters: Kept, size: Size) -> Inner:
        return Encoder(parameters.channels)

    @classmethod
    def outer_half(cls, parameters: Kept, size: Size) -> nn.Module:
        return Decoder(parameters.channels)

    @classmethod
    def wanted(cls, rules: Rules) -> Kept:
        return Kept(channels=rules.channels, center=rules.center, unit=rules.center)

    @staticmethod
    def plain(parameters: Kept) -> list[str]:
        return [
            f"for b in range({len(parameters.channels)}):",
            '    x = F.conv2d(x, w[f"blocks.{b}.weight"], w[f"blocks.{b}.bias"], padding=1)',
            "    x = F.relu(F.max_pool2d(x, 2))",
            "v = x.amax((2, 3))",
        ]
