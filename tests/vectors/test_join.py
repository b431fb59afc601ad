from __future__ import annotations

import math
import tracemalloc
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import artrec.vectors.sieve as sieve
from artrec.errors import ConfigError, InputError
from artrec.vectors import METRICS, Block, BruteForce, Pools, Tiling, join

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Matrix = Callable[[str, Floats, Floats], Floats]

LAST = 2**63 - 1


def numbers(n: int, seed: int = 9) -> Ints:
    """Numbers as hashes give them: ascending, anywhere below 2^63."""
    return np.sort(np.random.default_rng(seed).integers(0, LAST, n, dtype=np.int64))


def spread(n: int, dim: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def few_values(n: int, dim: int) -> Floats:
    """Ties of vectors that are not equal: coordinates -1, 0, 1 and a first one that is not 0."""
    made = np.random.default_rng(0).integers(-1, 2, (n, dim)).astype(np.float32)
    made[:, 0] = 1
    return made


def copies(n: int, dim: int) -> Floats:
    """Half of the vectors are copies of three of them."""
    rng = np.random.default_rng(1)
    made = spread(n, dim)
    chosen = rng.permutation(n)[: n // 2]
    made[chosen] = made[rng.integers(0, 3, len(chosen))]
    return made


def near(n: int, dim: int) -> Floats:
    """Ten tight bunches: nearer to each other than float32 products can tell."""
    centers = spread(10, dim, 5)
    return (centers[np.arange(n) % 10] + 1e-6 * spread(n, dim)).astype(np.float32)


def mixed(n: int, dim: int) -> Floats:
    """Lengths from 1e-30 to 1e30."""
    lengths = 10.0 ** np.random.default_rng(2).integers(-30, 31, (n, 1))
    return (spread(n, dim) * lengths).astype(np.float32)


KINDS: dict[str, Callable[[int, int], Floats]] = {
    "spread": spread,
    "few_values": few_values,
    "copies": copies,
    "near": near,
    "mixed": mixed,
    "tiny": lambda n, dim: (spread(n, dim) * np.float32(1e-30)).astype(np.float32),
    "huge": lambda n, dim: (spread(n, dim) * np.float32(1e37)).astype(np.float32),
    "beside": lambda n, dim: (spread(n, dim) + 500).astype(np.float32),
}


def same(a: Pools, b: Pools) -> bool:
    fields = ("numbers", "others", "distances", "counts", "radius", "radius_no")
    return all(getattr(a, f).tobytes() == getattr(b, f).tobytes() for f in fields)


def in_order(
    distances: Floats, own: Ints, others: Ints, self_join: bool = True
) -> Iterator[tuple[Ints, Floats]]:
    """Of each row all others, sorted by (distance, number)."""
    for row, number in zip(distances, own, strict=True):
        order = np.lexsort((others, row))
        if self_join:
            order = order[others[order] != number]
        yield others[order], row[order]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "dim", "k"), [(260, 5, 7), (200, 33, 64), (61, 2, 60)])
def test_a_pool_holds_the_nearest_others_in_order(
    matrix: Matrix, metric: str, kind: str, n: int, dim: int, k: int
) -> None:
    block = Block(numbers(n), KINDS[kind](n, dim))
    pools = join(block, [block], k=k, metric=metric, tiling=Tiling(32, 150, 4 * dim * 100))
    true = matrix(metric, block.vectors, block.vectors)
    for row, (others, distances) in enumerate(in_order(true, block.numbers, block.numbers)):
        assert pools.others[row].tolist() == others[:k].tolist()
        assert pools.distances[row].tobytes() == distances[:k].tobytes()
    assert pools.counts.tolist() == [k] * n
    assert not np.signbit(pools.distances[pools.distances == 0]).any()


