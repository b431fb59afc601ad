"""What keeping a neighbor table up to date costs, beside a join of all vectors.

Both are counted in products of two vectors: nearly all of the time of either.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, log, log1p

__all__ = ["Change", "bounding_rows", "kept_up_products", "range_count", "whole_products"]

_BOUNDED_BY = 32  # one of so many vectors bounds the lists of what is added
_BOUNDING = 1024  # and so many at the least


_RANGE_BLOCKS = 4  # blocks that a task reads at once: as many rows as a row group has, about
_LEAST_RANGE = 4096


@dataclass(frozen=True)
class Change:
    """Of ``rows`` vectors ``gone`` have left, and ``added`` have come."""

    rows: int
    added: int
    gone: int

    @property
    def staying(self) -> int:
        return self.rows - self.gone

    @property
    def after(self) -> int:
        return self.staying + self.added

    @classmethod
    def least(cls, before: int, after: int) -> Change:
        """What must have changed, where so many were and are."""
        return cls(before, max(0, after - before), max(0, before - after))


def bounding_rows(rows: int) -> int:
    """Vectors of ``rows`` that each added one meets first, so that its list is bounded.

    >>> bounding_rows(500), bounding_rows(81_446)
    (500, 2545)
    """
    return min(rows, max(_BOUNDING, rows // _BOUNDED_BY))


def range_count(rows: int, block_rows: int, cores: int) -> int:
    """Ranges in which so many vectors are looked at: some blocks each, and one for each core.

    >>> range_count(81_446, 16_384, 2), range_count(10_000_000, 16_384, 100)
    (2, 153)
    """
    return max(1, -(-rows // (_RANGE_BLOCKS * block_rows)), min(cores, rows // _LEAST_RANGE))


def kept_up_products(change: Change, k: int, size: int) -> int:
    """Products by which pools of ``size`` are kept up to date, if what is gone is random.

    Lists that lose more than they have to spare are joined anew.

    >>> change = Change(81_446, 1222, 1222)
    >>> round(kept_up_products(change, 50, 64) / whole_products(change.after, 32_768), 4)
    0.0309
    """
    met = change.added * (change.staying + change.added + bounding_rows(change.after))
    lacking = change.staying * _more_gone(size, size - k, change.gone / max(1, change.rows))
    return met + round(lacking * change.after)


def whole_products(rows: int, pairs_from: int) -> int:
    """Products of the exact join of ``rows`` vectors, from ``pairs_from`` on each computed once.

    >>> whole_products(10, 20), whole_products(10, 10)
    (100, 45)
    """
    return rows * (rows - 1) // 2 if rows >= pairs_from else rows * rows


def _more_gone(size: int, most: int, share: float) -> float:
    """How likely more than ``most`` of ``size`` are gone, of which each is with that ``share``.

    By logarithms: of long lists the ways to choose are more than a float holds.
    """
    if not 0 < share < 1:
        return float(share > 0 and size > most)
    whole, go, stay = lgamma(size + 1), log(share), log1p(-share)
    kept = (
        exp(whole - lgamma(n + 1) - lgamma(size - n + 1) + n * go + (size - n) * stay)
        for n in range(min(most, size) + 1)
    )
    return max(0.0, 1.0 - sum(kept))
