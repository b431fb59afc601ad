from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import artrec.vectors.distance as distance
from artrec.errors import ConfigError, InputError
from artrec.vectors import METRICS, check_vectors, exact

Floats = NDArray[np.float32]
Matrix = Callable[[str, Floats, Floats], Floats]


def rows(*values: list[float]) -> Floats:
    return np.array(values, dtype=np.float32)


def normal(n: int, dim: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def test_cosine_is_one_minus_the_cosine() -> None:
    a = rows([1, 0], [1, 0], [1, 0], [3, 4])
    b = rows([0, 2], [-5, 0], [7, 0], [4, 3])
    # cos of the last pair: (12 + 12) / (5 * 5) = 0.96
    expected = np.array([1.0, 2.0, 0.0, 1 - 24 / 25], dtype=np.float32)
    assert exact("cosine", a, b).tolist() == expected.tolist()


def test_euclidean_is_the_length_of_the_difference() -> None:
    assert exact("euclidean", rows([1, 1], [0, 0]), rows([4, 5], [1, 1])).tolist() == [
        5.0,
        np.float32(math.sqrt(2)),
    ]


def test_dot_is_negated_so_that_smaller_is_nearer() -> None:
    assert exact("dot", rows([1, 2], [1, 2]), rows([3, 4], [-3, 1])).tolist() == [-11.0, 1.0]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [1, 2, 3, 7, 64, 154, 513])
def test_no_bit_depends_on_how_the_rows_are_batched(metric: str, dim: int) -> None:
    a, b = normal(1000, dim), normal(1000, dim, 1)
    b[::3] = a[::3] * np.float32(1.0000001)  # near ones too, where rounding is delicate
    whole = exact(metric, a, b).view(np.int32)
    for size in (1, 2, 17, 333, 999):
        starts = range(0, len(a) if size > 1 else 50, size)
        parts = [exact(metric, a[i : i + size], b[i : i + size]) for i in starts]
        part = np.concatenate(parts).view(np.int32)
        assert (part == whole[: len(part)]).all()
    strided = exact(metric, np.asfortranarray(a), np.repeat(b, 2, axis=0)[::2])
    assert (strided.view(np.int32) == whole).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [1, 2, 5, 16, 33])
@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-7])
def test_distances_are_those_of_the_definition_bit_for_bit(
    matrix: Matrix, metric: str, dim: int, spread: float
) -> None:
    a = (1 + spread * normal(40, dim)).astype(np.float32)
    b = np.concatenate((a[:20], (1 + spread * normal(30, dim, 1)).astype(np.float32)))
    left, right = np.repeat(a, len(b), axis=0), np.tile(b, (len(a), 1))
    found = exact(metric, left, right).reshape(len(a), len(b))
    assert (found == matrix(metric, a, b)).all()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), metric=st.sampled_from(METRICS), dim=st.integers(1, 6))
def test_any_finite_floats_follow_the_definition(
    matrix: Matrix, data: st.DataObject, metric: str, dim: int
) -> None:
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    vectors = st.lists(numbers, min_size=dim, max_size=dim).filter(any)
    a = np.array(data.draw(st.lists(vectors, min_size=1, max_size=6)), dtype=np.float32)
    b = np.array([data.draw(st.sampled_from(a.tolist()) | vectors) for _ in a], dtype=np.float32)
    assert exact(metric, a, b).tolist() == np.diagonal(matrix(metric, a, b)).tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_the_order_of_the_fast_sum_does_not_show(
    metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = normal(2000, 77), normal(2000, 77, 1)
    b[::2] = a[::2] + np.float32(1e-4) * b[::2]
    before = exact(metric, a, b)

    def from_the_right(x: Floats, at: NDArray[np.int64], y: Floats) -> NDArray[np.float64]:
        terms = x[at].astype(np.float64) * y
        return np.asarray(np.cumsum(terms[:, ::-1], axis=1)[:, -1])

    monkeypatch.setattr(distance, "_some_dots", from_the_right)
    assert (exact(metric, a, b).view(np.int32) == before.view(np.int32)).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "k", "dim"), [(30, 7, 5), (5000, 3, 40), (9, 0, 4), (0, 6, 4)])
