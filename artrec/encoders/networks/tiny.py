"""Thumbnails into 32 numbers: two convolutions, three dense layers, and a dense decoder."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from artrec.encoders.networks.base import Inner, Size, begin_quietly
from artrec.encoders.networks.latent import Latent, LatentParameters

__all__ = ["Decoder", "Encoder", "Tiny"]

_WIDE = (128, 64)  # of the dense layers before the vector
_LEAST = 10  # below it two unpadded convolutions have nothing left


def _side(side: int) -> int:
    """What two unpadded 3x3 convolutions, each pooled, leave of a side."""
    return ((side - 2) // 2 - 2) // 2


class Encoder(Inner):
    """``[n, 3, h, w]`` to ``[n, latent]``, none below 0."""

    def __init__(self, latent: int, size: Size) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3)])
        flat = 64 * _side(size[0]) * _side(size[1])
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((flat, *_WIDE, latent)))
        begin_quietly(self)

    def forward(self, pictures: Tensor) -> Tensor:
        for block in self.blocks:
            pictures = functional.relu(functional.max_pool2d(block(pictures), 2))
        found = pictures.flatten(1)
        for layer in self.layers:
            found = functional.relu(layer(found))
        return found


class Decoder(nn.Module):
    """Back to ``[n, 3, h, w]`` by dense layers alone, logits."""

    def __init__(self, latent: int, size: Size) -> None:
        super().__init__()
        self._size = size
        back = (latent, *reversed(_WIDE), 3 * size[0] * size[1])
        layers = [nn.Linear(a, b) for a, b in pairwise(back)]
        self.layers = nn.ModuleList(layers)
        begin_quietly(self, layers[-1])

    def forward(self, codes: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            codes = functional.relu(layer(codes))
        logits: Tensor = self.layers[-1](codes).view(-1, 3, *self._size)
        return logits


class Tiny(Latent):
    """autoencoder of thumbnails: two convolutions and three dense layers to the vector.

    At 32x32 and 32 numbers the halves have 324,768 and 406,720 parameters.
    """

    halves, usual, least = (Encoder, Decoder), 32, _LEAST
    loss = "bce"

    @staticmethod
    def plain(parameters: LatentParameters) -> list[str]:
        return [
            "for b in range(2):",
            '    x = F.conv2d(x, w[f"blocks.{b}.weight"], w[f"blocks.{b}.bias"])',
            "    x = F.relu(F.max_pool2d(x, 2))",
            "v = x.flatten(1)",
            "for b in range(3):",
            '    v = F.relu(F.linear(v, w[f"layers.{b}.weight"], w[f"layers.{b}.bias"]))',
        ]
