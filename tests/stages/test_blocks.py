"""Blocks: the vectors of the table come as they stand there, all of them or a range of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from artrec.schemas import TABLES
from artrec.stages.blocks import block_of, vector_blocks
from artrec.storage import Store, open_store
from artrec.tables import Receipt, TableWriter

NUMBERS = [3, 5, 8, 13, 21, 34, 55]


def vector(number: int) -> list[float]:
    return [float(number), number / 4, -1.0]


@pytest.fixture
def live(tmp_path: Path) -> tuple[Store, list[Receipt]]:
    """Two files of row groups of two vectors, and an empty one before them."""
    store, table = open_store(str(tmp_path)), TABLES["live_vectors"]
    receipts: list[Receipt] = []
    for name, numbers in (("none", []), ("one", NUMBERS[:4]), ("two", NUMBERS[4:])):
        with TableWriter(store, "made", table, name, group_bytes=1, even_empty=True) as writer:
            for start in range(0, len(numbers), 2):
                rows = [
                    {"vector_no": n, "embedding": vector(n)} for n in numbers[start : start + 2]
                ]
                writer.write(pa.RecordBatch.from_pylist(rows, schema=table.columns))
        receipts += writer.receipts
    return store, receipts


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        (None, NUMBERS),
        ((5, 34), [5, 8, 13, 21, 34]),
        ((6, 20), [8, 13]),
        ((56, 99), []),
        ((0, 3), [3]),
    ],
)
def test_the_vectors_of_a_range_are_given_with_both_ends(
    live: tuple[Store, list[Receipt]], between: tuple[int, int] | None, expected: list[int]
) -> None:
    blocks = list(vector_blocks(*live, between))
    assert [n for block in blocks for n in block.numbers] == expected
    assert [v.tolist() for block in blocks for v in block.vectors] == [vector(n) for n in expected]
    assert all(1 <= len(block.numbers) <= 2 for block in blocks)


def test_rows_in_several_pieces_are_one_block() -> None:
    schema = TABLES["live_vectors"].columns
    pieces = [
        pa.Table.from_pylist(
            [{"vector_no": n, "embedding": vector(n)} for n in some], schema=schema
        )
        for some in (NUMBERS[:3], NUMBERS[3:])
    ]
    block = block_of(pa.concat_tables([pieces[0].slice(1), pieces[1]]))
    assert block.numbers.tolist() == NUMBERS[1:]
    assert np.array_equal(block.vectors, [vector(n) for n in NUMBERS[1:]])
