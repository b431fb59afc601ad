"""Nearest neighbors by the definition, one pair after the other: what exact tables have to be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["EVERYBODY", "Vectors", "brute_force", "distance", "pools_by_force"]

EVERYBODY = (math.inf, 2**63 - 1)
"""Radius and its number of a pool that holds all others."""

Vectors = dict[int, list[float]]
"""vector_no -> vector."""


def distance(metric: str, a: Sequence[float], b: Sequence[float]) -> float:
    """In float64 with exact sums, rounded to float32."""
    if metric == "euclidean":
        wide = math.sqrt(math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True)))
    elif metric == "dot":
        wide = -math.fsum(x * y for x, y in zip(a, b, strict=True))
    else:
        dot, aa, bb = (
            math.fsum(x * y for x, y in zip(p, q, strict=True)) for p, q in ((a, b), (a, a), (b, b))
        )
        wide = max(0.0, 1.0 - dot / math.sqrt(aa * bb))
    return float(np.float32(wide))


def brute_force(
    images: dict[str, int], vectors: Vectors, metric: str, k: int
) -> dict[str, list[tuple[str, float]]]:
    """For each image its first k others by (distance, vector_no, image_id)."""
    between = {
        (p, q): distance(metric, vectors[p], vectors[q])
        for p in set(images.values())
        for q in set(images.values())
    }
    lists = {}
    for query, number in images.items():
        order = sorted(
            (between[number, other], other, name) for name, other in images.items() if name != query
        )
        lists[query] = [(name, far) for far, _, name in order[:k]]
    return lists


def pools_by_force(vectors: Vectors, metric: str, size: int) -> dict[int, dict[str, Any]]:
    """For each vector its first ``size`` others by (distance, vector_no), and its radius."""
    pools = {}
    for number, vector in vectors.items():
        order = sorted(
            (distance(metric, vector, each), other)
            for other, each in vectors.items()
            if other != number
        )
        radius, radius_no = order[size - 1] if len(order) > size else EVERYBODY
        pools[number] = {
            "vector_no": number,
            "radius": radius,
            "radius_no": radius_no,
            "others": [other for _, other in order[:size]],
            "distances": [far for far, _ in order[:size]],
        }
    return pools
