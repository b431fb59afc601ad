"""A small convolutional autoencoder of 16, 8 and 8 channels, whose last map is the vector."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from artrec.encoders.networks.base import Inner, Network, Parameters, Size
from artrec.encoders.rules import Rules
from artrec.errors import ConfigError

__all__ = ["Decoder", "Encoder", "Small"]

_CHANNELS = (16, 8, 8)
_LEAST = 12  # below it the unpadded convolution has nothing left


class Encoder(Inner):
    """``[n, 3, h, w]`` to ``[n, 8, h / 8, w / 8]``, sides rounded up."""

    def __init__(self) -> None:
        super().__init__()
        steps = zip((3, *_CHANNELS), _CHANNELS, strict=False)
        self.blocks = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in steps)

    def forward(self, pictures: Tensor) -> Tensor:
        for block in self.blocks:
            pictures = functional.relu(functional.max_pool2d(block(pictures), 2, ceil_mode=True))
        return pictures

    def codes(self, pictures: Tensor) -> Tensor:
        """The whole map."""
        found: Tensor = self(pictures).flatten(1)
        return found


class Decoder(nn.Module):
    """Three convolutions, each doubled; the third has no padding, so that 104 becomes 100."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 16, 3)]
        )
        self.last = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, codes: Tensor) -> Tensor:
        for block in self.blocks:
            codes = functional.interpolate(functional.relu(block(codes)), scale_factor=2.0)
        logits: Tensor = self.last(codes)
        return logits


class Small(Network):
    """small convolutional autoencoder; the whole map of its last block.

    At 100x100 a vector has 1,352 numbers; both halves together 4,963 parameters at any size.
    """

    known = Parameters
    loss = "bce"

    @classmethod
    def dim_of(cls, parameters: Parameters, size: Size) -> int:
        if min(size) < _LEAST:
            raise ConfigError(f"size {size} is under {_LEAST}")
        return 8 * -(-size[0] // 8) * -(-size[1] // 8)

    @classmethod
    def inner_half(cls, parameters: Parameters, size: Size) -> Inner:
        return Encoder()

    @classmethod
    def outer_half(cls, parameters: Parameters, size: Size) -> nn.Module:
        return Decoder()

    @classmethod
    def wanted(cls, rules: Rules) -> Parameters:
        return Parameters(center=rules.center, unit=rules.center)

    @staticmethod
    def plain(parameters: Parameters) -> list[str]:
        return [
            "for b in range(3):",
            '    x = F.conv2d(x, w[f"blocks.{b}.weight"], w[f"blocks.{b}.bias"], padding=1)',
            "    x = F.relu(F.max_pool2d(x, 2, ceil_mode=True))",
            "v = x.flatten(1)",
        ]
