"""Fisher vectors of patches of pixels and of edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, fields

import torch
from torch import Tensor, nn

from artrec.encoders.features import patches
from artrec.encoders.features.fisher import Codebook
from artrec.encoders.twins.cells import cells
from artrec.encoders.twins.counting import squares
from artrec.encoders.twins.planes import Seen

__all__ = ["Fisher", "edge_patches", "pixel_patches"]


def pixel_patches(seen: Seen) -> Tensor:
    """8 x 8 pixels, 6 apart: ``[n, m, 192]``."""
    return _laid(squares(seen.values.permute(0, 3, 1, 2), patches.SIDE, patches.STEP))


def edge_patches(seen: Seen) -> Tensor:
    """4 x 4 cells of 4 pixels, in each the gradients by 8 directions: ``[n, m, 128]``."""
    planes = seen.bright(patches.HALVINGS)
    grid = cells(planes, planes.shape[1] // patches.CELL, patches.DIRECTIONS, turns=1, root=False)
    found = _laid(squares(grid.permute(0, 3, 1, 2), patches.CELLS, 1))
    lengths = found.square().sum(dim=2, keepdim=True).sqrt() + patches.FLAT
    return (found / lengths).clamp(max=patches.HIGHEST).sqrt()


class Fisher(nn.Module):
    """How a picture's patches differ from those of all: ``[n, 2 k d]``."""

    center: Tensor
    directions: Tensor
    weights: Tensor
    means: Tensor
    variances: Tensor

    def __init__(self, patches: Callable[[Seen], Tensor], codebook: Codebook) -> None:
        super().__init__()
        self._patches = patches
        for field, values in zip(fields(codebook), astuple(codebook), strict=True):
            self.register_buffer(field.name, torch.tensor(values))

    def forward(self, seen: Seen) -> Tensor:
        reduced = (self._patches(seen) - self.center) @ self.directions
        both = torch.cat([reduced.square(), reduced], dim=2)
        shares = self._shares(both)
        count, sums = shares.sum(dim=1)[..., None], shares.transpose(1, 2) @ both
        dim = reduced.shape[2]
        squared, firsts = sums[..., :dim], sums[..., dim:]
        means, variances = self.means, self.variances
        weights = self.weights.sqrt()[:, None] * reduced.shape[1]
        by_mean = (firsts - count * means) / variances.sqrt() / weights
        by_spread = squared - 2 * firsts * means + count * (means.square() - variances)
        by_spread = by_spread / (variances * weights * 2**0.5)
        return torch.cat([by_mean.flatten(1), by_spread.flatten(1)], dim=1)

    def _shares(self, both: Tensor) -> Tensor:
        """How much each patch belongs to each Gaussian: ``[n, m, k]``."""
        precision = 1 / self.variances
        factors = torch.cat([-0.5 * precision, self.means * precision], dim=1)
        spread = self.variances.log() + self.means.square() * precision
        rest = self.weights.log() - 0.5 * spread.sum(dim=1)
        return torch.softmax(both @ factors.T + rest, dim=2)


def _laid(found: Tensor) -> Tensor:
    """``[n, c, rows, columns, side, side]`` to one row for each square, its channels last."""
    return found.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)
