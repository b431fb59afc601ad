"""What is kept of a ruled join, how far it is complete, and what is published of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artrec.errors import ConfigError
from artrec.vectors.distance import Floats, Ints
from artrec.vectors.join import LAST_NO
from artrec.vectors.rules.lists import FREE, Lists, ranks, take
from artrec.vectors.rules.rule import Codes, Flags, Rule
from artrec.vectors.topk import NOBODY

__all__ = [
    "RuledPools",
    "SHORTAGES",
    "by_value",
    "finished",
    "published",
    "shortages",
    "without",
]

SHORTAGES = ("", "no_label", "few_candidates", "few_left", "unexplained")
"""Why a list is short: it is not; the row has no value to be within; the conditions leave too few
candidates; they leave enough, but too few when copies are collapsed and values counted. Or entries
are missing that nothing explains: never of a sound table.
"""


@dataclass(frozen=True, slots=True, eq=False)
class RuledPools:
    """Of each of n entities the nearest others under a rule, and how far they reach.

    ``lists`` [n, size] hold at most ``most`` of a value, which may be more than are to stand: the
    spare ones come in when others go. ``ends`` bool [n, size]: entries behind which others of the
    same value may be that are not in the list.

    ``radius`` float32 and ``radius_id`` int64 [n]: let the rule take its own number of each value
    from all candidates, without an end. Whatever it takes up to and with the radius is in the list;
    all of it, where the radius is (+inf, LAST_NO). ``permitted`` int64 [n]: candidates that the
    conditions leave, before copies are collapsed and values counted; ``nowhere`` bool [n]: the row
    lacks a label to be within.

    Proof: the list holds the first ``size`` of the ``most`` nearest of each value, and ``most`` is
    not less than the rule's number. See :func:`without` for what goes.
    """

    rule: Rule
    lists: Lists
    ends: Flags
    radius: Floats
    radius_id: Ints
    permitted: Ints
    nowhere: Flags

    def taken(self, rows: Ints) -> RuledPools:
        """Those of ``rows``."""
        old = self.lists
        return RuledPools(
            self.rule,
            Lists(old.distances[rows], old.ids[rows], old.values[rows]),
            self.ends[rows],
            self.radius[rows],
            self.radius_id[rows],
            self.permitted[rows],
            self.nowhere[rows],
        )

    @property
    def complete(self) -> Flags:
        """Lists, bool [n], that hold all that the rule would ever take."""
        return np.asarray(np.isinf(self.radius) & (self.radius > 0))


def finished(
    lists: Lists, rule: Rule, most: int | None, allowed: Ints, nowhere: Flags
) -> RuledPools:
    """The pools of lists [n, size + 1]: what the last place holds says whether they were cut."""
    size = lists.ids.shape[1] - 1
    cut = lists.ids[:, size] != NOBODY
    kept = Lists(lists.distances[:, :size], lists.ids[:, :size], lists.values[:, :size])
    ends = np.zeros(kept.ids.shape, dtype=np.bool_)
    if most is not None:
        at = np.nonzero(kept.ids != NOBODY)
        values = kept.values[at]
        ends[at] = (values != FREE) & (ranks(at[0], values) == most - 1)
    return RuledPools(
        rule,
        kept,
        ends,
        np.where(cut, kept.distances[:, -1], np.float32(np.inf)),
        np.where(cut, kept.ids[:, -1], LAST_NO),
        allowed,
        nowhere,
    )


def published(pools: RuledPools, k: int) -> tuple[Lists, Flags]:
    """The lists [n, k] that the rule takes, and which rows, bool [n], must be joined anew.

    These have fewer than ``k`` entries and a radius, beyond which there may be others.
    """
    n, size = pools.lists.ids.shape
    if not 1 <= k <= size:
        raise ConfigError(f"of pools of {size} between 1 and {size} can be published, not {k}")
    lists = take(*pools.lists.flat(), n, k, pools.rule.most)
    return lists, (lists.counts < k) & ~pools.complete


def shortages(pools: RuledPools, lists: Lists) -> NDArray[np.int8]:
    """For each of ``lists`` [n, k] the place of its reason in SHORTAGES, 0 for a full one."""
    k = lists.ids.shape[1]
    reasons = [lists.counts == k, pools.nowhere, pools.permitted < k]
    return np.select(reasons, [0, 1, 2], 3).astype(np.int8)


def without(
    pools: RuledPools, gone: Ints, copied: Ints | None = None, left: Ints | None = None
) -> RuledPools:
    """The pools after ``gone`` int64 [g] have left; their own rows stay and mean nothing.

    While of a value that has an end as many are left as may stand, nobody misses what is behind the
    end. Where fewer are left, the list is known up to the end alone, and is cut there. An end that
    goes moves to the entry of its value before it. There is none where the list is cut at it, or
    holds all there are: ``left`` int64 [ids] counts, for each id, those of its value in its group
    that may stand and have not gone.

    With ``collapse`` a copy may stand in for what goes, with another value: just behind one that is
    in the list, or behind an end for one that was not. So the list is known up to the first of
    ``copied``, those of ``gone`` that have equal vectors (None: all of them), and if there are any,
    to the first end. ``permitted`` stays what it was.
    """
    lists, most = pools.lists, pools.rule.most or 0
    rows, places = np.nonzero(lists.ids != NOBODY)
    ids, ended = lists.ids[rows, places], pools.ends[rows, places]
    stays = ~np.isin(ids, gone)
    of = by_value(rows, lists.values[rows, places])
    known = np.bincount(of, weights=stays)[of] if len(of) else np.zeros(0)
    if left is not None:
        ended = ended & (known < left[ids])
    short = ended & (known < most)
    edge = np.full(len(lists.ids), lists.ids.shape[1])  # the last place that is known
    np.minimum.at(edge, rows[short], places[short])
    copied = gone if copied is None else np.intersect1d(gone, copied)
    if pools.rule.collapse and len(copied):
        doubtful = pools.ends[rows, places] | np.isin(ids, copied)
        np.minimum.at(edge, rows[doubtful], places[doubtful])
    last = np.full(len(of), -1)
    np.maximum.at(last, of[stays], np.flatnonzero(stays))
    moved = last[of[ended & ~short]]  # of a short one all is known as far as the list reaches
    ended = np.zeros(len(of), dtype=np.bool_)
    ended[moved[moved >= 0]] = True
    kept = stays & (places <= edge[rows])
    return _cut(pools, edge, rows[kept], places[kept], ended[kept])


def by_value(rows: Ints, values: Codes) -> Ints:
    """For each of m entries the number of its row and value together, from 0 on."""
    keys = rows * (int(values.max(initial=0)) + 2) + values
    return np.asarray(np.unique(keys, return_inverse=True)[1].reshape(-1), np.int64)


def _cut(pools: RuledPools, edge: Ints, rows: Ints, places: Ints, ended: Flags) -> RuledPools:
    """Pools of the entries at ``rows`` and ``places``, in order, known up to place ``edge`` [n]."""
    old, n = pools.lists, len(edge)
    size = old.ids.shape[1]
    lists, ends = Lists.empty(n, size), np.zeros((n, size), dtype=np.bool_)
    where = (rows, np.arange(len(rows)) - np.searchsorted(rows, np.arange(n))[rows])
    lists.distances[where] = old.distances[rows, places]
    lists.ids[where] = old.ids[rows, places]
    lists.values[where] = old.values[rows, places]
    ends[where] = ended
    radius, radius_id = pools.radius.copy(), pools.radius_id.copy()
    cut = np.flatnonzero(edge < size)
    radius[cut], radius_id[cut] = old.distances[cut, edge[cut]], old.ids[cut, edge[cut]]
    return RuledPools(pools.rule, lists, ends, radius, radius_id, pools.permitted, pools.nowhere)
