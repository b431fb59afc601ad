"""Sections about finding what is near: the index shards and the neighbor tables."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import PositiveInt, model_validator

from artrec.config.ruling import RuleTable, TableNames
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
    recall: float = key(
        0.95,
        "Least recall@50 of look-ups that trees and candidates are tuned for, the lower end of a "
        "95 % interval; where a scan of all vectors is cheaper, look-ups scan, and so for 1 and "
        "for more than .9992, which no trial can show.",
        gt=0.0,
        le=1.0,
    )
    memory: int = key(
        0,
        "Bytes that a look-up maps or holds, at most; 0: as many as it takes. Where trees do not "
        "fit, look-ups scan; where not even a scan does, nothing is built.",
        ge=0,
    )
    trees: int = key(
        0,
        "Trees in each shard: more find more and take more space; 0: tuned.",
        ge=0,
    )
    search_k: int = key(
        0,
        "Candidates that a look-up examines in each shard, which it never scans then; 0: tuned.",
        ge=0,
    )
    seed: int = key(1, "Start of the random numbers that trees are cut by.", ge=0, lt=1 << 31)
    rebuild_share: float = key(
        0.2,
        "Shards are kept from night to night, with new vectors in a side shard and gone ones "
        "masked, until both together are more than this share of all vectors; 0: built anew "
        "whenever a vector has changed.",
        ge=0.0,
        le=1.0,
    )
    side_rows: int = key(
        100_000, "Vectors in the side shard, which each look-up scans, at most.", ge=0
    )


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
    rebuild_share: float = key(
        0.5,
        "Where what came and went takes less than this share of the products of a whole join, the "
        "current release's table is kept up to date, else all vectors are joined anew; 0: always "
        "anew.",
        result=False,
        ge=0.0,
        le=1.0,
    )
    tables: TableNames = key({}, "Further tables under rules, by name.")

    def k_of(self, table: RuleTable) -> int:
        """Neighbors that a table under a rule lists."""
        return table.k or self.k

    @model_validator(mode="after")
    def _enough_candidates(self) -> Self:
        for name, table in self.tables.items():
            if table.re_ranks and table.candidates < self.k_of(table):
                raise ValueError(
                    f"neighbors.tables.{name}.candidates is {table.candidates}, fewer than the "
                    f"{self.k_of(table)} neighbors that are to be chosen among them"
                )
        return self

    @model_validator(mode="after")
    def _caps_that_bind(self) -> Self:
        for name, table in self.tables.items():
            longest = max(self.k_of(table), table.candidates)
            for column, most in table.at_most.items():
                if most >= longest:
                    raise ValueError(
                        f"neighbors.tables.{name}.at_most.{column} is {most}, which does nothing "
                        f"in a list of {longest} (k, or candidates): give fewer, or leave it out"
                    )
        return self
