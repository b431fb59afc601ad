"""Some rows of a catalog, the visitors, meet all of it: what they find, and who finds them.

Under a rule, as in a join; but here only visitors look for whole lists. Other rows have a pool, and
ask only within its reach. Each product is computed once for both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from artrec.vectors.distance import Floats, Ints, distances_of_pairs
from artrec.vectors.join import distinct
from artrec.vectors.rules.bounds import Bounds, seed_bounds, seed_rows
from artrec.vectors.rules.join import are_few, limited
from artrec.vectors.rules.kinds import Kinds
from artrec.vectors.rules.lists import FREE, Lists, joined, take
from artrec.vectors.rules.meeting import RuledSide, meet_ruled
from artrec.vectors.rules.pools import RuledPools
from artrec.vectors.rules.rule import Codes, Flags, Rule
from artrec.vectors.screen import Frame
from artrec.vectors.sieve import Tiling

__all__ = ["Met", "Party", "Visit", "by_groups"]


@dataclass(frozen=True, slots=True, eq=False)
class Party:
    """Entities: ``ids`` int64 [n], ascending, their vectors and labels; some stand in lists.

    ``keys`` int64 [n]: the least id of all whose vector is equal. With ``collapse`` a party holds
    all that stand of a vector, or none of them.
    """

    ids: Ints
    vectors: Floats
    labels: Codes
    stands: Flags
    keys: Ints

    def rows(self, rows: Ints) -> Party:
        return Party(
            self.ids[rows],
            self.vectors[rows],
            self.labels[rows],
            self.stands[rows],
            self.keys[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """Lists of those who asked, with a place more than a pool has, and of all visitors."""

    asking: Lists
    visitors: Lists
    products: int


@dataclass(frozen=True, slots=True)
class Visit:
    """What is the same in all meetings: pools of ``size``, of each value ``most``."""

    rule: Rule
    size: int
    most: int | None
    metric: str
    tiling: Tiling

    def meet(
        self, party: Party, visitors: Party, pools: RuledPools | None = None, at: Ints | None = None
    ) -> Met:
        """``visitors`` ask ``party``; its rows ``at`` [a], who have ``pools``, ask ``visitors``.

        Nobody who asks is a visitor. The lists of visitors hold what this party has for them:
        those of several parties are merged with ``merge_lists``.
        """
        asking = np.zeros(0, np.int64) if at is None else at
        found = Lists.empty(len(asking), self.size + 1)
        others = Lists.empty(len(visitors.ids), self.size + 1)
        products = 0
        place = np.full(len(party.ids), -1)
        place[asking] = np.arange(len(asking))
        for rows, guests in by_groups(self.rule, party.labels, visitors.labels):
            mine = place[rows]
            part = np.flatnonzero(mine >= 0)
            own = None if pools is None else pools.taken(mine[part])
            met = self._meet_group(party.rows(rows), visitors.rows(guests), own, part)
            _put(found, mine[part], met.asking)
            _put(others, guests, met.visitors)
            products += met.products
        return Met(found, others, products)

    def _meet_group(self, party: Party, visitors: Party, pools: RuledPools | None, at: Ints) -> Met:
        values, (mine, theirs) = self._compacted(party.labels, visitors.labels)
        party, visitors = replace(party, labels=mine), replace(visitors, labels=theirs)
        a, of_a = _kinds(self.rule, party)
        b, of_b = _kinds(self.rule, visitors)
        if not self.rule.collapse:
            a, b = _knowing(a, b)
        longest = float(np.sqrt(max(a.rows.squares.max(), b.rows.squares.max())))
        frame = Frame.of_all(self.metric, b.rows.vectors, b.rows.squares, longest)
        host = self._host(frame, a, of_a[at], pools, values)
        guest = self._guest(frame, b, a, len(values))
        products = meet_ruled(host, guest, self.tiling)
        back = np.append(values, np.int32(FREE))
        found = _coded(host.lists(), of_a[at], back)
        others = _coded(guest.lists(), of_b, back)
        if not self.rule.collapse:
            found = self._with_own_kind(found, party.ids[at], b, a, of_a[at], back)
            others = self._with_own_kind(others, visitors.ids, a, b, of_b, back)
        return Met(found, others, products)

    def _compacted(self, mine: Codes, theirs: Codes) -> tuple[Codes, tuple[Codes, Codes]]:
        """The values that are counted, and labels with their places for codes."""
        if self.rule.at_most is None:
            return np.zeros(0, np.int32), (mine, theirs)
        column = self.rule.at_most[1]
        both = np.concatenate((mine[:, column], theirs[:, column]))
        values = np.unique(both[both >= 0])
        found = []
        for labels in (mine, theirs):
            known = labels[:, column] >= 0
            labels = labels.copy()
            labels[known, column] = np.searchsorted(values, labels[known, column])
            found.append(labels)
        return values, (found[0], found[1])

    def _host(
        self, frame: Frame, kinds: Kinds, of: Ints, pools: RuledPools | None, values: Codes
    ) -> RuledSide:
        """Kinds, of which those that rows are ``of`` [a] ask as far as ``pools`` reach."""
        across = 0 if self.most is None else limited(len(values), len(kinds))
        bounds = Bounds.unknown(len(kinds), across)
        asks = np.zeros(len(kinds), np.bool_)
        asks[of] = True
        if pools is not None and len(of):
            _bound(bounds, kinds, of, pools, values)
        few = are_few(across, self.most, self.size + 1)
        silent = np.flatnonzero(~asks)
        return RuledSide(frame, kinds, bounds, self.size + 1, self.most, few, silent)

    def _guest(self, frame: Frame, kinds: Kinds, hosts: Kinds, values: int) -> RuledSide:
        width, most = self.size + 1, self.most
        across = 0 if most is None else limited(values, len(kinds))
        seeds = hosts.rows.rows(seed_rows(hosts, width, most))
        bounds = seed_bounds(frame, kinds, seeds, width, most, across)
        return RuledSide(frame, kinds, bounds, width, most, are_few(across, most, width))

    def _with_own_kind(
        self, lists: Lists, ids: Ints, hosts: Kinds, kinds: Kinds, of: Ints, values: Codes
    ) -> Lists:
        """``lists`` of rows with ``ids`` [n], and those of ``hosts`` that are of their own kind."""
        order = np.argsort(hosts.rows.keys[: hosts.offered])
        keys = hosts.rows.keys[order]
        if not len(keys):
            return lists
        place = np.minimum(np.searchsorted(keys, kinds.rows.keys), len(keys) - 1)
        social = np.flatnonzero((kinds.rows.never < 0).all(axis=1))
        social = social[keys[place[social]] == kinds.rows.keys[social]]
        rows = np.flatnonzero(np.isin(of, social))
        if not len(rows):
            return lists
        at, others = hosts.expanded(order[place[of[rows]]], self.size + 2)  # itself among them
        kept = others != ids[rows][at]
        at, others = rows[at[kept]], others[kept]
        vectors, squares = kinds.rows.vectors, kinds.rows.squares
        far = distances_of_pairs(self.metric, vectors, squares, of[at], vectors, squares, of[at])
        new = (at, far, others, values[kinds.rows.values[of[at]]])
        return take(*joined([lists.flat(), new]), len(ids), self.size + 1, self.most)


def _kinds(rule: Rule, party: Party) -> tuple[Kinds, Ints]:
    kinds, of = Kinds.of(rule, party.ids, party.vectors, party.labels, party.stands)
    keys = party.keys[np.searchsorted(party.ids, kinds.ids[kinds.starts])]
    return replace(kinds, rows=replace(kinds.rows, keys=keys)), of


def _knowing(a: Kinds, b: Kinds) -> tuple[Kinds, Kinds]:
    """Both with the same keys for the same vectors and labels, whether they stand or not."""
    rows = a.rows.and_also(b.rows)
    content = distinct(rows.vectors, rows.squares)[1]
    labels = np.column_stack((content, rows.values, rows.never))
    keys = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    return (
        replace(a, rows=replace(a.rows, keys=keys[: len(a)])),
        replace(b, rows=replace(b.rows, keys=keys[len(a) :])),
    )


def _coded(lists: Lists, of: Ints, values: Codes) -> Lists:
    """The lists of rows that are ``of`` a kind, with ``values`` for places."""
    return Lists(lists.distances[of], lists.ids[of], values[lists.values[of]])


def by_groups(rule: Rule, mine: Codes, theirs: Codes) -> list[tuple[Ints, Ints]]:
    """Rows of both, ascending, of each group of equal ``within`` that both have rows of."""
    if not len(mine) or not len(theirs):
        return []
    if not rule.within:
        return [(np.arange(len(mine)), np.arange(len(theirs)))]
    codes = np.concatenate((mine, theirs))[:, rule.within]
    of = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
    of[(codes < 0).any(axis=1)] = -1
    here, there = of[: len(mine)], of[len(mine) :]
    both = np.intersect1d(here, there)
    return [
        (found, other)
        for found, other in zip(_rows_of(both, here), _rows_of(both, there), strict=True)
        if here[found[0]] >= 0
    ]


def _rows_of(groups: Ints, of: Ints) -> list[Ints]:
    order = np.argsort(of, kind="stable")
    low = np.searchsorted(of[order], groups)
    high = np.searchsorted(of[order], groups, side="right")
    return [order[a:b] for a, b in zip(low, high, strict=True)]


def _bound(bounds: Bounds, kinds: Kinds, of: Ints, pools: RuledPools, values: Codes) -> None:
    """Ask up to the radius and, of a value that has an end, up to that."""
    asks = np.unique(of)
    reach = np.full(len(kinds), -np.inf, np.float32)
    np.maximum.at(reach, of, pools.radius)
    bounds.full[asks] = reach[asks]
    rows, at, far = _ends(pools, values)
    if bounds.values.shape[1]:
        ends = np.full((len(of), bounds.values.shape[1]), np.inf, np.float32)
        ends[rows, at] = far
        each = np.full(bounds.values.shape, -np.inf, np.float32)
        np.maximum.at(each, of, ends)
        bounds.values[asks] = each[asks]
        return
    mine = np.flatnonzero(kinds.rows.values[of][rows] == at)
    own = np.full(len(of), np.inf, np.float32)
    own[rows[mine]] = far[mine]
    reach.fill(-np.inf)
    np.maximum.at(reach, of, own)
    bounds.own[asks] = reach[asks]


def _ends(pools: RuledPools, values: Codes) -> tuple[Ints, Ints, Floats]:
    """Rows that have an end of one of ``values``, its place among them, and how far it is."""
    rows, places = np.nonzero(pools.ends)
    ended, far = pools.lists.values[rows, places], pools.lists.distances[rows, places]
    at = np.searchsorted(values, ended)
    known = np.flatnonzero(np.append(values, np.int32(FREE))[at] == ended)
    return rows[known], at[known], far[known]


def _put(lists: Lists, rows: Ints, found: Lists) -> None:
    lists.distances[rows], lists.ids[rows] = found.distances, found.ids
    lists.values[rows] = found.values
