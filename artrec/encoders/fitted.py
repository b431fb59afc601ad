"""Post-processing that is fitted on pictures without a gradient: centre, projection, length 1.

"Half": the signed square root of every number, PCA to at most 256 numbers, each scaled by its
eigenvalue to the power of -.25, length 1. It halves, on a logarithmic scale, the differences
between strong and weak directions; a power of 0 is plain PCA, of .5 full whitening (Jégou and
Chum, "Negative evidences and co-occurrences in image retrieval: the benefit of PCA and
whitening", 2012). The square root makes Euclidean distances of counts those of Hellinger
(Arandjelović and Zisserman, "Three things everyone should know to improve object retrieval", 2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artrec.errors import TrainingError

__all__ = ["Alike", "Fit", "HALF", "Projection", "joined", "rooted", "unit"]

HALF = 0.25
"""The power of the eigenvalues in "half"."""

_REAL = 1e-8  # of the largest eigenvalue: below it lies rounding, which must not be scaled up
_ROWS = 512  # that wait for one product; parts as small as a batch would cost a d x d sum each

Floats = NDArray[np.float32]
Wides = NDArray[np.float64]


class Alike(TrainingError):
    """There is no direction in which the vectors to be fitted differ."""


@dataclass(frozen=True, eq=False)
class Projection:
    """``center`` float32 [d] is taken away, ``matrix`` float32 [d, k] multiplied."""

    center: Floats
    matrix: Floats

    @property
    def dim(self) -> int:
        return int(self.matrix.shape[1])

    def __call__(self, vectors: NDArray[np.floating[Any]]) -> Floats:
        """``[n, d]`` to ``float32 [n, k]`` of length 1; a vector that is the centre stays 0."""
        return unit((vectors.astype(np.float32) - self.center) @ self.matrix)


class Fit:
    """Mean and covariance of vectors that come in batches; memory is d x d, whatever comes.

    In float64, by parts about their own means (Chan, Golub and LeVeque, "Updating formulae and a
    pairwise algorithm for computing sample variances", 1979), so that a large mean costs no
    digits. The same vectors in the same order give the same bits, however they are cut.
    """

    def __init__(self, dim: int) -> None:
        self._taken = 0
        self._mean: Wides = np.zeros(dim)
        self._scatter: Wides = np.zeros((dim, dim))
        self._waiting: Wides = np.empty((_ROWS + 1, dim))
        self._filled = 0

    @property
    def count(self) -> int:
        return self._taken + self._filled

    def add(self, vectors: NDArray[np.floating[Any]]) -> None:
        """Take in ``[n, d]``; ValueError for another d, or a number that is not finite."""
        if vectors.ndim != 2 or vectors.shape[1] != len(self._mean):
            raise ValueError(f"vectors are {vectors.shape}, expected (n, {len(self._mean)})")
        if not np.isfinite(vectors).all():
            raise ValueError("vectors to be fitted hold a number that is not finite")
        while len(vectors):
            room = _ROWS - self._filled
            part, vectors = vectors[:room], vectors[room:]
            self._waiting[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            if self._filled == _ROWS:
                self._take()

    def _take(self) -> None:
        rows, count = self._waiting[: self._filled + 1], self._filled
        if not count:
            return
        mean = rows[:count].mean(axis=0)
        rows[:count] -= mean
        total = self._taken + count
        apart = mean - self._mean
        # the distance of the two means counts like one more row
        rows[count] = apart * np.sqrt(self._taken * count / total)
        self._scatter += rows.T @ rows
        self._mean += apart * (count / total)
        self._taken, self._filled = total, 0

    @property
    def mean(self) -> Wides:
        self._take()
        return self._mean.copy()

    @property
    def covariance(self) -> Wides:
        """Divided by the count, not by one less."""
        self._take()
        return self._scatter / max(1, self._taken)

    def projection(self, dim: int = 256, power: float = HALF) -> Projection:
        """The first ``dim`` principal directions, each scaled by its eigenvalue to ``-power``.

        Fewer where the vectors vary in fewer: n of them vary in n - 1 at the most. A direction's
        sign is chosen so that its largest number is positive. TrainingError for fewer than two
        vectors; Alike for equal ones.
        """
        if self.count < 2:
            raise TrainingError(
                f"{self.count} pictures are too few to fit a projection to; it takes 2"
            )
        mean, values, vectors = self._principal()
        noise = float(np.finfo(np.float32).eps) ** 2 * float(np.square(mean).sum())
        if values[0] <= noise:
            raise Alike(f"all {self.count} pictures to fit a projection to look the same")
        real = int((values > max(_REAL * values[0], noise)).sum())
        kept = min(dim, real, self.count - 1)
        directions = vectors[:, :kept]
        largest = np.abs(directions).argmax(axis=0)
        signs = np.where(directions[largest, np.arange(kept)] < 0, -1.0, 1.0)
        matrix = directions * (signs * values[:kept] ** -power)
        return Projection(mean.astype(np.float32), matrix.astype(np.float32))

    def _principal(self) -> tuple[Wides, Wides, Wides]:
        """Mean, and eigenvalues, the largest first, and eigenvectors [d, k] of the covariance."""
        if not self._taken and self._filled < len(self._mean):  # all wait: their SVD costs less
            rows = self._waiting[: self._filled]
            mean = rows.mean(axis=0)
            _, strengths, across = np.linalg.svd(rows - mean, full_matrices=False)
            return mean, np.square(strengths) / len(rows), across.T
        values, vectors = np.linalg.eigh(self.covariance)
        return self._mean, values[::-1], vectors[:, ::-1]


def rooted(vectors: NDArray[np.floating[Any]]) -> Floats:
    """The square root of every number, with its sign."""
    wide = np.asarray(vectors, dtype=np.float32)
    return np.copysign(np.sqrt(np.abs(wide)), wide)


def unit(vectors: NDArray[np.floating[Any]]) -> Floats:
    """Rows of length 1; a row of zeros stays, for the caller to see."""
    wide = np.asarray(vectors, dtype=np.float32)
    lengths = np.sqrt(np.square(wide, dtype=np.float64).sum(axis=1, keepdims=True))
    return np.asarray(wide / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def joined(blocks: Sequence[Floats], weights: Sequence[float] | None = None) -> Floats:
    """Blocks ``[n, d_b]`` side by side, each times its weight (1 unless told): ``[n, sum d_b]``."""
    weights = [1.0] * len(blocks) if weights is None else weights
    parts = [block * np.float32(weight) for block, weight in zip(blocks, weights, strict=True)]
    return np.concatenate(parts, axis=1)
