"""Blocks as fitted on pictures, and encoders that join them, in one module."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from artrec.encoders import blocks, fitted
from artrec.encoders.twins.counting import rooted
from artrec.encoders.twins.fisher import Fisher, edge_patches, pixel_patches
from artrec.encoders.twins.handmade import Numbers
from artrec.encoders.twins.plain import Colours, Gradients, Moments, Patterns
from artrec.encoders.twins.planes import Seen

__all__ = ["CODED", "Joined", "PLAIN", "Projected", "Twins"]

PLAIN: dict[str, Callable[[], nn.Module]] = {
    "handmade": Numbers,
    "colours": Colours,
    "patterns": Patterns,
    "gradients": Gradients,
    "moments": Moments,
}
"""The twin of every block that needs nothing but pictures."""

CODED: dict[str, Callable[[Seen], Tensor]] = {
    "pixel_fisher": pixel_patches,
    "edge_fisher": edge_patches,
}
"""The patches of every block that has a codebook."""


class Projected(nn.Module):
    """Less a centre, times a matrix, of length 1."""

    center: Tensor
    matrix: Tensor

    def __init__(self, projection: fitted.Projection) -> None:
        super().__init__()
        self.register_buffer("center", torch.tensor(projection.center))
        self.register_buffer("matrix", torch.tensor(projection.matrix))

    def forward(self, vectors: Tensor) -> Tensor:
        return functional.normalize((vectors - self.center) @ self.matrix)


class Twins(nn.Module):
    """The twin of ``Blocks``: pictures to their joined vectors."""

    def __init__(self, of: blocks.Blocks) -> None:
        super().__init__()
        self._weights = [part.weight for part in of.parts]
        self.raw, self.projected = nn.ModuleList(), nn.ModuleList()
        for part in of.parts:
            book = of.codebooks.get(part.name)
            self.raw.append(PLAIN[part.name]() if book is None else Fisher(CODED[part.name], book))
            self.projected.append(Projected(of.projections[part.name]))

    def forward(self, pictures: Tensor) -> Tensor:
        seen = Seen(pictures)
        found = [
            projected(rooted(raw(seen))) * weight
            for raw, projected, weight in zip(self.raw, self.projected, self._weights, strict=True)
        ]
        return torch.cat(found, dim=1)


class Joined(nn.Module):
    """Parts of a vector side by side, each times its weight, and projected once more."""

    def __init__(
        self, parts: Sequence[nn.Module], weights: Sequence[float], last: fitted.Projection
    ) -> None:
        super().__init__()
        self._parts, self._weights = nn.ModuleList(parts), tuple(weights)
        self._last = Projected(last)

    def forward(self, pictures: Tensor) -> Tensor:
        pairs = zip(self._parts, self._weights, strict=True)
        vectors: Tensor = self._last(torch.cat([part(pictures) * w for part, w in pairs], dim=1))
        return vectors
