"""Lists in which at most m of a value stand, and how they merge.

With an order of all candidates, a rule takes one after the other unless its value has m already.
That is: of the m nearest of each value the first ``width``. Call it T(X) for candidates X. Then
T(X + Y) = T(T(X) + T(Y)), so merging is associative and commutative, and the empty list is neutral.

Proof. Let c(X, e) be the entries before e in X that are among the m nearest of their value: the sum
over values of min(m, how many of it are before e). e is in T(X) if fewer than m of its own value
are before it and c(X, e) < width. Both counts only grow with X. So what T(X + Y) holds is in T(X)
or T(Y), and stays in T of any part of X + Y: T(X + Y) is within T(Z), Z = T(X) + T(Y). Conversely
let e of Z be not in T(X + Y). If ``width`` entries of T(X + Y) are before e, they are in T(Z), and
e is not. Else the m of its value before e that shut it out are themselves in T(X + Y), so in Z, and
shut it out there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artrec.errors import InputError
from artrec.vectors.distance import Floats, Ints
from artrec.vectors.rules.rule import Codes
from artrec.vectors.topk import NOBODY, order_entries

__all__ = ["FREE", "Flat", "Lists", "joined", "merge_lists", "ranks", "take"]

FREE = -1  # the value of what is not counted

Flat = tuple[Ints, Floats, Ints, Codes]
"""Entries: rows, distances, ids and values [m]."""


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """The nearest of n queries under a rule: ``distances`` float32, ``ids`` int64 and ``values``
    int32 [n, width], in the order (distance, id); places left over hold +inf, NOBODY and FREE.
    """

    distances: Floats
    ids: Ints
    values: Codes

    @staticmethod
    def empty(n: int, width: int) -> Lists:
        """Lists without entries: the identity of :func:`merge_lists`."""
        return Lists(
            np.full((n, width), np.inf, dtype=np.float32),
            np.full((n, width), NOBODY, dtype=np.int64),
            np.full((n, width), FREE, dtype=np.int32),
        )

    @property
    def counts(self) -> Ints:
        """Entries of each list, int64 [n]."""
        return np.asarray((self.ids != NOBODY).sum(axis=1), dtype=np.int64)

    def flat(self) -> Flat:
        """All entries: rows, distances, ids and values [m], list by list in their order."""
        rows, places = np.nonzero(self.ids != NOBODY)
        at = (rows, places)
        return rows, self.distances[at], self.ids[at], self.values[at]


def merge_lists(a: Lists, b: Lists, most: int | None) -> Lists:
    """The lists of both parts together, for the same queries; an id in both stands once.

    Raises InputError where the shapes differ: a shorter list would cut the longer one.
    """
    if a.ids.shape != b.ids.shape:
        raise InputError(f"lists [n, width] differ in shape: {a.ids.shape} against {b.ids.shape}")
    rows, distances, ids, values = joined([a.flat(), b.flat()])
    order = np.lexsort((distances, ids, rows))
    rows, distances, ids, values = rows[order], distances[order], ids[order], values[order]
    fresh = np.ones(len(rows), dtype=np.bool_)
    fresh[1:] = (rows[1:] != rows[:-1]) | (ids[1:] != ids[:-1])
    n, width = a.ids.shape
    return take(rows[fresh], distances[fresh], ids[fresh], values[fresh], n, width, most)


def joined(parts: list[Flat]) -> Flat:
    """All entries of ``parts``, of which there are some."""
    return (
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
        np.concatenate([part[3] for part in parts]),
    )


def take(
    rows: Ints, distances: Floats, ids: Ints, values: Codes, n: int, width: int, most: int | None
) -> Lists:
    """The lists [n, width] of m entries, in any order: row (0 to n - 1), distance, id and value."""
    order, listed = order_entries(rows, distances, ids)
    if most is not None:
        counted = values[order]
        kept = (counted == FREE) | (ranks(listed, counted) < most)
        order, listed = order[kept], listed[kept]
    place = np.arange(len(listed)) - np.searchsorted(listed, np.arange(n))[listed]
    kept = place < width
    order, where = order[kept], (listed[kept], place[kept])
    lists = Lists.empty(n, width)
    lists.distances[where] = distances[order] + np.float32(0.0)  # no -0.0
    lists.ids[where] = ids[order]
    lists.values[where] = values[order]
    return lists


def ranks(rows: Ints, values: Codes) -> Ints:
    """How many of the same row and value stand before each of m entries, int64 [m]."""
    size, least = len(rows), int(values.min(initial=0))
    codes = values.astype(np.int64) - least
    bits = int(codes.max(initial=0)).bit_length()
    place_bits = size.bit_length()
    if int(rows.max(initial=0)).bit_length() + bits + place_bits > 63:
        order = np.lexsort((codes, rows))
    else:
        packed = (((rows << bits) | codes) << place_bits) | np.arange(size)
        packed.sort()  # several times as fast as sorting places by a key
        order = packed & ((1 << place_bits) - 1)
    rows, codes = rows[order], codes[order]
    new = np.ones(size, dtype=np.bool_)
    new[1:] = (rows[1:] != rows[:-1]) | (codes[1:] != codes[:-1])
    starts = np.flatnonzero(new)
    found = np.empty(size, dtype=np.int64)
    found[order] = np.arange(size) - starts[np.cumsum(new) - 1]
    return found
