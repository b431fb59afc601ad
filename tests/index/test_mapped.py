"""Scans: the exact lists, by a float32 product over vectors where they lie in an Annoy file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.index.mapped import Scan, mapped_vectors
from artrec.index.sidecar import new_index
from artrec.vectors import METRICS, BruteForce, TopK
from tests.index.makers import made, scattered


def same(a: TopK, b: TopK) -> bool:
    return a.ids.tobytes() + a.distances.tobytes() == b.ids.tobytes() + b.distances.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 60),
    dim=st.sampled_from((1, 3, 40)),
    metric=st.sampled_from(METRICS),
    k=st.integers(1, 20),
    seed=st.integers(0, 99),
    copies=st.integers(0, 9),
    near=st.booleans(),
    size=st.sampled_from((1.0, 1e-22, 1e-10, 1e12, 1e19, 1e37)),
)
def test_a_scan_gives_the_exact_lists(
    n: int, dim: int, metric: str, k: int, seed: int, copies: int, near: bool, size: float
) -> None:
    """To the last bit, with copies, with neighbors nearer than float32 can tell, of any size."""
    numbers, vectors = scattered(n, dim, seed)
    if near:
        vectors = vectors[:1] + np.float32(1e-6) * vectors
    vectors = vectors * np.float32(size)
    vectors[-copies:] = vectors[0]
    queries = np.concatenate((vectors[:3], scattered(2, dim, seed + 1)[1] * np.float32(size)))
    truth = BruteForce(vectors, numbers, metric)
    assert same(Scan(vectors, numbers, metric).search(queries, k), truth.search(queries, k))


@pytest.mark.parametrize("metric", METRICS)
def test_parts_of_a_scan_are_merged(monkeypatch: pytest.MonkeyPatch, metric: str) -> None:
    monkeypatch.setattr("artrec.index.mapped._BLOCK", 64)
    numbers, vectors = scattered(1000, 9)
    vectors[500:530] = vectors[0]
    truth = BruteForce(vectors, numbers, metric).search(vectors[:20], 40)
    assert same(Scan(vectors, numbers, metric).search(vectors[:20], 40), truth)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [1, 2, 154])
def test_vectors_are_found_where_they_lie_in_a_file(tmp_path: Path, metric: str, dim: int) -> None:
    _, vectors = scattered(300, dim)
    index = new_index(dim, metric)
    for item, vector in enumerate(vectors):
        index.add_item(item, vector)
    index.build(3)
    index.save(str(tmp_path / "a"))
    found = mapped_vectors(tmp_path / "a", index, 300, dim)
    assert found is not None
    assert found.tobytes() == vectors.tobytes()
    (tmp_path / "b").write_bytes(np.random.default_rng(0).bytes((tmp_path / "a").stat().st_size))
    assert mapped_vectors(tmp_path / "b", index, 300, dim) is None


@pytest.mark.parametrize("scans", [False, True])
def test_where_vectors_cannot_be_mapped_they_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scans: bool
) -> None:
    numbers, vectors = scattered(200, 5)
    index = made(tmp_path / "store", numbers, vectors, 2)
    mapped = index.opened(scans=scans)
    monkeypatch.setattr("artrec.index.opening.mapped_vectors", lambda *_: None)
    fetched = index.opened(scans=scans)
    assert same(fetched.search(vectors[:9], 4), mapped.search(vectors[:9], 4))
    assert fetched.is_exact() == scans
    found = fetched.vector(int(numbers[7]))
    assert found is not None
    assert found.tobytes() == vectors[7].tobytes()
