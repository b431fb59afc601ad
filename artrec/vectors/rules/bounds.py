"""Distances within which a row's list is full under its rule, from a few candidates.

A bound is the k-th least of the least costs of disjoint groups of candidates that the row may have,
if one of each group can stand in a list together: groups lie within a value, as many of each value
as may stand. Looked at are, for the rows of a cell, candidates of its block near the cell's center,
not too many of a value, for near ones are alike; and seeds from all blocks, which are as different
as can be. What is looked at decides how loose a bound is, not whether it holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artrec.vectors.cells import coordinates
from artrec.vectors.distance import Floats, Ints, Wides
from artrec.vectors.layout import Layout
from artrec.vectors.rules.kinds import Kinds, Labelled
from artrec.vectors.rules.lists import FREE, ranks
from artrec.vectors.rules.rule import Codes
from artrec.vectors.screen import Frame, Screen
from artrec.vectors.topk import orderable

__all__ = ["Bounds", "bound_rows", "seed_bounds", "seed_rows"]

_ENOUGH = 1024  # candidates near a cell, at the least
_SEEDS = 512
_GROUP = 4  # the least of four is much cheaper than an order of all
_ROWS = 512


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """``full`` [n]: distances within which each list is full; ``values`` [n, v]: within which as
    many of each value as may stand are known; ``own`` [n]: of the row's own value. +inf: unknown.
    """

    full: Floats
    values: Floats
    own: Floats

    @staticmethod
    def unknown(n: int, values: int) -> Bounds:
        return Bounds(
            np.full(n, np.inf, dtype=np.float32),
            np.full((n, values), np.inf, dtype=np.float32),
            np.full(n, np.inf, dtype=np.float32),
        )


def seed_rows(kinds: Kinds, width: int, most: int | None, seed: int = 0) -> Ints:
    """Rows that bound those of every block: any, but few of a value."""
    rows = np.random.default_rng(seed).permutation(_standing(kinds))
    if most is not None:
        values = kinds.rows.values[rows]
        rows = rows[(values == FREE) | (ranks(np.zeros(len(rows), np.int64), values) < most)]
    return np.sort(rows[: max(_SEEDS, 4 * width)])


def bound_rows(
    layout: Layout,
    kinds: Kinds,
    cells: Ints,
    seeds: Labelled,
    width: int,
    most: int | None,
    values: int,
) -> Bounds:
    """The bounds of ``kinds``, a block of ``layout`` whose rows have ``cells``.

    ``values``: of how many codes of the counted column the bounds are wanted one by one.
    """
    found = Bounds.unknown(len(kinds), values)
    standing = _standing(kinds)
    # A candidate counts once: seeds of the block itself are among its rows.
    elsewhere = seeds.rows(np.flatnonzero(~np.isin(seeds.keys, kinds.rows.keys)))
    candidates = kinds.rows.rows(standing).and_also(elsewhere)
    screen = Screen(layout.frame, candidates.vectors, candidates.squares)
    left, lengths = screen.left(kinds.rows.vectors, kinds.rows.squares)
    near = _Near(layout, kinds, standing, width, most)
    extra = np.arange(len(standing), len(candidates.keys))
    order = np.argsort(cells, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(cells[order])) + 1):
        if not len(rows):
            continue
        looked = np.concatenate((near.of(int(cells[rows[0]])), extra))
        groups = _Groups.of(candidates.values[looked], width, most)
        chosen = looked[groups.order]
        among = candidates.rows(chosen)
        right = screen.right[chosen]
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            costs = left[part] @ right.T
            costs[_alike(kinds.rows, part, among)] = np.inf
            groups.enter(found, part, kinds.rows.values[part], costs, screen, lengths[part], width)
    return found


def seed_bounds(
    frame: Frame, kinds: Kinds, seeds: Labelled, width: int, most: int | None, values: int
) -> Bounds:
    """The bounds of ``kinds`` from ``seeds`` alone; see :func:`bound_rows`."""
    found = Bounds.unknown(len(kinds), values)
    groups = _Groups.of(seeds.values, width, most)
    among = seeds.rows(groups.order)
    screen = Screen(frame, among.vectors, among.squares)
    left, lengths = screen.left(kinds.rows.vectors, kinds.rows.squares)
    for start in range(0, len(kinds), _ROWS):
        part = np.arange(start, min(start + _ROWS, len(kinds)))
        costs = left[part] @ screen.right.T
        costs[_alike(kinds.rows, part, among)] = np.inf
        groups.enter(found, part, kinds.rows.values[part], costs, screen, lengths[part], width)
    return found


def _standing(kinds: Kinds) -> Ints:
    """Rows that stand for those who may have them: of a chain the first."""
    return np.flatnonzero(kinds.before[: kinds.offered] < 0)


def _alike(rows: Labelled, part: Ints, among: Labelled) -> np.ndarray:
    """Which candidates each of ``part`` may not have, bool [p, m]."""
    found: np.ndarray = rows.keys[part, None] == among.keys
    for own, others in zip(rows.never.T, among.never.T, strict=True):
        found |= (own[part, None] == others) & (others >= 0)
    return found


class _Near:
    """Candidates of a block that are near a cell's center and not all alike."""

    def __init__(
        self, layout: Layout, kinds: Kinds, standing: Ints, width: int, most: int | None
    ) -> None:
        rows = kinds.rows
        self._enough = max(_ENOUGH, 4 * width)
        self._centers = layout.centers
        if most is not None:
            crowds, self._each = rows.values[standing], 4 * most
        elif rows.never.shape[1]:
            crowds, self._each = rows.never[standing, 0], self._enough // 4
        else:
            crowds, self._each = np.full(len(standing), FREE, np.int32), self._enough
        points = coordinates(layout.frame, rows.vectors[standing], rows.squares[standing])
        self._points = points
        self._halves: Wides = np.einsum("ij,ij->i", points, points, dtype=np.float64) / 2
        codes = np.unique(crowds, return_inverse=True)[1].reshape(-1).astype(np.uint64)
        self._free = crowds == FREE
        self._place_bits = np.uint64(max(1, len(standing)).bit_length())
        value_bits = int(codes.max(initial=0)).bit_length()
        self._dropped = np.uint64(max(0, value_bits + 32 + int(self._place_bits) - 64))
        self._codes = codes << np.uint64(64 - value_bits) if value_bits else codes * np.uint64(0)
        self._value_shift = np.uint64(64 - value_bits if value_bits else 63)

    def of(self, cell: int) -> Ints:
        """Places of the nearest among the standing rows."""
        size = len(self._points)
        costs = (self._halves - self._points @ self._centers[cell]).astype(np.float32)
        if self._each >= self._enough:
            return _least(costs, np.arange(size), self._enough)
        near = orderable(costs) >> self._dropped
        keys = self._codes | (near << self._place_bits) | np.arange(size, dtype=np.uint64)
        keys.sort()
        places = (keys & ((np.uint64(1) << self._place_bits) - np.uint64(1))).astype(np.int64)
        values = keys >> self._value_shift
        first = np.ones(size, dtype=np.bool_)
        first[1:] = values[1:] != values[:-1]
        nth = np.arange(size) - np.flatnonzero(first)[np.cumsum(first) - 1]
        kept = places[(nth < self._each) | self._free[places]]
        return _least(costs, kept, self._enough)


