"""Crops altered at random, so that what they share is the picture, not its scan or its file.

Colours and brightness as the usual ones (Chen and others, "A simple framework for contrastive
learning of visual representations", 2020). A JPEG's loss, a smaller copy's, a slight blur: without
them a network reads traces of compression, and a picture brought to half its size is found in 85 %
of cases; with them in all.

Everything random is drawn beforehand by numpy, so a step's crops follow from seed and step alone,
on a processor as on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["Draw", "altered", "drawn", "recompressed"]

Floats = NDArray[np.float32]

_JITTER, _GREY, _GAIN = 0.5, 0.2, 0.15
_RESCALED, _BLURRED, _PRESSED = 0.25, 0.15, 0.25  # shares of the crops
_SCALES = (0.5, 0.625, 0.75)
_LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True, eq=False)
class Draw:
    """What is random about crops: numbers 0 to 1, one row each."""

    mirror: Floats
    colours: Floats  # [n, 6]: saturation, brightness, contrast, gains of red, green, blue
    grey: Floats
    rescaled: Floats
    blurred: Floats
    pressed: Floats
    strength: Floats  # [n, 2]: of a blur, of a compression


def drawn(random: np.random.Generator, count: int) -> Draw:
    """For ``count`` crops."""
    found = random.random((count, 13), dtype=np.float32)
    columns = [found[:, n] for n in (0, 7, 8, 9, 10)]
    mirror, grey, rescaled, blurred, pressed = columns
    return Draw(mirror, found[:, 1:7], grey, rescaled, blurred, pressed, found[:, 11:13])


def altered(crops: Tensor, draw: Draw) -> Tensor:
    """``[n, 3, s, s]``, values 0 to 255, to the same, altered; ``s`` a multiple of 16."""
    mirror = _given(draw.mirror < 0.5, crops)
    crops = torch.where(mirror[:, None, None, None], crops.flip(3), crops)
    small = np.flatnonzero(draw.rescaled < _RESCALED)
    for number, scale in enumerate(_SCALES):
        crops = _replaced(crops, small[number :: len(_SCALES)], lambda x, s=scale: _rescaled(x, s))
    soft = np.flatnonzero(draw.blurred < _BLURRED)
    sigma = 0.4 + 0.8 * _given(draw.strength[soft, 0], crops)
    crops = _replaced(crops, soft, lambda x: _blurred(x, sigma))
    pressed = np.flatnonzero(draw.pressed < _PRESSED)
    quality = 30 + 65 * _given(draw.strength[pressed, 1], crops)
    crops = _replaced(crops, pressed, lambda x: recompressed(x, quality))
    return _coloured(crops, draw)


def _given(values: NDArray[np.generic], like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)


def _replaced(crops: Tensor, rows: NDArray[np.int64], change: object) -> Tensor:
    if not len(rows):
        return crops
    places = _given(rows, crops)
    return crops.index_copy(0, places, change(crops.index_select(0, places)))  # type: ignore[operator]


def _rescaled(crops: Tensor, scale: float) -> Tensor:
    size, small = crops.shape[2:], [int(side * scale) for side in crops.shape[2:]]
    less = functional.interpolate(crops, small, mode="bilinear", antialias=True)
    return functional.interpolate(less, size, mode="bicubic").clamp(0, 255)


def _blurred(crops: Tensor, sigma: Tensor) -> Tensor:
    """By a Gaussian of five pixels, each crop by its own."""
    away = torch.arange(-2, 3, device=crops.device)
    kernels = torch.exp(-away.square()[None] / (2 * sigma.square()[:, None]))
    kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    flat = crops.reshape(1, -1, *crops.shape[2:])
    for across in (False, True):
        shape = (-1, 1, 1, 5) if across else (-1, 1, 5, 1)
        margin = (2, 2, 0, 0) if across else (0, 0, 2, 2)
        padded = functional.pad(flat, margin, mode="replicate")
        flat = functional.conv2d(padded, kernels.reshape(shape), groups=len(kernels))
    return flat.reshape(crops.shape)


def _coloured(crops: Tensor, draw: Draw) -> Tensor:
    """Saturation, brightness, gains and contrast: one matrix and one shift for each crop."""
    count = len(crops)
    spread = np.array([_JITTER] * 3 + [_GAIN] * 3, np.float32)
    factors = 1 + (2 * draw.colours - 1) * spread
    saturation = np.where(draw.grey < _GREY, np.float32(0), factors[:, 0])
    grey = np.broadcast_to(np.array(_LUMINANCE, np.float32), (3, 3))
    mixing = saturation[:, None, None] * np.eye(3, dtype=np.float32)
    mixing = mixing + (1 - saturation)[:, None, None] * grey
    mixing = factors[:, 3:, None] * mixing * factors[:, 1, None, None]
    matrix, contrast = _given(mixing, crops), _given(factors[:, 2], crops)
    mean = (matrix @ crops.mean(dim=(2, 3))[:, :, None]).mean(dim=1)
    mixed = (matrix * contrast[:, None, None]) @ crops.reshape(count, 3, -1)
    shifted = mixed + ((1 - contrast)[:, None] * mean)[:, :, None]
    return shifted.clamp(0, 255).reshape(crops.shape)


_LIGHT = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56), (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_COLOUR = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
_YCBCR = (_LUMINANCE, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def recompressed(crops: Tensor, quality: Tensor) -> Tensor:
    """What a JPEG of this quality, 1 to 100 for each crop, would make of it, nearly.

    The tables of annex K of ITU-T T.81, colours at half size, by blocks of 8 x 8; entropy coding
    loses nothing and is left out.
    """
    basis, light, colour, forward, back = (each.to(crops.device) for each in _tables())
    planes = torch.einsum("ij,njhw->nihw", forward, crops)
    half = functional.avg_pool2d(planes[:, 1:], 2)
    parts = [_quantised(planes[:, 0] - 128, quality, light, basis) + 128]
    small = [_quantised(half[:, n], quality, colour, basis) for n in (0, 1)]
    large = functional.interpolate(torch.stack(small, dim=1), scale_factor=2, mode="bilinear")
    whole = torch.cat([parts[0][:, None], large], dim=1)
    return torch.einsum("ij,njhw->nihw", back, whole).clamp(0, 255)


@cache
def _tables() -> tuple[Tensor, ...]:
    """The cosine basis, both tables, and the colour matrix forth and back."""
    each = np.arange(8)
    basis = np.cos((2 * each[None] + 1) * each[:, None] * np.pi / 16) / 2
    basis[0] /= np.sqrt(2)
    colour = np.full((8, 8), 99.0)
    colour[:4, :4] = _COLOUR
    forward = np.array(_YCBCR)
    tables = (basis, np.array(_LIGHT), colour, forward, np.linalg.inv(forward))
    return tuple(torch.from_numpy(table.astype(np.float32)) for table in tables)


def _quantised(plane: Tensor, quality: Tensor, table: Tensor, basis: Tensor) -> Tensor:
    """``[n, h, w]`` through rounded cosine coefficients of its blocks and back."""
    count, height, width = plane.shape
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    steps = (table * scale[:, None, None]).round().clamp(1, 255)[:, None, None]
    blocks = plane.reshape(count, height // 8, 8, width // 8, 8).permute(0, 1, 3, 2, 4)
    kept = (basis @ blocks @ basis.T / steps).round() * steps
    again = (basis.T @ kept @ basis).permute(0, 1, 3, 2, 4)
    return again.reshape(plane.shape)
