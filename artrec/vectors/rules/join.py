"""The exact self-join under a rule: of each entity the nearest that the rule leaves it.

Rows with other values of ``within`` are never multiplied: each group is joined alone, so the cost
is about the sum of their squares. In a group, equal rows are one kind (:mod:`kinds`). Kinds are
laid out by cells and cut to blocks; each block is bounded (:mod:`bounds`) and meets itself, then
every other block once (:mod:`meeting`). The rule is applied to pairs before they are measured, and
lists merge under it (:mod:`lists`): they depend on vectors, labels and rule alone.

Time is that of ``self_join`` and what a rule adds: pairs that are near but not allowed are looked
at, and pairs of one crowd are measured until the limit of their value shuts them out. Memory is
that of ``self_join``, 4 bytes a place for values and up to 100 MB for the limits of a block. Where
neither end's list can be filled and the counted column has many values, every pair of a group that
may stand is measured.

A stage deals this by blocks. Entities are rows (id, vector_no, vector, labels, flag), the ids
numbered in the order of (vector_no, labels, flag). They are grouped by ``within``, a large group
cut by the blocks of its layout, equal vectors to one block (with ``collapse`` that is a condition,
else thrift; so cells are found for each distinct vector once). ``seed_rows`` of the group's sample
travel with its layout. A task makes ``Kinds`` of a block, bounds them, lets the :class:`RuledSide`
meet itself and keeps its ceilings; another takes two such blocks, lets them meet, and emits (id of
the kind, distance, id, value). ``merge_lists`` brings these together in any order, ``entity_lists``
takes them to the rows, ``finished`` makes pools of them. ``permitted`` needs counts of labels only.
"""

from __future__ import annotations

import numpy as np

from artrec.errors import ConfigError
from artrec.vectors.distance import (
    Floats,
    Ints,
    check_metric,
    check_vectors,
    distances_of_pairs,
)
from artrec.vectors.join import distinct
from artrec.vectors.layout import plan_layout, sample_rows
from artrec.vectors.rules.bounds import Bounds, bound_rows, seed_rows
from artrec.vectors.rules.kinds import Kinds
from artrec.vectors.rules.lists import FREE, Lists, joined, take
from artrec.vectors.rules.meeting import RuledSide, meet_ruled
from artrec.vectors.rules.pools import RuledPools, finished
from artrec.vectors.rules.rule import Codes, Entities, Flags, Rule
from artrec.vectors.screen import Frame
from artrec.vectors.sieve import Tiling

__all__ = [
    "are_few",
    "conditions_of",
    "entity_lists",
    "groups_of",
    "limited",
    "permitted",
    "ruled_join",
]

BLOCK_ROWS = 16_384
_SMALL = 512  # rows that need no bounds
_LIMITS = 24 << 20  # of values, for the rows of a block
_FEW = 4  # values are few while their places are not more than so many lists


def ruled_join(
    entities: Entities,
    rule: Rule,
    *,
    k: int,
    metric: str,
    spare: int = 0,
    tiling: Tiling | None = None,
    blocks: int = 0,
) -> RuledPools:
    """The pools of at most ``k`` others for each of ``entities`` under ``rule``.

    ``spare``: of each counted value so many more are kept than the rule lets stand, in case some
    go. ``blocks`` to cut each group to; 0: as many as have BLOCK_ROWS each.

    Raises InputError for vectors with NaN or infinity, zero vectors under cosine, and rows that the
    rule cannot tell apart; ConfigError for an unknown metric, k < 1 or columns that are not there.
    """
    check_metric(metric)
    if k < 1 or spare < 0:
        raise ConfigError(f"k must be at least 1 and spare not negative, got {k} and {spare}")
    check_vectors(entities.vectors, entities.numbers, metric)
    entities.check(rule)
    total = len(entities.numbers)
    most = None if rule.most is None else rule.most + spare
    group_join = _GroupJoin(rule, k + 1, most, metric, tiling or Tiling(), blocks)
    flags = entities.offered(rule)
    lists = Lists.empty(total, k + 1)
    for rows in groups_of(entities.labels, rule.within):
        found = group_join.lists(rows, entities.vectors[rows], entities.labels[rows], flags[rows])
        lists.distances[rows], lists.ids[rows] = found.distances, found.ids
        lists.values[rows] = found.values
    return finished(lists, rule, most, *conditions_of(entities, rule))


