"""Dealing, building and searching: shards against the exact lists, and what is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.errors import ConfigError, InputError
from artrec.index import Recipe, build_shard, shard_count, shard_ranges
from artrec.vectors import METRICS, Block, BruteForce, Searcher, TopK, exact
from tests.index.makers import EVERYTHING, made, scattered

LAST = 2**63 - 1


def same(a: TopK, b: TopK) -> bool:
    return a.ids.tobytes() + a.distances.tobytes() == b.ids.tobytes() + b.distances.tobytes()


@given(st.integers(1, 300), st.integers(0, LAST))
def test_every_number_is_dealt_to_exactly_one_shard(shards: int, number: int) -> None:
    ranges = shard_ranges(shards)
    assert len(ranges) == shards
    assert sum(low <= number <= high for low, high in ranges) == 1
    assert (ranges[0][0], ranges[-1][1]) == (0, LAST)


def test_shards_are_as_many_as_the_rows_need_unless_told() -> None:
    assert shard_count(0, 10) == 0
    assert shard_count(10, 10) == 1
    assert shard_count(11, 10) == 2
    assert shard_count(11, 10, shards=8) == 8
    with pytest.raises(ConfigError, match=r"make 20000 shards; at most 10000 .* raise index\."):
        shard_count(20_000, 1)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 40),
    shards=st.integers(1, 9),
    metric=st.sampled_from(METRICS),
    k=st.integers(1, 50),
    seed=st.integers(0, 9),
    copies=st.integers(0, 5),
)
def test_shards_that_look_at_everything_give_the_exact_lists(
    n: int, shards: int, metric: str, k: int, seed: int, copies: int
) -> None:
    """However they are dealt and merged, to the last bit, equal vectors included."""
    numbers, vectors = scattered(n, 5, seed)
    vectors[-copies:] = vectors[0]
    queries = np.concatenate((vectors[:3], scattered(2, 5, 99)[1]))
    with tempfile.TemporaryDirectory() as root:
        index = made(Path(root, "store"), numbers, vectors, shards, metric).opened()
        assert sum(len(shard.numbers) for shard in index.shards) == len(numbers)
        assert same(
            index.search(queries, k), BruteForce(vectors, numbers, metric).search(queries, k)
        )


def test_a_search_is_approximate_and_says_so(tmp_path: Path) -> None:
    index: Searcher = made(tmp_path / "store", *scattered(9, 3)).opened()
    assert not index.is_exact()


def test_more_equal_vectors_than_are_asked_for_do_not_hide_others(tmp_path: Path) -> None:
    """Thirty of one vector in two shards, and its nearest other: k = 32 has all of them."""
    numbers, vectors = scattered(200, 4)
    vectors[:15] = vectors[-15:] = vectors[0]
    index = made(tmp_path / "store", numbers, vectors, 2).opened()
    found = index.search(vectors[:1], 32)
    assert found.distances[0, :30].tolist() == [0.0] * 30
    assert found.ids[0, :30].tolist() == [*numbers[:15], *numbers[-15:]]
    assert found.distances[0, 30] > 0


def test_one_vector_is_an_index(tmp_path: Path) -> None:
    numbers, vectors = np.array([7]), np.array([[3.0, 4.0]], np.float32)
    found = made(tmp_path / "store", numbers, vectors, 8).opened().search(vectors, 3)
    assert found.ids.tolist() == [[7, -1, -1]]
    assert found.distances[0, 0] == 0.0


def test_no_vector_at_all_is_an_empty_list(tmp_path: Path) -> None:
    numbers, vectors = np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
    index = made(tmp_path / "store", numbers, vectors, 2).opened()
    assert index.search(np.ones((1, 2), np.float32), 2).ids.tolist() == [[-1, -1]]
    assert index.search(np.ones((0, 2), np.float32), 2).ids.shape == (0, 2)
    assert index.vector(3) is None


@pytest.mark.parametrize("dim", [1, 2, 154])
@pytest.mark.parametrize("metric", METRICS)
def test_annoy_gives_back_the_very_vectors_that_went_in(
    tmp_path: Path, metric: str, dim: int
) -> None:
    numbers, vectors = scattered(300, dim)
    vectors *= np.float32(3.7)
    index = made(tmp_path / "store", numbers, vectors, 3, metric).opened()
    for number, vector in zip(numbers.tolist(), vectors, strict=True):
        found = index.vector(number)
        assert found is not None
        assert found.tobytes() == vector.tobytes()


def test_distances_do_not_depend_on_what_is_asked_beside(tmp_path: Path) -> None:
    numbers, vectors = scattered(500, 12)
    index = made(tmp_path / "store", numbers, vectors, 4).opened(search_k=50)
    found = index.search(vectors[:20], 5)
    place = {number: row for row, number in enumerate(numbers.tolist())}
    for row in range(20):
        others = vectors[[place[i] for i in found.ids[row].tolist()]]
        again = exact("cosine", np.repeat(vectors[row : row + 1], 5, axis=0), others)
        assert found.distances[row].tolist() == again.tolist()


def test_examining_more_finds_no_less(tmp_path: Path) -> None:
    numbers, vectors = scattered(3000, 20)
    files = made(tmp_path / "store", numbers, vectors, 2, trees=5)
    truth = BruteForce(vectors, numbers, "cosine").search(vectors[:50], 10)
    hits = [
        int(np.isin(files.opened(search_k).search(vectors[:50], 10).ids, truth.ids).sum())
        for search_k in (60, 600, EVERYTHING)
    ]
    assert hits[0] < hits[1] < hits[2] == 500


def test_queries_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    index = made(tmp_path / "store", *scattered(5, 3)).opened()
    with pytest.raises(InputError, match="queries have 4 dimensions, shards 3"):
        index.search(np.ones((1, 4), np.float32), 1)
    with pytest.raises(InputError, match="hold NaN or infinity"):
        index.search(np.full((1, 3), np.nan, np.float32), 1)
    with pytest.raises(InputError, match="are zero"):
        index.search(np.zeros((1, 3), np.float32), 1)
    with pytest.raises(ConfigError, match="k must be at least 1"):
        index.search(np.ones((1, 3), np.float32), 0)


# Building.

RECIPE = Recipe("cosine", 3, 4, 1)


def test_the_same_vectors_and_seed_make_the_same_bytes(tmp_path: Path) -> None:
    numbers, vectors = scattered(2000, 3)
    cuts = {"whole": [2000], "pieces": [1, 700, 701, 2000]}
    for name, ends in cuts.items():
        starts = [0, *ends[:-1]]
        blocks = [Block(numbers[a:b], vectors[a:b]) for a, b in zip(starts, ends, strict=True)]
        build_shard(tmp_path / name, numbers, blocks, RECIPE)
    build_shard(tmp_path / "seed", numbers, [Block(numbers, vectors)], Recipe("cosine", 3, 4, 2))
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found["whole"] == found["pieces"]
    assert found["whole"] != found["seed"]


def test_probes_are_vectors_as_they_went_in(tmp_path: Path) -> None:
    numbers, vectors = scattered(1000, 3)
    blocks = [Block(numbers[:333], vectors[:333]), Block(numbers[333:], vectors[333:])]
    probes = build_shard(tmp_path / "a", numbers, blocks, RECIPE)
    assert len(probes.items) == 100
    assert (probes.items[0], probes.items[-1]) == (0, 999)
    assert probes.vectors.tobytes() == vectors[probes.items].tobytes()


@pytest.mark.parametrize(
    ("bad", "message"),
    [(np.nan, "hold NaN or infinity"), (np.inf, "hold NaN or infinity"), (0.0, "are zero")],
)
def test_vectors_that_annoy_would_take_for_others_are_refused(
    tmp_path: Path, bad: float, message: str
) -> None:
    numbers, vectors = scattered(9, 3)
    vectors[4] = bad
    with pytest.raises(InputError, match=f"1 of 9 vectors {message}.*: ids {numbers[4]}"):
        build_shard(tmp_path / "a", numbers, [Block(numbers, vectors)], RECIPE)
    assert list(tmp_path.iterdir()) == []


def test_other_vectors_than_the_items_are_refused(tmp_path: Path) -> None:
    numbers, vectors = scattered(9, 3)
    with pytest.raises(InputError, match="0 to 9 of a shard are not those of its items"):
        build_shard(tmp_path / "a", numbers[:8], [Block(numbers, vectors)], RECIPE)
    with pytest.raises(InputError, match="8 vectors came for the 9 items"):
        build_shard(tmp_path / "a", numbers, [Block(numbers[:8], vectors[:8])], RECIPE)
    with pytest.raises(InputError, match="vectors 0 to 9 of a shard are not those of its items"):
        build_shard(tmp_path / "a", numbers + 1, [Block(numbers, vectors)], RECIPE)


def test_a_shard_that_annoy_cannot_count_is_refused_before_it_is_built(tmp_path: Path) -> None:
    """12,195,122 vectors and 20 trees: 41 nodes for each are 500,000,002."""
    many = np.lib.stride_tricks.as_strided(np.zeros(1, np.int64), (12_195_122,), (0,))
    with pytest.raises(ConfigError, match=r"may reach 500000002 nodes; .* lower index\.shard_rows"):
        build_shard(tmp_path / "a", many, [], Recipe("cosine", 3, 20, 1))


def test_the_ceiling_on_nodes_is_above_what_annoy_makes(tmp_path: Path) -> None:
    """In two dimensions leaves are smallest; one node of ``angular`` has 12 + 4 * 2 bytes."""
    numbers, vectors = scattered(3000, 2)
    build_shard(tmp_path / "a", numbers, [Block(numbers, vectors)], Recipe("cosine", 2, 7, 1))
    nodes = (tmp_path / "a").stat().st_size // 20
    assert 3000 < nodes < Recipe("cosine", 2, 7, 1).most_nodes(3000)
