"""Lists under a cap merge: in any order, from any parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.errors import InputError
from artrec.vectors.rules import FREE, Lists, merge_lists, take
from artrec.vectors.rules.lists import ranks

Entries = list[tuple[float, int]]

WIDTH = 5
few_distances = st.sampled_from([-2.0, -0.0, 0.0, 0.5, 1.0, 3e38])
entries = st.dictionaries(st.integers(0, 30), few_distances, max_size=14).map(
    lambda made: [(far, i) for i, far in made.items()]
)
mosts = st.none() | st.integers(1, 3)


def value(i: int) -> int:
    """Some ids are counted with others, some are free."""
    return i % 5 - 1


def taken(found: Entries, most: int | None) -> Entries:
    """One after the other, unless its value has ``most``."""
    counts: dict[int, int] = {}
    kept: Entries = []
    for far, i in sorted((far + 0.0, i) for far, i in found):
        counts[value(i)] = counts.get(value(i), 0) + 1
        if most is None or value(i) == FREE or counts[value(i)] <= most:
            kept.append((far, i))
    return kept[:WIDTH]


def made(found: Entries, most: int | None) -> Lists:
    rows = np.zeros(len(found), dtype=np.int64)
    distances = np.array([far for far, _ in found], dtype=np.float32)
    ids = np.array([i for _, i in found], dtype=np.int64)
    values = np.array([value(i) for _, i in found], dtype=np.int32)
    return take(rows, distances, ids, values, 1, WIDTH, most)


def same(a: Lists, b: Lists) -> bool:
    return all(
        getattr(a, name).tobytes() == getattr(b, name).tobytes()
        for name in ("distances", "ids", "values")
    )


@settings(max_examples=200, deadline=None)
@given(entries, mosts)
def test_one_is_taken_after_the_other_unless_its_value_is_full(
    found: Entries, most: int | None
) -> None:
    lists = made(found, most)
    expected = taken(found, most)
    assert lists.ids[0].tolist() == [i for _, i in expected] + [-1] * (WIDTH - len(expected))
    assert lists.distances[0, : len(expected)].tolist() == [np.float32(d) for d, _ in expected]
    assert not np.signbit(lists.distances[lists.distances == 0]).any()


@settings(max_examples=200, deadline=None)
@given(entries, st.lists(st.integers(0, 2), min_size=14, max_size=14), mosts)
def test_parts_in_any_order_and_grouping_are_the_whole(
    found: Entries, where: list[int], most: int | None
) -> None:
    parts = [
        made([e for e, at in zip(found, where, strict=False) if at == part], most)
        for part in range(3)
    ]
    a, b, c = parts
    whole = made(found, most)
    assert same(merge_lists(merge_lists(a, b, most), c, most), whole)
    assert same(merge_lists(a, merge_lists(b, c, most), most), whole)
    assert same(merge_lists(c, merge_lists(b, a, most), most), whole)
    assert same(merge_lists(whole, Lists.empty(1, WIDTH), most), whole)
    assert same(merge_lists(Lists.empty(1, WIDTH), whole, most), whole)
    assert same(merge_lists(whole, whole, most), whole)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3))))
def test_ranks_count_what_is_before_of_the_same_row_and_value(pairs: list[tuple[int, int]]) -> None:
    rows = np.array([row for row, _ in pairs], dtype=np.int64)
    values = np.array([code for _, code in pairs], dtype=np.int32)
    assert ranks(rows, values).tolist() == [pairs[:at].count(pair) for at, pair in enumerate(pairs)]
    far = ranks(rows << 50, values)
    assert far.tolist() == ranks(rows, values).tolist()


def test_lists_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(2, 5\) against \(2, 4\)"):
        merge_lists(Lists.empty(2, 5), Lists.empty(2, 4), 1)
