"""Pools that were kept up to date publish what a join from nothing publishes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from artrec.errors import ConfigError, InputError
from artrec.vectors import (
    METRICS,
    Block,
    Entries,
    Laid,
    Pools,
    Tiling,
    join,
    refreshed,
    short_rows,
    update,
)
from artrec.vectors.update import Staying, bounds_among, lacking_rows, met, widest
from tests.vectors.test_join import spread

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
NONE = np.empty(0, np.int64)


def anew(block: Block, size: int, metric: str) -> Pools:
    return join(block, [block], k=size, metric=metric)


def first(pools: Pools, k: int) -> tuple[bytes, bytes, bytes]:
    return (
        pools.numbers.tobytes(),
        pools.others[:, :k].tobytes(),
        pools.distances[:, :k].tobytes(),
    )


def holds_all_within_its_radius(pools: Pools, block: Block, metric: str) -> None:
    """The law of the pool, against the lists of everybody."""
    everybody = join(block, [block], k=max(1, len(block.numbers) - 1), metric=metric)
    for row in range(len(block.numbers)):
        reach = (pools.radius[row], pools.radius_no[row])
        listed = range(everybody.counts[row])
        expected = [
            everybody.others[row, at]
            for at in listed
            if (everybody.distances[row, at], everybody.others[row, at]) <= reach
        ]
        assert pools.others[row, : pools.counts[row]].tolist() == expected


def without(block: Block, gone: Ints, added: Block) -> Block:
    left = ~np.isin(block.numbers, gone)
    numbers = np.concatenate((block.numbers[left], added.numbers))
    order = np.argsort(numbers)
    vectors = np.concatenate((block.vectors[left], added.vectors))
    return Block(numbers[order], vectors[order])


def few_places(rng: np.random.Generator, n: int) -> Floats:
    """Vectors of which many are equal and many tie."""
    made = rng.integers(0, 3, (n, 3)).astype(np.float32)
    made[:, 0] += 1
    return made


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.booleans()), max_size=6),
    st.integers(1, 6),
    st.integers(0, 4),
    st.sampled_from(METRICS),
)
def test_any_history_of_additions_and_deletions_publishes_what_a_rebuild_does(
    seed: int, n: int, history: list[tuple[int, int, bool]], k: int, slack: int, metric: str
) -> None:
    rng = np.random.default_rng(seed)
    names = rng.permutation(5000).astype(np.int64)
    block = Block(np.sort(names[:n]), few_places(rng, n))
    pools, used = anew(block, k + slack, metric), n
    for more, fewer, clustered in history:
        numbers = np.sort(names[used : used + more])
        added, used = Block(numbers, few_places(rng, more)), used + more
        gone = rng.permutation(block.numbers)[:fewer]
        if clustered and len(block.numbers):  # those around one of them
            far = np.abs(block.vectors - block.vectors[0]).sum(axis=1)
            gone = block.numbers[np.argsort(far, kind="stable")[:fewer]]
        pools = update(pools, block, added, gone, k=k, metric=metric)
        block = without(block, gone, added)
        assert first(pools, k) == first(anew(block, k + slack, metric), k)
        holds_all_within_its_radius(pools, block, metric)


def halves(block: Block, at: int) -> list[Block]:
    parts = [slice(None, at), slice(at, None)]
    return [Block(block.numbers[part], block.vectors[part]) for part in parts]


def met_by_parts(
    pools: Pools, block: Block, added: Block, gone: Ints, metric: str
) -> tuple[Pools, Pools, int]:
    """Pools of what stays and of what is added, two parts of either; each product counts twice."""
    size, total = pools.others.shape[1], len(block.numbers) - len(gone) + len(added.numbers)
    sample = without(block, gone, added)
    bounds = bounds_among(added, halves(sample, len(sample.numbers) // 2)[:1], size, metric)
    cut = len(added.numbers) // 2
    asking = []
    for part, far in zip(halves(added, cut), (bounds[:cut], bounds[cut:]), strict=True):
        laid = Laid.of(part.numbers, part.vectors, size + 1)
        asking.append((laid, widest(laid, far)))
    found = [Entries(len(laid.first), size + 1) for laid, _ in asking]
    stays, products, kept = ~np.isin(block.numbers, gone), 0, []
    for rows in (np.arange(0, len(stays), 2), np.arange(1, len(stays), 2)):
        mine = rows[stays[rows]]
        own = Block(block.numbers[mine], block.vectors[mine])
        staying = Staying(pools.taken(mine), own, metric, Tiling())
        staying.leave(gone)
        for each, (laid, far) in zip(found, asking, strict=True):
            entries, more = staying.meet(laid, far)
            each.add(*entries.flat())
            products += more
        kept.append(staying.refreshed())
    for a, b in ((0, 0), (0, 1), (1, 1)):
        one, other, _ = met(asking[a], asking[b], width=size + 1, metric=metric, tiling=Tiling())
        found[a].add(*one.flat())
        if a != b:
            found[b].add(*other.flat())
    new = [
        laid.pools(metric, each, size, total) for each, (laid, _) in zip(found, asking, strict=True)
    ]
    return Pools.together(kept), Pools.together(new), products


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 40),
    st.integers(2, 12),
    st.integers(0, 12),
    st.integers(1, 8),
    st.booleans(),
    st.sampled_from(METRICS),
)
def test_what_is_added_finds_its_lists_by_the_products_by_which_it_is_found(
    seed: int, n: int, more: int, fewer: int, size: int, tie: bool, metric: str
) -> None:
    rng = np.random.default_rng(seed)
    names, made = rng.permutation(5000).astype(np.int64), few_places if tie else spread_by
    block, added = (
        Block(np.sort(part), made(rng, len(part))) for part in (names[:n], names[n : n + more])
    )
    gone = rng.permutation(block.numbers)[: min(fewer, n - 1)]
    pools = anew(block, size, metric)
    kept, new, products = met_by_parts(pools, block, added, gone, metric)
    live = without(block, gone, added)
    expected = anew(live, size, metric)
    mine = expected.taken(np.isin(expected.numbers, added.numbers))
    assert first(new, size) == first(mine, size)
    assert new.radius.tolist() == mine.radius.tolist()
    assert new.radius_no.tolist() == mine.radius_no.tolist()
    stay = ~np.isin(block.numbers, gone)
    stayed = Block(block.numbers[stay], block.vectors[stay])
    one_sided = refreshed(pools.taken(stay), stayed, added, gone, metric=metric)
    assert first(kept, size) == first(one_sided, size)
    assert kept.radius.tolist() == one_sided.radius.tolist()
    if not tie:
        assert products == len(stayed.numbers) * more


def spread_by(rng: np.random.Generator, n: int) -> Floats:
    return rng.standard_normal((n, 3)).astype(np.float32)


def test_an_approximate_list_takes_what_is_nearer_than_its_last_entry_and_stays_so() -> None:
    line = np.array([[0], [1], [2], [7], [8]], dtype=np.float32)
    block = Block(np.arange(5), line)
    pools = anew(block, 2, "euclidean").incomplete()
    staying = Staying(pools, block, "euclidean", Tiling())
    staying.leave(np.array([9, 1]))
    near = np.array([[0.5], [5]], dtype=np.float32)
    staying.meet(Laid.of(np.array([20, 21]), near, 3))
    found = staying.refreshed()
    assert found.others.tolist() == [[20, 2], [20, 0], [20, 0], [4, 21], [3, 21]]
    assert np.isneginf(found.radius).all()
    assert lacking_rows(found, 2, 7).tolist() == []
    staying.leave(np.array([0, 2, 3, 4]))
    emptied = staying.refreshed()
    assert emptied.counts.tolist() == [1, 1, 1, 1, 1]
    assert lacking_rows(emptied, 2, 7).tolist() == [0, 1, 2, 3, 4]
    assert lacking_rows(emptied, 2, 2).tolist() == []  # there is nobody else


@pytest.mark.parametrize("metric", METRICS)
def test_a_night_of_a_hundredth_touches_no_row_anew(metric: str) -> None:
    made = spread(2020, 8)
    block = Block(np.arange(2000, dtype=np.int64), made[:2000])
    added = Block(np.arange(2000, 2020, dtype=np.int64), made[2000:])
    gone = np.random.default_rng(3).permutation(2000)[:20].astype(np.int64)
    pools = update(anew(block, 32, metric), block, added, gone, k=20, metric=metric)
    rebuilt = anew(without(block, gone, added), 32, metric)
    assert first(pools, 20) == first(rebuilt, 20)
    assert pools.counts[pools.numbers < 2000].min() < 32  # the slack was used


def test_a_row_is_short_when_its_slack_is_gone_and_there_are_others() -> None:
    block = Block(np.arange(30, dtype=np.int64), spread(30, 2))
    pools = anew(block, 4, "euclidean")
    gone = pools.others[0, :3].copy()
    left = ~np.isin(block.numbers, gone)
    again = update(pools, block, Block(NONE, spread(0, 2)), gone, k=3, metric="euclidean")
    assert len(short_rows(again, 3)) == 0
    assert first(again, 3) == first(
        anew(Block(block.numbers[left], block.vectors[left]), 4, "euclidean"), 3
    )


def test_a_list_of_everybody_is_never_short() -> None:
    block = Block(np.arange(4, dtype=np.int64), spread(4, 2))
    pools = update(
        anew(block, 10, "cosine"),
        block,
        Block(NONE, spread(0, 2)),
        np.array([1, 2]),
        k=5,
        metric="cosine",
    )
    assert pools.counts.tolist() == [1, 1]
    assert short_rows(pools, 5).tolist() == []


@pytest.mark.parametrize(
    ("gone", "added", "message"),
    [
        ([7], [9], "vector_no 7 is gone but was not there"),
        ([1], [2], "vector_no 2 is added but was there already"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(
    gone: list[int], added: list[int], message: str
) -> None:
    block = Block(np.arange(4, dtype=np.int64), spread(4, 2))
    pools = anew(block, 2, "cosine")
    more = Block(np.array(added), spread(1, 2))
    with pytest.raises(InputError, match=message):
        update(pools, block, more, np.array(gone), k=2, metric="cosine")


def test_additions_of_another_dimension_are_refused_with_both() -> None:
    block = Block(np.arange(4, dtype=np.int64), spread(4, 2))
    more = Block(np.array([9]), spread(1, 3))
    with pytest.raises(InputError, match="added vectors have 3 dimensions, those that stay 2"):
        update(anew(block, 2, "dot"), block, more, NONE, k=2, metric="dot")


def test_more_than_a_pool_holds_cannot_be_published() -> None:
    block = Block(np.arange(4, dtype=np.int64), spread(4, 2))
    none = Block(NONE, spread(0, 2))
    with pytest.raises(ConfigError, match="pools of 2 cannot publish 3: 1 to 2"):
        update(anew(block, 2, "cosine"), block, none, NONE, k=3, metric="cosine")


def test_pools_of_other_vectors_are_refused() -> None:
    block = Block(np.arange(4, dtype=np.int64), spread(4, 2))
    other = Block(np.arange(5, dtype=np.int64), spread(5, 2))
    with pytest.raises(InputError, match="not those of the live vectors"):
        update(anew(other, 2, "dot"), block, Block(NONE, spread(0, 2)), NONE, k=2, metric="dot")


def test_copies_that_enter_and_do_not_all_find_place_shorten_the_reach() -> None:
    line = np.array([[0], [5], [9]], dtype=np.float32)
    live = Block(np.array([0, 1, 2]), line)
    added = Block(np.array([7, 8]), np.array([[3], [3]], dtype=np.float32))
    pools = update(anew(live, 1, "euclidean"), live, added, np.array([1]), k=1, metric="euclidean")
    assert pools.others[0].tolist() == [7]
    assert (pools.radius[0], pools.radius_no[0]) == (3.0, 7)


def test_pools_of_an_approximate_join_are_not_taken_for_exact_ones() -> None:
    block = Block(np.arange(30), spread(30, 3))
    found = anew(block, 6, "cosine").incomplete()
    with pytest.raises(InputError, match="30 pools, that of vector_no 0 first, are of an approx"):
        update(found, block, Block(NONE, block.vectors[:0]), NONE, k=4, metric="cosine")
    with pytest.raises(InputError, match="join anew"):
        short_rows(found, 4)
