"""Fisher vectors against the slope of the likelihood, and the mixtures behind them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from artrec.encoders.features.fisher import Codebook, fisher, fit_codebook, sampled
from artrec.errors import TrainingError

Floats = NDArray[np.float32]
Wides = NDArray[np.float64]


def codebook(patch: int = 5, dim: int = 3, gaussians: int = 4, seed: int = 0) -> Codebook:
    random = np.random.default_rng(seed)
    weights = random.uniform(0.2, 1, gaussians)
    parts = (
        random.normal(size=patch),
        np.linalg.qr(random.normal(size=(patch, dim)))[0],
        weights / weights.sum(),
        random.normal(size=(gaussians, dim)),
        random.uniform(0.3, 2, (gaussians, dim)),
    )
    return Codebook(*(part.astype(np.float32) for part in parts))


def likelihood(patches: Wides, weights: Wides, means: Wides, spreads: Wides) -> float:
    """The mean logarithm, patch by patch, Gaussian by Gaussian."""
    total = 0.0
    for patch in patches:
        density = 0.0
        for weight, mean, spread in zip(weights, means, spreads, strict=True):
            each = np.exp(-0.5 * ((patch - mean) / spread) ** 2) / (math.sqrt(2 * math.pi) * spread)
            density += weight * float(each.prod())
        total += math.log(density)
    return total / len(patches)


def test_a_fisher_vector_is_the_slope_of_the_likelihood() -> None:
    """By each mean times spread / sqrt(weight), by each spread times spread / sqrt(2 weight)."""
    book = codebook()
    patches = np.random.default_rng(1).normal(size=(2, 30, 5)).astype(np.float32)
    found = fisher(patches, book)
    assert found.shape == (2, book.dim) == (2, 24)
    wide = (book.weights, book.means, np.sqrt(book.variances))
    weights, means, spreads = (part.astype(np.float64) for part in wide)
    reduced = (patches[1].astype(np.float64) - book.center) @ book.directions
    step, slopes = 1e-5, []
    for which, scale in ((means, 1.0), (spreads, 2.0)):
        for place in np.ndindex(means.shape):
            kept, values = which[place], []
            for side in (1, -1):
                which[place] = kept + side * step
                values.append(likelihood(reduced, weights, means, spreads))
            which[place] = kept
            slope = (values[0] - values[1]) / (2 * step)
            slopes.append(slope * spreads[place] / math.sqrt(scale * weights[place[0]]))
    assert found[1] == pytest.approx(np.array(slopes), abs=1e-4)


def test_patches_as_they_were_fitted_move_nothing() -> None:
    random = np.random.default_rng(0)
    patches = random.normal(size=(4000, 6)).astype(np.float32)
    book = fit_codebook(patches, 4, 1, 0)
    assert np.abs(fisher(patches[None], book)).max() < 1e-4


def test_a_codebook_finds_the_clouds_that_there_are() -> None:
    random = np.random.default_rng(0)
    clouds = [random.normal(at, 0.2, size=(count, 3)) for at, count in ((0, 300), (4, 100))]
    patches = np.concatenate(clouds).astype(np.float32)
    book = fit_codebook(patches, 3, 2, seed=1)
    order = np.argsort(-book.weights)
    assert book.weights[order] == pytest.approx(np.array([0.75, 0.25]), abs=1e-3)
    back = book.means[order] @ book.directions.T + book.center
    assert back == pytest.approx(np.array([[0.0] * 3, [4.0] * 3]), abs=0.1)
    assert book.variances[order][:, 1:] == pytest.approx(np.full((2, 2), 0.04), abs=0.015)


def test_equal_patches_and_seeds_give_equal_codebooks() -> None:
    patches = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
    first, again = (fit_codebook(patches, 4, 8, seed=3) for _ in range(2))
    assert first.means.tobytes() == again.means.tobytes()
    assert first.variances.tobytes() == again.variances.tobytes()


def test_fewer_numbers_than_asked_for_leave_empty_directions() -> None:
    """A codebook has the shapes that it was asked for, however little its patches vary."""
    random = np.random.default_rng(0)
    patches = np.zeros((200, 6), np.float32)
    patches[:, 2] = random.normal(size=200)
    book = fit_codebook(patches, 4, 3, seed=0)
    assert book.directions.shape == (6, 4)
    assert book.means.shape == book.variances.shape == (3, 4)
    found = fisher(patches[None], book)
    assert np.isfinite(found).all()


def test_too_few_patches_are_refused() -> None:
    with pytest.raises(TrainingError, match="7 patches are too few for 4 Gaussians"):
        fit_codebook(np.ones((7, 3), np.float32), 2, 4, 0)
    with pytest.raises(TrainingError, match="look the same"):
        fit_codebook(np.ones((70, 3), np.float32), 2, 4, 0)


def test_a_sample_does_not_depend_on_batches() -> None:
    patches = np.random.default_rng(0).normal(size=(9, 40, 3)).astype(np.float32)
    whole = sampled([patches], 9, seed=5)
    parts = sampled([patches[:4], patches[4:]], 9, seed=5)
    assert whole.tobytes() == parts.tobytes()
    assert len(whole) == 9 * 40
    with pytest.raises(TrainingError, match="no picture"):
        sampled([], 0, seed=5)
