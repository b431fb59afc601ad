"""Pools under rules that were kept up to date publish what a join from nothing publishes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from artrec.vectors import METRICS
from artrec.vectors.rules import Entities, Rule, RuledPools, Updated, published, ruled_join, update
from tests.vectors.test_rules import (
    RULES,
    Lists,
    Matrix,
    force,
    listed,
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


class History:
    """A catalog that changes night after night, and its pools."""

    def __init__(self, seed: int, n: int, rule: Rule, k: int, slack: int, spare: int, metric: str):
        self.rng = np.random.default_rng(seed)
        self.names = self.rng.permutation(4000).astype(np.int64)
        self.rule, self.k, self.spare, self.metric = rule, k, spare, metric
        self.used = n
        self.live = rows_of(rule, coined(self.rng, self.names[:n]))
        self.pools = ruled_join(self.live, rule, k=k + slack, metric=metric, spare=spare)

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


@settings(deadline=None, max_examples=60)
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


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_kept_over_ten_nights(matrix: Matrix, name: str, metric: str) -> None:
    history = History(8, 26, RULES[name], 5, 4, 1, metric)
    for night in range(10):
        history.night(3, 2, 2, night % 3 == 2)
        history.publishes_what_a_join_does(matrix)