def test_distances_of_lists_are_those_of_their_pairs(metric: str, n: int, k: int, dim: int) -> None:
    vectors = normal(50, dim)
    vectors[7] = vectors[8]
    squares = distance.squared_norms(vectors)
    rng = np.random.default_rng(1)
    own, others = rng.integers(0, 50, n), rng.integers(0, 50, (n, k))
    found = distance.distances_of_lists(metric, vectors, squares, own, others)
    each = exact(metric, vectors[np.repeat(own, k)], vectors[others.reshape(-1)])
    assert found.tobytes() == each.tobytes()
    assert found.shape == (n, k)


def test_float64_sums_are_right_to_the_last_bit_of_float32() -> None:
    a, b = normal(300, 200), normal(300, 200, 1)
    for x, y, found in zip(a.tolist(), b.tolist(), exact("dot", a, b), strict=True):
        assert found == pytest.approx(-math.fsum(map(float.__mul__, x, y)), rel=2**-23)
    for x, y, found in zip(a.tolist(), b.tolist(), exact("euclidean", a, b), strict=True):
        assert found == pytest.approx(math.dist(x, y), rel=2**-23)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1.0, 1e30, 1e37])
def test_equal_vectors_have_distance_zero(metric: str, scale: float) -> None:
    a = (normal(500, 61).astype(np.float64) * scale).astype(np.float32)
    a[~a.any(axis=1)] = np.float32(1e-45)
    found = exact(metric, a, a.copy())
    assert not found.any()
    assert not np.signbit(found).any()


@pytest.mark.parametrize("metric", METRICS)
def test_a_distance_is_the_same_from_both_ends(metric: str) -> None:
    a, b = normal(500, 45), normal(500, 45, 1)
    assert exact(metric, a, b).tolist() == exact(metric, b, a).tolist()


def test_no_distance_is_a_negative_zero() -> None:
    assert not np.signbit(exact("dot", rows([1, 0], [0, 0]), rows([0, 1], [1, 1]))).any()


def test_what_float32_cannot_hold_becomes_its_largest_number() -> None:
    big, largest = rows([3e38, 3e38]), float(np.finfo(np.float32).max)
    assert exact("dot", big, big).tolist() == [-largest]
    assert exact("dot", big, -big).tolist() == [largest]
    assert exact("euclidean", big, -big).tolist() == [largest]
    assert exact("cosine", big, -big).tolist() == [2.0]


def test_vectors_that_are_not_finite_are_refused_by_id() -> None:
    x = rows([1, 2], [math.nan, 0], [3, 4], [math.inf, 1])
    with pytest.raises(InputError, match=r"2 of 4 vectors hold NaN or infinity: ids 21, 41"):
        check_vectors(x, np.array([11, 21, 31, 41]))


def test_a_zero_vector_is_refused_under_cosine_only() -> None:
    x = rows([1, 2], [0, 0])
    check_vectors(x, np.array([5, 6]), "euclidean")
    with pytest.raises(InputError, match=r"zero.*ids 6"):
        check_vectors(x, np.array([5, 6]), "cosine")
    with pytest.raises(InputError, match="ids 1"):
        exact("cosine", x, x)


def test_arrays_of_another_shape_or_type_are_refused() -> None:
    with pytest.raises(InputError, match=r"\[2, 3\] against \[2, 4\]"):
        exact("dot", normal(2, 3), normal(2, 4))
    with pytest.raises(InputError, match="float64"):
        check_vectors(np.ones((2, 3)), np.arange(2))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 vectors came with 3 ids"):
        check_vectors(normal(2, 3), np.arange(3))
    with pytest.raises(InputError, match=r"\[2, 0\]"):
        check_vectors(np.ones((2, 0), dtype=np.float32), np.arange(2))


def test_an_unknown_metric_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'l2' is unknown: choose one of cosine, dot, euclidean"):
        exact("l2", normal(1, 2), normal(1, 2))
