"""The approximate join may miss a neighbor; it knows how many, and never says a wrong distance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from artrec.errors import ConfigError, InputError
from artrec.vectors import METRICS, Block, Pools, approximate_self_join, join, self_join
from artrec.vectors.approximate import field, refining
from artrec.vectors.approximate.recall import interval
from tests.vectors.test_join import KINDS, copies, few_values, numbers, same, spread

Floats = NDArray[np.float32]
Matrix = Callable[[str, Floats, Floats], Floats]

ALL = 10**9  # cells: more than there are


def recall(found: Pools, true: Pools) -> float:
    """Of all true lists the share of entries that are as near as the k-th, by plain steps."""
    hits = total = 0
    for row, count in enumerate(true.counts.tolist()):
        far = true.distances[row, count - 1] if count else 0
        hits += int((found.distances[row, : found.counts[row]] <= far).sum())
        total += count
    return hits / total if total else 1.0


def bunches(n: int, dim: int) -> Floats:
    """40 bunches, so that most neighbors are in near cells."""
    return np.asarray(3 * spread(40, dim, 5)[np.arange(n) % 40] + spread(n, dim), np.float32)


def plane(n: int, _: int) -> Floats:
    """So dense that float32 costs put some that are near the k-th in the wrong order."""
    return spread(n, 2)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(2, 300),
    st.integers(1, 40),
    st.sampled_from(METRICS),
    st.lists(st.integers(0, 9), max_size=3),
)
def test_no_plan_says_a_wrong_distance(
    matrix: Matrix, kind: str, n: int, k: int, metric: str, steps: list[int]
) -> None:
    block = Block(numbers(n), KINDS[kind](n, 6))
    found = approximate_self_join(block, k=k, metric=metric, plan=(2, *steps)).pools
    true = matrix(metric, block.vectors, block.vectors)
    place = {number: row for row, number in enumerate(block.numbers.tolist())}
    for row, count in enumerate(found.counts.tolist()):
        others = found.others[row, :count].tolist()
        said = found.distances[row, :count]
        assert block.numbers[row] not in others
        assert len(set(others)) == count
        assert said.tobytes() == true[row, [place[other] for other in others]].tobytes()
        assert list(zip(said, others, strict=True)) == sorted(zip(said, others, strict=True))
        assert (found.others[row, count:] == -1).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("make", [spread, bunches, copies, plane])
def test_all_cells_probed_give_the_lists_of_the_exact_join(
    metric: str, make: Callable[[int, int], Floats]
) -> None:
    block = Block(numbers(3000), make(3000, 12))
    expected = self_join(block, k=20, metric=metric)
    found = approximate_self_join(block, k=20, metric=metric, plan=(4, 9, ALL))
    assert same(found.pools, expected)
    assert (found.recall.mean, found.recall.high) == (1.0, 1.0)


@pytest.mark.parametrize("metric", METRICS)
def test_ties_at_the_end_of_a_list_cost_no_distance(metric: str) -> None:
    block = Block(numbers(2000), few_values(2000, 8))
    expected = self_join(block, k=20, metric=metric)
    found = approximate_self_join(block, k=20, metric=metric, plan=(4, ALL)).pools
    assert found.distances.tobytes() == expected.distances.tobytes()


def test_more_copies_than_a_list_takes_are_neighbors_at_no_distance() -> None:
    made = spread(500, 6)
    made[100:200] = made[100]
    block = Block(numbers(500), made)
    found = approximate_self_join(block, k=20, metric="euclidean", plan=(1,)).pools
    assert (found.distances[100:200] == 0).all()
    first = block.numbers[100:120].tolist()
    assert found.others[150].tolist() == first


@pytest.mark.parametrize("metric", METRICS)
def test_the_steps_chosen_reach_the_target_and_cost_less(metric: str) -> None:
    block = Block(numbers(6000), bunches(6000, 16))
    found = approximate_self_join(block, k=10, metric=metric, target=0.9, sample=300)
    assert found.recall.low >= 0.9
    assert found.recall.low <= found.recall.mean <= found.recall.high
    true = join(block, [block], k=10, metric=metric)
    assert found.recall.low <= recall(found.pools, true) <= found.recall.high
    assert found.products < found.exact_products


@pytest.mark.parametrize("target", [0.999, 1.0])
def test_a_target_that_few_rows_cannot_show_is_reached_all_the_same(target: float) -> None:
    block = Block(numbers(3000), spread(3000, 16))
    found = approximate_self_join(block, k=10, metric="cosine", target=target, sample=50)
    true = join(block, [block], k=10, metric="cosine")
    assert recall(found.pools, true) >= target


def test_a_recall_that_others_will_measure_is_shown_to_them() -> None:
    """By 400 other rows, drawn 300 times: hardly ever does their interval miss the target."""
    block, random = Block(numbers(4000), spread(4000, 8)), np.random.default_rng(3)
    true = join(block, [block], k=10, metric="cosine")
    found = approximate_self_join(block, k=10, metric="cosine", target=0.9, asked=400)
    near = found.pools.distances <= true.distances[:, -1:]
    recalls = near.sum(axis=1) / 10
    lows = [interval(recalls[random.permutation(4000)[:400]])[0] for _ in range(300)]
    assert sum(low < 0.9 for low in lows) <= 3
    assert 0.9 < recalls.mean() < 1


def test_the_same_vectors_take_the_same_steps_to_the_same_lists() -> None:
    block = Block(numbers(4000), spread(4000, 16))
    runs = [
        approximate_self_join(block, k=10, metric="cosine", target=0.95, sample=200)
        for _ in range(2)
    ]
    assert len(runs[0].plan) > 1
    assert runs[0].plan == runs[1].plan
    assert same(runs[0].pools, runs[1].pools)
    again = approximate_self_join(block, k=10, metric="cosine", plan=runs[0].plan)
    assert same(again.pools, runs[0].pools)


def test_each_step_finds_more() -> None:
    block = Block(numbers(6000), spread(6000, 24))
    found = approximate_self_join(block, k=10, metric="cosine", plan=(4, 6, 0, 0, 24))
    recalls = [step.recall for step in found.steps]
    assert recalls == sorted(recalls)
    assert recalls[0] < 0.6
    assert recalls[2] > recalls[1] + 0.05
    assert recalls[3] > recalls[2]
    assert found.steps[3].products < found.steps[2].products


def test_a_refinement_finds_what_the_circles_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of one circle are listed by each other after a round, if they are near enough."""
    monkeypatch.setattr(refining, "_FORWARD", 10)
    block = Block(numbers(1500), spread(1500, 12))
    before = approximate_self_join(block, k=10, metric="euclidean", plan=(3,)).pools
    after = approximate_self_join(block, k=10, metric="euclidean", plan=(3, 0)).pools
    true = join(block, [block], k=10, metric="euclidean")
    place = {number: row for row, number in enumerate(block.numbers.tolist())}
    lists = [{place[other] for other in row} for row in before.others.tolist()]
    listed = {frozenset((a, b)) for row in lists for a in row for b in row if a != b}
    promised = missed = 0
    for row, others in enumerate(true.others.tolist()):
        for other in {place[each] for each in others} - lists[row]:
            if frozenset((row, other)) in listed:
                promised += 1
                missed += block.numbers[other] not in after.others[row]
    assert promised > 300
    assert missed == 0


