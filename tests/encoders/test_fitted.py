"""Centre and projection beside numpy's own covariance and SVD."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from artrec.encoders.fitted import Fit, joined, rooted, unit
from artrec.errors import TrainingError

Floats = NDArray[np.float32]


def vectors(count: int, dim: int, rank: int | None = None, seed: int = 0) -> Floats:
    """About a mean that is not 0, with directions of very different strength."""
    random = np.random.default_rng(seed)
    rank = dim if rank is None else rank
    basis = random.normal(size=(rank, dim)) * 2.0 ** -np.arange(rank)[:, None]
    return (random.normal(size=(count, rank)) @ basis + 3).astype(np.float32)


def fitted(rows: Floats, batch: int = 7) -> Fit:
    fit = Fit(rows.shape[1])
    for start in range(0, len(rows), batch):
        fit.add(rows[start : start + batch])
    return fit


def by_svd(rows: Floats, dim: int, power: float) -> NDArray[np.float64]:
    """All at once and without a covariance."""
    wide = rows.astype(np.float64)
    wide -= wide.mean(axis=0)
    left, strength, _ = np.linalg.svd(wide, full_matrices=False)
    scores = left * strength
    eigenvalues = strength**2 / len(rows)
    scores = scores[:, :dim] * eigenvalues[:dim] ** -power
    return scores / np.linalg.norm(scores, axis=1, keepdims=True)


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_batches_give_the_mean_and_the_covariance_of_all(batch: int) -> None:
    rows = vectors(50, 6)
    fit = fitted(rows, batch)
    assert fit.count == 50
    assert fit.mean == pytest.approx(rows.mean(axis=0, dtype=np.float64), abs=1e-12)
    assert fit.covariance == pytest.approx(np.cov(rows.T.astype(np.float64), ddof=0), abs=1e-10)


def test_a_large_mean_costs_no_digits() -> None:
    rows = vectors(1500, 6).astype(np.float64) + 1e8
    rows[700:] += 5  # so that parts have means of their own
    fit = Fit(6)
    for start in range(0, 1500, 10):
        fit.add(rows[start : start + 10])
    apart = rows - 1e8
    assert fit.covariance == pytest.approx(np.cov(apart.T, ddof=0), abs=1e-5)


@pytest.mark.parametrize("power", [0.0, 0.25, 0.5])
@pytest.mark.parametrize(("count", "dim"), [(40, 8), (600, 8), (20, 30), (520, 550)])
def test_a_projection_is_the_svd_with_its_directions_scaled(
    count: int, dim: int, power: float
) -> None:
    rows = vectors(count, dim, min(dim, 12))
    found = fitted(rows).projection(3, power)(rows)
    expected = by_svd(rows, 3, power)
    signs = np.sign((found * expected).sum(axis=0))
    assert found.dtype == np.float32
    assert found * signs == pytest.approx(expected, abs=1e-4)


def test_full_whitening_leaves_directions_of_equal_strength() -> None:
    rows = vectors(200, 4)
    projection = fitted(rows).projection(4, 0.5)
    spread = (rows - projection.center) @ projection.matrix
    assert np.cov(spread.T, ddof=0) == pytest.approx(np.eye(4), abs=1e-3)


@pytest.mark.parametrize(("count", "rank", "expected"), [(30, 5, 5), (4, 20, 3), (2, 20, 1)])
def test_there_are_no_more_numbers_than_the_vectors_vary_in(
    count: int, rank: int, expected: int
) -> None:
    rows = vectors(count, 20, rank)
    projection = fitted(rows).projection(16, 0.5)
    assert projection.dim == expected
    assert np.abs(projection.matrix).max() < 1e6
    assert np.isfinite(projection(rows)).all()


def test_a_direction_points_where_its_largest_number_is_positive() -> None:
    matrix = fitted(vectors(40, 8)).projection(8).matrix
    largest = np.abs(matrix).argmax(axis=0)
    assert (matrix[largest, np.arange(8)] > 0).all()


def test_equal_vectors_give_equal_bits_however_they_are_cut() -> None:
    rows = vectors(1400, 9)
    first, again = (fitted(rows, batch).projection(9) for batch in (7, 1000))
    assert first.matrix.tobytes() == again.matrix.tobytes()
    assert first.center.tobytes() == again.center.tobytes()


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pictures_are_too_few(count: int) -> None:
    with pytest.raises(TrainingError, match=f"{count} pictures are too few"):
        fitted(vectors(count, 3)).projection()


@pytest.mark.parametrize("value", [0.0, 0.1, 1000.1])
def test_pictures_that_look_the_same_are_no_ground_for_a_projection(value: float) -> None:
    with pytest.raises(TrainingError, match=r"all 20 pictures .* look the same"):
        fitted(np.full((20, 3), value, np.float32)).projection()


def test_vectors_that_do_not_fit_are_refused() -> None:
    fit = Fit(3)
    with pytest.raises(ValueError, match=r"\(2, 4\), expected \(n, 3\)"):
        fit.add(np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match="not finite"):
        fit.add(np.array([[0, np.nan, 0]], np.float32))


def test_roots_keep_signs() -> None:
    assert rooted(np.array([[4.0, -9.0, 0.0]])).tolist() == [[2.0, -3.0, 0.0]]


def test_a_row_of_zeros_stays_one() -> None:
    found = unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert found == pytest.approx(np.array([[0.6, 0.8], [0.0, 0.0]]))


def test_blocks_stand_side_by_side_by_their_weights() -> None:
    blocks = [np.array([[1.0, 2.0]], np.float32), np.array([[3.0]], np.float32)]
    assert joined(blocks, (1, 0.5)).tolist() == [[1.0, 2.0, 1.5]]
    assert joined(blocks).tolist() == [[1.0, 2.0, 3.0]]
