"""The readers of examples: every row once, in an order of its own, and a count that comes out."""

from __future__ import annotations

import gc
import math
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.encoders.reader import ENGINES, ArrowEngine, Reader, TableReader, check_engine
from artrec.encoders.reader import open_reader as opened
from artrec.encoders.recipes import train
from artrec.encoders.rules import Rules
from artrec.errors import ArtrecError, ConfigError, StoreFormatError
from artrec.storage import Store, open_store
from artrec.tables import Receipt
from tests.encoders.examples import examples, written
from tests.services.s3 import Server

ROWS = examples(23, 7)
KEYS = [row["content_sha256"] for row in ROWS]


def missing(engine: str) -> str:
    """Why an engine cannot run here; empty where it can."""
    try:
        check_engine(engine)
    except ConfigError as error:
        return str(error)
    return ""


def marked(engine: str) -> Any:
    why = missing(engine)
    return pytest.param(engine, marks=pytest.mark.skipif(bool(why), reason=why))


every_engine = pytest.mark.parametrize("engine", [marked(engine) for engine in sorted(ENGINES)])
petastorm = pytest.mark.skipif(bool(missing("petastorm")), reason=missing("petastorm"))


def reader(engine: str, place: Path, group: int = 4, batch: int = 5, **more: Any) -> Reader:
    store = open_store(str(place))
    return opened(engine, store, written(store, ROWS, group), batch, **more)


def keys(reader: Reader, split: int = 0, splits: int = 1, epoch: int = 1, seed: int = 0) -> Any:
    batches = reader.batches(("content_sha256",), split, splits, epoch, seed)
    return [key for batch in batches for key in batch["content_sha256"]]


