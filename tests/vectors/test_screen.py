from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from artrec.vectors import METRICS
from artrec.vectors.distance import squared_norms
from artrec.vectors.screen import Frame, Screen

Floats = NDArray[np.float32]
Matrix = Callable[[str, Floats, Floats], Floats]

rng = np.random.default_rng(3)


def spread(n: int, dim: int) -> Floats:
    return rng.standard_normal((n, dim)).astype(np.float32)


def outliers(n: int, dim: int) -> Floats:
    return (spread(n, dim) * 10 ** rng.uniform(-12, 12, (n, 1))).astype(np.float32)


def scaled(factor: float) -> Callable[[int, int], Floats]:
    return lambda n, dim: (spread(n, dim).astype(np.float64) * factor).astype(np.float32)


def about(center: float, width: float) -> Callable[[int, int], Floats]:
    return lambda n, dim: (center + width * spread(n, dim)).astype(np.float32)


KINDS: dict[str, Callable[[int, int], Floats]] = {
    "spread": spread,
    "outliers": outliers,
    "tiny": scaled(1e-30),
    "subnormal": scaled(1e-42),
    "huge": scaled(1e37),
    "beside": about(1000, 1),
    "near": about(1, 1e-6),
}


def screened(metric: str, a: Floats, b: Floats) -> tuple[Screen, Floats, NDArray[np.float64]]:
    squares = squared_norms(a)
    screen = Screen(Frame.of(metric, a, squares), b, squared_norms(b))
    left, lengths = screen.left(a, squares)
    return screen, left, lengths


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [1, 3, 40, 300])
def test_no_cost_breaks_the_bounds_of_its_distance(
    matrix: Matrix, metric: str, kind: str, dim: int
) -> None:
    a, b = KINDS[kind](60, dim), KINDS[kind](90, dim)
    a, b = a[a.any(axis=1)], b[b.any(axis=1)]
    b[:20] = a[:20]
    true = matrix(metric, a, b)
    screen, left, lengths = screened(metric, a, b)
    one_by_one = np.zeros((len(a), len(b)), dtype=np.float32)
    for x, y in zip(left.T, screen.right.T, strict=True):  # the least accurate order
        one_by_one += x[:, None] * y
    for costs in (left @ screen.right.T, one_by_one):
        assert np.isfinite(costs).all()
        for column in range(len(b)):
            cost, distance = costs[:, column], true[:, column]
            assert (cost <= screen.limits(lengths, distance)).all()
            assert (distance <= screen.ceilings(lengths, cost)).all()


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        ("dot", "spread"),
        ("cosine", "spread"),
        ("cosine", "tiny"),
        ("cosine", "beside"),
        ("euclidean", "spread"),
        ("euclidean", "tiny"),
        ("euclidean", "beside"),
        ("euclidean", "near"),
    ],
)
def test_the_bounds_are_close_enough_to_be_of_use(matrix: Matrix, metric: str, kind: str) -> None:
    a, b = KINDS[kind](50, 40), KINDS[kind](2000, 40)
    true = np.sort(matrix(metric, a, b), axis=1)
    screen, left, lengths = screened(metric, a, b)
    costs = left @ screen.right.T
    kept = (costs <= screen.limits(lengths, true[:, 9])[:, None]).sum(axis=1)
    assert kept.min() >= 10
    assert kept.mean() < 11
    ceilings = screen.ceilings(lengths, np.sort(costs, axis=1)[:, 9])
    assert (ceilings >= true[:, 9]).all()
    assert (ceilings < true[:, 11]).mean() > 0.9


def test_a_long_candidate_does_not_loosen_the_bounds_of_the_others() -> None:
    a, b = spread(50, 40), spread(500, 40)
    distances = np.full(50, 7.0, dtype=np.float32)
    with_long = np.concatenate((b, 200 * spread(1, 40)))
    kept = []
    for candidates in (b, with_long):
        screen, left, lengths = screened("euclidean", a, candidates)
        costs = left @ screen.right[:500].T
        kept.append(int((costs <= screen.limits(lengths, distances)[:, None]).sum()))
    assert kept[0] > 100
    assert kept[1] <= 1.05 * kept[0]


@pytest.mark.parametrize("metric", METRICS)
def test_a_distance_without_bound_has_no_limit(metric: str) -> None:
    screen, _, lengths = screened(metric, spread(3, 4), spread(5, 4))
    distances = np.array([np.inf, np.finfo(np.float32).max, 1.0], dtype=np.float32)
    assert np.isinf(screen.limits(lengths, distances)).tolist() == [True, True, False]


@pytest.mark.parametrize("metric", METRICS)
def test_candidates_ask_with_the_factor_that_queries_have(metric: str) -> None:
    vectors = spread(40, 9)
    screen, left, lengths = screened(metric, vectors, vectors)
    assert screen.own_left().tobytes() == left.tobytes()
    assert screen.lengths.tolist() == lengths.tolist()
