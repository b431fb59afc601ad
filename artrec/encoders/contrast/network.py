"""The network: two convolutions that halve twice, then three stages with one residual block each.

He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016. With the widths
16-32-32-64-128 it has 311,904 parameters, and 608,480 with the head of the training. Of every
stage the mean and the standard deviation of each channel over the whole picture are taken: what
occurs how strongly, not where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Body", "Learner", "SMALLEST", "WIDTHS", "folded", "pooled", "shapes"]

WIDTHS = (16, 32, 32, 64, 128)
"""Channels of the two convolutions, then of the stages."""

SMALLEST = 32  # side below which the last stage would see two places
_MIDDLE, _SPREAD = 127.5, 63.75  # of the bytes of a picture
_HIDDEN, _OUT = 512, 128
_EPSILON = 1e-5


class Residual(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, before: int, after: int, stride: int, plain: bool) -> None:
        super().__init__()
        self.first = _convolution(before, after, 3, stride, plain)
        self.second = _convolution(after, after, 3, 1, plain)
        same = before == after and stride == 1
        self.short = nn.Sequential() if same else _convolution(before, after, 1, stride, plain)

    def forward(self, seen: Tensor) -> Tensor:
        within: Tensor = self.second(functional.relu(self.first(seen)))
        return functional.relu(within + self.short(seen))


class Body(nn.Module):
    """Pictures ``[n, 3, h, w]``, values 0 to 255, to the maps of every stage.

    ``plain``: without batch normalisation, which a trained network has folded into its weights.
    """

    def __init__(self, widths: Sequence[int], plain: bool = False) -> None:
        super().__init__()
        first, second, *rest = widths
        self.halving = nn.ModuleList([
            _convolution(3, first, 4, 2, plain), _convolution(first, second, 3, 2, plain),
        ])  # fmt: skip
        self.stages = nn.ModuleList(
            Residual(before, after, 1 if not number else 2, plain)
            for number, (before, after) in enumerate(pairwise((second, *rest)))
        )

    def forward(self, pictures: Tensor) -> list[Tensor]:
        seen, maps = (pictures - _MIDDLE) / _SPREAD, []
        for convolution in self.halving:
            seen = functional.relu(convolution(seen))
        for stage in self.stages:
            seen = stage(seen)
            maps.append(seen)
        return maps


class Learner(nn.Module):
    """The body, and a head for the training alone: crops to vectors that are compared."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.body = Body(widths)
        self.head = nn.Sequential(
            nn.Linear(2 * sum(widths[2:]), _HIDDEN),
            nn.BatchNorm1d(_HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _OUT),
        )

    def forward(self, crops: Tensor) -> Tensor:
        found = torch.cat([pooled(each.float()) for each in self.body(crops)], dim=1)
        vectors: Tensor = self.head(found)
        return vectors


def pooled(maps: Tensor) -> Tensor:
    """Mean and standard deviation of each channel: ``[n, c, h, w]`` to ``[n, 2 c]``."""
    mean = maps.mean(dim=(2, 3))
    variance = (maps - mean[:, :, None, None]).square().mean(dim=(2, 3))
    return torch.cat([mean, (variance + _EPSILON).sqrt()], dim=1)


def shapes(widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """The tensors of a plain body."""
    with torch.device("meta"):
        body = Body(widths, plain=True)
    return {name: tuple(tensor.shape) for name, tensor in body.state_dict().items()}


def folded(body: Body) -> dict[str, NDArray[np.float32]]:
    """The weights of the plain body that sees what this one sees in ``eval``."""
    found: dict[str, NDArray[np.float32]] = {}
    for name, module in body.named_modules():
        if isinstance(module, nn.Sequential) and len(module) == 2:
            weight, bias = _folded(*(part.state_dict() for part in module))
            found |= {f"{name}.0.weight": weight, f"{name}.0.bias": bias}
    return found


def _folded(
    convolution: Mapping[str, Any], norm: Mapping[str, Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    wide = {name: value.detach().cpu().double().numpy() for name, value in norm.items()}
    scale = wide["weight"] / np.sqrt(wide["running_var"] + _EPSILON)
    weight = convolution["weight"].detach().cpu().double().numpy() * scale[:, None, None, None]
    bias = wide["bias"] - wide["running_mean"] * scale
    return np.ascontiguousarray(weight, np.float32), bias.astype(np.float32)


def _convolution(before: int, after: int, size: int, stride: int, plain: bool) -> nn.Sequential:
    padding = (size - 1) // 2
    convolution = nn.Conv2d(before, after, size, stride, padding, bias=plain)
    return nn.Sequential(convolution, *([] if plain else [nn.BatchNorm2d(after, _EPSILON)]))
