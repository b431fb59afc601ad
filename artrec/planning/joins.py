"""How a catalog's vectors are joined, by their number."""

from __future__ import annotations

from math import ceil, sqrt

__all__ = ["block_count", "exact_seconds_by_sample", "resolved", "seen_blocks"]

_LEAST_BLOCK = 4096
_PAIRS_EACH = 12  # meetings for each core, about, so that all end together
_BLOCKS_EACH = 3  # blocks for each core, where few of them meet
_SYMMETRIC = 0.6  # seconds of a join that multiplies pairs once, by one that does so twice


def resolved(method: str, rows: int, exact_rows: int) -> str:
    """``exact`` or ``approximate``, whichever a join of so many distinct vectors takes.

    >>> resolved("auto", 81_446, 3_000_000), resolved("auto", 3_000_001, 3_000_000)
    ('exact', 'approximate')
    """
    if method != "auto":
        return method
    return "exact" if rows <= exact_rows else "approximate"


def seen_blocks(rows: int, block_rows: int, cores: int) -> int:
    """Blocks of at most ``block_rows`` of an approximate join: no more than give each core some.

    >>> seen_blocks(81_446, 16_384, 2), seen_blocks(10_000_000, 16_384, 100)
    (6, 611)
    """
    return max(1, -(-rows // block_rows), min(_BLOCKS_EACH * cores, rows // _LEAST_BLOCK))


def exact_seconds_by_sample(rows: int, products: int, seconds: float) -> float:
    """What the exact join of ``rows`` would take, where that of a sample took so long.

    >>> exact_seconds_by_sample(1000, 100_000, 2.0)
    12.0
    """
    return _SYMMETRIC * seconds / max(1, products) * float(rows) ** 2


def block_count(rows: int, block_rows: int, cores: int) -> int:
    """Blocks of at most ``block_rows``, and so many that each core has some pairs of them.

    >>> block_count(81_446, 16_384, 2), block_count(1_000_000, 16_384, 100)
    (8, 62)
    """
    enough = 1 + ceil(sqrt(2 * _PAIRS_EACH * cores))
    return max(1, -(-rows // block_rows), min(enough, rows // _LEAST_BLOCK))
