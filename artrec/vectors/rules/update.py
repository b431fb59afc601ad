"""Pools under a rule kept up to date: what was added joins, what is gone leaves.

A pool is known up to its radius and, of a value that has an end, up to that
(:class:`artrec.vectors.rules.pools.RuledPools`). Deletions leave both (see :func:`without`), and an
addition enters within both or is not missed. What enters may push a value over its limit, which
then ends earlier, or the list over its size, which then reaches less far. A list from which the
rule can no longer take k, though there may be others, is joined anew.

With ``collapse`` the copies of a vector are one candidate, whose face may change with any of them.
So they leave and come together: where one is added or goes, all do, and no copy is left that could
stand in for another. Those that come back ask anew, like those that are added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from artrec.errors import ConfigError, InputError
from artrec.vectors.distance import (
    Floats,
    Ints,
    check_dimensions,
    check_metric,
    check_vectors,
    squared_norms,
)
from artrec.vectors.join import LAST_NO, distinct
from artrec.vectors.rules.join import conditions_of
from artrec.vectors.rules.lists import FREE, Lists, ranks
from artrec.vectors.rules.pools import RuledPools, by_value, finished, published, without
from artrec.vectors.rules.rule import Codes, Entities, Flags, Rule
from artrec.vectors.rules.visiting import Party, Visit
from artrec.vectors.sieve import Tiling
from artrec.vectors.topk import NOBODY, order_entries

__all__ = ["Updated", "admitted", "renumbered", "update"]


@dataclass(frozen=True, slots=True, eq=False)
class Updated:
    """The entities that are there now, their pools, and what it took.

    ``met``: rows that were added or came back, and met everybody; ``recomputed``: those that stayed
    and were joined anew all the same.
    """

    entities: Entities
    pools: RuledPools
    met: int
    recomputed: int
    products: int


def update(
    pools: RuledPools,
    live: Entities,
    added: Entities,
    gone: Ints,
    *,
    k: int,
    metric: str,
    spare: int = 0,
    tiling: Tiling | None = None,
) -> Updated:
    """The pools of ``live`` without the rows ``gone`` int64 [g] and with ``added``.

    The first k that are published of them are those of a join from nothing. ``live`` and ``added``
    are narrowed, ``pools`` those of ``live``, made with the same ``spare``. For tables that fit
    into memory; a stage does the same with ranges of rows, by :func:`without`, :func:`renumbered`,
    :class:`Visit` and :func:`admitted`.
    """
    rule, size = pools.rule, pools.lists.ids.shape[1]
    check_metric(metric)
    check_vectors(added.vectors, added.numbers, metric)
    check_dimensions("added vectors", added.vectors, "those before", live.vectors)
    _check(pools, live, gone, k)
    most = None if rule.most is None else rule.most + spare
    now, before = _together(rule, live, added, gone)
    leaving = _leaving(rule, live, now, before, gone)
    stays = np.flatnonzero(~np.isin(np.arange(len(live.numbers)), leaving))
    to = np.full(len(live.numbers), -1)
    came = np.isin(before, leaving) | (before < 0)
    to[before[~came]] = np.flatnonzero(~came)
    valued = _valued(pools.taken(stays), live, rule)
    kept = without(valued, leaving, np.zeros(0, np.int64), _left(rule, live, stays))
    kept = renumbered(kept, to)
    everybody = _party(rule, now)
    visit = Visit(rule, size, most, metric, tiling or Tiling())
    visitors = everybody.rows(np.flatnonzero(came))
    met = visit.meet(everybody, visitors, kept, to[stays])
    kept = admitted(kept, met.asking, most)
    short = np.flatnonzero(published(kept, k)[1])
    asking = replace(everybody.rows(to[stays][short]), stands=np.zeros(len(short), np.bool_))
    again = visit.meet(everybody, asking)
    lists = Lists.empty(len(now.numbers), size + 1)
    _put(lists, visitors.ids, met.visitors)
    _put(lists, asking.ids, again.visitors)
    found = finished(lists, rule, most, *conditions_of(now, rule))
    rest = np.delete(np.arange(len(stays)), short)
    done = _placed(found, to[stays][rest], kept.taken(rest))
    return Updated(now, done, len(visitors.ids), len(short), met.products + again.products)


def renumbered(pools: RuledPools, to: Ints) -> RuledPools:
    """``pools`` of which id i is ``to[i]`` now, in the same order; -1 for those in no list.

    Others may have come between the old ones: of those as far as the radius, a list reaches to the
    last old one that is within.
    """
    lists = pools.lists
    ids = np.where(lists.ids == NOBODY, NOBODY, np.append(to, NOBODY)[lists.ids])
    last = np.append(np.maximum.accumulate(to), -1)  # the place -1 is that of nobody
    ends = pools.radius_id != LAST_NO
    radius_id = np.where(ends, last[np.where(ends, pools.radius_id, 0)], LAST_NO)
    return replace(pools, lists=replace(lists, ids=ids), radius_id=radius_id)


def admitted(pools: RuledPools, found: Lists, most: int | None) -> RuledPools:
    """``pools`` [n] with what their rows have ``found``, as far as they reach.

    What has found ``most`` of a value may have left out others of it behind them.
    """
    n, size = pools.lists.ids.shape
    rows, distances, ids, values = found.flat()
    new = np.flatnonzero(_within(pools, rows, distances, ids, values))
    full = np.zeros(len(rows), np.bool_)
    if most is not None:
        full = (values != FREE) & (ranks(rows, values) == most - 1)
    places = np.nonzero(pools.lists.ids != NOBODY)
    rows = np.concatenate((places[0], rows[new]))
    distances = np.concatenate((pools.lists.distances[places], distances[new]))
    ids = np.concatenate((pools.lists.ids[places], ids[new]))
    values = np.concatenate((pools.lists.values[places], values[new]))
    ended = np.concatenate((pools.ends[places], full[new]))
    order, rows = order_entries(rows, distances, ids)
    values, ended = values[order], ended[order]
    if most is not None:
        kept, ended = _counted_off(rows, values, ended, most)
        order, rows, values, ended = order[kept], rows[kept], values[kept], ended[kept]
    place = np.arange(len(rows)) - np.searchsorted(rows, np.arange(n))[rows]
    kept = np.flatnonzero(place < size)
    where = (rows[kept], place[kept])
    lists, ends = Lists.empty(n, size), np.zeros((n, size), np.bool_)
    lists.distances[where], lists.ids[where] = distances[order[kept]], ids[order[kept]]
    lists.values[where], ends[where] = values[kept], ended[kept]
    cut = np.bincount(rows, minlength=n) > size
    return replace(
        pools,
        lists=lists,
        ends=ends,
        radius=np.where(cut, lists.distances[:, -1], pools.radius),
        radius_id=np.where(cut, lists.ids[:, -1], pools.radius_id),
    )


def _within(pools: RuledPools, rows: Ints, distances: Floats, ids: Ints, values: Codes) -> Flags:
    """Entries up to the radius of their row and the end of their value, bool [m]."""
    radius, last = pools.radius[rows], pools.radius_id[rows]
    found = np.asarray((distances < radius) | ((distances == radius) & (ids <= last)))
    at = np.nonzero(pools.ends)
    both = by_value(np.concatenate((at[0], rows)), np.concatenate((pools.lists.values[at], values)))
    of_end, of = both[: len(at[0])], both[len(at[0]) :]
    end = np.full(int(both.max(initial=0)) + 1, -1)
    end[of_end] = np.arange(len(of_end))
    mine = end[of]
    some = np.flatnonzero(mine >= 0)
    far, no = pools.lists.distances[at][mine[some]], pools.lists.ids[at][mine[some]]
    found[some] &= (distances[some] < far) | ((distances[some] == far) & (ids[some] <= no))
    return found


def _counted_off(rows: Ints, values: Codes, ended: Flags, most: int) -> tuple[Ints, Flags]:
    """Of entries in order those that stay, ``most`` of a value; and where values end, [m].

    A value ends at its last that stays, if it had an end or one of it does not stay.
    """
    kept = (values == FREE) | (ranks(rows, values) < most)
    of = by_value(rows, values)
    closes = np.zeros(int(of.max(initial=0)) + 1, np.bool_)
    closes[of[ended | ~kept]] = True
    last = np.full(len(closes), -1)
    np.maximum.at(last, of[kept], np.flatnonzero(kept))
    ends = np.zeros(len(rows), np.bool_)
    ends[last[closes & (last >= 0)]] = True
    return np.flatnonzero(kept), ends


def _check(pools: RuledPools, live: Entities, gone: Ints, k: int) -> None:
    n, size = pools.lists.ids.shape
    if n != len(live.numbers):
        raise InputError(f"{n} pools are not those of {len(live.numbers)} live entities")
    if not 1 <= k <= size:
        raise ConfigError(f"pools of {size} cannot publish {k}: 1 to {size}")
    unknown = gone[(gone < 0) | (gone >= n)]
    if len(unknown):
        raise InputError(f"row {unknown[0]} is gone but was not there: there were {n}")


def _together(rule: Rule, live: Entities, added: Entities, gone: Ints) -> tuple[Entities, Ints]:
    """The entities that are there now, and of each the row of ``live`` that it was, or -1."""
    stay = np.setdiff1d(np.arange(len(live.numbers)), gone)
    numbers = np.concatenate((live.numbers[stay], added.numbers))
    order = np.argsort(numbers, kind="stable")
    whole = Entities(
        numbers[order],
        np.concatenate((live.vectors[stay], added.vectors))[order],
        np.concatenate((live.labels[stay], added.labels))[order],
        np.concatenate((live.offered(rule)[stay], added.offered(rule)))[order],
    )
    whole.check(rule)
    now, of = whole.narrowed(rule)
    before = np.empty(len(of), np.int64)
    before[of] = np.concatenate((stay, np.full(len(added.numbers), -1)))[order]
    return now, before


def _leaving(rule: Rule, live: Entities, now: Entities, before: Ints, gone: Ints) -> Ints:
    """Rows of ``live`` that are gone; with ``collapse`` also those that share a vector with what
    is gone or new."""
    if not rule.collapse:
        return np.unique(gone)
    new = now.vectors[before < 0]
    vectors = np.concatenate((live.vectors, new))
    content = distinct(vectors, squared_norms(vectors))[1]
    touched = np.concatenate((content[gone], content[len(live.numbers) :]))
    return np.flatnonzero(np.isin(content[: len(live.numbers)], touched))


def _left(rule: Rule, live: Entities, stays: Ints) -> Ints | None:
    """For each row of ``live`` how many of its value and its group stay and may stand."""
    if rule.at_most is None:
        return None
    codes = live.labels[:, (*rule.within, rule.at_most[1])]
    of = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
    weights = live.offered(rule)[stays]
    return np.bincount(of[stays], weights=weights, minlength=len(of))[of].astype(np.int64)


def _valued(pools: RuledPools, live: Entities, rule: Rule) -> RuledPools:
    """``pools`` whose values are the codes of ``live``: a join counts those of a group anew."""
    if rule.at_most is None:
        return pools
    codes = np.append(live.labels[:, rule.at_most[1]], np.int32(FREE))
    return replace(pools, lists=replace(pools.lists, values=codes[pools.lists.ids]))


def _party(rule: Rule, now: Entities) -> Party:
    ids = np.arange(len(now.numbers))
    keys = ids
    if rule.collapse and len(ids):
        first, copy_of = distinct(now.vectors, squared_norms(now.vectors))
        keys = first[copy_of]
    return Party(ids, now.vectors, now.labels, now.offered(rule), keys)


def _put(lists: Lists, rows: Ints, found: Lists) -> None:
    lists.distances[rows], lists.ids[rows] = found.distances, found.ids
    lists.values[rows] = found.values


def _placed(pools: RuledPools, rows: Ints, others: RuledPools) -> RuledPools:
    """``pools`` [n] with ``others`` at ``rows``."""
    _put(pools.lists, rows, others.lists)
    pools.ends[rows] = others.ends
    pools.radius[rows], pools.radius_id[rows] = others.radius, others.radius_id
    return pools
