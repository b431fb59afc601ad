"""How vectors are joined, by their number: blocks, and which pairs of them meet when."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, sqrt

__all__ = [
    "Pair",
    "alone_bytes",
    "block_count",
    "cut_pairs",
    "deal_pairs",
    "exact_seconds_by_sample",
    "fits_alone",
    "pairs_between",
    "resolved",
    "seen_blocks",
]

ALONE = 1 << 30  # bytes up to which one task makes an approximate join
LONG_TASK = 1 << 38  # products: an hour of a core, at most
SEGMENT = 1 << 36  # products for each core between two points from which a killed job goes on
MOST_SEGMENTS = 16  # each leaves the lists of all blocks in scratch
WAVES = 2  # a task takes its core's share of what is left, by so many

_LEAST_BLOCK = 4096
_PAIRS_EACH = 12  # meetings for each core, about, so that all end together
_BLOCKS_EACH = 3  # blocks for each core, where few of them meet
_SPARE, _CIRCLE = 4, 64  # places of a list beside its width, and of a circle
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


def alone_bytes(rows: int, dim: int, width: int) -> int:
    """Memory of an approximate join in one process, of lists of ``width``.

    >>> alone_bytes(81_446, 128, 64) >> 20, alone_bytes(1_000_000, 128, 64) >> 30
    (876, 13)
    """
    places, cells = width + _SPARE, int(2 * rows**0.5)
    held = rows * (4 * (3 * dim + 8) + 8 * places + cells + 36 * places + 8 * _CIRCLE)
    return 2 * held  # as measured: what is read, and what is done with, is not given back at once


def fits_alone(rows: int, dim: int, width: int) -> bool:
    """Whether one task makes an approximate join: that is not worth dealing out.

    >>> fits_alone(81_446, 128, 64), fits_alone(81_446, 512, 64)
    (True, False)
    """
    return alone_bytes(rows, dim, width) <= ALONE


def exact_seconds_by_sample(rows: int, products: int, seconds: float) -> float:
    """What the exact join of ``rows`` would take, where that of a sample took so long.

    >>> exact_seconds_by_sample(1000, 100_000, 2.0)
    12.0
    """
    return _SYMMETRIC * seconds / max(1, products) * float(rows) ** 2


Pair = tuple[int, int]


def block_count(rows: int, block_rows: int, cores: int) -> int:
    """Blocks of at most ``block_rows``, and so many that each core has some pairs of them.

    >>> block_count(81_446, 16_384, 2), block_count(1_000_000, 16_384, 100)
    (8, 62)
    """
    enough = 1 + ceil(sqrt(2 * _PAIRS_EACH * cores))
    return max(1, -(-rows // block_rows), min(enough, rows // _LEAST_BLOCK))


def cut_pairs(blocks: int, rows: int, cores: int) -> list[Pair]:
    """From which pair of blocks to which, by their numbers, each segment lets them meet."""
    count, products = blocks * (blocks - 1) // 2, _products(blocks, rows)
    segments = max(1, min(count, MOST_SEGMENTS, round(products / (SEGMENT * cores))))
    return [(n * count // segments, (n + 1) * count // segments) for n in range(segments)]


def deal_pairs(blocks: int, rows: int, cores: int, low: int, high: int) -> list[Pair]:
    """The pairs ``low`` to ``high`` as runs, each for one task.

    Runs get shorter towards the end, so that no core waits long for the last one. A lone block has
    no pairs, and one task that hands it on.
    """
    count = max(1, blocks * (blocks - 1) // 2)
    longest = max(1, int(count * LONG_TASK / max(1.0, _products(blocks, rows))))
    tasks = []
    while low < high:
        stop = low + max(1, min(longest, (high - low) // (WAVES * cores)))
        tasks.append((low, stop))
        low = stop
    return tasks or [(low, low)]


def _products(blocks: int, rows: int) -> float:
    """Of all pairs of blocks."""
    return rows**2 * (1 - 1 / blocks) / 2


def pairs_between(blocks: int, low: int, high: int) -> Iterator[Pair]:
    """The pairs ``low`` to ``high`` of all (i, j) with i < j below ``blocks``, in their order."""
    first = 0
    for i in range(blocks):
        others = blocks - 1 - i
        for nth in range(max(0, low - first), min(others, high - first)):
            yield i, i + 1 + nth
        first += others
