"""Queries in sets, and from the lists of the members one list for each set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import Self

import numpy as np
import pyarrow as pa

from artrec.vectors.distance import Floats, Ints

__all__ = ["Grouped", "nearest_of_sets"]

NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Grouped:
    """Vectors [n, d]; ``set_of`` [n] says which of the sets ``names`` each is in, ascending.

    ``own`` [m] are numbers of contents that the sets ``own_of`` [m] do not list.
    """

    names: list[str]
    set_of: Ints
    vectors: Floats
    own: Ints
    own_of: Ints

    @classmethod
    def of(cls, rows: pa.Table) -> Self:
        """Of rows of query_vectors in their order, at least one."""
        runs = [(name, sum(1 for _ in run)) for name, run in groupby(_names(rows))]
        set_of = np.repeat(np.arange(len(runs)), [count for _, count in runs])
        values = np.asarray(rows.column("embedding").combine_chunks().flatten(), np.float32)
        given, own = given_numbers(rows)
        names = [name for name, _ in runs]
        return cls(names, set_of, values.reshape(len(rows), -1), own, set_of[given])

    def without_own(self) -> Self:
        """Contents of their own are listed, too."""
        return replace(self, own=NONE, own_of=NONE)

    def with_own_of(self, rows: pa.Table) -> Self:
        """Of one set, whose members are more than these: all of ``rows``."""
        _, own = given_numbers(rows)
        return replace(self, own=own, own_of=np.zeros(len(own), np.int64))

    @property
    def most_own(self) -> int:
        """Of the set that has the most."""
        return int(np.bincount(self.own_of, minlength=1).max())


def given_numbers(rows: pa.Table) -> tuple[Ints, Ints]:
    """Of the column ``own`` the positions that name a content, and their numbers."""
    own = np.asarray(rows.column("own"), np.int64)
    given = np.flatnonzero(own >= 0)
    return given, own[given]


def nearest_of_sets(
    asked: Grouped, others: Ints, distances: Floats, k: int
) -> tuple[Ints, Ints, Floats]:
    """The first k of each set by (distance, number): counts [sets], and the lists end to end.

    ``others`` and ``distances`` [n, w] are the lists of the queries, -1 where nobody stands. A
    candidate counts with its least distance, those of ``own`` do not count.
    """
    rows, places = np.nonzero(others >= 0)
    own = np.full(len(asked.own), -np.inf, np.float32)  # before all distances, to be known by
    sets = np.concatenate([asked.set_of[rows], asked.own_of])
    numbers = np.concatenate([others[rows, places], asked.own])
    far = np.concatenate([distances[rows, places], own])
    order = np.lexsort((far, numbers, sets))
    sets, numbers, far = sets[order], numbers[order], far[order]
    again = (sets[1:] == sets[:-1]) & (numbers[1:] == numbers[:-1])
    kept = np.append(True, ~again)[: len(sets)] & (far > -np.inf)
    sets, numbers, far = sets[kept], numbers[kept], far[kept]
    order = np.lexsort((numbers, far, sets))
    sets, numbers, far = sets[order], numbers[order], far[order]
    starts = np.searchsorted(sets, np.arange(len(asked.names)))
    first = np.arange(len(sets)) - starts[sets] < k
    counts = np.bincount(sets[first], minlength=len(asked.names))
    return counts, numbers[first], far[first]


def _names(rows: pa.Table) -> list[str]:
    names: list[str] = rows.column("set_id").to_pylist()
    return names