@every_engine
@settings(deadline=None, max_examples=25)
@given(
    group=st.integers(1, 40),
    batch=st.integers(1, 40),
    splits=st.integers(1, 4),
    epoch=st.integers(0, 5),
    buffer=st.sampled_from([1, 3000, 1 << 30]),
)
def test_the_parts_of_an_epoch_are_disjoint_and_together_everything(
    engine: str, group: int, batch: int, splits: int, epoch: int, buffer: int
) -> None:
    with tempfile.TemporaryDirectory() as place:
        made = reader(engine, Path(place), group, batch, buffer_bytes=buffer)
        groups = -(-len(ROWS) // group)
        if splits > groups:
            with pytest.raises(ConfigError, match=f"{splits} readers cannot share {groups} row"):
                keys(made, 0, splits)
            return
        parts = [keys(made, split, splits, epoch) for split in range(splits)]
    assert all(parts)
    assert sorted(key for part in parts for key in part) == KEYS


@every_engine
def test_an_order_is_a_matter_of_seed_and_epoch(engine: str, tmp_path: Path) -> None:
    made = reader(engine, tmp_path)
    first = keys(made, epoch=1)
    assert keys(made, epoch=1) == first
    orders = [first, keys(made, epoch=2), keys(made, epoch=1, seed=1), KEYS]
    assert len({tuple(order) for order in orders}) == 4


@every_engine
@pytest.mark.parametrize("buffer", [1, 650, 1 << 30])
def test_an_order_is_the_same_whoever_reads(engine: str, buffer: int, tmp_path: Path) -> None:
    """Numbers of rows, as they came from the arrow engine once: no machine has its own order."""
    made = reader(engine, tmp_path, buffer_bytes=buffer)
    found = [KEYS.index(key) for key in keys(made, split=1, splits=3, epoch=2, seed=5)]
    assert found == ORDERS[buffer]


ORDERS = {
    1: [18, 17, 16, 19, 13, 12, 15, 14, 27, 26, 25, 24],
    650: [19, 12, 17, 14, 13, 18, 16, 15, 27, 24, 25, 26],
    1 << 30: [12, 24, 25, 13, 18, 19, 17, 26, 27, 14, 15, 16],
}


@petastorm
@pytest.mark.parametrize("of", [None, "train", "held_out"])
def test_both_engines_give_the_same_batches(of: str | None, tmp_path: Path) -> None:
    columns = ("picture", "artist", "style", "split", "content_sha256")
    store = open_store(str(tmp_path))
    rows = [row | {"style": "fauvism" if n % 3 else None} for n, row in enumerate(ROWS)]
    receipts = written(store, rows, 4)
    found = [
        list(opened(engine, store, receipts, 5, of, 2000).batches(columns, 0, 2, 1, 4))
        for engine in ("arrow", "petastorm")
    ]
    assert found[0] == found[1]
    styles = [style for batch in found[1] for style in batch["style"]]
    assert {None, "fauvism"} == set(styles)


@every_engine
def test_rows_are_shuffled_across_row_groups(engine: str, tmp_path: Path) -> None:
    """With everything in one buffer neighbors in the file hardly ever stay neighbors."""
    found = keys(reader(engine, tmp_path))
    places = [KEYS.index(key) for key in found]
    assert sum(b - a == 1 for a, b in pairwise(places)) < 8


MANY = examples(480, 0, side=1)


def places_in_epochs(place: Path, buffers: int, epochs: int) -> np.ndarray[Any, Any]:
    """[epochs, rows]: at which place of an epoch each row of the file came, 8 rows to a group."""
    store = open_store(str(place))
    receipts = written(store, MANY, 8)
    footer = parquet.read_metadata(place / receipts[0].path)
    bytes_ = sum(
        footer.row_group(group).column(0).total_uncompressed_size
        for group in range(footer.num_row_groups)
    )
    made = opened("arrow", store, receipts, 16, buffer_bytes=bytes_ // buffers)
    number = {row["content_sha256"]: n for n, row in enumerate(MANY)}
    orders = [[number[key] for key in keys(made, epoch=epoch)] for epoch in range(epochs)]
    return np.argsort(orders, axis=1)


def test_a_row_may_come_anywhere_though_a_buffer_holds_a_tenth_of_the_rows(tmp_path: Path) -> None:
    """Of 40 epochs each row's mean place is the middle; its places spread as random ones do."""
    places = places_in_epochs(tmp_path, buffers=10, epochs=40) / (len(MANY) - 1)
    deviation = 1 / math.sqrt(12)  # of a uniform number
    means = places.mean(axis=0)
    assert abs(means - 0.5).max() < 5 * deviation / math.sqrt(40)
    assert abs(places.std(axis=0) - deviation).max() < 0.11
    # and it says nothing about where the row stood in the file
    assert abs(np.corrcoef(np.arange(len(MANY)), places[0])[0, 1]) < 0.35


def test_a_batch_has_rows_of_many_row_groups(tmp_path: Path) -> None:
    """Six lie in a buffer; a third of its rows is from 6 (1 - C(40, 16) / C(48, 16)) = 5.8."""
    places = places_in_epochs(tmp_path, buffers=10, epochs=5)
    groups = [
        len({row // 8 for row in np.flatnonzero((epoch >= start) & (epoch < start + 16))})
        for epoch in places
        for start in range(0, len(MANY) - 48, 16)  # the last buffer holds what is left
    ]
    assert 5.6 < np.mean(groups) < 6.5  # sizes differ a little, and borders lie within batches
    assert min(groups) >= 4


@every_engine
def test_memory_is_a_matter_of_the_buffer(engine: str, tmp_path: Path) -> None:
    """24 MB are read through buffers of 1 MB, in groups of half of it."""
    size, count = 24_000, 1000
    random = np.random.default_rng(0)
    rows = [dict(ROWS[0], content_sha256=n.to_bytes(32, "big")) for n in range(count)]
    rows = [row | {"picture": random.bytes(size)} for row in rows]
    store = open_store(str(tmp_path))
    receipts = written(store, rows, 20)
    del rows
    made = opened(engine, store, receipts, 8, buffer_bytes=1 << 20)
    seen, arrow = 0, 0
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        for batch in made.batches(("picture",), 0, 1, 1, 0):
            seen += sum(map(len, batch["picture"]))
            arrow = max(arrow, pa.total_allocated_bytes() - before)
        python = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == size * count
    assert arrow < 5 << 20
    assert python < 4 << 20


@every_engine
def test_batches_are_full_but_for_the_last_and_their_columns_belong_together(
    engine: str, tmp_path: Path
) -> None:
    made = reader(engine, tmp_path, batch=8)
    found = list(made.batches(("picture", "content_sha256"), 0, 1, 1, 0))
    assert [len(batch["picture"]) for batch in found] == [8, 8, 8, 6]
    pictures = {row["content_sha256"]: row["picture"] for row in ROWS}
    for batch in found:
        assert list(batch) == ["picture", "content_sha256"]
        assert batch["picture"] == [pictures[key] for key in batch["content_sha256"]]


@every_engine
def test_only_the_rows_of_a_split_are_given(engine: str, tmp_path: Path) -> None:
    found = keys(reader(engine, tmp_path, of="held_out"))
    assert sorted(found) == [row["content_sha256"] for row in ROWS if row["split"] == "held_out"]
    assert len(found) == 7


@every_engine
def test_files_are_read_together(engine: str, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    receipts = [*written(store, ROWS[:13], 4), *written(store, ROWS[13:], 4, "others")]
    assert sorted(keys(opened(engine, store, receipts, 5))) == KEYS


@every_engine
@pytest.mark.parametrize("told", [29, 31])
def test_an_epoch_whose_count_does_not_come_out_is_an_error(
    engine: str, tmp_path: Path, told: int
) -> None:
    store = open_store(str(tmp_path))
    right = written(store, ROWS, 4)[0]
    wrong = Receipt(**right.model_dump() | {"rows": told})
    with pytest.raises(ArtrecError, match=f"gave 30 rows, its footer names 30, its receipt {told}"):
        keys(opened(engine, store, [wrong], 5))


class Forgetful(ArrowEngine):
    """Loses a row of each row group, or the last one, as some engines were seen to do."""

    def __init__(self, store: Store, receipts: Any, whole: bool) -> None:
        self._whole = whole

    def groups(self, files: Any, order: Any, columns: Any) -> Iterator[Any]:
        for place, rows in super().groups(files, order, columns):
            if not self._whole:
                yield place, rows.slice(1)
            elif place != order[-1]:
                yield place, rows


@pytest.mark.parametrize(("whole", "left"), [(True, 26), (False, 22)])
def test_a_row_that_an_engine_loses_is_an_error(whole: bool, left: int, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    receipts = written(store, [*ROWS, *ROWS[:2]], 4)
    made = TableReader(Forgetful(store, receipts, whole), store, receipts, 5)
    with pytest.raises(ArtrecError, match=f"gave {left + 2} rows, its footer names 32"):
        keys(made)


@every_engine
def test_a_file_that_was_cut_is_refused(engine: str, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    receipts = written(store, ROWS, 4)
    file = tmp_path / receipts[0].path
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(StoreFormatError, match="cannot be read as Parquet"):
        keys(opened(engine, store, receipts, 5))


@every_engine
def test_a_file_in_anothers_place_is_refused(engine: str, tmp_path: Path) -> None:
    """It is as long, whole and of the same table, but has other rows."""
    store = open_store(str(tmp_path))
    right = written(store, ROWS, 4)[0]
    other = written(store, ROWS[:-1], 4, "others")[0]
    wrong = Receipt(**right.model_dump() | {"path": other.path, "bytes": other.bytes})
    with pytest.raises(ArtrecError, match="gave 29 rows, its footer names 29, its receipt 30"):
        keys(opened(engine, store, [wrong], 5))


@every_engine
def test_an_empty_table_gives_no_batch(engine: str, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert keys(opened(engine, store, written(store, []), 5)) == []


@every_engine
def test_a_reader_that_is_left_early_leaves_nothing_behind(engine: str, tmp_path: Path) -> None:
    before = threading.active_count()
    batches = reader(engine, tmp_path, group=1, batch=2).batches(("picture",), 0, 1, 1, 0)
    assert len(next(batches)["picture"]) == 2
    batches.close()
    gc.collect()
    assert threading.active_count() == before


@petastorm
def test_petastorm_never_loses_a_row_in_fifty_epochs(tmp_path: Path) -> None:
    """Its own pool of threads was seen to do so in several of thirty."""
    made = reader("petastorm", tmp_path, group=3)
    assert {len(keys(made, epoch=epoch)) for epoch in range(50)} == {30}


@petastorm
def test_files_of_a_remote_store_are_staged_once_and_removed(
    s3_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = s3_server.store("root")
    receipts = written(store, ROWS, 4)
    both = [opened("petastorm", store, receipts, 5, of) for of in ("train", "held_out")]
    found = [key for each in both for key in keys(each)]
    assert sorted(found) == KEYS
    (folder,) = tmp_path.iterdir()
    assert [(file.name, file.stat().st_size) for file in folder.iterdir()] == [
        ("00000.parquet", receipts[0].bytes)
    ]
    both.clear()
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@petastorm
def test_a_remote_file_that_was_altered_is_refused_before_it_is_read(
    s3_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture in the middle: the footer is as ever, so that only the hash can tell."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = s3_server.store("root")
    receipt = written(store, ROWS, 4)[0]
    wrong = Receipt(**receipt.model_dump() | {"sha256": "0" * 64})
    with pytest.raises(StoreFormatError, match=rf"was altered: its sha256 is {receipt.sha256}"):
        keys(opened("petastorm", store, [wrong], 5))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_engine_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no reader engine 'rust'; there is arrow, petastorm"):
        opened("rust", open_store(str(tmp_path)), [], 5)


@pytest.mark.skipif(not missing("petastorm"), reason="petastorm is here, and its pyarrow")
def test_without_petastorm_or_its_pyarrow_both_ways_out_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        opened("petastorm", open_store(str(tmp_path)), [], 5)
    said = str(caught.value)
    assert f"pyarrow {pa.__version__}" in said
    assert "artrec[petastorm]" in said
    assert "train.reader=arrow" in said
    assert "petastorm" not in sys.modules


@petastorm
def test_a_training_by_either_engine_ends_with_the_same_encoder(tmp_path: Path) -> None:
    rules = Rules(
        side=8, channels=(6, 12), epochs=2, batch=5, learning_rate=0.01, patience=9, seed=3
    )
    made = []
    for engine in sorted(ENGINES):
        store = open_store(str(tmp_path / engine))
        made.append(train(store, written(store, ROWS, 4), rules, "checkpoints", engine))
    one, other = made
    assert [each.held_out_loss for each in one.epochs] == [
        each.held_out_loss for each in other.epochs
    ]
    assert one.tensors.keys() == other.tensors.keys()
    assert all(np.array_equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
