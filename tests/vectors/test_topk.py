from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from artrec.errors import ConfigError, InputError
from artrec.vectors import BruteForce, Searcher, TopK, merge
from artrec.vectors.topk import orderable, select

Entries = list[tuple[float, int]]

N, K = 3, 4
few_ids = st.integers(0, 9)
few_distances = st.sampled_from([-2.0, -0.0, 0.0, 0.5, 1.0, 3e38])
entries = st.lists(st.tuples(few_distances, few_ids), max_size=8)


def lists(*rows: Entries) -> TopK:
    """Lists of K by plain sorting: each id once, at its least distance."""
    made = TopK.empty(len(rows), K)
    for row, pairs in enumerate(rows):
        least = {i: min(d for d, j in pairs if i == j) for _, i in pairs}
        for place, (distance, i) in enumerate(sorted((d, i) for i, d in least.items())[:K]):
            made.distances[row, place], made.ids[row, place] = distance + 0.0, i
    return made


topks = st.tuples(entries, entries, entries).map(lambda rows: lists(*rows))


def same(a: TopK, b: TopK) -> bool:
    return a.ids.tobytes() + a.distances.tobytes() == b.ids.tobytes() + b.distances.tobytes()


def test_merging_keeps_the_nearest_of_both_and_ties_go_to_the_lower_id() -> None:
    a = lists([(0.1, 7), (0.3, 2)], [], [(0.5, 5), (0.5, 6), (0.5, 7), (0.5, 8)])
    b = lists([(0.3, 1), (0.2, 9), (0.9, 4)], [(0.0, 3)], [(0.5, 1)])
    merged = merge(a, b)
    assert merged.ids.tolist() == [[7, 9, 1, 2], [3, -1, -1, -1], [1, 5, 6, 7]]
    assert merged.distances[1].tolist() == [0.0, math.inf, math.inf, math.inf]
    assert merged.counts.tolist() == [4, 1, 4]


def test_an_id_that_both_hold_stands_once_at_its_smaller_distance() -> None:
    merged = merge(lists([(0.5, 1), (0.6, 2)]), lists([(0.5, 1), (0.2, 2)]))
    assert merged.ids.tolist() == [[2, 1, -1, -1]]
    assert merged.distances[0, :2].tolist() == [np.float32(0.2), 0.5]


@settings(max_examples=100, deadline=None)
@given(a=topks)
def test_the_empty_lists_change_nothing(a: TopK) -> None:
    assert same(merge(a, TopK.empty(N, K)), a)
    assert same(merge(TopK.empty(N, K), a), a)
    assert same(merge(a, a), a)


@settings(max_examples=100, deadline=None)
@given(a=topks, b=topks, c=topks)
def test_merging_does_not_depend_on_order_or_grouping(a: TopK, b: TopK, c: TopK) -> None:
    assert same(merge(a, b), merge(b, a))
    assert same(merge(merge(a, b), c), merge(a, merge(b, c)))


@settings(max_examples=100, deadline=None)
@given(a=entries, b=entries, c=entries)
def test_merged_parts_are_the_lists_of_the_whole(a: Entries, b: Entries, c: Entries) -> None:
    assert same(merge(lists(a), merge(lists(b), lists(c))), lists(a + b + c))


def test_lists_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(2, 5\) against \(2, 4\)"):
        merge(TopK.empty(2, 5), TopK.empty(2, 4))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, N - 1), few_distances, st.integers(0, 2**63 - 1))))
def test_selecting_sorts_by_distance_then_id(found: list[tuple[int, float, int]]) -> None:
    rows = np.array([row for row, _, _ in found], dtype=np.int64)
    distances = np.array([d for _, d, _ in found], dtype=np.float32)
    ids = np.array([i for _, _, i in found], dtype=np.int64)
    chosen = select(rows, distances, ids, N, K)
    for row in range(N):
        mine = sorted((float(np.float32(d)) + 0.0, i) for r, d, i in found if r == row)[:K]
        assert chosen.ids[row].tolist() == [i for _, i in mine] + [-1] * (K - len(mine))
        assert chosen.distances[row, : len(mine)].tolist() == [d for d, _ in mine]


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2))
def test_orderable_numbers_keep_the_order_of_floats(values: list[float]) -> None:
    numbers = orderable(np.array(values, dtype=np.float32)).tolist()
    assert [values[i] for i in np.argsort(numbers, kind="stable")] == sorted(values)
    assert (values[0] == values[1]) == (numbers[0] == numbers[1])


def line(*positions: float) -> NDArray[np.float32]:
    return np.array([[position] for position in positions], dtype=np.float32)


def test_brute_force_finds_the_nearest_in_the_order_of_distance_and_id() -> None:
    searcher: Searcher = BruteForce(line(0, 5, 1, -1), np.array([40, 30, 20, 10]), "euclidean")
    found = searcher.search(line(0, 4), 3)
    assert searcher.is_exact()
    assert found.ids.tolist() == [[40, 10, 20], [30, 20, 40]]
    assert found.distances.tolist() == [[0, 1, 1], [1, 3, 4]]


def test_brute_force_over_many_tiles_is_the_search_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.integers(0, 9, (9000, 2)).astype(np.float32)  # many ties
    ids = rng.permutation(9000)
    found = BruteForce(vectors, ids, "euclidean").search(vectors[:70], 20)
    for row in (0, 33, 69):
        apart = [math.dist(vectors[row], other) for other in vectors.tolist()]
        nearest = sorted(zip(apart, ids.tolist(), strict=True))[:20]
        assert found.ids[row].tolist() == [i for _, i in nearest]


def test_brute_force_with_fewer_vectors_than_asked_gives_shorter_lists() -> None:
    found = BruteForce(line(1, 2), np.array([3, 4]), "euclidean").search(line(0), 5)
    assert found.counts.tolist() == [2]
    none = BruteForce(line(1)[:0], np.arange(0), "cosine").search(line(1), 2)
    assert none.counts.tolist() == [0]


def test_brute_force_refuses_what_it_cannot_search() -> None:
    searcher = BruteForce(line(1, 2), np.array([3, 4]), "cosine")
    with pytest.raises(InputError, match="queries have 2 dimensions, vectors 1"):
        searcher.search(np.ones((1, 2), dtype=np.float32), 1)
    with pytest.raises(InputError, match="NaN or infinity: ids 1"):
        searcher.search(line(1, math.nan), 1)
    with pytest.raises(ConfigError, match="k must be at least 1, got 0"):
        searcher.search(line(1), 0)
    with pytest.raises(InputError, match="differ from each other"):
        BruteForce(line(1, 2), np.array([3, 3]), "cosine")
    with pytest.raises(InputError, match="zero"):
        BruteForce(line(1, 0), np.array([3, 4]), "cosine")
