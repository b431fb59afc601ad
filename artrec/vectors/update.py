"""Pools kept up to date: what was added joins, what is gone leaves, little is computed anew.

A pool knows how far it reaches: every other vector up to and with its radius is in its list
(:class:`artrec.vectors.join.Pools`). That stays true if additions within the radius enter and
others are dropped, and if entries that are gone leave while the radius stays. A list that grows
past its size is cut, and reaches to its new last entry. One that has fewer than k entries left and
does not hold everybody is joined anew. So the first k of each list are those of a join from
nothing; beyond them a list may be shorter, for it forgets what it does not need.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from artrec.errors import ConfigError, InputError
from artrec.vectors.distance import Floats, Ints, check_dimensions, check_metric, check_vectors
from artrec.vectors.join import LAST_NO, Block, Pools, join
from artrec.vectors.pairs import Entries, Side, meet
from artrec.vectors.screen import Frame
from artrec.vectors.selfjoin import Laid
from artrec.vectors.sieve import Tiling
from artrec.vectors.topk import NOBODY, select

__all__ = [
    "Staying",
    "bounds_among",
    "lacking_rows",
    "met",
    "refreshed",
    "short_rows",
    "update",
    "widest",
]


def update(
    pools: Pools,
    live: Block,
    added: Block,
    gone: Ints,
    *,
    k: int,
    metric: str,
    tiling: Tiling | None = None,
) -> Pools:
    """The pools of ``live`` without ``gone`` and with ``added``, their first k exact.

    Raises InputError for pools that are not exact themselves: see :meth:`Pools.incomplete`.

    ``pools`` are those of ``live``; ``gone`` int64 [g] are numbers of live vectors; the numbers
    added are none of theirs. For tables that fit into memory; a larger one is updated block by
    block with :func:`refreshed`, :func:`short_rows` and :func:`join`.
    """
    size = pools.others.shape[1]
    if not np.array_equal(pools.numbers, live.numbers):
        raise InputError("these pools are not those of the live vectors")
    unknown = gone[~np.isin(gone, live.numbers)]
    if len(unknown):
        raise InputError(f"vector_no {unknown[0]} is gone but was not there")
    again = added.numbers[np.isin(added.numbers, live.numbers)]
    if len(again):
        raise InputError(f"vector_no {again[0]} is added but was there already")
    if not 1 <= k <= size:
        raise ConfigError(f"pools of {size} cannot publish {k}: 1 to {size}")
    left = ~np.isin(live.numbers, gone)
    stay = Block(live.numbers[left], live.vectors[left])
    total = len(stay.numbers) + len(added.numbers)
    whole = (stay, added)
    kept = refreshed(pools.taken(left), stay, added, gone, metric=metric, tiling=tiling)
    parts = [kept]
    if len(added.numbers):
        parts.append(join(added, whole, k=size, metric=metric, total=total, tiling=tiling))
    short = short_rows(kept, k)
    if len(short):
        queries = Block(stay.numbers[short], stay.vectors[short])
        parts[0] = kept.taken(np.delete(np.arange(len(kept.numbers)), short))
        parts.append(join(queries, whole, k=size, metric=metric, total=total, tiling=tiling))
    return Pools.together(parts)


def refreshed(
    pools: Pools,
    rows: Block,
    added: Block,
    gone: Ints,
    *,
    metric: str,
    tiling: Tiling | None = None,
) -> Pools:
    """``pools`` of ``rows``, which all stay, after ``added`` has come and ``gone`` has left.

    Each reaches as far as before, or to where it was cut. Raises as :func:`join` does.
    """
    check_metric(metric)
    _refuse_incomplete(pools)
    check_vectors(rows.vectors, rows.numbers, metric)
    check_vectors(added.vectors, added.numbers, metric)
    check_dimensions("added vectors", added.vectors, "those that stay", rows.vectors)
    staying = Staying(pools, rows, metric, tiling or Tiling())
    staying.leave(gone)
    if len(added.numbers) and len(rows.numbers):
        staying.meet(Laid.of(added.numbers, added.vectors, pools.others.shape[1] + 1))
    return staying.refreshed()


class Staying:
    """``pools`` of ``rows``, which all stay, while what is gone leaves and what is added passes.

    Nothing is checked. Of an approximate list, whose radius is -inf and stays so, what is nearer
    than its last entry enters.
    """

    def __init__(self, pools: Pools, rows: Block, metric: str, tiling: Tiling) -> None:
        self._pools, self._metric, self._tiling = pools, metric, tiling
        self._kept = pools.others != NOBODY
        self._reach, self._reach_no = _reaches(pools)
        self._laid = Laid.of(rows.numbers, rows.vectors, self._width)
        self._ceilings = widest(self._laid, self._reach)
        self._found: list[tuple[Ints, Floats, Ints]] = []

    @property
    def _width(self) -> int:
        return int(self._pools.others.shape[1]) + 1  # one more shows that a list is cut

    def leave(self, gone: Ints) -> None:
        """Take ``gone`` [g] out of the lists."""
        if len(gone):
            numbers, listed = np.sort(gone), self._pools.others
            place = np.minimum(np.searchsorted(numbers, listed), len(numbers) - 1)
            self._kept &= numbers[place] != listed  # np.isin would sort the lists

    def meet(self, added: Laid, ceilings: Floats | None = None) -> tuple[Entries, int]:
        """Let ``added``, of which none is a row, pass, at the cost of as many products as returned.

        With the ``ceilings`` [r] of its distinct vectors each product counts for its column too:
        what they find among the rows is returned, and as much as their lists can take at least.
        """
        asked = ceilings is not None
        far = np.full(len(added.first), np.inf, np.float32) if ceilings is None else ceilings
        own, other, products = met(
            (self._laid, self._ceilings),
            (added, far),
            width=self._width,
            metric=self._metric,
            tiling=self._tiling,
            both=asked,
        )
        self._enter(own)
        return other, products

    def _enter(self, entries: Entries) -> None:
        """Keep of what distinct vectors found what is within the reach of their rows."""
        leaders, distances, others = entries.flat()
        of, place = _copies(leaders, self._laid.copy_of)
        distances, others = distances[place], others[place]
        within = distances < self._reach[of]
        within |= (distances == self._reach[of]) & (others <= self._reach_no[of])
        self._found.append((of[within], distances[within], others[within]))

    def refreshed(self) -> Pools:
        """The pools as they are now."""
        pools, (n, size) = self._pools, self._pools.others.shape
        places = np.nonzero(self._kept)
        found = [(places[0], pools.distances[places], pools.others[places]), *self._found]
        of, distances, others = (np.concatenate(parts) for parts in zip(*found, strict=True))
        lists = select(of, distances, others, n, size)
        cut = (np.bincount(of, minlength=n) > size) & ~np.isneginf(pools.radius)
        return Pools(
            numbers=pools.numbers,
            others=lists.ids,
            distances=lists.distances,
            counts=lists.counts.astype(np.int32),
            radius=np.where(cut, lists.distances[:, -1], pools.radius),
            radius_no=np.where(cut, lists.ids[:, -1], pools.radius_no),
        )


def met(
    one: tuple[Laid, Floats],
    other: tuple[Laid, Floats],
    *,
    width: int,
    metric: str,
    tiling: Tiling,
    both: bool = True,
) -> tuple[Entries, Entries, int]:
    """What two blocks with their ceilings, or one and itself, find in each other; and products.

    Lists take ``width``. Without ``both`` only ``one`` is told.
    """
    frame = _frame(metric, one[0], other[0])
    first = Side(frame, one[0].span, one[1], width)
    second = first if one is other else Side(frame, other[0].span, other[1], width)
    products = meet(first, second, tiling, both=both)
    return first.entries, second.entries, products


def bounds_among(added: Block, sample: Iterable[Block], size: int, metric: str) -> Floats:
    """Distances [n] within which each has ``size`` others: by some vectors, for all of them."""
    return join(added, sample, k=size, metric=metric).distances[:, -1]


def widest(laid: Laid, reaches: Floats) -> Floats:
    """For each distinct vector [r] the furthest of ``reaches`` [n] of the rows that have it."""
    found = np.full(len(laid.first), -np.inf, dtype=np.float32)
    np.maximum.at(found, laid.copy_of, reaches)
    return found


def short_rows(pools: Pools, k: int) -> Ints:
    """Rows whose first ``k`` are not known: fewer entries, and others beyond the radius."""
    _refuse_incomplete(pools)
    return np.flatnonzero((pools.counts < k) & np.isfinite(pools.radius))


def lacking_rows(pools: Pools, k: int, total: int) -> Ints:
    """The same, of ``total`` vectors, also where pools are approximate."""
    others = np.isfinite(pools.radius)
    others |= np.isneginf(pools.radius) & (pools.counts < total - 1)
    return np.flatnonzero((pools.counts < k) & others)


def _refuse_incomplete(pools: Pools) -> None:
    """Raise InputError for pools of an approximate join: nobody knows what they lack."""
    without = np.flatnonzero(np.isneginf(pools.radius))
    if len(without):
        raise InputError(
            f"{len(without)} pools, that of vector_no {pools.numbers[without[0]]} first, are of an "
            "approximate join: they cannot be kept exact; join anew"
        )


def _reaches(pools: Pools) -> tuple[Floats, Ints]:
    """Up to where what is added enters: distances [n] and numbers [n]."""
    rows, last = np.arange(len(pools.numbers)), np.maximum(pools.counts - 1, 0)
    ends = (pools.distances[rows, last], pools.others[rows, last])
    open_ended = np.isneginf(pools.radius)
    return (
        np.where(open_ended, ends[0], pools.radius),
        np.where(open_ended, np.where(pools.counts > 0, ends[1], LAST_NO), pools.radius_no),
    )


def _copies(leaders: Ints, copy_of: Ints) -> tuple[Ints, Ints]:
    """Each row that has the vector of one of ``leaders`` [m], and its place among them."""
    order = np.argsort(copy_of, kind="stable")
    sizes = np.bincount(copy_of, minlength=1)
    starts = np.cumsum(sizes) - sizes
    place = np.repeat(np.arange(len(leaders)), sizes[leaders])
    nth = np.arange(len(place)) - np.repeat(
        np.cumsum(sizes[leaders]) - sizes[leaders], sizes[leaders]
    )
    return order[starts[leaders][place] + nth], place


def _frame(metric: str, old: Laid, new: Laid) -> Frame:
    squares = np.concatenate((old.span.squares, new.span.squares))
    longest = float(np.sqrt(squares.max(initial=0.0)))
    return Frame.of_all(metric, new.span.vectors, new.span.squares, longest)