def _least(costs: Floats, places: Ints, most: int) -> Ints:
    """Those of ``places`` with the least costs, nearest first."""
    if len(places) > most:
        places = places[np.argpartition(costs[places], most - 1)[:most]]
    return places[np.argsort(costs[places], kind="stable")]


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Disjoint groups of candidates, of which one each can stand together.

    ``order`` [m] puts candidates group by group, ``starts`` [g] are where groups begin. Groups
    ``firsts[i]`` and the ``most - 1`` after it are those of value ``whole[i]``.
    """

    order: Ints
    starts: Ints
    whole: Codes
    firsts: Ints
    most: int

    @classmethod
    def of(cls, values: Codes, width: int, most: int | None) -> _Groups:
        size = len(values)
        nth = ranks(np.zeros(size, dtype=np.int64), values)
        free = int((values == FREE).sum())
        parts = max(1, free // max(1, min(_GROUP, free // (2 * width))))
        part = np.where(values == FREE, nth % parts, nth % (most or 1))
        order = np.lexsort((part, values))
        values, part = values[order], part[order]
        new = np.ones(size, dtype=np.bool_)
        new[1:] = (values[1:] != values[:-1]) | (part[1:] != part[:-1])
        starts = np.flatnonzero(new)
        of, firsts, sizes = np.unique(values[starts], return_index=True, return_counts=True)
        whole = (of != FREE) & (sizes == (most or 0))
        return cls(order, starts, of[whole], firsts[whole], most or 0)

    def enter(
        self,
        found: Bounds,
        rows: Ints,
        own: Codes,
        costs: Floats,
        screen: Screen,
        lengths: Wides,
        width: int,
    ) -> None:
        """Put what ``costs`` [r, m] of ``rows`` bound into ``found``."""
        if not len(self.starts):
            return
        least = np.minimum.reduceat(costs, self.starts, axis=1)
        if least.shape[1] >= width:
            kth = np.partition(least, width - 1, axis=1)[:, width - 1]
            found.full[rows] = _ceilings(screen, lengths, kth)
        if not len(self.whole):
            return
        steps = self.firsts[:, None] + np.arange(self.most)
        last = least[:, steps.reshape(-1)].reshape(len(rows), -1, self.most).max(axis=2)
        at = np.minimum(np.searchsorted(self.whole, own), len(self.whole) - 1)
        mine = np.where(self.whole[at] == own, last[np.arange(len(rows)), at], np.inf)
        found.own[rows] = _ceilings(screen, lengths, mine.astype(np.float32))
        if found.values.shape[1]:
            each = _ceilings(screen, np.repeat(lengths, last.shape[1]), last.reshape(-1))
            found.values[np.ix_(rows, self.whole)] = each.reshape(last.shape)


def _ceilings(screen: Screen, lengths: Wides, costs: Floats) -> Floats:
    """Distances for ``costs``, of which some are +inf: nothing known."""
    known = np.isfinite(costs)
    found = np.full(len(costs), np.inf, dtype=np.float32)
    found[known] = screen.ceilings(lengths[known], costs[known])
    return found
