"""How many cells are looked at follows from the truth of a sample, with nothing tried."""

from __future__ import annotations

import numpy as np
import pytest

from artrec.vectors import Block, Layout, join
from artrec.vectors.approximate.choosing import (
    Candidates,
    Choice,
    Links,
    choose,
    is_sampled,
    links_of,
    nearest_of,
    sample_size,
)
from artrec.vectors.distance import squared_norms
from tests.vectors.test_approximate import bunches
from tests.vectors.test_join import numbers
from tests.vectors.test_looking import dealt, laid_out


def literal(ranks: list[list[int]], near: int) -> tuple[Links, int]:
    """A sample whose neighbors need so many cells, and are in cells as far from each other."""
    rows = np.repeat(np.arange(len(ranks)), [len(each) for each in ranks])
    flat = np.array([rank for each in ranks for rank in each])
    far = np.arange(len(flat), dtype=np.float32)
    return Links(rows, far, np.arange(len(flat)), flat, np.full(len(flat), near)), len(ranks)


def linked(sample: Block, candidates: list[Candidates], layout: Layout, k: int) -> Links:
    pools, _ = nearest_of(sample, candidates, "cosine", k)
    return links_of(sample, pools, candidates, layout)


def chosen(ranks: list[list[int]], target: float, near: int = 99, total: int = 10**6) -> Choice:
    links, rows = literal(ranks, near)
    layout = laid_out(bunches(400, 3), "cosine", 1)  # 40 cells
    return choose(links, rows, layout, target=target, total=total, asked=2000)


def test_of_all_rows_the_fewest_cells_that_reach_the_target_are_taken() -> None:
    ranks = [[0, 1, 5, 9], [0, 2, 5, 20]]
    for target, probes in ((0.5, 3), (0.75, 6), (0.8, 10), (0.9, 21)):
        found = chosen(ranks, target, total=2)
        assert (found.near, found.probes) == (8, probes)
        assert found.recalls.mean() >= target
    assert found.furthest.tolist() == [3.0, 7.0]


def test_near_cells_alone_are_taken_where_they_do() -> None:
    found = chosen([[9, 9], [9, 9]], 0.9, near=5, total=2)
    assert (found.near, found.probes) == (6, 0)


def test_a_small_sample_has_to_show_more_than_a_large_one() -> None:
    pattern = [0] * 19 + [7]
    few, many = (chosen([pattern[n:] + pattern[:n] for n in range(20)] * times, 0.94).probes
                 for times in (5, 500))  # fmt: skip
    assert (many, few) == (1, 8)  # of each row 19 of 20 are found at once
    # Where not even a sample without a miss is enough, all cells are looked at.
    assert chosen([[0, 0]] * 10, 0.99).probes == 40


@pytest.mark.parametrize("probes", [0, 2, 7])
def test_the_recall_that_is_foretold_is_the_recall_that_is_found(probes: int) -> None:
    k, near = 12, 4
    block = Block(numbers(700), bunches(700, 7))
    layout = laid_out(block.vectors, "cosine", 4)
    cells = layout.cells(block.vectors, squared_norms(block.vectors))
    sample = Block(block.numbers[::7], block.vectors[::7])
    halves = [slice(0, 300), slice(300, 700)]
    parts = [
        linked(sample, [(cells[part], block.numbers[part], block.vectors[part])], layout, k)
        for part in halves
    ]
    links = Links.together(parts).nearest(100, k)
    true = join(sample, [block], k=k, metric="cosine")
    assert links.others.reshape(100, k).tolist() == true.others.tolist()
    foretold = ((links.near < near) | (links.ranks < probes)).reshape(100, k)
    found = dealt(block, "cosine", k, near, probes, 4)
    for row in range(100):
        listed = set(found.others[7 * row, :k].tolist())
        seen = [other in listed for other in true.others[row].tolist()]
        assert seen == foretold[row].tolist()


def test_a_sample_is_random_whatever_the_numbers_are() -> None:
    some = is_sampled(np.arange(100_000), 0.01)
    assert 900 < some.sum() < 1100
    assert 400 < some[:50_000].sum() < 600
    assert not (some & is_sampled(np.arange(100_000), 0.01, seed=1)).sum() > 40
    assert is_sampled(np.arange(5), 1.0).all()
    assert [sample_size(n, 0.98) for n in (300, 81_446, 10**8)] == [300, 500, 4000]
    assert sample_size(10**6, 0.999) == 8000
