"""A round of refinement: whoever stand in one list are offered to each other.

After NN-descent (Dong, Moses and Li, WWW 2011). The *circle* of a vector are the nearest of its
list and the nearest of those in whose lists it stands. Each two of one circle are measured, by one
product for each circle, and offered to each other unless one has looked at the other's cell. In
later rounds only pairs with a new entry are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artrec.vectors.approximate.field import NEVER, Field
from artrec.vectors.approximate.lists import Flags, Lists, Places, entries
from artrec.vectors.distance import Floats, Ints

__all__ = ["CIRCLE", "Circles", "circles", "refine"]

_FORWARD, _BACKWARD = 48, 16  # of a circle
CIRCLE = _FORWARD + _BACKWARD
_NEW = 24  # of them new, in later rounds
_BATCH = 1 << 20  # numbers of the vectors gathered at once


@dataclass(frozen=True, slots=True, eq=False)
class Circles:
    """Of some vectors those to be brought together, int32 [q, m], and the new of them [q, p].

    Places left over hold -1. Where all are new, ``new`` is ``all`` itself.
    """

    all: Places
    new: Places

    @property
    def products(self) -> int:
        return int(self.all.size) * int(self.new.shape[1])


def circles(lists: Lists) -> Circles:
    """The circles of all vectors that have new entries in them."""
    forward, forward_new = lists.others(width=_FORWARD), lists.new(_FORWARD)
    backward, backward_new = _backward(lists, forward, forward_new)
    everyone = np.concatenate((forward, backward), axis=1)
    new = np.concatenate((forward_new, backward_new), axis=1)
    if new.sum() == (everyone >= 0).sum():
        return Circles(everyone, everyone)
    first = np.argsort(~new, axis=1, kind="stable")
    everyone = np.take_along_axis(everyone, first, axis=1)
    most = min(_NEW, everyone.shape[1])
    counts = np.minimum(new.sum(axis=1), most)
    fresh = np.where(np.arange(most) < counts[:, None], everyone[:, :most], np.int32(-1))
    kept = np.flatnonzero(counts)
    return Circles(everyone[kept], fresh[kept])


def _backward(lists: Lists, forward: Places, new: Flags) -> tuple[Places, Flags]:
    """Of each vector the nearest in whose lists it stands without their standing in its own."""
    rows, places = np.nonzero(forward >= 0)
    others, costs = forward[rows, places], lists.costs(width=forward.shape[1])
    last = costs[:, -1]
    costs = costs[rows, places]
    only = np.flatnonzero(costs > last[others])
    found = Lists.empty(len(forward), _BACKWARD)
    marks = new[rows[only], places[only]]
    found.offer(others[only], entries(costs[only], rows[only].astype(np.int32), marks))
    found.settle()
    return found.others(), found.new(_BACKWARD)


def refine(field: Field, around: Circles) -> int:
    """Bring those of each circle together: the products made."""
    lists = field.lists
    lists.grow_old()
    lists.repeated = True
    step = max(1, _BATCH // (around.all.shape[1] * field.left.shape[1]))
    for start in range(0, len(around.all), step):
        part = slice(start, start + step)
        everyone = around.all[part]
        new = everyone if around.new is around.all else around.new[part]
        _bring(field, everyone, new)
        if lists.crowded:
            lists.settle()
    lists.settle()
    return around.products


def _bring(field: Field, everyone: Places, new: Places) -> None:
    """Offer to each other all of ``new`` [b, p] and ``everyone`` [b, m], whose first are the new.

    A cost is below a limit where ``nearness``, its negative but for the half square of the row, is
    above what is left of that; places left over are further than anything.
    """
    limits, height = field.lists.limits, new.shape[1]
    vectors = field.left.take(everyone, axis=0)[:, :, : field.dim]
    halves = np.where(everyone >= 0, field.halves[everyone], np.float32(np.inf))
    allowed = np.where(everyone >= 0, limits[everyone], np.float32(0))
    rows = np.where(new >= 0, halves[:, :height], np.float32(np.inf))
    nearness = vectors[:, :height] @ vectors.swapaxes(1, 2)
    nearness -= halves[:, None, :]
    within = nearness > (rows - np.where(new >= 0, allowed[:, :height], np.float32(0)))[:, :, None]
    within |= nearness + allowed[:, None, :] > rows[:, :, None]
    within &= np.arange(everyone.shape[1]) > np.arange(height)[:, None]  # each pair once
    _offer(field, everyone, nearness, np.flatnonzero(within))


def _offer(field: Field, everyone: Places, nearness: Floats, at: Ints) -> None:
    _, height, width = nearness.shape
    row = at // width
    circle = row // height
    members = everyone.reshape(-1)
    here = members[row + circle * (width - height)]
    there = members[at - (row - circle) * width]
    for _ in range(2):  # from both ends, in the end as they were
        unseen = np.flatnonzero(field.levels[here, field.cells[there]] == NEVER)
        here, there, at = there[unseen], here[unseen], at[unseen]
    costs = field.halves[here] - nearness.reshape(-1)[at]
    limits = field.lists.limits
    for one, other in ((here, there), (there, here)):
        near = np.flatnonzero(costs < limits[one])
        field.lists.offer(one[near], entries(costs[near], other[near]))
