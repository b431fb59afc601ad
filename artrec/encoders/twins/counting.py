"""What several blocks do with planes: counting, cutting squares, roots."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["counted", "rooted", "squares"]


def counted(bins: Tensor, count: int) -> Tensor:
    """How often each bin occurs in each row: ``[n, m]`` to ``[n, count]``.

    Sums of ones are exact in any order: a GPU gives the same twice.
    """
    zeros = bins.new_zeros(bins.shape[0], count)
    return zeros.scatter_add(1, bins.to(torch.int64), torch.ones_like(bins))


def squares(planes: Tensor, side: int, step: int) -> Tensor:
    """Every square of ``[..., h, w]``, ``step`` apart: ``[..., rows, columns, side, side]``."""
    return planes.unfold(-2, side, step).unfold(-2, side, step)


def rooted(numbers: Tensor) -> Tensor:
    """The square root of every number, with its sign."""
    return numbers.sign() * numbers.abs().sqrt()
