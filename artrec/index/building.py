"""Building one shard: a local Annoy file of vectors in the order of their numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artrec.errors import ConfigError, InputError
from artrec.index.sidecar import new_index
from artrec.vectors import Block, check_vectors

__all__ = ["MOST_NODES", "Probes", "Recipe", "build_shard"]

MOST_NODES = 500_000_000
"""Annoy counts nodes in 32 bits and grows by a factor: from about 1.65e9 on that overflows."""

_PROBES = 100


@dataclass(frozen=True, slots=True)
class Recipe:
    """What shards are made with: same vectors and recipe, same bytes on one type of machine."""

    metric: str
    dim: int
    trees: int
    seed: int

    def most_nodes(self, items: int) -> int:
        """No shard of ``items`` has more nodes: a tree splits at most down to single items."""
        return items * (1 + 2 * self.trees)


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Some vectors as they went in: ``items`` int64 [p], ``vectors`` float32 [p, d]."""

    items: NDArray[np.int64]
    vectors: NDArray[np.float32]


def build_shard(
    path: Path, numbers: NDArray[np.int64], blocks: Iterable[Block], recipe: Recipe
) -> Probes:
    """Write the Annoy file ``path`` of the vectors in ``blocks``, whose numbers are ``numbers``.

    Memory: about 4 bytes times dim for each vector, and the trees; the blocks pass by. Raises
    InputError for vectors that ``check_vectors`` refuses and for other numbers than announced,
    ConfigError for a shard that Annoy cannot be trusted with.
    """
    if recipe.most_nodes(len(numbers)) > MOST_NODES:
        raise ConfigError(
            f"a shard of {len(numbers)} vectors and {recipe.trees} trees may reach "
            f"{recipe.most_nodes(len(numbers))} nodes; Annoy is trusted up to {MOST_NODES}: "
            "lower index.shard_rows or index.trees"
        )
    index = new_index(recipe.dim, recipe.metric)
    index.set_seed(recipe.seed)
    probed = np.unique(np.linspace(0, len(numbers) - 1, _PROBES).astype(np.int64))
    kept, item = [], 0
    for block in blocks:
        check_vectors(block.vectors, block.numbers, recipe.metric)
        after = item + len(block.numbers)
        if not np.array_equal(block.numbers, numbers[item:after]):
            raise InputError(f"vectors {item} to {after} of a shard are not those of its items")
        for place, vector in enumerate(block.vectors, item):
            index.add_item(place, vector)
        kept.append(block.vectors[probed[(probed >= item) & (probed < after)] - item])
        item = after
    if item != len(numbers):
        raise InputError(f"{item} vectors came for the {len(numbers)} items of a shard")
    index.build(recipe.trees, n_jobs=1)  # with more threads the trees depend on their timing
    index.save(str(path))
    index.unload()
    return Probes(probed, np.concatenate(kept))