def conditions_of(entities: Entities, rule: Rule) -> tuple[Ints, Flags]:
    """What conditions leave to each of ``entities`` [n], and which of them are nowhere."""
    allowed, flags = np.zeros(len(entities.numbers), np.int64), entities.offered(rule)
    for rows in groups_of(entities.labels, rule.within):
        allowed[rows] = permitted(rule, entities.labels[rows], flags[rows])
    return allowed, np.asarray((entities.labels[:, rule.within] < 0).any(axis=1))


def groups_of(labels: Codes, within: tuple[int, ...]) -> list[Ints]:
    """Rows, ascending, of each group of equal values; a row without a value is in none."""
    if not within:
        return [np.arange(len(labels))]
    codes = labels[:, within]
    rows = np.flatnonzero((codes >= 0).all(axis=1))
    of = np.unique(codes[rows], axis=0, return_inverse=True)[1].reshape(-1)
    order = np.argsort(of, kind="stable")
    return [part for part in np.split(rows[order], np.cumsum(np.bincount(of))[:-1]) if len(part)]


def permitted(rule: Rule, labels: Codes, flags: Flags) -> Ints:
    """Candidates that flag and ``never`` leave to each row of a group, int64 [n].

    Copies are counted each, and nothing is counted by value yet. By inclusion and exclusion over
    the columns of ``never``: rows are counted, not pairs.
    """
    found = np.full(len(labels), int(flags.sum()), dtype=np.int64)
    never = labels[:, sorted(set(rule.never))]
    for chosen in range(1, 1 << never.shape[1]):
        columns = [column for column in range(never.shape[1]) if chosen >> column & 1]
        known = np.flatnonzero((never[:, columns] >= 0).all(axis=1))
        of = np.unique(never[known][:, columns], axis=0, return_inverse=True)[1].reshape(-1)
        sizes = np.bincount(of, weights=flags[known], minlength=1).astype(np.int64)
        found[known] -= (-1) ** (len(columns) + 1) * sizes[of]
    return found - (flags & (never < 0).all(axis=1))  # a row that shuts itself out is not there


