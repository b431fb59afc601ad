"""Clouds of a few points."""

from __future__ import annotations

import math

import numpy as np
import pytest

from artrec.evaluation.space import (
    Faults,
    effective_dimension,
    faults,
    mean_cosine,
    plane,
    profile,
    quantiles,
    random_distances,
)


def vectors(*rows: tuple[float, ...]) -> np.ndarray:  # type: ignore[type-arg]
    return np.array(rows, np.float32)


def test_a_profile_is_the_mean_and_the_distance_from_it() -> None:
    """About (2, 0): distances 2, 2, 1, 1, mean square (4 + 4 + 1 + 1) / 4."""
    found = profile(vectors((0, 0), (4, 0), (2, 1), (2, -1)))
    assert (found.count, found.mean, found.spread) == (4, [2.0, 0.0], math.sqrt(2.5))


def test_each_fault_is_counted_once() -> None:
    given = vectors((1, math.nan), (math.inf, 1), (0, 0), (3, 3), (-2, -2), (1, 2))
    assert faults(given) == Faults(non_finite=2, zero=1, flat=2)
    assert faults(vectors((1,), (2,))) == Faults(0, 0, 0)


def test_mean_cosine_of_three_directions() -> None:
    """Right twice and up: cosines 1, 0, 0, mean 1/3; the sum (2, 1) has length sqrt 5."""
    norm, cosine = mean_cosine(vectors((2, 0), (5, 0), (0, 1)))
    assert norm == pytest.approx(math.sqrt(5) / 3)
    assert cosine == pytest.approx(1 / 3)
    assert mean_cosine(vectors((3, 4))) == (pytest.approx(1.0), None)


def test_the_effective_dimension_counts_axes_that_spread_alike() -> None:
    """Variances 1, 1, 0 are two axes; 4 and 1 are (4 + 1)^2 / (16 + 1), of wide vectors too."""
    alike = vectors((9, 1, 0), (9, -1, 0), (9, 0, 1), (9, 0, -1))
    assert effective_dimension(alike) == pytest.approx(2)
    assert effective_dimension(vectors((2, 0), (-2, 0), (0, 1), (0, -1))) == pytest.approx(25 / 17)
    wide = vectors((2, 0, 0, 0, 0), (-2, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, -1, 0, 0, 0))
    assert effective_dimension(wide) == pytest.approx(25 / 17)
    assert effective_dimension(vectors((3, 4), (3, 4))) is None


def test_random_pairs_are_each_and_the_next() -> None:
    assert random_distances(vectors((0,), (1,), (5,)), "euclidean").tolist() == [1.0, 4.0, 5.0]
    assert random_distances(vectors((0,), (2,)), "euclidean").tolist() == [2.0]
    assert random_distances(vectors((7,)), "euclidean").tolist() == []


def test_quantiles_are_interpolated() -> None:
    found = quantiles(np.arange(21, dtype=np.float32))
    assert found == {0.05: 1.0, 0.25: 5.0, 0.5: 10.0, 0.75: 15.0, 0.95: 19.0}
    assert quantiles(np.zeros(0, np.float32)) == {}


def test_the_plane_shows_the_two_longest_axes_in_one_direction() -> None:
    """Most spread along (0, 1, 0), then along (0, 0, 1), none along the first."""
    given = vectors((7, 10, 0), (7, -10, 0), (7, 0, 3), (7, 0, -3))
    expected = [(10, 0), (-10, 0), (0, 3), (0, -3)]
    assert plane(given) == pytest.approx(np.array(expected), abs=1e-5)
    assert plane(given[::-1]) == pytest.approx(np.array(expected[::-1]), abs=1e-5)


def test_one_vector_and_one_dimension_have_a_place_too() -> None:
    assert plane(vectors((3, 4, 5))).tolist() == [[0.0, 0.0]]
    assert plane(vectors((1,), (3,))).tolist() == [[-1.0, 0.0], [1.0, 0.0]]
