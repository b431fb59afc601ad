"""Maps: principal axes by an independent decomposition, the codes themselves, t-SNE if there is."""

from __future__ import annotations

import numpy as np
import pytest

from artrec.evaluation.maps import codes_or_axes, principal, tsne

RNG = np.random.default_rng(5)


def test_axes_are_those_of_the_singular_values() -> None:
    points = (RNG.normal(size=(80, 6)) * [9, 6, 4, 1, 1, 1]).astype(np.float32)
    wide = points - points.mean(axis=0, dtype=np.float64)
    _, _, rows = np.linalg.svd(wide, full_matrices=False)
    expected = np.abs(wide @ rows[:3].T)
    assert np.allclose(np.abs(principal(points, 3)), expected, atol=1e-3)


@pytest.mark.parametrize("dim", [2, 3])
def test_vectors_of_two_or_three_numbers_are_their_own_map(dim: int) -> None:
    points = RNG.normal(size=(5, dim)).astype(np.float32)
    name, places = codes_or_axes(points)
    assert name == "codes"
    assert np.array_equal(places, points)


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (5, 1)])
def test_what_has_fewer_axes_lies_at_0_along_the_others(shape: tuple[int, int]) -> None:
    name, places = codes_or_axes(RNG.normal(size=shape).astype(np.float32))
    assert name == "pca"
    assert places.shape == (shape[0], 3)
    assert not places[:, 1:].any()


def test_of_a_few_or_equal_vectors_there_is_no_map_by_tsne() -> None:
    assert tsne(np.eye(3, dtype=np.float32)) is None
    assert tsne(np.ones((9, 3), np.float32)) is None


def test_tsne_gives_the_same_map_twice_and_keeps_heaps_together() -> None:
    pytest.importorskip("sklearn.manifold")
    heaps = np.repeat([[0.0] * 60, [9.0] * 60], 20, axis=0)
    points = (heaps + RNG.normal(size=heaps.shape)).astype(np.float32)
    one, other = tsne(points), tsne(points)
    assert one is not None
    assert np.array_equal(one, other)
    apart = np.linalg.norm(one[:20].mean(axis=0) - one[20:].mean(axis=0))
    assert apart > 3 * one[:20].std(axis=0).max()
