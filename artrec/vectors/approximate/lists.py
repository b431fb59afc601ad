"""The nearest so far of many vectors, as rows of sorted numbers.

An entry is one number: its cost, as ``orderable`` gives it, in the upper 32 bits, then the position
of the other vector, and in the last bit whether it is new. Rows of such numbers sort many times as
fast as places by keys, and what is offered to them finds its row by a sort of 16-bit numbers, which
takes no comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from artrec.vectors.distance import Floats, Ints
from artrec.vectors.topk import orderable

__all__ = ["Entries", "Flags", "Lists", "Places", "entries", "from_orderable"]

Places = NDArray[np.int32]
Flags = NDArray[np.bool_]
Entries = NDArray[np.uint64]

_EMPTY = np.uint64(2**64 - 1)
_HALF, _ONE = np.uint64(32), np.uint64(1)
_POSITION = np.uint64(2**31 - 1)
_GROUP = 1 << 16  # rows that a 16-bit number tells apart
_SLAB = 1 << 11  # rows merged at once


def entries(costs: Floats, others: Places, new: Flags | None = None) -> Entries:
    """Entries [m] of ``costs`` and positions [m]; all new unless told."""
    keys = orderable(costs) << _HALF
    keys |= others.astype(np.uint64) << _ONE
    keys |= _ONE if new is None else new
    return keys


@dataclass(slots=True, eq=False)
class Lists:
    """``entries`` [r, w], each row ascending, and ``limits`` float32 [r], the costs of the last
    (+inf where there is room). What is offered waits until :meth:`settle`.
    """

    entries: Entries
    limits: Floats
    repeated: bool = False  # whether a pair may be offered that is listed already
    waiting: list[tuple[Places, Entries]] = field(default_factory=list)
    count: int = 0

    @classmethod
    def empty(cls, rows: int, width: int) -> Lists:
        return cls(np.full((rows, width), _EMPTY), np.full(rows, np.inf, np.float32))

    @property
    def width(self) -> int:
        return int(self.entries.shape[1])

    @property
    def crowded(self) -> bool:
        return self.count > max(1 << 20, self.entries.size)

    def others(self, rows: Ints | slice = slice(None), width: int | None = None) -> Places:
        """The positions listed, int32 [q, w], -1 where there is room."""
        part = self.entries[rows, :width]
        found = ((part >> _ONE) & _POSITION).astype(np.int32)
        found[part == _EMPTY] = -1
        return found

    def costs(self, rows: Ints | slice = slice(None), width: int | None = None) -> Floats:
        """The costs listed, float32 [q, w], +inf where there is room."""
        return _costs(self.entries[rows, :width])

    def new(self, width: int) -> Flags:
        """Which of the first are new, bool [r, width]."""
        part = self.entries[:, :width]
        found: Flags = (part & _ONE != 0) & (part != _EMPTY)
        return found

    def grow_old(self) -> None:
        """Nothing that is listed is new any more."""
        self.entries[self.entries != _EMPTY] &= ~_ONE

    def offer(self, rows: Places, found: Entries) -> None:
        if len(rows):
            self.waiting.append((rows, found))
            self.count += len(rows)

    def settle(self) -> None:
        """Merge what waits: of each row the least stay, of a repeated pair one."""
        if not self.waiting:
            return
        rows, found = (np.concatenate(part) for part in zip(*self.waiting, strict=True))
        self.waiting, self.count = [], 0
        for first in range(0, len(self.entries), _GROUP):
            own: Ints | slice = slice(None)
            if len(self.entries) > _GROUP:
                own = np.flatnonzero((rows >= first) & (rows < first + _GROUP))
            at = (rows[own] - np.int32(first)).astype(np.uint16)
            order = np.argsort(at, kind="stable")
            size = min(_GROUP, len(self.entries) - first)
            self.merge(first, np.bincount(at, minlength=size), found[own][order])

    def merge(self, first: int, counts: Ints, found: Entries) -> None:
        """Merge ``found`` [m]: of them the rows from ``first`` on get ``counts``, in turn."""
        starts = np.cumsum(counts) - counts
        by_count = np.argsort(counts, kind="stable")
        by_count = by_count[np.searchsorted(counts[by_count], 1) :]
        for start in range(0, len(by_count), _SLAB):
            rows = by_count[start : start + _SLAB]  # of about as many: little is left empty
            nth = np.arange(counts[rows[-1]])
            at = np.minimum(starts[rows, None] + nth, len(found) - 1)
            offered = np.where(nth < counts[rows, None], found[at], _EMPTY)
            held = self.entries[first + rows]
            if len(nth) >= self.width and (held[:, 0] == _EMPTY).all():
                merged = offered
            else:
                merged = np.concatenate((held, offered), axis=1)
            if self.repeated:
                _drop_repeated(merged)
            merged.sort(axis=1)
            self.entries[first + rows] = merged[:, : self.width]
            self.limits[first + rows] = _costs(merged[:, self.width - 1])


def _drop_repeated(merged: Entries) -> None:
    """Leave each pair once in a row: as it was listed, or else at its least cost."""
    turned = merged << _HALF
    turned |= merged >> _HALF
    turned.sort(axis=1)
    other = turned >> (_HALF + _ONE)
    turned[:, 1:] |= (other[:, 1:] != other[:, :-1]) - _ONE  # all bits where it is the same
    np.left_shift(turned, _HALF, out=merged)
    merged |= turned >> _HALF


def _costs(found: Entries) -> Floats:
    """The costs of entries; +inf of empty ones."""
    costs = from_orderable(found >> _HALF)
    return np.where(found == _EMPTY, np.float32(np.inf), costs)


def from_orderable(keys: Entries) -> Floats:
    """The inverse of ``orderable``."""
    bits = keys.astype(np.uint32)
    return np.where(bits >> 31, bits & np.uint32((1 << 31) - 1), ~bits).view(np.float32)
