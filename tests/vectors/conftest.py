"""The oracle: every distance of two sets, by the definition alone, in plain steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Matrix = Callable[[str, NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


def _tree(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the last axis: the right half is added to the left half until one is left."""
    columns = [terms[..., i] for i in range(terms.shape[-1])]
    while len(columns) > 1:
        half = (len(columns) + 1) // 2
        right = columns[half:]
        columns = [c + right[i] if i < len(right) else c for i, c in enumerate(columns[:half])]
    return columns[0]


@pytest.fixture(scope="session")
def matrix() -> Matrix:
    """Distances [n, m] of all rows of two float32 arrays."""

    def distances(
        metric: str, a: NDArray[np.float32], b: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        x, y = a.astype(np.float64)[:, None, :], b.astype(np.float64)[None, :, :]
        if metric == "euclidean":
            wide = np.sqrt(_tree((x - y) ** 2))
        elif metric == "dot":
            wide = -_tree(x * y)
        else:
            wide = 1 - _tree(x * y) / np.sqrt(_tree(x * x) * _tree(y * y))
            wide = np.where(wide > 0, wide, 0.0)
        largest = np.finfo(np.float32).max
        return np.minimum(np.maximum(wide, -largest), largest).astype(np.float32) + np.float32(
            0
        )  # no -0.0

    return distances
