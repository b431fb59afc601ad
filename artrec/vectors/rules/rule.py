"""What a rule says, and what it is asked about: vectors with labels.

Labels are codes, int32, one column for each kind of label; -1 says that there is none. Nobody knows
whether two pictures without an artist have the same one, so -1 equals nothing, not even itself:

- ``within``: a row without the label belongs nowhere. It has no list and stands in none.
- ``never``: a row without the label is forbidden to nobody, and nobody to it.
- ``at_most``: rows without the label are not counted together; each may stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artrec.errors import ConfigError, InputError
from artrec.vectors.distance import Floats, Ints

__all__ = ["Codes", "Entities", "Flags", "Rule"]

Codes = NDArray[np.int32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rule:
    """Which candidates may stand in a list; all conditions hold together.

    They have the query's value in every column of ``within``, and in none of ``never``; with
    ``flagged`` they carry the flag. With ``collapse`` one of equal vectors counts, the first that
    the conditions before leave, and none that equals the query. Of these, with ``at_most`` (m,
    column), the m nearest of each value of the column may stand.

    There is one column to count in, for only then is a list of parts the list of the whole: with
    two, an entry may be crowded out in its part by one that the whole crowds out for another.
    """

    within: tuple[int, ...] = ()
    never: tuple[int, ...] = ()
    at_most: tuple[int, int] | None = None
    collapse: bool = False
    flagged: bool = False

    def __post_init__(self) -> None:
        if self.at_most is not None and self.at_most[0] < 1:
            raise ConfigError(f"at most {self.at_most[0]} of a value: that must be 1 or more")
        if min(self.columns, default=0) < 0:
            raise ConfigError(f"columns of labels are counted from 0: {self}")

    @property
    def columns(self) -> tuple[int, ...]:
        """The columns that are read, each once."""
        counted = () if self.at_most is None else (self.at_most[1],)
        return tuple(sorted({*self.within, *self.never, *counted}))

    @property
    def most(self) -> int | None:
        """How many of a value may stand."""
        return None if self.at_most is None else self.at_most[0]


@dataclass(frozen=True, slots=True, eq=False)
class Entities:
    """Vectors under their numbers and labels: equal pictures with other labels are others.

    ``numbers`` int64 [n], ascending, a number again for each other row of ``labels`` int32 [n, c]
    (or flag) that its vector has; ``vectors`` float32 [n, d]; ``flags`` bool [n], without them all
    are flagged. A row's place is its id: where distances are equal, the lower id is nearer.
    """

    numbers: Ints
    vectors: Floats
    labels: Codes
    flags: Flags | None = None

    def __post_init__(self) -> None:
        """Raise InputError for other types and shapes, and for numbers that descend."""
        n = len(self.numbers)
        if self.numbers.dtype != np.int64 or self.numbers.ndim != 1:
            raise InputError(f"numbers must be int64 [n], got {self.numbers.dtype}")
        if self.vectors.dtype != np.float32 or self.vectors.ndim != 2 or len(self.vectors) != n:
            raise InputError(
                f"vectors must be float32 [{n}, d], got {self.vectors.dtype} "
                f"{list(self.vectors.shape)}"
            )
        if self.labels.dtype != np.int32 or self.labels.ndim != 2 or len(self.labels) != n:
            raise InputError(
                f"labels must be int32 [{n}, c], got {self.labels.dtype} {list(self.labels.shape)}"
            )
        if self.labels.min(initial=0) < -1:
            raise InputError(f"a label is a code from 0 on, or -1, not {self.labels.min()}")
        if self.flags is not None and (self.flags.dtype != np.bool_ or self.flags.shape != (n,)):
            raise InputError(f"flags must be bool [{n}], got {self.flags.dtype}")
        if len(self.numbers) and self.numbers[0] < 0:
            raise InputError(f"vector_no must not be negative, got {self.numbers[0]}")
        down = np.flatnonzero(self.numbers[1:] < self.numbers[:-1])
        if len(down):
            before, after = self.numbers[down[0]], self.numbers[down[0] + 1]
            raise InputError(f"vector_no must ascend: {after} follows {before}")

    def check(self, rule: Rule) -> None:
        """Raise ConfigError for columns that are not there, InputError for rows that ``rule``
        cannot tell apart (see :meth:`narrowed`), or that have one number and different vectors.
        """
        first, _ = self._distinct(rule)
        if len(first) < len(self.numbers):
            number = self.numbers[np.setdiff1d(np.arange(len(self.numbers)), first)[0]]
            raise InputError(f"vector_no {number} stands twice with the labels that {rule} reads")
        again = np.flatnonzero(self.numbers[1:] == self.numbers[:-1]) + 1
        other = again[(self.vectors[again] != self.vectors[again - 1]).any(axis=1)]
        if len(other):
            raise InputError(f"vector_no {self.numbers[other[0]]} has two vectors")

    def narrowed(self, rule: Rule) -> tuple[Entities, Ints]:
        """The rows that ``rule`` can tell apart, and of each row here, int64 [n], which one it is.

        They are in the order of number, labels read and flag; labels not read become -1.
        """
        first, of = self._distinct(rule)
        labels = np.full_like(self.labels[first], -1)
        labels[:, rule.columns] = self.labels[first][:, rule.columns]
        flags = self.offered(rule)[first]
        return Entities(self.numbers[first], self.vectors[first], labels, flags), of

    def _distinct(self, rule: Rule) -> tuple[Ints, Ints]:
        if max(rule.columns, default=-1) >= self.labels.shape[1]:
            raise ConfigError(f"{self.labels.shape[1]} columns of labels are not enough for {rule}")
        read = self.labels[:, rule.columns].T
        columns = (self.offered(rule), *read[::-1], self.numbers)
        order = np.lexsort(columns)
        new = np.ones(len(order), dtype=np.bool_)
        new[1:] = np.any([column[order[1:]] != column[order[:-1]] for column in columns], axis=0)
        of = np.empty(len(order), dtype=np.int64)
        of[order] = np.cumsum(new) - 1
        return order[new], of

    def offered(self, rule: Rule) -> Flags:
        """Rows that may stand in lists as far as flags go, bool [n]."""
        if self.flags is None or not rule.flagged:
            return np.ones(len(self.numbers), dtype=np.bool_)
        return self.flags
