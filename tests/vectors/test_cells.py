from __future__ import annotations

import numpy as np
import pytest

from artrec.vectors.cells import coordinates
from artrec.vectors.distance import squared_norms
from artrec.vectors.screen import Frame


@pytest.mark.parametrize("metric", ["dot", "euclidean"])
@pytest.mark.parametrize("factor", [2.0**-149, 1.0, 2.0**120])
def test_vectors_of_any_length_have_their_place_among_cells(metric: str, factor: float) -> None:
    line = np.array([[3.0], [1.0], [-2.0]], np.float32)
    vectors = (line.astype(np.float64) * factor).astype(np.float32)
    squares = squared_norms(vectors)
    frame = Frame(metric, np.zeros(1), float(np.sqrt(squares.max())))
    # three is below four: all are told in quarters
    assert coordinates(frame, vectors, squares).tolist() == [[0.75], [0.25], [-0.5]]


def test_by_cosine_each_has_length_1() -> None:
    vectors = np.array([[3e-40, 4e-40], [0.0, -2e30]], np.float32)
    squares = squared_norms(vectors)
    found = coordinates(Frame.of("cosine", vectors, squares), vectors, squares)
    assert found == pytest.approx(np.array([[0.6, 0.8], [0.0, -1.0]]), abs=1e-4)
