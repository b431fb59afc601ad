"""Fisher vectors: how the patches of a picture differ from those of all pictures.

A mixture of Gaussians with diagonal covariances is fitted to patches of many pictures. A picture
is described by the direction in which its own patches would move means and variances (Sánchez,
Perronnin, Mensink and Verbeek, "Image classification with the Fisher vector: theory and practice",
2013, equations 16 to 18, without the weights' own part).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artrec.encoders.fitted import Fit
from artrec.errors import TrainingError

__all__ = ["Codebook", "fisher", "fit_codebook", "sampled"]

_SAMPLES = 100_000  # of patches that a codebook is fitted to
_ROUNDS_OF_MEANS, _ROUNDS = 8, 15
_NARROWEST = 1e-2  # of a direction's variance over all patches; a Gaussian is no narrower
_ROWS = 20_000  # patches in float64 at once

Floats = NDArray[np.float32]
Wides = NDArray[np.float64]
Real = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Codebook:
    """``center`` [p] and ``directions`` [p, d] reduce a patch to d numbers; then k Gaussians with
    ``weights`` [k], ``means`` [k, d] and ``variances`` [k, d]. All float32."""

    center: Floats
    directions: Floats
    weights: Floats
    means: Floats
    variances: Floats

    @property
    def dim(self) -> int:
        """Numbers in a Fisher vector."""
        return 2 * int(self.means.size)


def fisher(patches: Floats, codebook: Codebook) -> Floats:
    """The patches of each picture, ``float32 [n, m, p]``, to ``float32 [n, 2 k d]``.

    First the means' part, Gaussian by Gaussian, then the variances'.
    """
    found = [_of_one(each, codebook) for each in patches]
    return np.stack(found) if found else np.zeros((0, codebook.dim), np.float32)


def _of_one(patches: Floats, codebook: Codebook) -> Floats:
    reduced = (patches - codebook.center) @ codebook.directions
    both = np.concatenate([np.square(reduced), reduced], axis=1)
    shares = _shares(both, codebook.weights, codebook.means, codebook.variances)
    count, dim = shares.sum(axis=0)[:, None], reduced.shape[1]
    sums = shares.T @ both
    squares, firsts = sums[:, :dim], sums[:, dim:]
    means, variances = codebook.means, codebook.variances
    weights = np.sqrt(codebook.weights)[:, None] * len(patches)
    by_mean = (firsts - count * means) / np.sqrt(variances) / weights
    by_spread = squares - 2 * firsts * means + count * (np.square(means) - variances)
    by_spread /= variances * weights * np.float32(np.sqrt(2))
    return np.concatenate([by_mean.ravel(), by_spread.ravel()]).astype(np.float32)


def _shares(both: Real, weights: Real, means: Real, variances: Real) -> Real:
    """How much each patch belongs to each Gaussian: ``[m, 2 d]`` (squares, numbers) to ``[m, k]``.

    The exponents are one matrix product; adding up to 1, they need no common factor.
    """
    precision = 1 / variances
    factors = np.concatenate([-0.5 * precision, means * precision], axis=1)
    rest = np.log(weights) - 0.5 * (np.log(variances) + np.square(means) * precision).sum(axis=1)
    exponents = both @ factors.T.astype(both.dtype) + rest.astype(both.dtype)
    exponents -= exponents.max(axis=1, keepdims=True)
    shares: Real = np.exp(exponents, out=exponents)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def sampled(batches: Iterable[Floats], pictures: int, seed: int) -> Floats:
    """Patches of all pictures to fit a codebook to: batches of ``[n, m, p]`` to ``[s, p]``.

    As many of each of the ``pictures``, drawn by the seed and the picture's number alone, so
    that it does not matter how they are cut into batches.
    """
    found: list[Floats] = []
    each = max(1, _SAMPLES // max(1, pictures))
    for batch in batches:
        for patches in batch:
            random = np.random.default_rng((seed, len(found)))
            count = min(each, len(patches))
            found.append(patches[np.sort(random.choice(len(patches), count, replace=False))])
    if not found:
        raise TrainingError("there is no picture to take patches from")
    return np.concatenate(found)


def fit_codebook(patches: Floats, dim: int, gaussians: int, seed: int) -> Codebook:
    """A codebook of ``patches`` [s, p]: PCA to ``dim``, k-means, then expectation-maximisation.

    TrainingError where there are fewer patches than the Gaussians need, or all are equal.
    """
    if len(patches) < 2 * gaussians:
        raise TrainingError(
            f"{len(patches)} patches are too few for {gaussians} Gaussians; use more pictures"
        )
    fit = Fit(patches.shape[1])
    fit.add(patches)
    projection = fit.projection(dim, power=0.0)
    directions = np.zeros((patches.shape[1], dim), dtype=np.float32)
    directions[:, : projection.dim] = projection.matrix  # less where patches vary in fewer
    reduced = (patches - projection.center) @ directions
    mixture = _Mixture(reduced.astype(np.float64), gaussians, seed)
    for _ in range(_ROUNDS):
        mixture.improve()
    parts = (each.astype(np.float32) for each in mixture.parts)
    return Codebook(projection.center, directions, *parts)


class _Mixture:
    """Gaussians on their way to the patches ``[s, d]``."""

    def __init__(self, patches: Wides, gaussians: int, seed: int) -> None:
        self._patches = patches
        spread = patches.var(axis=0)
        self._least = np.where(spread > 0, _NARROWEST * spread, 1.0)
        random = np.random.default_rng(seed)
        means = patches[np.sort(random.choice(len(patches), gaussians, replace=False))]
        for _ in range(_ROUNDS_OF_MEANS):
            sums = self._sums(partial(_nearest, means=means))
            means = self._made(*sums, means)[1]
        self.parts = self._made(*sums, means)

    def improve(self) -> None:
        """One round of expectation and maximisation."""
        weights, means, variances = self.parts
        sums = self._sums(
            lambda rows: _shares(
                np.concatenate([np.square(rows), rows], axis=1), weights, means, variances
            )
        )
        self.parts = self._made(*sums, means)

    def _sums(self, shares_of: Callable[[Wides], Real]) -> tuple[Wides, Wides, Wides]:
        """Sums of shares, of shares times patches, and times their squares."""
        found: list[Any] = [0.0, 0.0, 0.0]
        for start in range(0, len(self._patches), _ROWS):
            rows = self._patches[start : start + _ROWS]
            shares = shares_of(rows)
            for place, values in enumerate((np.ones((len(rows), 1)), rows, np.square(rows))):
                found[place] = found[place] + shares.T @ values
        return found[0][:, 0], found[1], found[2]

    def _made(
        self, counts: Wides, firsts: Wides, squares: Wides, before: Wides
    ) -> tuple[Wides, Wides, Wides]:
        """Weights, means and variances; a Gaussian that nothing belongs to keeps its mean."""
        some = np.maximum(counts, 1e-9)[:, None]
        means = np.where(counts[:, None] > 1e-9, firsts / some, before)
        variances = np.maximum(squares / some - np.square(means), self._least)
        weights = np.maximum(counts, 1.0) / np.maximum(counts, 1.0).sum()
        return weights, means, variances


def _nearest(rows: Wides, means: Wides) -> Wides:
    """1 for the nearest mean of each row, 0 for the others: ``[s, k]``."""
    nearest = (np.square(means).sum(axis=1) - 2 * rows @ means.T).argmin(axis=1)
    return np.asarray(nearest[:, None] == np.arange(len(means)), dtype=np.float64)