@settings(max_examples=50, deadline=None)
@given(data=st.data(), metric=st.sampled_from(METRICS), kind=st.sampled_from(sorted(KINDS)))
def test_no_split_order_or_tile_changes_a_bit(data: st.DataObject, metric: str, kind: str) -> None:
    n, dim = 60, 9
    block = Block(numbers(n), KINDS[kind](n, dim))
    k = data.draw(st.sampled_from([1, 10, 59, 80]))
    whole = join(block, [block], k=k, metric=metric)
    parts = np.array(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    pieces = [parts == part for part in data.draw(st.permutations(range(5)))]
    tiling = Tiling(
        data.draw(st.sampled_from([5, 17, 512])),
        data.draw(st.sampled_from([9, 25, 8192])),
        4 * dim * data.draw(st.sampled_from([7, 20, 1000])),
    )
    blocks = [Block(block.numbers[piece], block.vectors[piece]) for piece in pieces]
    split = join(block, iter(blocks), k=k, metric=metric, tiling=tiling)
    assert same(split, whole)
    some = parts == 0
    queries = Block(block.numbers[some], block.vectors[some])
    part = join(queries, blocks, k=k, metric=metric, tiling=tiling)
    assert part.others.tobytes() == whole.others[some].tobytes()
    assert part.distances.tobytes() == whole.distances[some].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_scratch_sizes_do_not_change_a_bit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    block = Block(numbers(700), KINDS[kind](700, 6))
    whole = join(block, [block], k=9, metric="cosine", tiling=Tiling(64, 50))
    monkeypatch.setattr(sieve, "_STRIP_CELLS", 160)
    monkeypatch.setattr(sieve, "_PIECE", 37)
    monkeypatch.setattr(sieve, "_LEAST_ROOM", 1)
    assert same(join(block, [block], k=9, metric="cosine", tiling=Tiling(64, 50)), whole)


def test_a_larger_join_gives_the_lists_of_brute_force() -> None:
    block = Block(numbers(6000), spread(6000, 20))
    pools = join(block, [block], k=20, metric="euclidean")
    rows = slice(None, None, 60)
    found = BruteForce(block.vectors, block.numbers, "euclidean").search(block.vectors[rows], 21)
    assert (found.ids[:, 0] == block.numbers[rows]).all()
    assert (found.ids[:, 1:] == pools.others[rows]).all()
    assert (found.distances[:, 1:] == pools.distances[rows]).all()


def test_a_list_may_have_a_thousand_entries(matrix: Matrix) -> None:
    block = Block(numbers(1500), spread(1500, 8))
    queries = Block(block.numbers[:20], block.vectors[:20])
    pools = join(queries, [block], k=1000, metric="cosine", tiling=Tiling(columns=1200))
    true = matrix("cosine", queries.vectors, block.vectors)
    for row, (others, _) in enumerate(in_order(true, queries.numbers, block.numbers)):
        assert pools.others[row].tolist() == others[:1000].tolist()


def test_vectors_of_4096_dimensions_are_joined_exactly() -> None:
    block = Block(numbers(50), near(50, 4096))
    pools = join(block, [block], k=10, metric="cosine")
    found = BruteForce(block.vectors, block.numbers, "cosine").search(block.vectors, 50)
    for row, number in enumerate(block.numbers):
        others = [i for i in found.ids[row].tolist() if i != number]
        assert pools.others[row].tolist() == others[:10]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_everybody_within_the_radius_is_in_the_list(matrix: Matrix, metric: str, kind: str) -> None:
    block = Block(numbers(120), KINDS[kind](120, 4))
    pools = join(block, [block], k=8, metric=metric)
    true = matrix(metric, block.vectors, block.vectors)
    for row, number in enumerate(block.numbers.tolist()):
        edge = (float(pools.radius[row]), int(pools.radius_no[row]))
        others = zip(true[row].tolist(), block.numbers.tolist(), strict=True)
        within = {i for d, i in others if (d, i) <= edge and i != number}
        assert within == set(pools.others[row].tolist())


def on_a_line(*positions: float) -> Block:
    vectors = np.array([[position] for position in positions], dtype=np.float32)
    return Block(np.arange(len(positions), dtype=np.int64) * 10, vectors)


def test_the_radius_is_the_last_entry_of_a_list_that_was_cut() -> None:
    block = on_a_line(0, 1, 3, 7)
    pools = join(block, [block], k=2, metric="euclidean")
    assert pools.others.tolist() == [[10, 20], [0, 20], [10, 0], [20, 10]]
    assert pools.radius.tolist() == [3.0, 2.0, 3.0, 6.0]
    assert pools.radius_no.tolist() == [20, 20, 0, 10]


def test_a_list_that_holds_everybody_has_no_edge() -> None:
    block = on_a_line(0, 1, 3, 7)
    exactly = join(block, [block], k=3, metric="euclidean")
    assert exactly.others[0].tolist() == [10, 20, 30]
    assert exactly.radius.tolist() == [math.inf] * 4
    assert exactly.radius_no.tolist() == [LAST] * 4
    two_sides = join(block, [block], k=3, metric="euclidean", self_join=False)
    assert two_sides.others[0].tolist() == [0, 10, 20]
    assert two_sides.radius.tolist() == [3.0, 2.0, 3.0, 6.0]


def test_fewer_candidates_than_places_give_shorter_lists() -> None:
    block = on_a_line(0, 1, 3)
    pools = join(block, [block], k=5, metric="euclidean")
    assert pools.counts.tolist() == [2, 2, 2]
    assert pools.others[0].tolist() == [10, 20, -1, -1, -1]
    assert pools.distances[0].tolist() == [1, 3, math.inf, math.inf, math.inf]
    offsets, others, distances = pools.ragged()
    assert offsets.tolist() == [0, 2, 4, 6]
    assert others.tolist() == [10, 20, 0, 20, 10, 0]
    assert distances.tolist() == [1, 3, 1, 2, 2, 3]


def test_queries_that_are_not_among_the_candidates_lose_no_place() -> None:
    old, new = on_a_line(0, 1, 3, 7), Block(np.array([5]), np.array([[1]], dtype=np.float32))
    pools = join(new, [old], k=3, metric="euclidean")
    assert pools.others.tolist() == [[10, 0, 20]]
    assert (pools.radius[0], pools.radius_no[0]) == (2.0, 20)
    everybody = join(new, [old, new], k=4, metric="euclidean")
    assert everybody.others.tolist() == [[10, 0, 20, 30]]
    assert everybody.radius_no.tolist() == [LAST]


def test_under_dot_a_vector_need_not_be_its_own_nearest() -> None:
    block = on_a_line(1, 2, 30, 4)
    pools = join(block, [block], k=2, metric="dot")
    assert pools.others.tolist() == [[20, 30], [20, 30], [30, 10], [20, 10]]
    assert pools.distances[0].tolist() == [-30, -4]
    with_self = join(block, [block], k=2, metric="dot", self_join=False)
    assert with_self.others.tolist() == [[20, 30]] * 4


def test_ties_go_to_the_lower_number() -> None:
    angles = np.array([[0, 1], [1, 0], [0, -1], [-1, 0], [1, 1]], dtype=np.float32)
    block = Block(np.arange(5, dtype=np.int64), angles)
    pools = join(block, [block], k=2, metric="euclidean")
    # From (0, 1): (1, 1) at 1, then (1, 0) and (-1, 0), both at sqrt 2.
    assert pools.others[0].tolist() == [4, 1]


def test_thousands_of_equal_vectors_take_neither_memory_nor_each_other_out() -> None:
    n, k = 6000, 50
    vectors = spread(n, 16)
    vectors[n // 4 :] = vectors[0]
    block = Block(numbers(n), vectors)
    tracemalloc.start()
    pools = join(block, [block], k=k, metric="cosine")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    lowest = [block.numbers[0], *block.numbers[n // 4 :][:k]]
    assert pools.others[-1].tolist() == lowest[:k]
    assert pools.others[n // 4].tolist() == [i for i in lowest if i != block.numbers[n // 4]][:k]
    assert not pools.distances[n // 4 :].any()
    assert peak < 60e6  # 36 million pairs; the pools alone are 3.6e6


def test_candidates_are_a_stream_of_which_little_is_held() -> None:
    alive: list[weakref.ref[Floats]] = []
    most = 0

    def stream() -> Iterator[Block]:
        nonlocal most
        for start in range(0, 4000, 40):
            vectors = spread(40, 8, start)
            alive.append(weakref.ref(vectors))
            most = max(most, sum(ref() is not None for ref in alive))
            yield Block(np.arange(start, start + 40, dtype=np.int64), vectors)
            del vectors

    queries = Block(np.arange(10, dtype=np.int64), spread(10, 8))
    join(queries, stream(), k=5, metric="dot", total=4000, tiling=Tiling(span_bytes=200 * 4 * 8))
    assert len(alive) == 100
    assert most <= 8  # a span is five blocks


def test_nobody_to_join_with_gives_empty_lists() -> None:
    block = on_a_line(0, 1)
    pools = join(block, [], k=3, metric="euclidean")
    assert pools.counts.tolist() == [0, 0]
    assert pools.radius.tolist() == [math.inf] * 2
    alone = join(Block(block.numbers[:1], block.vectors[:1]), [block], k=3, metric="euclidean")
    assert alone.counts.tolist() == [1]
    nobody = Block(block.numbers[:0], block.vectors[:0])
    assert join(nobody, [block, nobody], k=3, metric="euclidean").others.shape == (0, 3)


def test_vectors_of_another_dimension_are_refused_with_both() -> None:
    with pytest.raises(InputError, match="candidates have 3 dimensions, queries 1"):
        join(on_a_line(1), [Block(numbers(2), spread(2, 3))], k=1, metric="dot")


@pytest.mark.parametrize("side", ["queries", "candidates"])
def test_bad_vectors_are_refused_by_number_on_either_side(side: str) -> None:
    good, bad = on_a_line(1, 2, 3), on_a_line(1, math.nan, 3)
    queries, candidates = (bad, good) if side == "queries" else (good, bad)
    with pytest.raises(InputError, match="NaN or infinity: ids 10"):
        join(queries, [candidates], k=1, metric="dot")
    zero = on_a_line(1, 2, 0)
    queries, candidates = (zero, good) if side == "queries" else (good, zero)
    with pytest.raises(InputError, match=r"zero.*ids 20"):
        join(queries, [candidates], k=1, metric="cosine")


@pytest.mark.parametrize("span_bytes", [4, 1 << 20])
def test_a_number_in_two_blocks_is_refused(span_bytes: int) -> None:
    block = on_a_line(1, 2, 3)
    again = Block(block.numbers[1:2], block.vectors[1:2])
    with pytest.raises(InputError, match="vector_no 10 stands"):
        join(block, [block, again], k=3, metric="dot", tiling=Tiling(span_bytes=span_bytes))


def test_a_stream_that_breaks_off_is_refused() -> None:
    block = on_a_line(1, 2, 3)
    with pytest.raises(InputError, match="3 candidate vectors arrived where 4 were expected"):
        join(block, [block], k=1, metric="dot", total=4)
    assert join(block, [block], k=1, metric="dot", total=3).counts.tolist() == [1, 1, 1]


def test_settings_without_meaning_are_refused() -> None:
    block = on_a_line(1, 2)
    with pytest.raises(ConfigError, match="k must be at least 1, got 0"):
        join(block, [block], k=0, metric="dot")
    with pytest.raises(ConfigError, match="'manhattan' is unknown"):
        join(block, [block], k=1, metric="manhattan")
    with pytest.raises(ConfigError, match="1 to 512 rows"):
        Tiling(rows=513)


def test_a_block_out_of_order_or_shape_is_refused() -> None:
    vectors = spread(3, 2)
    with pytest.raises(InputError, match="4 follows 5"):
        Block(np.array([1, 5, 4]), vectors)
    with pytest.raises(InputError, match="5 follows 5"):
        Block(np.array([1, 5, 5]), vectors)
    with pytest.raises(InputError, match="negative, got -1"):
        Block(np.array([-1, 5, 6]), vectors)
    with pytest.raises(InputError, match="2 numbers for 3 vectors"):
        Block(np.array([1, 5]), vectors)
    with pytest.raises(InputError, match="must be float32"):
        Block(np.array([1, 5, 6]), vectors.astype(np.float64))
    with pytest.raises(InputError, match="must be int64"):
        Block(np.array([1.0, 5.0, 6.0]), vectors)
