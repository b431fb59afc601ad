"""What a cloud of vectors looks like as a whole: its axes, its mean, how its distances spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artrec.evaluation.maps import principal
from artrec.vectors.distance import Floats, Ints, distances_of_pairs, squared_norms

__all__ = [
    "Faults",
    "Profile",
    "QUANTILES",
    "effective_dimension",
    "faults",
    "mean_cosine",
    "moments",
    "plane",
    "profile",
    "quantiles",
    "random_distance",
    "random_distances",
]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

Wides = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Profile:
    """The mean of ``count`` vectors and their root mean square distance from it."""

    count: int
    mean: list[float]
    spread: float


@dataclass(frozen=True, slots=True)
class Faults:
    """Vectors that say nothing: with NaN or infinity, zero, or of one number all through."""

    non_finite: int
    zero: int
    flat: int


def profile(vectors: Floats) -> Profile:
    """Of ``vectors`` float32 [n, d], n > 0, in float64."""
    wide = vectors.astype(np.float64)
    mean = wide.mean(axis=0)
    spread = float(np.sqrt(np.square(wide - mean).sum(axis=1).mean()))
    return Profile(len(vectors), mean.tolist(), spread)


def faults(vectors: Floats) -> Faults:
    """Of ``vectors`` [n, d]; one is counted under the first that fits, and flat only if d > 1."""
    finite = np.isfinite(vectors).all(axis=1)
    sound = vectors[finite]
    live = sound[sound.any(axis=1)]
    flat = (live == live[:, :1]).all(axis=1) if vectors.shape[1] > 1 else np.zeros(0, np.bool_)
    return Faults(int((~finite).sum()), len(sound) - len(live), int(flat.sum()))


def mean_cosine(vectors: Floats) -> tuple[float, float | None]:
    """(length of the mean, mean cosine of all pairs) of ``vectors`` as unit vectors.

    Of n unit vectors with sum s the pairs' mean cosine is (s.s - n) / (n (n - 1)); None for one.
    Both are 0 for vectors that point everywhere alike, 1 for those that point one way.
    """
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    total = (wide / np.where(lengths > 0, lengths, 1.0)).sum(axis=0)
    n, square = len(vectors), float(total @ total)
    pairs = (square - n) / (n * (n - 1)) if n > 1 else None
    return float(np.sqrt(square)) / n, pairs


def effective_dimension(vectors: Floats) -> float | None:
    """Along how many axes ``vectors`` [n, d] spread: (sum of variances)^2 / sum of their squares.

    The variances are those of the principal axes, and the number is the participation ratio of
    their covariance: d where all are alike, 1 where one holds everything. None without any spread.
    """
    wide = vectors.astype(np.float64)
    wide -= wide.mean(axis=0)
    small = wide @ wide.T if len(wide) < wide.shape[1] else wide.T @ wide
    squares = float(np.square(small).sum())
    return float(np.trace(small)) ** 2 / squares if squares else None


def random_distances(vectors: Floats, metric: str) -> Floats:
    """Distances [n] of each of ``vectors``, which are in random order, from the next one.

    Of two there is one pair; of one, none.
    """
    n = len(vectors) if len(vectors) > 2 else len(vectors) // 2
    rows: Ints = np.arange(n, dtype=np.int64)
    squares = squared_norms(vectors)
    after = (rows + 1) % max(1, len(vectors))
    return distances_of_pairs(metric, vectors, squares, rows, vectors, squares, after)


def moments(vectors: Floats, metric: str) -> tuple[Wides, float]:
    """(sum, sum of squared lengths) of ``vectors``, under ``cosine`` of their directions."""
    wide = vectors.astype(np.float64)
    if metric == "cosine":
        lengths = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
        wide /= np.where(lengths > 0, lengths, 1.0)
    return wide.sum(axis=0), float(np.square(wide).sum())


def random_distance(count: int, total: Wides, squares: float, metric: str) -> float | None:
    """How far two random ones of so many vectors are apart, by their :func:`moments`.

    The mean under ``cosine``, the root mean square under ``euclidean``; None where an inner product
    is no distance, and of fewer than two vectors.
    """
    if metric == "dot" or count < 2:
        return None
    between = max(0.0, (squares - float(total @ total) / count) / (count - 1))
    return between if metric == "cosine" else float(np.sqrt(2 * between))


def quantiles(numbers: Floats) -> dict[float, float]:
    """The QUANTILES of some numbers, interpolated; of none, nothing."""
    if not len(numbers):
        return {}
    found = np.quantile(numbers.astype(np.float64), QUANTILES)
    return dict(zip(QUANTILES, found.tolist(), strict=True))


def plane(vectors: Floats) -> Floats:
    """Places [n, 2] of ``vectors`` [n, d] along their two principal axes; see ``principal``."""
    return principal(vectors, 2)
