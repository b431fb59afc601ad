"""Pools under rules that were kept up to date publish what a join from nothing publishes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from artrec.errors import ConfigError, InputError
from artrec.vectors import METRICS
from artrec.vectors.rules import Entities, Rule, RuledPools, Updated, published, ruled_join, update
from tests.vectors.test_rules import (
    ARTIST,
    RULES,
    Lists,
    Matrix,
    crowds,
    force,
    listed,
    on_a_line,
    rules,
)

Ints = NDArray[np.int64]
NONE = np.empty(0, np.int64)


def rows_of(rule: Rule, *parts: Entities) -> Entities:
    """The entities of several parts together, as a rule can tell them apart."""
    numbers = np.concatenate([part.numbers for part in parts])
    order = np.argsort(numbers, kind="stable")
    whole = Entities(
        numbers[order],
        np.concatenate([part.vectors for part in parts])[order],
        np.concatenate([part.labels for part in parts])[order],
        np.concatenate([part.offered(rule) for part in parts])[order],
    )
    return whole.narrowed(rule)[0]


def some(entities: Entities, rows: Ints) -> Entities:
    assert entities.flags is not None
    return Entities(
        entities.numbers[rows],
        entities.vectors[rows],
        entities.labels[rows],
        entities.flags[rows],
    )


def coined(rng: np.random.Generator, names: Ints) -> Entities:
    """Vectors of which many are equal or tie, some of them under two rows of labels."""
    made = rng.integers(-1, 2, (len(names), 3)).astype(np.float32)
    made[:, 0] = 1  # no zeros
    order = np.argsort(names)
    twice = np.repeat(order, 1 + (rng.random(len(order)) < 0.3))
    labels = np.column_stack([rng.integers(0, size, len(twice)) for size in (2, 5, 2)])
    labels[rng.random(labels.shape) < 0.125] = -1
    return Entities(
        names[twice], made[twice], labels.astype(np.int32), rng.random(len(twice)) < 0.7
    )


def relabelled(rng: np.random.Generator, rule: Rule, entities: Entities) -> Entities:
    """The same vectors under other labels."""
    labels = rng.integers(-1, 4, entities.labels.shape).astype(np.int32)
    flags = rng.random(len(labels)) < 0.5
    return rows_of(rule, Entities(entities.numbers, entities.vectors, labels, flags))


def near_one(entities: Entities, chosen: int, count: int) -> Ints:
    """Rows nearest to one of them."""
    far = np.square(entities.vectors - entities.vectors[chosen]).sum(axis=1)
    return np.sort(np.argsort(far, kind="stable")[:count])


def keys_of(entities: Entities) -> list[tuple[int, ...]]:
    assert entities.flags is not None
    columns = (entities.numbers, *entities.labels.T, entities.flags)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def pool_size(rule: Rule, k: int, slack: int, spare: int) -> int:
    """Room for ``k`` and the slack, however many of the entries are spare ones."""
    most = 1 if rule.most is None else rule.most
    return -(-k * (most + spare) // most) + slack


class History:
    """A catalog that changes night after night, and its pools."""

    def __init__(self, seed: int, n: int, rule: Rule, k: int, slack: int, spare: int, metric: str):
        self.rng = np.random.default_rng(seed)
        self.names = self.rng.permutation(4000).astype(np.int64)
        self.rule, self.k, self.spare, self.metric = rule, k, spare, metric
        self.used = n
        self.live = rows_of(rule, coined(self.rng, self.names[:n]))
        size = pool_size(rule, k, slack, spare)
        self.pools = ruled_join(self.live, rule, k=size, metric=metric, spare=spare)

    def night(self, more: int, fewer: int, others: int, clustered: bool) -> Updated:
        count, rng = len(self.live.numbers), self.rng
        gone = np.sort(rng.permutation(count)[:fewer])
        if clustered and count:
            gone = near_one(self.live, int(rng.integers(count)), fewer)
        again = np.setdiff1d(rng.permutation(count)[:others], gone)
        gone = np.concatenate((gone, again))
        stay = some(self.live, np.setdiff1d(np.arange(count), gone))
        fresh = coined(rng, self.names[self.used : self.used + more])
        self.used += more
        added = rows_of(self.rule, fresh, relabelled(rng, self.rule, some(self.live, again)))
        held = set(keys_of(stay))
        added = some(
            added, np.array([i for i, key in enumerate(keys_of(added)) if key not in held], int)
        )
        found = update(
            self.pools,
            self.live,
            added,
            gone,
            k=self.k,
            metric=self.metric,
            spare=self.spare,
        )
        expected = rows_of(self.rule, stay, added)
        assert keys_of(found.entities) == keys_of(expected)
        self.live, self.pools = found.entities, found.pools
        return found

    def publishes_what_a_join_does(self, matrix: Matrix) -> None:
        apart = matrix(self.metric, self.live.vectors, self.live.vectors)
        everything = force(self.live, self.rule, apart)
        assert first(self.pools, self.k) == [row[: self.k] for row in everything]
        anew = ruled_join(self.live, self.rule, k=self.k, metric=self.metric)
        assert self.pools.permitted.tobytes() == anew.permitted.tobytes()
        assert self.pools.nowhere.tobytes() == anew.nowhere.tobytes()
        keeps_its_word(self.pools, everything)


def first(pools: RuledPools, k: int) -> Lists:
    lists, again = published(pools, k)
    assert not again.any()
    pairs = zip(lists.distances.tolist(), lists.ids.tolist(), strict=True)
    return [[(far, i) for far, i in zip(*row, strict=True) if i != -1] for row in pairs]


def keeps_its_word(pools: RuledPools, everything: Lists) -> None:
    """Whatever the rule takes up to the radius is in the list."""
    for row, found in enumerate(listed(pools)):
        edge = (float(pools.radius[row]), int(pools.radius_id[row]))
        assert {entry for entry in everything[row] if entry <= edge} <= set(found)


nights = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 4), st.booleans()),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    rules,
    st.integers(0, 30),
    nights,
    st.integers(1, 8),
    st.integers(0, 5),
    st.integers(0, 2),
    st.sampled_from(METRICS),
)
def test_any_history_of_additions_deletions_and_relabels_publishes_what_a_join_does(
    matrix: Matrix,
    seed: int,
    rule: Rule,
    n: int,
    nights: list[tuple[int, int, int, bool]],
    k: int,
    slack: int,
    spare: int,
    metric: str,
) -> None:
    history = History(seed, n, rule, k, slack, spare, metric)
    for night in nights:
        history.night(*night)
        history.publishes_what_a_join_does(matrix)


@pytest.mark.parametrize(
    "metric", ["cosine", *(pytest.param(each, marks=pytest.mark.long) for each in METRICS[1:])]
)
@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_kept_over_ten_nights(matrix: Matrix, name: str, metric: str) -> None:
    history = History(8, 26, RULES[name], 5, 4, 1, metric)
    for night in range(10):
        history.night(3, 2, 2, night % 3 == 2)
        history.publishes_what_a_join_does(matrix)


# -- what comes in, and what it takes ----------------------------------------------------------


def changed(
    line: Entities, rule: Rule, gone: list[int], added: Entities, k: int, slack: int, spare: int = 0
) -> Updated:
    pools = ruled_join(line, rule, k=k + slack, metric="euclidean", spare=spare)
    rows = np.array(gone, dtype=np.int64)
    return update(pools, line, added, rows, k=k, metric="euclidean", spare=spare)


def lists_of(found: Updated, k: int) -> list[list[int]]:
    """The first k of each entity, by their numbers."""
    numbers = found.entities.numbers
    return [[int(numbers[i]) for _, i in row] for row in first(found.pools, k)]


def nobody(columns: int = 1) -> Entities:
    return Entities(NONE, np.zeros((0, 1), np.float32), np.zeros((0, columns), np.int32))


ONE_EACH = Rule(at_most=(1, 0))


@pytest.mark.parametrize(("spare", "recomputed"), [(0, 2), (1, 0)])
def test_who_goes_lets_in_a_work_that_the_cap_had_kept_out(spare: int, recomputed: int) -> None:
    """0 and 4 have 1 of artist 1, behind whom 2 is kept out."""
    line = on_a_line([(0,), (1,), (1,), (2,), (3,)], 0, 1, 1.5, 3, 4)
    found = changed(line, ONE_EACH, [1], nobody(), 2, 2 + spare, spare)
    assert lists_of(found, 2) == [[2, 3], [0, 3], [4, 2], [3, 2]]
    assert (found.met, found.recomputed) == (0, recomputed)


def test_who_comes_takes_the_place_of_another_of_its_value_only() -> None:
    line = on_a_line([(0,), (1,), (2,)], 0, 2, 3)
    added = on_a_line([(1,)], 1, at=7)
    found = changed(line, ONE_EACH, [], added, 2, 0)
    assert lists_of(found, 2) == [[7, 2], [2, 7], [1, 0], [0, 1]]
    assert (found.met, found.recomputed) == (1, 0)


def test_of_two_of_a_value_that_came_together_the_second_follows_the_first() -> None:
    """Of value 1 there was nobody, so nobody of it was kept out before."""
    line = on_a_line([(0,), (2,)], 0, 5)
    added = on_a_line([(1,), (1,)], 1, 2, at=7)
    came = changed(line, ONE_EACH, [], added, 2, 1)
    assert lists_of(came, 2) == [[7, 1], [8, 0], [0, 8], [7, 0]]
    rows = np.flatnonzero(came.entities.numbers == 7)
    left = update(came.pools, came.entities, nobody(), rows, k=2, metric="euclidean")
    assert lists_of(left, 2) == [[8, 1], [8, 0], [0, 1]]


def test_where_a_whole_artist_goes_nothing_is_missed() -> None:
    entities = crowds(600, 30)
    rule = Rule(at_most=(2, ARTIST))
    pools = ruled_join(entities, rule, k=24, metric="euclidean", spare=1)
    gone = np.flatnonzero(entities.labels[:, ARTIST] == 4)
    empty = some(entities, NONE)
    found = update(pools, entities, empty, gone, k=14, metric="euclidean", spare=1)
    assert (len(gone), found.recomputed) == (20, 0)
    anew = ruled_join(found.entities, rule, k=14, metric="euclidean")
    assert first(found.pools, 14) == listed(anew)


def test_of_copies_that_go_another_comes_in() -> None:
    line = on_a_line([(0,)] * 4, 0, 1, 1, 2)
    found = changed(line, Rule(collapse=True), [1], nobody(), 2, 1)
    assert lists_of(found, 2) == [[2, 3], [0, 3], [2, 0]]
    assert found.met == 1  # the copy comes back


def test_an_entity_under_another_label_is_gone_and_added() -> None:
    line = on_a_line([(0,), (1,), (0,)], 0, 1, 2)
    added = Entities(np.array([1]), line.vectors[[1]], np.array([[0]], np.int32))
    found = changed(line, Rule(never=(0,)), [1], added, 2, 0)
    assert lists_of(found, 2) == [[], [], []]
    assert found.pools.permitted.tolist() == [0, 0, 0]


def test_of_a_night_of_one_percent_few_lists_are_joined_anew() -> None:
    entities = crowds(1500, 60)
    rule, rng = Rule(at_most=(2, ARTIST)), np.random.default_rng(2)
    pools = ruled_join(entities, rule, k=54, metric="euclidean", spare=2)
    gone = np.sort(rng.permutation(1500)[:15])
    empty = some(entities, NONE)
    found = update(pools, entities, empty, gone, k=20, metric="euclidean", spare=2)
    assert found.recomputed <= 15
    anew = ruled_join(found.entities, rule, k=20, metric="euclidean")
    assert first(found.pools, 20) == listed(anew)


@pytest.mark.parametrize(
    ("gone", "added", "k", "error", "message"),
    [
        ([3], None, 1, InputError, "row 3 is gone but was not there: there were 3"),
        ([], 1, 1, InputError, "vector_no 1 stands twice"),
        ([], None, 3, ConfigError, "pools of 2 cannot publish 3"),
    ],
)
def test_changes_that_do_not_fit_are_refused(
    gone: list[int], added: int | None, k: int, error: type[Exception], message: str
) -> None:
    line = on_a_line([(0,), (1,), (2,)], 1, 2, 3)
    more = nobody() if added is None else on_a_line([(1,)], 2, at=added)
    pools = ruled_join(line, Rule(never=(0,)), k=2, metric="euclidean")
    with pytest.raises(error, match=message):
        update(pools, line, more, np.array(gone, np.int64), k=k, metric="euclidean")
    with pytest.raises(InputError, match="3 pools are not those of 2 live entities"):
        update(pools, some_plain(line, [0, 1]), nobody(), NONE, k=1, metric="euclidean")
    wide = Entities(np.array([9]), np.ones((1, 2), np.float32), line.labels[:1])
    with pytest.raises(InputError, match="added vectors have 2 dimensions, those before 1"):
        update(pools, line, wide, NONE, k=1, metric="euclidean")


def some_plain(entities: Entities, rows: list[int]) -> Entities:
    return Entities(entities.numbers[rows], entities.vectors[rows], entities.labels[rows])
