"""How good lists are, by labels: precision and two kinds of mean average precision.

An image without the label is no query and no hit; as a neighbor it stays in the list and counts as
a miss, since whoever reads the table meets it too. A query counts if at least one image that may
stand in its list has its label. A list that cannot be filled is judged by what it can hold: with n
candidates for a query, precision@k divides by min(k, n).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Answers", "CUTS", "MAP_CUT", "Value", "averages", "chance", "interval", "values"]

CUTS = (1, 5, 10, 100)
"""Of precision@k."""
MAP_CUT = 10

Z = 1.959963984540054  # 95 % of a normal distribution lie within so many standard deviations

Wides = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What became of the queries of one label, pool and variant.

    ``groups`` [q] is each query's label; ``hits`` bool [q, K] says at which ranks its list holds
    it; ``candidates`` int64 [q] could stand in the list, ``relevant`` int64 [q], never 0, of them
    with the label.
    """

    groups: Sequence[str]
    hits: NDArray[np.bool_]
    candidates: NDArray[np.int64]
    relevant: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Value:
    """A mean over queries. ``group`` is empty unless the average is that of one class."""

    average: str
    group: str
    queries: int
    value: float
    low: float | None = None
    high: float | None = None


def values(answers: Answers) -> dict[tuple[str, int], Wides]:
    """(measure, k) -> one number [q] for each query.

    - ``precision``: hits among the first k, divided by min(k, candidates).
    - ``map``: the mean of precision@r over the ranks r of hits within the first k; 0 without hits.
    - ``map_csd``: the mean of precision@1 … precision@k, as in the protocol of CSD.
    """
    found: dict[tuple[str, int], Wides] = {}
    for k in CUTS:
        possible = np.minimum(k, answers.candidates)
        found["precision", k] = answers.hits[:, :k].sum(axis=1) / possible
    hits = answers.hits[:, :MAP_CUT]
    ranks = np.arange(1, hits.shape[1] + 1)
    precisions = np.cumsum(hits, axis=1) / ranks
    found["map", MAP_CUT] = (precisions * hits).sum(axis=1) / np.maximum(hits.sum(axis=1), 1)
    listed = ranks <= answers.candidates[:, None]
    found["map_csd", MAP_CUT] = (precisions * listed).sum(axis=1) / listed.sum(axis=1)
    return found


def chance(answers: Answers) -> Wides:
    """The expected precision [q], at any k, of neighbors drawn at random from the candidates."""
    return np.asarray(answers.relevant / answers.candidates)


def averages(
    groups: Sequence[str], numbers: Wides, sampled: float, classes: bool = True
) -> Iterator[Value]:
    """Micro (over queries), macro (over classes) and, if wanted, each class; of no query, nothing.

    ``sampled`` is the share of all images that were queries: see :func:`interval`.
    """
    if not len(numbers):
        return
    own: dict[str, list[float]] = {}
    for group, number in zip(groups, numbers.tolist(), strict=True):
        own.setdefault(group, []).append(number)
    mean = _mean(numbers.tolist())
    yield Value("micro", "", len(numbers), mean, *interval(mean, len(numbers), sampled))
    means = {group: _mean(own[group]) for group in sorted(own)}
    yield Value("macro", "", len(numbers), _mean(list(means.values())))
    for group, mean in means.items() if classes else ():
        count = len(own[group])
        yield Value("class", group, count, mean, *interval(mean, count, sampled))


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)  # the same in any order


def interval(mean: float, count: int, sampled: float = 0.0) -> tuple[float, float]:
    """A 95 % interval (Wilson) for the mean of numbers from 0 to 1, of which ``count`` were seen.

    Numbers between 0 and 1 vary at most as much as zeros and ones with the same mean, so for those
    it is rather too wide. ``sampled`` is the share of the population that was seen: of all of it
    the mean is known, and the interval is a point.
    """
    if sampled >= 1.0:
        return mean, mean
    n = count / (1.0 - sampled)
    middle = (mean + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(max(0.0, mean * (1 - mean)) / n + (Z / (2 * n)) ** 2)
    return max(0.0, middle - half), min(1.0, middle + half)
