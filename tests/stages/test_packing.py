"""What blocks find, packed into rows of a shuffle and taken out again in any order."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pyarrow as pa
import pytest

from artrec.stages.neighbors import packing
from artrec.stages.neighbors.packing import ENTRY, enter, packed
from artrec.stages.neighbors.ruled import packing as ruled_packing
from artrec.stages.neighbors.ruled.packing import merged_lists, packed_lists
from artrec.vectors import Entries, merge
from artrec.vectors.rules import Lists, merge_lists, take

rng = np.random.default_rng(6)
N, WIDTH = 9, 5


def found(sides: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each side rows, distances of which many tie, and others: each pair once."""
    rows, others = np.divmod(rng.permutation(N * 40), 40)
    far = ((rows * 7 + others * 5) % 11).astype(np.float32)
    return [(rows[at::sides], far[at::sides], others[at::sides]) for at in range(sides)]


def parts_of(batches: list[pa.RecordBatch], block: int) -> list[bytes]:
    whole = pa.Table.from_batches(batches)
    assert set(whole.column("block").to_pylist()) == {block}
    parts: list[bytes] = whole.column("packed").to_pylist()
    return [parts[place] for place in rng.permutation(len(parts))]


def test_a_block_that_found_nothing_says_so() -> None:
    (batch,) = packed(3, Entries(N, WIDTH))
    assert batch.to_pylist() == [{"block": 3, "packed": b""}]
    (batch,) = packed_lists(4, Lists.empty(N, WIDTH))
    assert batch.to_pylist() == [{"block": 4, "packed": b""}]


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_entries_come_out_of_rows_of_any_size_as_they_went_in(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(packing, "PACKED", size)
    sides = [Entries(N, WIDTH), Entries(N, WIDTH)]
    for side, each in zip(sides, found(2), strict=True):
        side.add(*each)
    wanted = reduce(merge, (side.lists() for side in sides))
    parts = [part for side in sides for part in parts_of(list(packed(2, side)), 2)]
    whole = Entries(N, WIDTH)
    counts = [enter(whole, np.frombuffer(part, ENTRY)) for part in parts]
    assert (max(counts) <= size, sum(counts)) == (True, 2 * N * WIDTH)
    assert np.array_equal(whole.lists().ids, wanted.ids)
    assert np.array_equal(whole.lists().distances, wanted.distances)


@pytest.mark.parametrize("most", [None, 2])
@pytest.mark.parametrize("crowd", [0, 20, 1 << 22])
def test_lists_under_a_rule_are_merged_whatever_waits(
    monkeypatch: pytest.MonkeyPatch, crowd: int, most: int | None
) -> None:
    monkeypatch.setattr(packing, "PACKED", 7)
    monkeypatch.setattr(ruled_packing, "CROWD", crowd)
    sides = []
    for rows, far, others in found(4):
        values = (others % 4 - 1).astype(np.int32)
        sides.append(take(rows, far, others, values, N, WIDTH, most))
    parts = [part for side in sides[1:] for part in parts_of(list(packed_lists(5, side)), 5)]
    lists = merged_lists(parts, N, WIDTH, most, sides[0].flat())
    wanted = reduce(lambda a, b: merge_lists(a, b, most), sides)
    assert np.array_equal(lists.ids, wanted.ids)
