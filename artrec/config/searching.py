"""Sections about finding what is near: the index shards and the neighbor tables."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from artrec.config.section import Section, key

__all__ = [
    "IndexSettings",
    "NeighborsSettings",
]


class IndexSettings(Section):
    """The Annoy shards that look-ups ask."""

    shard_rows: PositiveInt = key(1_000_000, "Vectors in one shard, about.")
    shards: int = key(
        0, "Number of shards; 0: as many as index.shard_rows asks for.", ge=0, le=10_000
    )
    trees: PositiveInt = key(20, "Trees in each shard: more find more and take more space.")
    search_k: int = key(
        0,
        "Candidates that a look-up examines in each shard; 0: 20 for each tree and neighbor asked "
        "for.",
        ge=0,
    )
    seed: int = key(1, "Start of the random numbers that trees are cut by.", ge=0, lt=1 << 31)


class NeighborsSettings(Section):
    """The neighbor table."""

    k: PositiveInt = key(50, "Neighbors listed for each image.", le=1000)
    method: Literal["auto", "exact", "approximate"] = key(
        "auto",
        "exact: no list misses a neighbor. approximate: lists may, as neighbors.recall says, at a "
        "fraction of the cost. auto: exact up to neighbors.exact_rows.",
    )
    exact_rows: PositiveInt = key(
        3_000_000, "Up to so many distinct vectors auto takes the exact join."
    )
    recall: float = key(
        0.98,
        "Of an approximate join: the share of neighbors@k that lists are to hold, by the lower "
        "end of the 95 % interval of a random sample.",
        ge=0.5,
        le=0.999,
    )
    slack: int = key(14, "Entries kept in the pool beyond k, used up by deletions.", ge=0)
    block_rows: PositiveInt = key(
        16_384, "Vectors in one block of the join, at most.", result=False
    )
    pairs_from: PositiveInt = key(
        32_768,
        "From so many vectors on they are laid out by cells, and each product is computed once.",
        result=False,
    )
