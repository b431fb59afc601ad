"""Blocks of hand-made features: roots, projected and scaled as fitted on pictures, of length 1.

The fit looks at pictures twice: once at patches of some of them for the codebooks, once at all
for the projections. Neither needs a label or a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple, fields

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

from artrec.encoders.card import Tensors
from artrec.encoders.features import BLOCKS, Coded, Plain, raw
from artrec.encoders.features.fisher import Codebook, fit_codebook, sampled
from artrec.encoders.features.planes import Pixels
from artrec.encoders.fitted import Alike, Fit, Projection, joined, rooted
from artrec.errors import ConfigError

__all__ = ["Blocks", "Part", "fit_blocks"]

Floats = NDArray[np.float32]
Again = Callable[[], Iterable[Pixels]]
"""Gives the same pictures in the same order each time: batches of ``uint8 [n, h, w, 3]``."""

_CODED = 2000  # pictures whose patches a codebook is fitted to
_POWER = 1 / 3  # of a block's eigenvalues: a little more than half paid on painters not fitted on
_PARTS = tuple(each.name for each in fields(Codebook))


class Part(BaseModel):
    """One block: to how many numbers it is brought, and what it weighs beside others."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    dim: PositiveInt = 256
    weight: NonNegativeFloat = Field(default=1.0)


class Blocks:
    """Pictures to the joined vectors of some blocks; each block's part has length ``weight``."""

    def __init__(self, parts: Sequence[Part], tensors: Tensors) -> None:
        self.parts = tuple(parts)
        self.dim = sum(part.dim for part in self.parts)
        self.codebooks = {
            part.name: Codebook(*(tensors[f"{part.name}.codebook.{name}"] for name in _PARTS))
            for part in self.parts
            if isinstance(BLOCKS[part.name], Coded)
        }
        self.projections = {
            part.name: Projection(
                tensors[f"{part.name}.center"], tensors[f"{part.name}.projection"]
            )
            for part in self.parts
        }

    @staticmethod
    def shapes(parts: Sequence[Part]) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor; ``ConfigError`` for a block that there is not."""
        found: dict[str, tuple[int, ...]] = {}
        for part in parts:
            block = BLOCKS.get(part.name)
            if block is None:
                known = ", ".join(BLOCKS)
                raise ConfigError(f"there is no block of features {part.name!r}; known: {known}")
            found[f"{part.name}.center"] = (block.numbers,)
            found[f"{part.name}.projection"] = (block.numbers, part.dim)
            if isinstance(block, Coded):
                book = block.shapes().items()
                found |= {f"{part.name}.codebook.{name}": shape for name, shape in book}
        return found

    def tensors(self) -> dict[str, Floats]:
        """What another ``Blocks`` of the same parts is made of."""
        found: dict[str, Floats] = {}
        for name, projection in self.projections.items():
            found[f"{name}.center"] = projection.center
            found[f"{name}.projection"] = projection.matrix
        for name, book in self.codebooks.items():
            values = zip(_PARTS, astuple(book), strict=True)
            found |= {f"{name}.codebook.{part}": value for part, value in values}
        return found

    def __call__(self, pictures: Pixels) -> Floats:
        """``uint8 [n, h, w, 3]`` to ``float32 [n, dim]``."""
        found = [
            self.projections[part.name](
                rooted(raw(part.name, pictures, self.codebooks.get(part.name)))
            )
            for part in self.parts
        ]
        return joined(found, [part.weight for part in self.parts])


def fit_blocks(pictures: Again, parts: Sequence[Part], seed: int) -> Blocks:
    """Blocks fitted on pictures, of which there may be any number; TrainingError for too few.

    A part that varies in fewer numbers than it may have gets those, one that does not vary at all
    (edges of plain colours) is left out, and ``parts`` of the result says so.
    """
    books = _codebooks(pictures, parts, seed)
    coded = (part.name in books or isinstance(BLOCKS[part.name], Plain) for part in parts)
    parts = [part for part, can in zip(parts, coded, strict=True) if can]
    fits = {part.name: Fit(BLOCKS[part.name].numbers) for part in parts}
    for batch in pictures():
        for name, fit in fits.items():
            fit.add(rooted(raw(name, batch, books.get(name))))
    made: list[Part] = []
    tensors: dict[str, Floats] = {}
    for part in parts:
        try:
            projection = fits.pop(part.name).projection(part.dim, _POWER)
        except Alike:
            continue
        made.append(part.model_copy(update={"dim": projection.dim}))
        tensors[f"{part.name}.center"] = projection.center
        tensors[f"{part.name}.projection"] = projection.matrix
        if part.name in books:
            values = zip(_PARTS, astuple(books[part.name]), strict=True)
            tensors |= {f"{part.name}.codebook.{name}": value for name, value in values}
    if not made:
        raise Alike("all pictures to fit to look the same; encoder.id=handmade is fitted to none")
    return Blocks(made, tensors)


def _codebooks(pictures: Again, parts: Sequence[Part], seed: int) -> dict[str, Codebook]:
    """Of the coded blocks, but for those whose patches are all the same."""
    books: dict[str, Codebook] = {}
    for part in parts:
        block = BLOCKS[part.name]
        if isinstance(block, Coded):
            some = sampled(map(block.patches, _first(pictures(), _CODED)), _CODED, seed)
            with suppress(Alike):
                books[part.name] = fit_codebook(some, block.dim, block.gaussians, seed)
    return books


def _first(batches: Iterable[Pixels], count: int) -> Iterable[Pixels]:
    """The first ``count`` pictures."""
    for batch in batches:
        yield batch[:count]
        count -= len(batch)
        if count <= 0:
            return
