"""Two dense layers: every pixel into a few numbers, and back."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from artrec.encoders.networks.base import Inner, Size, begin_quietly
from artrec.encoders.networks.latent import Latent, LatentParameters

__all__ = ["Decoder", "Dense", "Encoder"]


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


class Dense(Latent):
    """dense autoencoder: one layer to the vector, one back.

    At 100x100 and 128 numbers it has 7,710,128 parameters.
    """

    halves, usual = (Encoder, Decoder), 128
    loss = "bce"
    pace = 0.1

    @staticmethod
    def plain(parameters: LatentParameters) -> list[str]:
        return ['v = F.relu(F.linear(x.flatten(1), w["layer.weight"], w["layer.bias"]))']
