"""Residual blocks of separable convolutions, down to as few numbers as three.

A separable convolution is one 3x3 filter for each channel, then a 1x1 convolution that mixes them.
The vector is a dense layer's, by a sigmoid: all numbers lie between 0 and 1, and Euclidean distance
compares them. Kept as the network gives it; with three numbers it is a place on a map.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn, sigmoid
from torch.nn import functional

from artrec.encoders.networks.base import Inner, Size, quieten
from artrec.encoders.networks.latent import Latent, LatentParameters

__all__ = ["Decoder", "Encoder", "Separable"]

_STEM = 32
_DOWN = (64, 128, 256)
_UP = (256, 128, 64, 32)
_EPSILON = 1e-3


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON)


class _Separable(nn.Module):
    """A filter for each channel without bias, then 1x1 with one."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.deep = nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False)
        self.mix = nn.Conv2d(before, after, 1)

    def forward(self, values: Tensor) -> Tensor:
        mixed: Tensor = self.mix(self.deep(values))
        return mixed


class _Down(nn.Module):
    """Two separable convolutions, halved; a 1x1 shortcut of stride 2 beside them."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first, self.second = _Separable(before, after), _Separable(after, after)
        self.norms = nn.ModuleList([_norm(after), _norm(after)])
        self.short = nn.Conv2d(before, after, 1, stride=2)

    def forward(self, values: Tensor) -> Tensor:
        found = self.norms[0](self.first(functional.relu(values)))
        found = self.norms[1](self.second(functional.relu(found)))
        halved = functional.max_pool2d(_even(found), 3, stride=2)
        joined: Tensor = halved + self.short(values)
        return joined


def _even(values: Tensor) -> Tensor:
    """Padded, so that a 3x3 window of stride 2 halves a side, rounded up, as a shortcut does.

    An even side is padded behind alone, an odd one on both ends.
    """
    height, width = values.shape[2:]
    left, top = width % 2, height % 2
    return functional.pad(values, (left, 1, top, 1), value=float("-inf"))


class Encoder(Inner):
    """``[n, 3, h, w]`` to ``[n, latent]``, values 0 to 1."""

    def __init__(self, latent: int, size: Size) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, _STEM, 3, stride=2, padding=1), _norm(_STEM)
        self.blocks = nn.ModuleList(_Down(a, b) for a, b in pairwise((_STEM, *_DOWN)))
        self.layer = nn.Linear(_DOWN[-1] * _small(size[0]) * _small(size[1]), latent)

    def forward(self, pictures: Tensor) -> Tensor:
        values = functional.relu(self.norm(self.stem(pictures)))
        for block in self.blocks:
            values = block(values)
        return sigmoid(self.layer(values.flatten(1)))


def _small(side: int) -> int:
    """A side after the stem and three blocks, each of which halves it, rounded up."""
    return -(-side // 16)


class _Up(nn.Module):
    """Two transposed convolutions, doubled; a 1x1 shortcut beside them where ``short``."""

    def __init__(self, before: int, after: int, short: bool) -> None:
        super().__init__()
        self.first = nn.ConvTranspose2d(before, after, 3, padding=1)
        self.second = nn.ConvTranspose2d(after, after, 3, padding=1)
        self.norms = nn.ModuleList([_norm(after), _norm(after)])
        self.short = nn.Conv2d(before, after, 1) if short else None

    def forward(self, values: Tensor) -> Tensor:
        found = self.norms[0](self.first(functional.relu(values)))
        found = self.norms[1](self.second(functional.relu(found)))
        if self.short is not None:
            found = found + self.short(values)
        return functional.interpolate(found, scale_factor=2.0)


class Decoder(nn.Module):
    """Back to ``[n, 3, h, w]``, logits; what is too much after doubling is cut off."""

    def __init__(self, latent: int, size: Size) -> None:
        super().__init__()
        self._size, self._map = size, (_UP[0], _small(size[0]), _small(size[1]))
        self.layer = nn.Linear(latent, _UP[0] * self._map[1] * self._map[2])
        steps = enumerate(pairwise((_UP[0], *_UP)))
        self.blocks = nn.ModuleList(_Up(a, b, short=n > 0) for n, (a, b) in steps)
        self.last = nn.Conv2d(_UP[-1], 3, 3, padding=1)
        quieten(self.last)

    def forward(self, codes: Tensor) -> Tensor:
        values = self.layer(codes).view(-1, *self._map)
        for block in self.blocks:
            values = block(values)
        height, width = self._size
        logits: Tensor = self.last(values)[:, :, :height, :width]
        return logits


class Separable(Latent):
    """residual blocks of separable convolutions; a dense layer's sigmoid.

    At 60x80 the encoder has 199,395 weights for 3 numbers, 2,744,532 for 500, with the running
    means and variances of its normalisation.
    """

    halves, usual, as_given = (Encoder, Decoder), 10, True
    own_metric, pace = "euclidean", 0.3

    @staticmethod
    def plain(parameters: LatentParameters) -> list[str]:
        return [
            'conv = lambda x, n, **how: F.conv2d(x, w[n + ".weight"], w.get(n + ".bias"), **how)',
            'batch = lambda x, n: F.batch_norm(x, w[n + ".running_mean"], w[n + ".running_var"], '
            f'w[n + ".weight"], w[n + ".bias"], eps={_EPSILON})',
            'x = F.relu(batch(conv(x, "stem", stride=2, padding=1), "norm"))',
            "for b in range(3):",
            '    n, y = f"blocks.{b}.", x',
            '    for m, part in enumerate(("first.", "second.")):',
            '        y = conv(F.relu(y), n + part + "deep", padding=1, groups=y.shape[1])',
            '        y = batch(conv(y, n + part + "mix"), f"{n}norms.{m}")',
            '    y = F.pad(y, (y.shape[3] % 2, 1, y.shape[2] % 2, 1), value=-float("inf"))',
            '    x = F.max_pool2d(y, 3, stride=2) + conv(x, n + "short", stride=2)',
            'v = torch.sigmoid(F.linear(x.flatten(1), w["layer.weight"], w["layer.bias"]))',
        ]