class _GroupJoin:
    """What is the same for all groups of a join."""

    def __init__(
        self, rule: Rule, width: int, most: int | None, metric: str, tiling: Tiling, blocks: int
    ) -> None:
        self._rule, self._width, self._most = rule, width, most
        self._metric, self._tiling, self._blocks = metric, tiling, blocks

    def lists(self, ids: Ints, vectors: Floats, labels: Codes, flags: Flags) -> Lists:
        """The lists of a group with ``ids`` [n], ascending."""
        if self._rule.at_most is not None:
            labels = _compact(labels, self._rule.at_most[1])
        kinds, kind_of = Kinds.of(self._rule, ids, vectors, labels, flags)
        found = Lists.empty(len(kinds), self._width)
        sides = self._sides(kinds)
        for place, (_, side) in enumerate(sides):
            for _, other in sides[place + 1 :]:
                meet_ruled(side, other, self._tiling)
        for rows, side in sides:
            part = side.lists()
            found.distances[rows], found.ids[rows] = part.distances, part.ids
            found.values[rows] = part.values
        return entity_lists(ids, kinds, kind_of, found, self._metric, self._most)

    def _sides(self, kinds: Kinds) -> list[tuple[Ints, RuledSide]]:
        """Blocks that have met themselves, and the rows of ``kinds`` in each."""
        rows, total = kinds.rows, len(kinds)
        longest = float(np.sqrt(rows.squares.max(initial=0.0)))
        values = self._values(kinds, min(total, BLOCK_ROWS))
        if total <= _SMALL and self._blocks < 2:
            frame = Frame.of_all(self._metric, rows.vectors, rows.squares, longest)
            return [(np.arange(total), self._met(frame, kinds, Bounds.unknown(total, values)))]
        chosen = np.random.default_rng(0).permutation(total)[: sample_rows(total)]
        count = self._blocks or max(1, -(-total // BLOCK_ROWS))
        layout = plan_layout(rows.vectors[np.sort(chosen)], total, self._metric, count, longest)
        first, copy_of = distinct(rows.vectors, rows.squares)
        cells = layout.cells(rows.vectors[first], rows.squares[first])[copy_of]
        seeds = rows.rows(seed_rows(kinds, self._width, self._most))
        of, sides = layout.blocks_of(cells), []
        for block in range(layout.blocks):
            here = np.flatnonzero(of == block)
            if not len(here):
                continue
            part = kinds.part(here)
            bounds = bound_rows(layout, part, cells[here], seeds, self._width, self._most, values)
            sides.append((here, self._met(layout.frame, part, bounds)))
        return sides

    def _values(self, kinds: Kinds, rows: int) -> int:
        """How many values are counted, if ``rows`` may have a limit for each of them."""
        if self._most is None:
            return 0
        return limited(int(kinds.rows.values.max(initial=FREE)) + 1, rows)

    def _met(self, frame: Frame, kinds: Kinds, bounds: Bounds) -> RuledSide:
        few = are_few(bounds.values.shape[1], self._most, self._width)
        side = RuledSide(frame, kinds, bounds, self._width, self._most, few)
        meet_ruled(side, side, self._tiling)
        side.tighten()
        return side


def limited(values: int, rows: int) -> int:
    """How many of ``values`` codes get limits of their own in a block of ``rows``: all or none."""
    return values if values * rows <= _LIMITS else 0


def are_few(values: int, most: int | None, width: int) -> bool:
    """Whether so few values have limits that lists of ``width`` may never be full."""
    return 0 < values * (most or 0) <= _FEW * width


def entity_lists(
    ids: Ints, kinds: Kinds, kind_of: Ints, found: Lists, metric: str, most: int | None
) -> Lists:
    """The lists of entities with ``ids`` [n]: those of their kinds, and the others of their own.

    ``found`` are the lists of ``kinds``, from all meetings.
    """
    lists = Lists(found.distances[kind_of], found.ids[kind_of], found.values[kind_of])
    width = found.ids.shape[1]
    sociable = (kinds.sizes > 1) & (kinds.rows.never < 0).all(axis=1)
    sociable &= (np.arange(len(kinds)) < kinds.offered) & (not kinds.rule.collapse)
    rows = np.flatnonzero(sociable[kind_of])
    if not len(rows):
        return lists
    place, others = kinds.expanded(kind_of[rows], width + 1)  # the row itself may be among them
    mine = kind_of[rows][place]
    vectors, squares = kinds.rows.vectors, kinds.rows.squares
    own = distances_of_pairs(metric, vectors, squares, mine, vectors, squares, mine)
    held = Lists(lists.distances[rows], lists.ids[rows], lists.values[rows])
    kept = others != ids[rows][place]
    new = (place[kept], own[kept], others[kept], kinds.rows.values[mine[kept]])
    merged = take(*joined([held.flat(), new]), len(rows), width, most)
    lists.distances[rows], lists.ids[rows] = merged.distances, merged.ids
    lists.values[rows] = merged.values
    return lists


def _compact(labels: Codes, column: int) -> Codes:
    """``labels`` with the codes of a column from 0 to one less than how many there are."""
    found = labels.copy()
    known = labels[:, column] >= 0
    found[known, column] = np.unique(labels[known, column], return_inverse=True)[1].reshape(-1)
    return found
