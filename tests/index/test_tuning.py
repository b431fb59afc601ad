"""Tuning: enough is found, at the least counted cost, within the memory; or all is scanned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from artrec.errors import ConfigError
from artrec.index import Recipe, Target, Tuning, build_shard, tune
from artrec.index.costs import annoy_cost, depth_within, exact_cost, most_bytes
from artrec.index.tuning import TREES, _owed
from artrec.vectors import METRICS, Block, BruteForce
from tests.index.makers import Numbers, Vectors, made, scattered

DIM, ITEMS, SHARDS = 96, 8_000, 2


def clustered(n: int, dim: int, seed: int = 0) -> tuple[Numbers, Vectors]:
    """About two hundred to a cluster, each spread along four directions."""
    numbers, noise = scattered(n, dim, seed)
    random = np.random.default_rng(seed)
    centers = random.standard_normal((n // 200, dim))
    spread = random.standard_normal((4, dim)) / 4
    inner = random.standard_normal((len(numbers), 4)) @ spread
    own = centers[random.integers(0, len(centers), len(numbers))]
    return numbers, (own + inner + 0.02 * noise).astype(np.float32)


def tuned(
    folder: Path, numbers: Numbers, vectors: Vectors, target: Target, metric: str = "cosine"
) -> Tuning:
    """By the first shard."""
    mine = numbers <= 2**63 // target.shards
    part = Block(numbers[mine], vectors[mine])
    folder.mkdir()
    recipe = Recipe(metric, vectors.shape[1], 1, 1)
    return tune(folder, part.numbers, lambda: [part], recipe, target)


@pytest.fixture(scope="module")
def vectors() -> tuple[Numbers, Vectors]:
    return clustered(ITEMS, DIM)


@pytest.fixture(scope="module")
def found(vectors: tuple[Numbers, Vectors], tmp_path_factory: pytest.TempPathFactory) -> Tuning:
    folder = tmp_path_factory.mktemp("tuned") / "a"
    return tuned(folder, *vectors, Target(0.9, ITEMS, SHARDS))


def test_a_tuned_index_finds_enough_for_fresh_queries(
    tmp_path: Path, vectors: tuple[Numbers, Vectors], found: Tuning
) -> None:
    """Of vectors that no tuning has seen, for lists of ten and of fifty; and it is no scan."""
    numbers, stored = vectors
    assert not found.exact
    assert found.low >= 0.9
    index = made(tmp_path / "store", numbers, stored, SHARDS, trees=found.trees, tuning=found)
    random = np.random.default_rng(77)
    picked = stored[random.permutation(len(stored))[:300]]
    queries = picked + np.float32(0.01) * scattered(300, DIM, 5)[1]
    for k in (10, 50):
        truth = BruteForce(stored, numbers, "cosine").search(queries, k).distances[:, -1:]
        share = (index.opened(0).search(queries, k).distances <= truth).mean()
        assert share >= 0.9
    assert not index.opened(0).is_exact()


@pytest.mark.parametrize(("scans", "least"), [(False, 0.98), (True, 1.0)])
def test_stored_vectors_find_themselves_or_a_copy(
    tmp_path: Path, vectors: tuple[Numbers, Vectors], found: Tuning, scans: bool, least: float
) -> None:
    """At distance 0, first, though two hundred are equal; and then another.

    Where many are equal Annoy deals them and those beside them at random, and may miss one: a
    look-up of a picture measures the vector of the same picture in any case.
    """
    numbers, stored = vectors[0][::4], vectors[1][::4].copy()
    stored[5::10] = stored[5]
    tuning = {"trees": found.trees, "tuning": found}
    index = made(tmp_path / "store", numbers, stored, SHARDS, **tuning)  # type: ignore[arg-type]
    lists = index.opened(0, scans).search(stored[:400], 2)
    zero = lists.distances[:, 0] == 0.0
    assert zero.mean() >= least
    alone = zero & (np.arange(400) % 10 != 5)
    assert lists.ids[alone, 0].tolist() == numbers[:400][alone].tolist()
    assert (lists.distances[alone, 1] > 0.0).all()


def test_what_was_chosen_is_the_cheapest_of_what_was_tried(found: Tuning) -> None:
    """But for a tenth, which fewer trees are worth."""
    enough = [way for way in found.tried if way.low >= 0.9]
    assert found.cost <= 1.1 * min(way.cost for way in enough)
    assert found.cost < found.exact_cost
    assert {way.trees for way in found.tried} == set(TREES)


def test_the_same_vectors_choose_the_same_way(
    tmp_path: Path, vectors: tuple[Numbers, Vectors], found: Tuning
) -> None:
    assert tuned(tmp_path / "again", *vectors, Target(0.9, ITEMS, SHARDS)) == found


def test_a_file_without_some_roots_is_an_index_of_fewer_trees(
    tmp_path: Path, vectors: tuple[Numbers, Vectors], found: Tuning
) -> None:
    """Five trees of a file of forty find as much as five that were built alone, about."""
    alone = tuned(tmp_path / "five", *vectors, Target(0.9, ITEMS, SHARDS, trees=5))
    assert {way.trees for way in alone.tried} == {5}
    cut = {way.search_k: way.recall for way in found.tried if way.trees == 5}
    built = {way.search_k: way.recall for way in alone.tried}
    shared = sorted(cut.keys() & built.keys())
    assert shared
    assert [cut[depth] for depth in shared] == pytest.approx(
        [built[depth] for depth in shared], abs=0.06
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("items", "dim"), [(2000, 2), (2000, 24), (5000, 128)])
def test_no_index_takes_more_than_the_formula_says(
    tmp_path: Path, metric: str, items: int, dim: int
) -> None:
    numbers, stored = scattered(items, dim)
    build_shard(tmp_path / "a", numbers, [Block(numbers, stored)], Recipe(metric, dim, 10, 1))
    held = (tmp_path / "a").stat().st_size + numbers.nbytes
    assert 0.5 * most_bytes(items, dim, 10) < held <= most_bytes(items, dim, 10)


def test_memory_bounds_the_trees(tmp_path: Path, vectors: tuple[Numbers, Vectors]) -> None:
    room = most_bytes(ITEMS, DIM, 10)
    some = tuned(tmp_path / "some", *vectors, Target(0.8, ITEMS, SHARDS, memory=room))
    assert {way.trees for way in some.tried} <= {5, 10}
    assert some.bytes <= room
    bare = ITEMS * (4 * DIM + 24)
    none = tuned(tmp_path / "none", *vectors, Target(0.8, ITEMS, SHARDS, memory=bare))
    assert (none.exact, none.tried, none.trees, none.bytes) == (True, [], 5, bare)


def test_memory_that_not_even_a_scan_fits_into_is_refused(
    tmp_path: Path, vectors: tuple[Numbers, Vectors]
) -> None:
    bare = ITEMS * (4 * DIM + 24)
    with pytest.raises(ConfigError, match=f"found {bare - 1} bytes, expected at least {bare}"):
        tuned(tmp_path / "less", *vectors, Target(0.8, ITEMS, SHARDS, memory=bare - 1))
    with pytest.raises(ConfigError, match="allow as many, or 0"):
        Target(0.95, 50_000_000, 50, memory=1).check(154)
    Target(0.95, 50_000_000, 50).check(154)


def test_a_shard_that_annoy_could_not_count_is_tried_with_fewer_trees() -> None:
    """40 trees on 12,000,000 vectors are up to 972,000,000 nodes, of 500,000,000 that are safe."""
    assert Target(0.9, 12_000_000, 1).trial(128) == 10
    assert Target(0.9, 12_000_000, 3).trial(128) == 40


def test_a_few_vectors_are_scanned_without_a_trial(tmp_path: Path) -> None:
    few = tuned(tmp_path / "few", *scattered(300, 8), Target(0.9, 300, 1))
    assert (few.exact, few.recall, few.low, few.tried) == (True, 1.0, 1.0, [])


def test_vectors_without_any_order_are_scanned(tmp_path: Path) -> None:
    """Of 128 dimensions and no clusters: whoever finds most of the nearest has seen most."""
    hard = tuned(tmp_path / "hard", *scattered(5000, 128), Target(0.95, 5000, 1))
    assert hard.exact
    assert hard.search_k == 0
    assert {way.trees for way in hard.tried} == {40}
    assert max(way.low for way in hard.tried) < 0.95


def test_whoever_wants_all_gets_a_scan(tmp_path: Path, vectors: tuple[Numbers, Vectors]) -> None:
    for number, recall in enumerate((1.0, 0.9995)):
        every = tuned(tmp_path / str(number), *vectors, Target(recall, ITEMS, SHARDS))
        assert (every.exact, every.tried) == (True, [])


def test_the_more_is_wanted_the_more_queries_show_it() -> None:
    wanted = (0.5, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
    asked = [400, 400, 400, 800, 1600, 4000, 400]
    assert [Target(recall, ITEMS, SHARDS).queries for recall in wanted] == asked
    beyond = [Target(recall, ITEMS, SHARDS).is_beyond_trial for recall in wanted]
    assert beyond == [False] * 6 + [True]


def test_a_high_recall_is_reached_without_a_scan(tmp_path: Path) -> None:
    """Of 400 queries without one miss the interval would begin at .9926."""
    target = Target(0.994, 12_000, 1, trees=10)
    high = tuned(tmp_path / "high", *scattered(12_000, 2), target, "euclidean")
    assert (high.exact, high.queries) == (False, 1333)
    assert high.low >= 0.994


def test_longer_lists_examine_more_in_proportion(found: Tuning) -> None:
    assert found.depth(1) == found.depth(50) == found.search_k
    assert found.depth(100) == 2 * found.search_k


def test_costs_and_depths_are_each_others_inverse() -> None:
    depth = depth_within(1000.0, 128, 10)
    assert annoy_cost(128, 10, depth) < 1000.0 <= annoy_cost(128, 10, depth + 1)
    assert depth_within(100.0, 128, 10) == 0
    assert exact_cost(128, 80_000) == pytest.approx(5675, abs=1)


INF = np.inf


@pytest.mark.parametrize(
    ("true", "listed", "shards", "expected"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4, INF], 1, 1.0),
        ([1, 2, 3, 4], [1, 3, 5, 6, 7], 1, 0.5),
        ([1, 2, 2, 4], [1, 2, 5, 6, 7], 1, 0.5),  # one of two that are as far
        ([1, 2, 2, 4], [1, 2, 2, 2, 4], 1, 1.0),
        ([1, 2, INF, INF], [2, 3, INF, INF, INF], 1, 0.5),
        ([INF, INF, INF, INF], [INF, INF, INF, INF, INF], 1, 1.0),
        ([1, 2, 3, 4], [1, 5, 6, 7, 8], 2, 15 / 32),
        ([1, 2, 3, 4], [2, 3, 4, 5, 6], 2, 17 / 32),
    ],
)
def test_what_a_shard_owes(
    true: list[float], listed: list[float], shards: int, expected: float
) -> None:
    """Of two shards: that 1, 2, 3 or 4 of the nearest four are its own has 15, 11, 5, 1 / 16."""
    rows = (np.array([each], np.float32) for each in (true, listed))
    assert _owed(*rows, shards) == pytest.approx([expected])
