"""Diversity by re-ranking: maximal marginal relevance over the first of an exact list."""

from __future__ import annotations

import numpy as np

from artrec.errors import ConfigError, InputError
from artrec.vectors.distance import (
    Floats,
    Ints,
    check_metric,
    check_vectors,
    distances_of_pairs,
    squared_norms,
)

__all__ = ["mmr"]


def mmr(distances: Floats, candidates: Floats, relevance: float, k: int, metric: str) -> Ints:
    """The order, int64 [k] or fewer, in which maximal marginal relevance takes candidates.

    ``distances`` float32 [c] of the query from ``candidates`` float32 [c, d], as an exact list has
    them. The nearest is taken first, then again and again the one with the largest

        (1 - relevance) * distance to the nearest one taken  -  relevance * distance to the query,

    the first in the list of equals. With similarities that are a constant less the distance that is
    lambda * Sim1 - (1 - lambda) * max Sim2 of Carbonell and Goldstein (SIGIR 1998), relevance being
    lambda: 1 keeps the list as it is. It re-ranks what the list holds and finds nothing that is not
    there: not the most diverse neighbors, and no rule. Time is that of k * c distances.

    Raises ConfigError for a relevance that is not from 0 to 1 or k < 1, InputError for vectors
    without a distance.
    """
    check_metric(metric)
    if not 0 <= relevance <= 1 or k < 1:
        raise ConfigError(
            f"relevance must be from 0 to 1 and k at least 1, got {relevance} and {k}"
        )
    if len(distances) != len(candidates):
        raise InputError(f"{len(distances)} distances came for {len(candidates)} candidates")
    everyone = np.arange(len(distances), dtype=np.int64)
    check_vectors(candidates, everyone, metric)
    squares = squared_norms(candidates)
    far = distances.astype(np.float64)
    if not np.isfinite(far).all():
        raise InputError("distances must be finite: leave the empty places of a list out")
    apart = np.full(len(far), np.inf)
    left = np.ones(len(far), dtype=np.bool_)
    taken = np.empty(min(k, len(far)), dtype=np.int64)
    for place in range(len(taken)):
        gain = (1 - relevance) * apart - relevance * far if place else -far
        gain[~left] = -np.inf
        best = int(gain.argmax())
        taken[place], left[best] = best, False
        here = np.full(len(far), best, dtype=np.int64)
        near = distances_of_pairs(metric, candidates, squares, here, candidates, squares, everyone)
        np.minimum(apart, near, out=apart)
    return taken
