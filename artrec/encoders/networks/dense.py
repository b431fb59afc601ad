"""Two dense layers: every pixel into a few numbers, and back."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from artrec.encoders.networks.base import Inner, Network, Parameters, Size, begin_quietly
from artrec.encoders.rules import Rules

__all__ = ["Decoder", "Dense", "Encoder", "Kept"]


class Kept(Parameters):
    """Numbers in a vector."""

    latent: PositiveInt = 128


class Encoder(Inner):
    """``[n, 3, h, w]`` to ``[n, latent]``, none below 0."""

    def __init__(self, latent: int, size: Size) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * size[0] * size[1], latent)
        begin_quietly(self)

    def forward(self, pictures: Tensor) -> Tensor:
        return functional.relu(self.layer(pictures.flatten(1)))


class Decoder(nn.Module):
    """Back to ``[n, 3, h, w]``, logits."""

    def __init__(self, latent: int, size: Size) -> None:
        super().__init__()
        self._size = size
        self.layer = nn.Linear(latent, 3 * size[0] * size[1])
        begin_quietly(self, self.layer)

    def forward(self, codes: Tensor) -> Tensor:
        logits: Tensor = self.layer(codes).view(-1, 3, *self._size)
        return logits


class Dense(Network):
    """dense autoencoder: one layer to the vector, one back.

    At 100x100 and 128 numbers it has 7,710,128 parameters.
    """

    known = Kept
    loss = "bce"
    pace = 0.1

    @staticmethod
    def dim_of(parameters: Kept, size: Size) -> int:
        return parameters.latent

    @staticmethod
    def inner_half(parameters: Kept, size: Size) -> Inner:
        return Encoder(parameters.latent, size)

    @staticmethod
    def outer_half(parameters: Kept, size: Size) -> nn.Module:
        return Decoder(parameters.latent, size)

    @classmethod
    def wanted(cls, rules: Rules) -> Kept:
        return Kept(latent=rules.latent or 128, center=rules.center, unit=rules.center)

    @staticmethod
    def plain(parameters: Kept) -> list[str]:
        return ['v = F.relu(F.linear(x.flatten(1), w["layer.weight"], w["layer.bias"]))']
