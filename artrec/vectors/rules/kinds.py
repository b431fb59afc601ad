"""Rows that a rule cannot tell apart, as one: what is multiplied when two blocks meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artrec.vectors.distance import Floats, Ints, Wides, squared_norms
from artrec.vectors.join import distinct
from artrec.vectors.rules.lists import FREE
from artrec.vectors.rules.rule import Codes, Flags, Rule

__all__ = ["Kinds", "Labelled", "unlike"]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Distinct rows [r]: ``vectors``, ``squares``, codes ``never`` [r, a] and ``values`` [r].

    Rows with the same ``keys`` [r] have nothing to say to each other: of a row alone, or with
    ``collapse`` of all equal vectors, the least id.
    """

    vectors: Floats
    squares: Wides
    never: Codes
    values: Codes
    keys: Ints

    def rows(self, rows: Ints) -> Labelled:
        return Labelled(
            self.vectors[rows],
            self.squares[rows],
            self.never[rows],
            self.values[rows],
            self.keys[rows],
        )

    def and_also(self, other: Labelled) -> Labelled:
        return Labelled(
            np.concatenate((self.vectors, other.vectors)),
            np.concatenate((self.squares, other.squares)),
            np.concatenate((self.never, other.never)),
            np.concatenate((self.values, other.values)),
            np.concatenate((self.keys, other.keys)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """Entities of equal vectors and equal labels, as far as ``rule`` reads them, are one kind.

    The first ``offered`` of [r] may stand in lists. The ids of kind i are ``ids[starts[i]:
    starts[i] + sizes[i]]``, ascending. Under ``collapse`` the kinds of one vector are a chain by
    their first ids: ``before`` [r] is the one before each that may stand, or -1.
    """

    rule: Rule
    rows: Labelled
    offered: int
    before: Ints
    ids: Ints
    starts: Ints
    sizes: Ints

    @classmethod
    def of(
        cls, rule: Rule, ids: Ints, vectors: Floats, labels: Codes, flags: Flags
    ) -> tuple[Kinds, Ints]:
        """The kinds of rows with ``ids`` [n], ascending, and for each row which one it is.

        With ``collapse`` all rows of one vector must be among them.
        """
        squares = squared_norms(vectors)
        first, content = distinct(vectors, squares)
        never = labels[:, list(rule.never)]
        values = np.full(len(ids), FREE, dtype=np.int32)
        if rule.at_most is not None:
            values = labels[:, rule.at_most[1]]
        # Flagged ones first. Of a value all together: a crowd is met in one tile, and seen through.
        key = np.column_stack((~flags, values, content, never)).astype(np.int64)
        found, at, kind_of = np.unique(key, axis=0, return_index=True, return_inverse=True)
        kind_of = kind_of.reshape(-1)
        sizes = np.bincount(kind_of, minlength=len(at))
        behind = ids[np.argsort(kind_of, kind="stable")]
        keys, before = ids[at], np.full(len(at), -1)
        if rule.collapse:
            keys = ids[first][content[at]]
            before = _chains(ids[at], found[:, 2], found[:, 0] == 0)
        rows = Labelled(vectors[at], squares[at], never[at], values[at], keys)
        starts = np.cumsum(sizes) - sizes
        offered = int((found[:, 0] == 0).sum())
        return cls(rule, rows, offered, before, behind, starts, sizes), kind_of

    def __len__(self) -> int:
        return len(self.sizes)

    def part(self, rows: Ints) -> Kinds:
        """Those of ``rows``, ascending, which hold a chain whole or not at all."""
        place = np.full(len(self) + 1, -1)
        place[rows] = np.arange(len(rows))
        return Kinds(
            self.rule,
            self.rows.rows(rows),
            int(np.searchsorted(rows, self.offered)),
            place[self.before[rows]],  # -1 finds the last place, which is -1
            self.ids,
            self.starts[rows],
            self.sizes[rows],
        )

    def expanded(self, kinds: Ints, width: int) -> tuple[Ints, Ints]:
        """Places in ``kinds`` [m], and the ids behind each that a list of ``width`` can take."""
        sizes = np.minimum(self.sizes[kinds], 1 if self.rule.collapse else width)
        place = np.repeat(np.arange(len(kinds)), sizes)
        nth = np.arange(len(place)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return place, self.ids[self.starts[kinds][place] + nth]

    def first_for(self, asking: Labelled, askers: Ints, kinds: Ints) -> Flags:
        """Whether no kind of the same vector comes before each of ``kinds`` [m], bool [m].

        One that ``askers`` [m] of ``asking`` may not have does not count.
        """
        found = np.ones(len(kinds), dtype=np.bool_)
        at = self.before[kinds]
        left = np.flatnonzero(at >= 0)
        at = at[left]
        while len(left):
            stands = unlike(asking, askers[left], self.rows, at)
            found[left[stands]] = False
            at = self.before[at]
            on = ~stands & (at >= 0)
            left, at = left[on], at[on]
        return found


def unlike(a: Labelled, rows: Ints, b: Labelled, columns: Ints) -> Flags:
    """Whether ``rows`` of ``a`` and ``columns`` of ``b`` may be neighbors at all, bool [m]."""
    found = np.asarray(a.keys[rows] != b.keys[columns])
    for own, others in zip(a.never.T, b.never.T, strict=True):
        own_codes = own[rows]
        found &= (own_codes < 0) | (own_codes != others[columns])
    return found


def _chains(first_ids: Ints, contents: Ints, offered: Flags) -> Ints:
    """For each kind [r] the offered one before it of its content, by first id; -1 for none."""
    before = np.full(len(contents), -1)
    order = np.lexsort((first_ids, contents))
    order = order[offered[order]]
    same = contents[order[1:]] == contents[order[:-1]]
    before[order[1:][same]] = order[:-1][same]
    return before
