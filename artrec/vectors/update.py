"""Pools kept up to date: what was added joins, what is gone leaves, little is computed anew.

A pool knows how far it reaches: every other vector up to and with its radius is in its list
(:class:`artrec.vectors.join.Pools`). That stays true if additions within the radius enter and
others are dropped, and if entries that are gone leave while the radius stays. A list that grows
past its size is cut, and reaches to its new last entry. One that has fewer than k entries left and
does not hold everybody is joined anew. So the first k of each list are those of a join from
nothing; beyond them a list may be shorter, for it forgets what it does not need.
"""

from __future__ import annotations

import numpy as np

from artrec.errors import ConfigError, InputError
from artrec.vectors.distance import Floats, Ints, check_metric, check_vectors
from artrec.vectors.join import Block, Pools, join
from artrec.vectors.pairs import Side, meet
from artrec.vectors.screen import Frame
from artrec.vectors.selfjoin import Laid
from artrec.vectors.sieve import Tiling
from artrec.vectors.topk import NOBODY, select

__all__ = ["refreshed", "short_rows", "update"]


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
    n, size = pools.others.shape
    places = np.nonzero((pools.others != NOBODY) & ~np.isin(pools.others, gone))
    found = [(places[0], pools.distances[places], pools.others[places])]
    if len(added.numbers) and n:
        found.append(_entering(pools, rows, added, metric, tiling or Tiling()))
    of, distances, others = (np.concatenate(parts) for parts in zip(*found, strict=True))
    counts = np.bincount(of, minlength=n)
    lists = select(of, distances, others, n, size)
    cut = counts > size
    return Pools(
        numbers=pools.numbers,
        others=lists.ids,
        distances=lists.distances,
        counts=lists.counts.astype(np.int32),
        radius=np.where(cut, lists.distances[:, -1], pools.radius),
        radius_no=np.where(cut, lists.ids[:, -1], pools.radius_no),
    )


def short_rows(pools: Pools, k: int) -> Ints:
    """Rows whose first ``k`` are not known: fewer entries, and others beyond the radius."""
    _refuse_incomplete(pools)
    return np.flatnonzero((pools.counts < k) & np.isfinite(pools.radius))


def _refuse_incomplete(pools: Pools) -> None:
    """Raise InputError for pools of an approximate join: nobody knows what they lack."""
    without = np.flatnonzero(np.isneginf(pools.radius))
    if len(without):
        raise InputError(
            f"{len(without)} pools, that of vector_no {pools.numbers[without[0]]} first, are of an "
            "approximate join: they cannot be kept exact; join anew"
        )


def _entering(
    pools: Pools, rows: Block, added: Block, metric: str, tiling: Tiling
) -> tuple[Ints, Floats, Ints]:
    """Rows, distances and numbers of what is added within the radius of a row."""
    size = pools.others.shape[1] + 1  # one more shows that a list is cut
    old, new = (
        Laid.of(rows.numbers, rows.vectors, size),
        Laid.of(added.numbers, added.vectors, size),
    )
    frame = _frame(metric, old, new)
    reach = np.full(len(old.first), -np.inf, dtype=np.float32)
    np.maximum.at(reach, old.copy_of, pools.radius)
    asking = Side(frame, old.span, reach, size)
    nobody = np.full(len(new.first), np.inf, dtype=np.float32)
    meet(asking, Side(frame, new.span, nobody, size), tiling, both=False)
    leaders, distances, others = asking.entries.flat()
    of, place = _copies(leaders, old.copy_of)
    distances, others = distances[place], others[place]
    within = distances < pools.radius[of]
    within |= (distances == pools.radius[of]) & (others <= pools.radius_no[of])
    return of[within], distances[within], others[within]


def _copies(leaders: Ints, copy_of: Ints) -> tuple[Ints, Ints]:
    """Each row that has the vector of one of ``leaders`` [m], and its place among them."""
    order = np.argsort(copy_of, kind="stable")
    sizes = np.bincount(copy_of)
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
