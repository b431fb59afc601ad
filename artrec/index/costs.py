"""What asking a shard takes, by formulas: bytes, and microseconds of one core.

They are fitted to shards of 1,000 to 80,000 vectors of 128 and 512 numbers.
"""

from __future__ import annotations

import math

__all__ = ["annoy_cost", "depth_within", "exact_cost", "most_bytes"]


def most_bytes(items: int, dim: int, trees: int) -> int:
    """No more are mapped or held to ask shards of so many: their files, and the vector_no.

    With 0 ``trees`` to scan them, which reads of the files nothing but the vectors. A tree takes 11
    to 18.4 bytes for each item, as measured from 2 to 512 dimensions.
    """
    return items * (4 * dim + 16 + 20 * trees + 8)


def annoy_cost(dim: int, trees: int, search_k: int) -> float:
    """Microseconds of one shard: to descend, to look at candidates, to measure what is listed."""
    return 200 + dim + trees + search_k * _candidate(dim)


def depth_within(cost: float, dim: int, trees: int) -> int:
    """The candidates that may be examined for less than ``cost``; 0: none."""
    return max(0, math.ceil((cost - annoy_cost(dim, trees, 0)) / _candidate(dim)) - 1)


def _candidate(dim: int) -> float:
    return 0.15 + 0.0006 * dim


def exact_cost(dim: int, items: int) -> float:
    """Microseconds to scan a shard."""
    return 200 + 0.3 * dim + items * (0.027 + 0.00032 * dim)
