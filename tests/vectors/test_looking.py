"""Dealt out by blocks, every list holds the nearest of all that its vector has seen, exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from artrec.vectors import METRICS, Block, Laid, Layout, Pools, join, plan_layout
from artrec.vectors.approximate.looking import Looking, Others, see
from artrec.vectors.approximate.reaching import reaches
from artrec.vectors.cells import coordinates
from artrec.vectors.distance import squared_norms
from tests.vectors.test_approximate import bunches
from tests.vectors.test_join import KINDS, numbers, same

Floats = NDArray[np.float32]
Matrix = Callable[[str, Floats, Floats], Floats]


def laid_out(vectors: Floats, metric: str, blocks: int) -> Layout:
    longest = float(np.sqrt(squared_norms(vectors).max()))
    return plan_layout(vectors, len(vectors), metric, blocks, longest)


def dealt(block: Block, metric: str, k: int, near: int, probes: int, blocks: int) -> Pools:
    """What the tasks of a dealt join do, one after the other."""
    layout = laid_out(block.vectors, metric, blocks)
    cells = layout.cells(block.vectors, squared_norms(block.vectors))
    order = np.argsort(cells, kind="stable")
    cuts = np.searchsorted(cells[order], layout.firsts)
    close, _ = reaches(layout, layout.centers, near)
    parts, done = [], []
    for place in range(layout.blocks):
        rows = order[cuts[place] : cuts[place + 1]]
        laid = Laid.of(block.numbers[rows], block.vectors[rows], k + 1)
        part = Looking.of(layout, place, laid, cells[rows], k, close)
        if probes:
            part.reach, _ = reaches(layout, part.points, probes)
        wanted = part.near.any(axis=0)
        wanted[part.first : part.after] = False
        outer = order[wanted[cells[order]]]
        others = Others(cells[outer], block.numbers[outer], block.vectors[outer])
        lists, _ = part.fill(layout, others, k)
        if not probes:
            done.append(part.pools(lists, k, len(block.numbers)))
        at, places = np.nonzero(lists.ids >= 0)
        part.side.entries.add(at, lists.distances[at, places], lists.ids[at, places])
        parts.append(part)
    if not probes:
        return Pools.together(done)
    for place, one in enumerate(parts):
        for other in parts[place + 1 :]:
            see(one, other, layout)
    total = len(block.numbers)
    return Pools.together([part.laid.pools(metric, part.side.entries, k, total) for part in parts])


def seen(block: Block, metric: str, near: int, probes: int) -> NDArray[np.bool_]:
    """Which pairs are seen, by the definition."""
    layout = laid_out(block.vectors, metric, 1)
    points = coordinates(layout.frame, block.vectors, squared_norms(block.vectors))
    cells = layout.cells(block.vectors, squared_norms(block.vectors))

    def nearest(of: Floats, count: int) -> NDArray[np.int64]:
        wide = of.astype(np.float64)[:, None, :] - layout.centers.astype(np.float64)
        return np.argsort((wide**2).sum(axis=2), axis=1, kind="stable")[:, :count]

    looks = (nearest(points, probes)[:, :, None] == cells).any(axis=1)
    close = (nearest(layout.centers, near)[cells][:, :, None] == cells).any(axis=1)
    found: NDArray[np.bool_] = looks | looks.T | close | close.T
    return found


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("near", "probes", "blocks"), [(1, 0, 1), (1, 3, 5), (3, 0, 4), (2, 9, 4)])
def test_lists_hold_the_nearest_of_all_that_is_seen(
    matrix: Matrix, metric: str, near: int, probes: int, blocks: int
) -> None:
    block = Block(numbers(600), bunches(600, 8))
    found = dealt(block, metric, 12, near, probes, blocks)
    distances = matrix(metric, block.vectors, block.vectors)
    pairs = seen(block, metric, near, probes)
    missed = 0
    for row, number in enumerate(block.numbers.tolist()):
        nearest = sorted(
            (float(distances[row, other]), int(block.numbers[other]))
            for other in np.flatnonzero(pairs[row]).tolist()
            if other != row
        )[:12]
        count = found.counts[row]
        listed = zip(found.distances[row, :count], found.others[row, :count], strict=True)
        assert [(float(far), int(other)) for far, other in listed] == nearest, number
        missed += (
            nearest
            != sorted(
                (float(distances[row, o]), int(block.numbers[o])) for o in range(600) if o != row
            )[:12]
        )
    assert missed or probes > 1 or near > 1


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(2, 300),
    st.integers(1, 40),
    st.sampled_from(METRICS),
    st.integers(2, 6),
    st.sampled_from([(10**6, 0), (2, 10**6)]),
)
def test_who_looks_everywhere_misses_nobody_whatever_the_blocks(
    kind: str, n: int, k: int, metric: str, blocks: int, cells: tuple[int, int]
) -> None:
    near, probes = cells
    block = Block(numbers(n), KINDS[kind](n, 6))
    same(dealt(block, metric, k, near, probes, blocks), join(block, [block], k=k, metric=metric))


def test_blocks_change_nothing() -> None:
    block = Block(numbers(900), bunches(900, 6))
    whole = dealt(block, "cosine", 20, 3, 6, 1)
    for blocks in (2, 7, 30):
        same(dealt(block, "cosine", 20, 3, 6, blocks), whole)