def test_a_join_that_loses_neighbors_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    block = Block(numbers(3000), bunches(3000, 12))
    whole = approximate_self_join(block, k=10, metric="cosine", plan=(ALL,), sample=3000)

    measured = field.Field.measured

    def losing(own: field.Field, positions: NDArray[np.int64]) -> object:
        own.lists.entries[:, ::2] = 2**64 - 1
        return measured(own, positions)

    monkeypatch.setattr(field.Field, "measured", losing)
    broken = approximate_self_join(block, k=10, metric="cosine", plan=(ALL,), sample=3000)
    assert whole.recall.mean == 1.0
    true = join(block, [block], k=10, metric="cosine")
    assert broken.recall.mean == pytest.approx(recall(broken.pools, true))
    assert broken.recall.mean < 0.8
    assert broken.recall.high < 1.0


def test_recall_is_told_by_density_and_by_group() -> None:
    made = np.concatenate((bunches(2000, 12), 4 * spread(2000, 12, 7)))
    block = Block(numbers(4000), np.asarray(made, np.float32))
    groups = ["bunched"] * 2000 + ["loose"] * 2000
    found = approximate_self_join(
        block, k=10, metric="euclidean", plan=(2,), groups=groups, sample=4000
    )
    true = join(block, [block], k=10, metric="euclidean")
    for name, rows in (("bunched", slice(0, 2000)), ("loose", slice(2000, 4000))):
        hits = found.pools.distances[rows] <= true.distances[rows, -1:]
        assert found.recall.by_group[name] == pytest.approx(hits.mean())
    assert list(found.recall.by_density) == [
        "smallest cells",
        "smaller cells",
        "larger cells",
        "largest cells",
    ]
    assert np.mean(list(found.recall.by_density.values())) == pytest.approx(found.recall.mean)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9])
@pytest.mark.parametrize("metric", METRICS)
def test_too_few_vectors_give_shorter_lists(n: int, metric: str) -> None:
    block = Block(numbers(n), spread(n, 4))
    found = approximate_self_join(block, k=12, metric=metric)
    assert same(found.pools, join(block, [block], k=12, metric=metric))
    assert found.recall.mean == 1.0


def test_copies_alone_are_each_other_s_neighbors() -> None:
    block = Block(numbers(30), np.ones((30, 4), np.float32))
    found = approximate_self_join(block, k=40, metric="cosine")
    assert same(found.pools, join(block, [block], k=40, metric="cosine"))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"target": 0.0}, "a recall above 0"),
        ({"target": 1.1}, "a recall above 0"),
        ({"plan": ()}, "a plan probes cells first"),
        ({"plan": (0, 4)}, "a plan probes cells first"),
        ({"plan": (4, -1)}, "a plan probes cells first"),
        ({"metric": "city"}, "metric 'city' is unknown"),
    ],
)
def test_what_makes_no_sense_is_refused(asked: dict[str, object], message: str) -> None:
    given_: dict[str, object] = {"k": 3, "metric": "cosine", **asked}
    with pytest.raises(ConfigError, match=message):
        approximate_self_join(Block(numbers(9), spread(9, 4)), **given_)  # type: ignore[arg-type]


def test_vectors_without_a_distance_are_refused() -> None:
    made = spread(9, 4)
    made[3] = np.nan
    with pytest.raises(InputError, match="NaN or infinity"):
        approximate_self_join(Block(numbers(9), made), k=3, metric="cosine")


def test_the_interval_without_a_miss_follows_the_rule_of_three() -> None:
    low, high = interval(np.ones(800))
    assert high == 1.0
    assert low == pytest.approx(1 - 3 / 800, abs=3e-4)


def test_the_interval_holds_the_mean_nineteen_times_of_twenty() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        low, high = interval(rng.binomial(10, 0.95, 400) / 10)
        held += low <= 0.95 <= high
    assert 0.94 <= held / 2000 <= 0.995
