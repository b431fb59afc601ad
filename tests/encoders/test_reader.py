"""The reader of examples: every row once, in an order of its own, and a count that comes out."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.encoders.reader import ArrowReader, open_reader
from artrec.errors import ArtrecError, ConfigError
from artrec.storage import open_store
from artrec.tables import Receipt
from tests.encoders.examples import examples, written

ROWS = examples(23, 7)
KEYS = [row["content_sha256"] for row in ROWS]


def reader(place: Path, group: int = 4, batch: int = 5, **more: Any) -> ArrowReader:
    store = open_store(str(place))
    return ArrowReader(store, written(store, ROWS, group), batch, **more)


def keys(
    reader: ArrowReader, split: int = 0, splits: int = 1, epoch: int = 1, seed: int = 0
) -> Any:
    batches = reader.batches(("content_sha256",), split, splits, epoch, seed)
    return [key for batch in batches for key in batch["content_sha256"]]


@settings(deadline=None, max_examples=25)
@given(
    group=st.integers(1, 40),
    batch=st.integers(1, 40),
    splits=st.integers(1, 4),
    epoch=st.integers(0, 5),
    buffer=st.sampled_from([1, 3000, 1 << 30]),
)
def test_the_parts_of_an_epoch_are_disjoint_and_together_everything(
    group: int, batch: int, splits: int, epoch: int, buffer: int
) -> None:
    with tempfile.TemporaryDirectory() as place:
        made = reader(Path(place), group, batch, buffer_bytes=buffer)
        groups = -(-len(ROWS) // group)
        if splits > groups:
            with pytest.raises(ConfigError, match=f"{splits} readers cannot share {groups} row"):
                keys(made, 0, splits)
            return
        parts = [keys(made, split, splits, epoch) for split in range(splits)]
    assert all(parts)
    assert sorted(key for part in parts for key in part) == KEYS


def test_an_order_is_a_matter_of_seed_and_epoch(tmp_path: Path) -> None:
    made = reader(tmp_path)
    first = keys(made, epoch=1)
    assert keys(made, epoch=1) == first
    orders = [first, keys(made, epoch=2), keys(made, epoch=1, seed=1), KEYS]
    assert len({tuple(order) for order in orders}) == 4


def test_rows_are_shuffled_across_row_groups(tmp_path: Path) -> None:
    """With everything in one buffer neighbors in the file hardly ever stay neighbors."""
    found = keys(reader(tmp_path))
    places = [KEYS.index(key) for key in found]
    assert sum(b - a == 1 for a, b in pairwise(places)) < 8


def test_batches_are_full_but_for_the_last_and_their_columns_belong_together(
    tmp_path: Path,
) -> None:
    made = reader(tmp_path, batch=8)
    found = list(made.batches(("picture", "content_sha256"), 0, 1, 1, 0))
    assert [len(batch["picture"]) for batch in found] == [8, 8, 8, 6]
    pictures = {row["content_sha256"]: row["picture"] for row in ROWS}
    for batch in found:
        assert list(batch) == ["picture", "content_sha256"]
        assert batch["picture"] == [pictures[key] for key in batch["content_sha256"]]


def test_only_the_rows_of_a_split_are_given(tmp_path: Path) -> None:
    found = keys(reader(tmp_path, of="held_out"))
    assert sorted(found) == [row["content_sha256"] for row in ROWS if row["split"] == "held_out"]
    assert len(found) == 7


@pytest.mark.parametrize("told", [29, 31])
def test_an_epoch_whose_count_does_not_come_out_is_an_error(tmp_path: Path, told: int) -> None:
    store = open_store(str(tmp_path))
    right = written(store, ROWS, 4)[0]
    wrong = Receipt(**right.model_dump() | {"rows": told})
    with pytest.raises(ArtrecError, match=f"gave 30 rows, its footer names 30, its receipt {told}"):
        keys(ArrowReader(store, [wrong], 5))


class Forgetful(ArrowReader):
    """Loses a row of each buffer, as some engines were seen to do."""

    def _buffers(self, files: Any, order: Any, columns: Any, seen: dict[int, int]) -> Any:
        for rows in super()._buffers(files, order, columns, seen):
            seen[0] -= 1
            yield rows.slice(1)


def test_a_row_that_an_engine_loses_is_an_error(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with pytest.raises(ArtrecError, match="gave 29 rows, its footer names 30"):
        keys(Forgetful(store, written(store, ROWS, 4), 5))


def test_an_empty_table_gives_no_batch(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert keys(ArrowReader(store, written(store, []), 5)) == []


def test_an_unknown_engine_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no reader engine 'rust'; there is arrow"):
        open_reader("rust", open_store(str(tmp_path)), [], 5)
