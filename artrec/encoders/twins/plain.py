"""Blocks that need nothing but the pictures: colours, patterns, gradients, moments."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from artrec.encoders.features import colours, gradients, moments
from artrec.encoders.features.patterns import PATTERN_RING, PATTERN_SCALES
from artrec.encoders.twins.cells import cells
from artrec.encoders.twins.counting import counted, squares
from artrec.encoders.twins.planes import Seen

__all__ = ["Colours", "Gradients", "Moments", "Patterns"]


class Colours(nn.Module):
    """Colours in pairs of opponent channels, whole and by quarters: ``[n, 3840]``."""

    def forward(self, seen: Seen) -> Tensor:
        steps = _steps(seen.opponent(1))
        height, width = (side // 2 for side in steps.shape[-2:])
        steps = steps[..., : 2 * height, : 2 * width]
        size, found = colours.STEPS**2, []
        quarters = (
            torch.arange(2 * height, device=steps.device)[:, None] // height * 2
            + torch.arange(2 * width, device=steps.device) // width
        ) * size
        for first, second in colours.PAIRS:
            bins = steps[:, first] * colours.STEPS + steps[:, second] + quarters
            parts = counted(bins.flatten(1), 4 * size) / (height * width)
            found += [parts.reshape(-1, 4, size).mean(dim=1), parts]
        return torch.cat(found, dim=1)


class Patterns(nn.Module):
    """Local binary patterns at 4 scales in 3 opponent channels: ``[n, 3072]``."""

    def forward(self, seen: Seen) -> Tensor:
        return torch.cat([_shares(seen.opponent(scale)) for scale in range(PATTERN_SCALES)], dim=1)


class Gradients(nn.Module):
    """Gradients by direction in the cells of a grid, at 3 scales: ``[n, 1008]``."""

    def forward(self, seen: Seen) -> Tensor:
        found = []
        for scale in range(gradients.SCALES):
            fine = cells(
                seen.bright(scale), gradients.GRID, gradients.DIRECTIONS, turns=0.5, root=True
            )
            middle = fine.reshape(-1, 2, 2, 2, 2, gradients.DIRECTIONS).mean(dim=(2, 4))
            whole = middle.mean(dim=(1, 2))
            found += [whole, middle.flatten(1), fine.flatten(1)]
        return torch.cat(found, dim=1)


class Moments(nn.Module):
    """How small waves in the colours go together: ``[n, 4536]``."""

    waves: Tensor
    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("waves", torch.tensor(moments.WAVES))
        upper, lower = moments.PAIRS
        self.register_buffer("pairs", torch.tensor(upper * 2 * moments.ANSWERS + lower))

    def forward(self, seen: Seen) -> Tensor:
        found: list[Tensor] = []
        for scale, step in enumerate(moments.STEPS):
            found += self._of_scale(seen.opponent(scale), step)
        return torch.cat(found, dim=1)

    def _of_scale(self, planes: Tensor, step: int) -> list[Tensor]:
        flat = squares(planes, moments.SIDE, step).flatten(4).flatten(2, 3)
        answers = flat @ self.waves
        answers = answers / torch.sqrt(answers.abs() + moments.FAINT)
        # [n, 3, m, 9] to [n, 27, m]
        lying = answers.transpose(2, 3).flatten(1, 2)
        both = torch.cat([lying, lying.abs()], dim=1)
        products = both @ both.transpose(1, 2) / both.shape[2]
        return [products.flatten(1)[:, self.pairs], both[:, moments.ANSWERS :].mean(dim=2)]


def _steps(planes: Tensor) -> Tensor:
    """0 to 15 for each value of ``[n, 3, h, w]``."""
    chroma = (planes[:, 1:] - 128) * colours.STRETCH + 128
    stretched = torch.cat([planes[:, :1], chroma.clamp(0, 255)], dim=1)
    return torch.floor(stretched * (colours.STEPS / 256))


def _shares(planes: Tensor) -> Tensor:
    """How often each pattern occurs in each plane: ``[n, 3, h, w]`` to ``[n, 768]``."""
    channels, (height, width) = planes.shape[1], (side - 2 for side in planes.shape[2:])
    rows = [planes[:, :, down : down + height] for down in range(3)]
    middle = rows[1][..., 1:-1]
    codes = torch.zeros_like(middle)
    for bit, (down, right) in enumerate(PATTERN_RING):
        beside = rows[1 + down][..., 1 + right : 1 + right + width]
        codes = codes + (beside >= middle) * 2.0**bit
    size = 2 ** len(PATTERN_RING)
    bins = codes.flatten(2) + torch.arange(channels, device=codes.device)[:, None] * size
    return counted(bins.flatten(1), channels * size) / (height * width)
