"""The join that multiplies each pair once gives the lists of the one that multiplies it twice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from artrec.errors import ConfigError, InputError
from artrec.vectors import METRICS, Block, Tiling, join, plan_layout, self_join
from tests.vectors.test_join import KINDS, numbers, same, spread

Floats = NDArray[np.float32]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blocks", [1, 4])
def test_each_product_once_gives_the_lists_of_each_product_twice(
    metric: str, kind: str, blocks: int
) -> None:
    block = Block(numbers(1500), KINDS[kind](1500, 12))
    expected = join(block, [block], k=20, metric=metric)
    assert same(self_join(block, k=20, metric=metric, blocks=blocks), expected)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 300),
    st.integers(1, 40),
    st.integers(1, 9),
    st.sampled_from(METRICS),
    st.integers(1, 64),
    st.integers(1, 100),
    st.integers(0, 99),
)
def test_neither_blocks_nor_tiles_change_a_row(
    n: int, k: int, blocks: int, metric: str, rows: int, columns: int, seed: int
) -> None:
    made = np.random.default_rng(seed).integers(-2, 3, (n, 3)).astype(np.float32)
    made[:, 0] = 1  # ties and copies, but no zeros
    block = Block(numbers(n, seed), made)
    found = self_join(block, k=k, metric=metric, blocks=blocks, tiling=Tiling(rows, columns))
    assert same(found, join(block, [block], k=k, metric=metric))


def test_a_thousand_neighbors_are_listed() -> None:
    block = Block(numbers(1300), spread(1300, 8))
    found = self_join(block, k=1000, metric="euclidean", blocks=3)
    assert found.counts.tolist() == [1000] * 1300
    assert same(found, join(block, [block], k=1000, metric="euclidean"))


def test_by_inner_product_a_vector_need_not_be_its_own_nearest() -> None:
    made = spread(400, 6)
    made[7] *= 1000
    block = Block(numbers(400), made)
    found = self_join(block, k=1, metric="dot", blocks=2)
    cosines = made @ made[7]
    toward = [row for row in range(400) if row != 7 and cosines[row] > 0]
    assert {found.others[row, 0] for row in toward} == {block.numbers[7]}


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (np.array([[1, np.nan], [1, 2]], np.float32), InputError, "NaN or infinity: ids 5"),
        (np.array([[1, np.inf], [1, 2]], np.float32), InputError, "NaN or infinity: ids 5"),
        (np.array([[1, 1], [0, 0]], np.float32), InputError, "zero.*ids 6"),
    ],
)
def test_vectors_without_a_distance_are_refused(
    made: Floats, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        self_join(Block(np.array([5, 6]), made), k=1, metric="cosine")


def test_copies_of_one_vector_have_fewer_cells_than_are_sought() -> None:
    block = Block(numbers(30), np.ones((30, 4), np.float32))
    found = self_join(block, k=40, metric="cosine")
    assert same(found, join(block, [block], k=40, metric="cosine"))


def test_lists_of_no_length_are_refused() -> None:
    block = Block(numbers(3), spread(3, 2))
    with pytest.raises(ConfigError, match="k must be at least 1, got 0"):
        self_join(block, k=0, metric="cosine")


def bunches(n: int, dim: int) -> Floats:
    centers = 10 * spread(40, dim, 5)
    return centers[np.arange(n) % 40] + spread(n, dim)


@pytest.mark.parametrize("make", [spread, bunches])
def test_blocks_of_a_layout_are_even_and_regions(make: Callable[[int, int], Floats]) -> None:
    made = make(6000, 16)
    layout = plan_layout(made[:3000], 6000, "euclidean", 4, 100.0)
    squares = np.einsum("ij,ij->i", made, made, dtype=np.float64)
    blocks = layout.blocks_of(layout.cells(made, squares))
    sizes = np.bincount(blocks, minlength=4)
    assert sizes.min() > 1200
    assert sizes.max() < 1800
    block = Block(np.arange(6000, dtype=np.int64), made)
    near = join(block, [block], k=10, metric="euclidean").others
    at_home = (blocks[near] == blocks[:, None]).mean()
    assert at_home > (0.9 if make is bunches else 0.35)  # 0.25 by chance
