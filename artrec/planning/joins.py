"""How a catalog's vectors are joined, by their number."""

from __future__ import annotations

from math import ceil, sqrt

__all__ = ["block_count"]

_LEAST_BLOCK = 4096
_PAIRS_EACH = 12  # meetings for each core, about, so that all end together


def block_count(rows: int, block_rows: int, cores: int) -> int:
    """Blocks of at most ``block_rows``, and so many that each core has some pairs of them.

    >>> block_count(81_446, 16_384, 2), block_count(1_000_000, 16_384, 100)
    (8, 62)
    """
    enough = 1 + ceil(sqrt(2 * _PAIRS_EACH * cores))
    return max(1, -(-rows // block_rows), min(enough, rows // _LEAST_BLOCK))
