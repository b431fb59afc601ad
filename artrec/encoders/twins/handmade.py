"""The 154 counts, and the encoders that are made of them alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from artrec.encoders.features.counts import (
    BINS,
    POINTS,
    RADIUS,
    RING,
    STEEPEST,
    UNIT,
    edge_bins,
)
from artrec.encoders.handmade import Parameters
from artrec.encoders.twins.counting import counted
from artrec.encoders.twins.planes import Seen

__all__ = ["Counts", "Handmade", "Numbers"]


class Counts(nn.Module):
    """Colours ``[n, 96]``, patterns ``[n, 26]`` and edges ``[n, 32]``."""

    bins: Tensor

    def __init__(self, root: bool) -> None:
        super().__init__()
        # The bin of every square that a magnitude can have: roots of others round otherwise.
        every = np.arange(2 * int(STEEPEST) ** 2 + 1, dtype=np.float32)
        self.register_buffer("bins", torch.from_numpy(edge_bins(every, root)))

    def forward(self, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
        steps = torch.floor(seen.values * (BINS / 256))
        colours = [steps[..., channel].flatten(1) + BINS * channel for channel in range(3)]
        gray = seen.bright()
        return (
            counted(torch.cat(colours, dim=1), 3 * BINS),
            counted(_patterns(gray).flatten(1), POINTS + 2),
            counted(self._edges(gray).flatten(1), BINS),
        )

    def _edges(self, gray: Tensor) -> Tensor:
        columns = gray[:, :-2] + 2 * gray[:, 1:-1] + gray[:, 2:]
        rows = gray[:, :, :-2] + 2 * gray[:, :, 1:-1] + gray[:, :, 2:]
        across = columns[:, :, 2:] - columns[:, :, :-2]
        along = rows[:, 2:] - rows[:, :-2]
        place = (across * across + along * along).to(torch.int64)
        return self.bins[place].to(torch.float32)


class Numbers(nn.Module):
    """The 154 counts themselves, as a block."""

    def __init__(self) -> None:
        super().__init__()
        self._counts = Counts(root=True)

    def forward(self, seen: Seen) -> Tensor:
        return torch.cat(self._counts(seen), dim=1)


class Handmade(nn.Module):
    """An encoder of the hand-made numbers: powers, weights, what was fitted, length 1."""

    center: Tensor | None
    projection: Tensor | None

    def __init__(self, parameters: Parameters, tensors: Mapping[str, NDArray[np.floating]]) -> None:
        super().__init__()
        self._counts = Counts(parameters.edges == "root")
        self._power = parameters.power
        weights = np.asarray(parameters.weights)
        self._weights: list[float] = (weights / np.linalg.norm(weights)).tolist()
        for name in ("center", "projection"):
            values = tensors.get(name)
            kept = None if values is None else torch.tensor(values, dtype=torch.float32)
            self.register_buffer(name, kept)

    def forward(self, pictures: Tensor) -> Tensor:
        counts = self._counts(Seen(pictures))
        parts = [
            functional.normalize(part**self._power) * weight
            for part, weight in zip(counts, self._weights, strict=True)
        ]
        vectors = torch.cat(parts, dim=1)
        if self.center is not None:
            vectors = vectors - self.center
        if self.projection is not None:
            vectors = vectors @ self.projection
        return functional.normalize(vectors)


def _patterns(gray: Tensor) -> Tensor:
    """The pattern of every pixel that has a whole ring: ``[n, h, w]`` to ``[n, h-6, w-6]``.

    Points of the ring that lie equally far to the right share a plane.
    """
    middle = gray[:, RADIUS:-RADIUS, RADIUS:-RADIUS] * UNIT**2
    columns = {right: _between(gray, right, dim=2) for right in dict.fromkeys(r for _, r in RING)}
    bright, changes = torch.zeros_like(middle), torch.zeros_like(middle)
    last = None
    for down, right in (RING[-1], *RING):
        bit = _between(columns[right], down, dim=1) >= middle
        if last is not None:
            bright = bright + bit
            changes = changes + (bit ^ last)
        last = bit
    return torch.where(changes <= 2, bright, POINTS + 1.0)


def _between(planes: Tensor, offset: int, dim: int) -> Tensor:
    """Planes moved by sixteenths of a pixel along one side, times 16, where whole rings are."""
    whole, part = divmod(offset, UNIT)
    start, count = RADIUS + whole, planes.shape[dim] - 2 * RADIUS
    first = planes.narrow(dim, start, count)
    if not part:
        return first * UNIT
    return first * (UNIT - part) + planes.narrow(dim, start + 1, count) * part
