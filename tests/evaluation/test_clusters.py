"""Clusters: against a brute force in float64, whatever the blocks, and on what is hardly data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from artrec.evaluation.clusters import Clusters, Tally, fit_clusters, placed, silhouettes

Floats = NDArray[np.float32]
METRICS = ("cosine", "euclidean")


def heaps(count: int = 600, groups: int = 4, dim: int = 9) -> tuple[Floats, NDArray[np.int64]]:
    """Points about centers that lie far apart, and the center of each."""
    rng = np.random.default_rng(3)
    of = rng.integers(0, groups, count)
    centers = rng.normal(size=(groups, dim)) * 8
    points = (centers[of] + rng.normal(size=(count, dim))).astype(np.float32)
    return points, of


@pytest.mark.parametrize("metric", METRICS)
def test_heaps_that_lie_apart_are_found_the_largest_first(metric: str) -> None:
    points, of = heaps()
    clusters = fit_clusters(points, 4, metric)
    found, _ = clusters.assign(points)
    pairs = {*zip(found.tolist(), of.tolist(), strict=True)}
    assert len(pairs) == 4
    sizes = np.bincount(found)[1:]
    assert sizes.tolist() == sorted(sizes, reverse=True)


@pytest.mark.parametrize("metric", METRICS)
def test_each_vector_has_the_nearest_center_and_its_distance(metric: str) -> None:
    points, _ = heaps()
    clusters = fit_clusters(points, 7, metric)
    found, apart = clusters.assign(points)
    wide = placed(metric, points).astype(np.float64)
    every = np.sqrt(np.square(wide[:, None] - clusters.centers.astype(np.float64)).sum(axis=2))
    assert np.array_equal(found, every.argmin(axis=1) + 1)
    assert np.allclose(apart, every.min(axis=1), rtol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_depends_on_the_blocks(metric: str) -> None:
    points, _ = heaps()
    clusters = fit_clusters(points, 5, metric)
    whole = clusters.assign(points)
    parts = [clusters.assign(points[at : at + 7]) for at in range(0, len(points), 7)]
    for side in range(2):
        assert np.array_equal(whole[side], np.concatenate([part[side] for part in parts]))


def test_of_two_centers_that_are_as_near_the_first_is_taken() -> None:
    clusters = Clusters(np.array([[1, 0], [-1, 0], [1, 0]], np.float32), "euclidean")
    found, apart = clusters.assign(np.array([[0, 5], [2, 0]], np.float32))
    assert found.tolist() == [1, 1]
    assert apart.tolist() == [np.float32(math.sqrt(26)), 1.0]


def test_two_fits_are_the_same() -> None:
    points, _ = heaps()
    one, other = (fit_clusters(points, 6, "cosine").centers for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("points", "count"),
    [
        (np.zeros((0, 3), np.float32), 0),
        (np.ones((1, 3), np.float32), 1),
        (np.eye(3, dtype=np.float32), 3),
        (np.repeat(np.eye(2, dtype=np.float32), 5, axis=0), 2),
        (np.full((4, 2), 3e18, np.float32), 1),
    ],
    ids=["none", "one", "fewer than clusters", "few different ones", "large ones"],
)
def test_there_are_no_more_clusters_than_different_vectors(points: Floats, count: int) -> None:
    clusters = fit_clusters(points, 6, "euclidean")
    assert len(clusters.centers) == count
    if count:
        assert clusters.assign(points)[1].tolist() == [0.0] * len(points)


def test_a_tally_is_the_same_for_any_parts() -> None:
    rng = np.random.default_rng(1)
    of = rng.integers(1, 4, 50)
    apart = rng.random(50).astype(np.float32)
    numbers = np.sort(rng.integers(0, 40, 50))
    names = [f"image {n}" for n in range(50)]
    first = np.diff(numbers, prepend=-1) != 0

    def tallied(step: int) -> Tally:
        tally = Tally(3, 1.0, members=4)
        for at in range(0, 50, step):
            part = slice(at, at + step)
            tally.add(of[part], apart[part], numbers[part], first[part], names[part])
        return tally

    whole, parts = tallied(50), tallied(3)
    assert whole.nearest == parts.nearest
    assert whole.images.tolist() == parts.images.tolist() == np.bincount(of)[1:].tolist()
    assert whole.inertias == parts.inertias
    for cluster in (1, 2, 3):
        own = np.flatnonzero((of == cluster) & first)
        assert whole.vectors[cluster - 1] == len(own)
        assert whole.inertias[cluster - 1] == pytest.approx(
            float(np.square(apart[own].astype(np.float64)).sum())
        )
        best = sorted((float(apart[n]), int(numbers[n]), names[n]) for n in own)[:4]
        assert whole.nearest[cluster - 1] == best


def test_silhouettes_are_those_of_the_definition() -> None:
    points, of = heaps(60, 3)
    found = silhouettes(points, of)
    assert found is not None
    wide = points.astype(np.float64)
    apart = np.sqrt(np.square(wide[:, None] - wide).sum(axis=2))
    for row in range(60):
        own = [apart[row, n] for n in range(60) if of[n] == of[row] and n != row]
        others = [apart[row][of == name].mean() for name in {*of.tolist()} - {int(of[row])}]
        a, b = np.mean(own), min(others)
        assert found[row] == pytest.approx((b - a) / max(a, b), abs=1e-5)


def test_one_cluster_has_no_silhouette_and_one_alone_in_its_own_has_0() -> None:
    points = np.array([[0.0], [1.0], [9.0]], np.float32)
    assert silhouettes(points, np.array([1, 1, 1])) is None
    found = silhouettes(points, np.array([1, 1, 2]))
    assert found is not None
    assert found.tolist() == [np.float32((9 - 1) / 9), np.float32((8 - 1) / 8), 0.0]
