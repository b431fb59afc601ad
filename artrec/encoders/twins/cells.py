"""Gradients by direction, pooled by the cells of a grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["cells"]


def cells(planes: Tensor, grid: int, directions: int, turns: float, root: bool) -> Tensor:
    """``[n, h, w]`` to ``[n, grid, grid, directions]``: mean magnitude by direction.

    Each direction takes what lies within a step of it, by nearness: sums in one order, which
    adding to the two nearest would not be on a GPU.
    """
    height, width = planes.shape[1] // grid, planes.shape[2] // grid
    planes = planes[:, : height * grid, : width * grid]
    magnitude, turn = _polar(planes, directions / (2 * math.pi * turns))
    if root:
        magnitude = magnitude.sqrt()
    turn = turn - directions * torch.floor(turn * (1 / directions))
    steps = torch.arange(directions, device=planes.device)[:, None, None]
    apart = (turn[:, None] - steps).abs()
    apart = torch.minimum(apart, directions - apart)
    strengths = functional.relu(1 - apart) * magnitude[:, None]
    pooled = strengths.reshape(-1, directions, grid, height, grid, width).mean(dim=(3, 5))
    return pooled.permute(0, 2, 3, 1)


def _polar(planes: Tensor, steps: float) -> tuple[Tensor, Tensor]:
    """Magnitude, and direction in steps; both ``[n, h, w]``. Without a gradient it is 0."""
    across = functional.pad(planes[:, :, 2:] - planes[:, :, :-2], (1, 1))
    down = functional.pad(planes[:, 2:] - planes[:, :-2], (0, 0, 1, 1))
    magnitude = (across * across + down * down).sqrt()
    # ONNX has no arctangent of two numbers: it is made of a quotient, which 0 / 0 is not
    turn = torch.atan2(down, torch.where(magnitude > 0, across, 1.0))
    return magnitude, turn * steps
