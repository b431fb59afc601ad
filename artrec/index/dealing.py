"""Which vectors go to which shard: equal ranges of ``vector_no``.

A ``vector_no`` is the first 63 bits of a SHA-256 already, so its ranges are as even as any further
hash would make them; and a sorted table is cut by ranges without a shuffle and without reading any
row twice: each task reads the row groups of its own shard.
"""

from __future__ import annotations

from itertools import pairwise

from artrec.errors import ConfigError

__all__ = ["MOST_SHARDS", "shard_count", "shard_ranges"]

MOST_SHARDS = 10_000

_NUMBERS = 1 << 63  # a vector_no is below


def shard_count(rows: int, shard_rows: int, shards: int = 0) -> int:
    """``shards`` if it is given, else as many as hold ``rows`` at ``shard_rows`` each."""
    count = shards or -(-rows // shard_rows)
    if count > MOST_SHARDS:
        raise ConfigError(
            f"{rows} vectors at index.shard_rows={shard_rows} make {count} shards; at most "
            f"{MOST_SHARDS} are asked by one lookup: raise index.shard_rows"
        )
    return count


def shard_ranges(shards: int) -> list[tuple[int, int]]:
    """First and last ``vector_no`` of each shard, both included; together all there can be.

    >>> shard_ranges(2)
    [(0, 4611686018427387903), (4611686018427387904, 9223372036854775807)]
    """
    firsts = [-(-shard * _NUMBERS // shards) for shard in range(shards + 1)]
    return [(first, after - 1) for first, after in pairwise(firsts)]
