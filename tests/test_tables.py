"""Files of tables: what is written is read again, and receipts say what an outsider finds."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artrec.digests import digest_rows
from artrec.errors import ConditionFailed, NotFound, StoreFormatError, StoreFull
from artrec.schemas import TABLES, Table
from artrec.storage.local import LocalStore
from artrec.storage.parquet import StoreFile, opened
from artrec.tables import Receipt, TableWriter, open_file, read_range, read_table
from tests.storage.small_disk import small_disk

Row = dict[str, Any]

NEIGHBORS, EMBEDDINGS, LABELS = (TABLES[n] for n in ("neighbors", "embeddings", "labels"))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path))


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return LocalStore(str(tmp_path_factory.mktemp("roomy")))


def batch(table: Table, rows: Sequence[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=table.columns)


def write(
    store: LocalStore, table: Table, rows: Sequence[Row], folder: str = "f", **sizes: Any
) -> list[Receipt]:
    with TableWriter(store, folder, table, "00000-000000", **sizes) as writer:
        writer.write(batch(table, rows))
    return writer.receipts


def read(store: LocalStore, receipts: Sequence[Receipt], *columns: str) -> list[Row]:
    batches = read_table(store, receipts, columns or None)
    return [row for each in batches for row in each.to_pylist()]


def lists(queries: int, ranks: int) -> list[Row]:
    return [
        {"query_id": f"q{q:04d}", "rank": r, "neighbor_id": f"n{q * r}", "distance": r / 4}
        for q in range(queries)
        for r in range(1, ranks + 1)
    ]


def noise(count: int, dim: int) -> list[Row]:
    """Embeddings that no compression makes smaller."""
    values = np.random.default_rng(5).random((count, dim), np.float32)
    return [{"image_id": f"{i:04d}", "embedding": v.tolist()} for i, v in enumerate(values)]


def ask(sql: str) -> list[Any]:
    found = duckdb.sql(sql)
    assert found is not None
    return list(found.fetchall())


LABELLED: list[Row] = [
    dict.fromkeys(LABELS.columns.names) | {"source": "main", "entry": 0},
    {
        "source": "main",
        "entry": 1,
        "style": "Art_Nouveau",
        "artist": "é\n☃",
        "title": "",
        "year": 1889,
        "genre": None,
        "split": "train",
        "license": "CC0",
        "extra": [("id", "12"), ("note", None), ("", "")],
    },
]


# -- writing --------------------------------------------------------------------------------


def test_rows_come_back_as_they_were_written(store: LocalStore) -> None:
    assert read(store, write(store, LABELS, LABELLED)) == LABELLED


def test_columns_may_come_in_any_order_and_some_may_be_read(store: LocalStore) -> None:
    rows = lists(3, 2)
    names = ["distance", "query_id", "neighbor_id", "rank"]
    mixed = pa.RecordBatch.from_pylist(rows, pa.schema([NEIGHBORS.columns.field(n) for n in names]))
    with TableWriter(store, "f", NEIGHBORS, "x") as writer:
        writer.write(mixed)
    assert read(store, writer.receipts) == rows
    some = read(store, writer.receipts, "rank", "query_id")
    assert some == [{"rank": row["rank"], "query_id": row["query_id"]} for row in rows]


def test_a_receipt_says_what_an_outsider_finds(store: LocalStore) -> None:
    rows = lists(40, 25)
    metadata = {"encoder": "handmade-1", "dim": "154"}
    receipts = write(store, NEIGHBORS, rows, metadata=metadata, group_bytes=2_000, file_bytes=4_000)
    assert len(receipts) > 2
    assert [r.path for r in receipts] == [
        f"f/neighbors/00000-000000-{n:03d}.parquet" for n in range(len(receipts))
    ]
    at = 0
    for receipt in receipts:
        file = Path(store.root, receipt.path)
        data = file.read_bytes()
        assert (receipt.bytes, receipt.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        counted = ask(
            f"SELECT count(*), min((query_id, rank)), max((query_id, rank)) FROM '{file}'"
        )
        assert counted == [(receipt.rows, receipt.first, receipt.last)]
        outside = pq.ParquetFile(file)
        assert receipt.row_groups == outside.num_row_groups > 1
        assert receipt.digest == digest_rows(
            batch(NEIGHBORS, rows[at : at + receipt.rows]), NEIGHBORS
        )
        assert outside.read().to_pylist() == rows[at : at + receipt.rows]
        assert {k: v for k, v in outside.schema_arrow.metadata.items() if b"artrec" in k} == {
            b"artrec.table": b"neighbors",
            b"artrec.version": b"1",
            b"artrec.encoder": b"handmade-1",
            b"artrec.dim": b"154",
        }
        at += receipt.rows
    assert at == len(rows)


def test_a_receipt_survives_json(store: LocalStore) -> None:
    (receipt,) = write(store, NEIGHBORS, lists(2, 2))
    again = Receipt.model_validate_json(receipt.model_dump_json())
    assert again == receipt
    assert again.last == ("q0001", 2)


def test_bytes_in_a_sort_key_stand_as_hex_in_the_receipt(store: LocalStore) -> None:
    rows = [
        {"content_sha256": b"\x00\xff", "file": "a", "row_group": 0},
        {"content_sha256": b"\x01", "file": "a", "row_group": 1},
    ]
    (receipt,) = write(store, TABLES["pending_pictures"], rows)
    assert (receipt.first, receipt.last) == (("a", 0, "00ff"), ("a", 1, "01"))


def test_bytes_of_pictures_are_not_compressed_again(store: LocalStore) -> None:
    row = {
        "content_sha256": b"x" * 32, "recipe": "original", "data": bytes(50_000), "width": 1,
        "height": 1, "format": "JPEG", "mode": "RGB", "phash": -1,
    }  # fmt: skip
    (receipt,) = write(store, TABLES["pictures"], [row])
    group = pq.read_metadata(Path(store.root, receipt.path)).row_group(0)
    used = {
        group.column(i).path_in_schema: group.column(i).compression
        for i in range(group.num_columns)
    }
    assert used.pop("data") == "UNCOMPRESSED"
    assert set(used.values()) == {"ZSTD"}
    assert receipt.bytes > 50_000


SIZES = st.lists(st.sampled_from([0, 1, 2, 30, 300, 5000]), min_size=1, max_size=60)


@settings(max_examples=30, deadline=None)
@given(SIZES, st.integers(1, 4))
@example([0] * 40 + [5000] + [1] * 10, 1)
@example([30] * 30 + [300] * 5 + [0] * 20, 2)
def test_row_groups_are_bounded_in_bytes_however_the_rows_differ(
    roomy: LocalStore, sizes: list[int], batches: int
) -> None:
    rows = [{"image_id": f"{i:03d}", "embedding": [0.5] * n} for i, n in enumerate(sizes)]
    folder = f"bounded-{next(FRESH)}"
    with TableWriter(roomy, folder, EMBEDDINGS, "x", group_bytes=2000) as writer:
        for start in range(batches):
            writer.write(batch(EMBEDDINGS, rows[start::batches]))
    (receipt,) = writer.receipts
    file = open_file(roomy, receipt)
    found = []
    for number in range(file.metadata.num_row_groups):
        group = file.read_row_group(number).to_pylist()
        found += group
        assert len(group) == 1 or sum(3 + 4 * len(row["embedding"]) for row in group) <= 2000
    assert sorted(found, key=lambda row: str(row["image_id"])) == rows
    assert receipt.row_groups == file.metadata.num_row_groups <= len(rows)


FRESH = itertools.count()


def test_rows_of_one_size_fill_their_groups(store: LocalStore) -> None:
    rows = [{"image_id": f"{i:04d}", "embedding": [0.5] * 10} for i in range(1000)]
    (receipt,) = write(store, EMBEDDINGS, rows, group_bytes=4800)
    assert receipt.row_groups <= 12


def test_files_are_closed_once_they_are_large_enough(store: LocalStore) -> None:
    rows = noise(500, 16)
    receipts = write(store, EMBEDDINGS, rows, group_bytes=2000, file_bytes=8000)
    assert len(receipts) > 2
    assert all(8000 <= r.bytes < 8000 + 4000 for r in receipts[:-1])
    assert read(store, receipts) == rows


# -- nothing, and failure -------------------------------------------------------------------


def test_without_rows_there_is_no_file(store: LocalStore) -> None:
    with TableWriter(store, "f", NEIGHBORS, "x") as writer:
        writer.write(batch(NEIGHBORS, []))
    assert (writer.receipts, list(store.list())) == ([], [])


def test_an_empty_file_on_request_has_all_columns(store: LocalStore) -> None:
    with TableWriter(store, "f", NEIGHBORS, "x", even_empty=True) as writer:
        pass
    (receipt,) = writer.receipts
    assert (receipt.rows, receipt.row_groups, receipt.first, receipt.last) == (0, 0, (), ())
    assert receipt.digest == {"rows": 0, "": 0}
    found = pq.read_table(Path(store.root, receipt.path))
    assert (found.num_rows, found.column_names) == (0, NEIGHBORS.columns.names)
    assert read(store, writer.receipts) == []
    assert list(read_range(store, writer.receipts, ("a", 1), ("z", 9))) == []


def test_with_rows_there_is_no_empty_file(store: LocalStore) -> None:
    receipts = write(store, NEIGHBORS, lists(1, 1), even_empty=True)
    assert [r.rows for r in receipts] == [1]


def files_on_disk(store: LocalStore) -> list[str]:
    return sorted(f for _, _, files in os.walk(store.root) for f in files)


def test_a_failing_block_leaves_no_file_that_was_open(store: LocalStore) -> None:
    with (  # noqa: PT012
        pytest.raises(ZeroDivisionError),
        TableWriter(store, "f", NEIGHBORS, "x", group_bytes=500) as writer,
    ):
        writer.write(batch(NEIGHBORS, lists(20, 20)))
        raise ZeroDivisionError
    assert files_on_disk(store) == []


def test_a_file_that_cannot_be_finished_is_not_left_behind(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    writer = TableWriter(store, "f", NEIGHBORS, "x")
    writer.write(batch(NEIGHBORS, lists(2, 2)))
    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(ZeroDivisionError), writer:
        pass
    assert files_on_disk(store) == []


def test_a_full_disk_stops_a_table_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as folder:
        store = LocalStore(str(folder))
        rows = noise(100, 1000)
        for group_bytes in (10_000, 100_000_000):  # found while writing, found at the end
            with pytest.raises(StoreFull, match="no space left; free some"):
                write(store, EMBEDDINGS, rows, group_bytes=group_bytes)
            assert files_on_disk(store) == []


def test_an_attempt_never_replaces_the_file_of_another(store: LocalStore) -> None:
    write(store, NEIGHBORS, lists(1, 1))
    with pytest.raises(ConditionFailed):
        write(store, NEIGHBORS, lists(2, 2))
    assert [entry.path for entry in store.list()] == ["f/neighbors/00000-000000-000.parquet"]
    assert ask(f"SELECT count(*) FROM '{store.root}/f/*/*.parquet'") == [(1,)]


# -- what is refused ------------------------------------------------------------------------


def columns(table: Table, **changed: pa.Array) -> pa.RecordBatch:
    base = batch(table, lists(2, 1))
    arrays = {name: base.column(name) for name in base.schema.names} | changed
    return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            columns(NEIGHBORS, rank=pa.array([1, None], pa.int32())),
            r"f/neighbors: 1 nulls in rank",
        ),
        (
            columns(NEIGHBORS).select(["query_id", "neighbor_id"]),
            r"not a neighbors table of version 1: missing \['rank', 'distance'\]",
        ),
        (columns(NEIGHBORS, score=pa.array([1, 2])), r"unexpected \['score'\]"),
        (columns(NEIGHBORS, rank=pa.array([1, 2], pa.int64())), r"rank is int64, not int32"),
        (
            columns(NEIGHBORS, distance=pa.array(["a", "b"])),
            r"distance is string, not float",
        ),
    ],
)
def test_rows_of_another_form_are_refused_by_name(
    store: LocalStore, rows: pa.RecordBatch, message: str
) -> None:
    with (
        pytest.raises(StoreFormatError, match=message),
        TableWriter(store, "f", NEIGHBORS, "x") as writer,
    ):
        writer.write(rows)
    assert files_on_disk(store) == []


@pytest.mark.parametrize("table", ["embeddings", "live_vectors", "vectors"])
def test_a_null_number_is_refused_though_its_batch_has_the_tables_own_types(
    store: LocalStore, table: str
) -> None:
    """Such a batch is not cast, so no cast finds the null."""
    given = {"image_id": "a", "content_sha256": bytes(32), "encoder": "e", "vector_no": 1}
    kind = TABLES[table]
    rows = [
        dict.fromkeys(kind.columns.names) | {n: given[n] for n in kind.columns.names if n in given}
        for _ in range(3)
    ]
    for row, embedding in zip(rows, ([1.0, 2.0], [None, 3.0], [None, None]), strict=True):
        row["embedding"] = embedding
    with (
        pytest.raises(StoreFormatError, match=f"f/{table}: 3 nulls within embedding"),
        TableWriter(store, "f", kind, "x") as writer,
    ):
        writer.write(batch(kind, rows))
    assert files_on_disk(store) == []


def test_a_picture_without_a_vector_is_no_null_within_one(store: LocalStore) -> None:
    vectors = TABLES["vectors"]
    facts = {"encoder": "e", "vector_no": 1, "detail": ""}
    rows = [
        {"content_sha256": b"a" * 32, **facts, "embedding": None, "reason": "zero_vector"},
        {"content_sha256": b"b" * 32, **facts, "embedding": [1.0], "reason": None},
    ]
    assert read(store, write(store, vectors, rows)) == rows


def test_a_null_within_an_embedding_is_refused(store: LocalStore) -> None:
    rows = pa.RecordBatch.from_arrays(
        [pa.array(["a"]), pa.array([[1.0, None]], pa.list_(pa.float32()))],
        names=["image_id", "embedding"],
    )
    with (
        pytest.raises((StoreFormatError, pa.ArrowInvalid), match=r"null"),
        TableWriter(store, "f", EMBEDDINGS, "x") as writer,
    ):
        writer.write(rows)
    assert files_on_disk(store) == []


def test_a_table_of_a_newer_version_is_refused_with_both_versions(store: LocalStore) -> None:
    newer = replace(NEIGHBORS, version=2)
    receipts = write(store, newer, lists(1, 1))
    with pytest.raises(
        StoreFormatError,
        match=r"holds table neighbors version 2; this artrec reads neighbors up to version 1: use",
    ):
        read(store, receipts)


def test_a_damaged_file_is_named_with_what_to_do(store: LocalStore) -> None:
    (receipt,) = write(store, NEIGHBORS, lists(1, 1))
    path = Path(store.path_url(receipt.path))
    path.write_bytes(path.read_bytes()[:-4] + b"PARQ")
    with pytest.raises(
        StoreFormatError,
        match=rf"{receipt.path} cannot be read as Parquet .*; artrec releases verify says",
    ):
        open_file(store, receipt)


def test_a_file_of_another_table_is_refused(store: LocalStore) -> None:
    (receipt,) = write(store, NEIGHBORS, lists(1, 1))
    other = receipt.model_copy(update={"table": "catalog"})
    with pytest.raises(StoreFormatError, match=r"holds table neighbors version 1.*reads catalog"):
        open_file(store, other)


def test_a_parquet_file_that_artrec_did_not_write_is_refused(store: LocalStore) -> None:
    (receipt,) = write(store, NEIGHBORS, lists(1, 1))
    file = Path(store.root, "strange.parquet")
    pq.write_table(pa.table({"a": [1]}), file)
    found = {"path": "strange.parquet", "bytes": file.stat().st_size}
    with pytest.raises(StoreFormatError, match=r"strange\.parquet: holds table \? version 0"):
        open_file(store, receipt.model_copy(update=found))


def test_a_missing_file_is_not_found(store: LocalStore) -> None:
    (receipt,) = write(store, NEIGHBORS, lists(1, 1))
    store.delete(receipt.path)
    with pytest.raises(NotFound):
        read(store, [receipt])


# -- looking up -----------------------------------------------------------------------------

IDS = st.sampled_from(["", "a", "aa", "b", "é", "☃", "𝄞", "z" * 70, "z" * 5000])
KEYS = st.tuples(IDS, st.integers(-3, 3))


@settings(max_examples=40, deadline=None)
@example([("", 0), ("z" * 5000, 0)], ("a", 0), ("z" * 5000, 0), 1, 100_000, 1)
@given(
    st.lists(KEYS, max_size=60).map(sorted),
    KEYS,
    KEYS,
    st.sampled_from([1, 2]),
    st.sampled_from([100, 400, 100_000]),
    st.sampled_from([1, 1500]),
)
def test_a_range_equals_a_filter_over_everything(
    roomy: LocalStore,
    keys: list[tuple[str, int]],
    low: tuple[str, int],
    high: tuple[str, int],
    width: int,
    group_bytes: int,
    file_bytes: int,
) -> None:
    rows = [
        {"query_id": q, "rank": r, "neighbor_id": f"{i}", "distance": 0.0}
        for i, (q, r) in enumerate(keys)
    ]
    receipts = write(
        roomy, NEIGHBORS, rows, f"r{next(FRESH)}", group_bytes=group_bytes, file_bytes=file_bytes
    )
    found = [
        row
        for each in read_range(roomy, receipts, low[:width], high[:width])
        for row in each.to_pylist()
    ]
    expected = [
        row for row in rows if low[:width] <= (row["query_id"], row["rank"])[:width] <= high[:width]
    ]
    assert found == expected


def test_a_range_gives_the_wanted_columns_beside_its_own(store: LocalStore) -> None:
    receipts = write(store, NEIGHBORS, lists(3, 2))
    (found,) = read_range(store, receipts, ("q0001", 2), ("q0001", 2), ["neighbor_id"])
    assert found.to_pylist() == [{"neighbor_id": "n2", "query_id": "q0001", "rank": 2}]


@dataclass(frozen=True)
class Counting(LocalStore):
    """Remembers what was read."""

    reads: list[tuple[str, int]] = field(default_factory=list)

    def read(
        self, path: str, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> bytes:
        data = LocalStore.read(self, path, offset, length, etag)
        self.reads.append((path, len(data)))
        return data


def test_a_few_keys_cost_a_few_row_groups_of_one_file(tmp_path: Path) -> None:
    store = Counting(str(tmp_path))
    receipts = write(store, NEIGHBORS, lists(1000, 10), group_bytes=5_000, file_bytes=10_000)
    assert len(receipts) >= 4
    found = [row for each in read_range(store, receipts, ("q0500", 1), ("q0500", 10))
             for row in each.to_pylist()]  # fmt: skip
    assert [row["rank"] for row in found] == list(range(1, 11))
    assert len({path for path, _ in store.reads}) <= 2
    assert sum(size for _, size in store.reads) < sum(r.bytes for r in receipts) / 2


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_reading_starts_no_threads(tmp_path: Path) -> None:
    """Such threads may end a process that has done its work with an abort."""
    wide = pa.table({f"c{n}": list(range(1000)) for n in range(40)})
    pq.write_table(wide, tmp_path / "wide.parquet")
    code = (
        "import os, sys\n"
        "from artrec.storage import open_store\n"
        "from artrec.storage.parquet import StoreFile, opened\n"
        "file = opened(StoreFile(open_store(sys.argv[1]), 'wide.parquet', int(sys.argv[2])))\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "file.read_row_group(0), file.read_row_groups([0]), file.read()\n"
        "list(file.iter_batches())\n"
        "print(len(os.listdir('/proc/self/task')) - before)\n"
    )
    size = (tmp_path / "wide.parquet").stat().st_size
    command = [sys.executable, "-c", code, str(tmp_path), str(size)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"


class Far(Counting):
    """As a server's, each read a request."""

    @property
    def url(self) -> str:
        return "s3://bucket/prefix"


def wide_file(folder: Path) -> tuple[Far, pq.ParquetFile, pa.Table]:
    """Forty columns of whole numbers, and one of 200 kB between them, in two row groups."""
    columns: dict[str, Any] = {f"c{n:02}": list(range(2000)) for n in range(40)}
    columns["c19data"] = [os.urandom(200) for _ in range(2000)]
    wide = pa.table(dict(sorted(columns.items())))
    pq.write_table(wide, folder / "wide.parquet", row_group_size=1000)
    store = Far(str(folder))
    file = opened(StoreFile(store, "wide.parquet", (folder / "wide.parquet").stat().st_size))
    store.reads.clear()
    return store, file, wide


def test_a_row_group_of_many_columns_is_one_request_to_a_server(tmp_path: Path) -> None:
    store, file, wide = wide_file(tmp_path)
    assert file.read_row_group(1).equals(wide.slice(1000))
    assert len(store.reads) == 1


def test_what_is_not_asked_for_is_not_read_where_it_is_large(tmp_path: Path) -> None:
    store, file, wide = wide_file(tmp_path)
    names = [name for name in wide.column_names if name != "c19data"]
    assert file.read_row_group(0, columns=names).equals(wide.slice(0, 1000).select(names))
    assert len(store.reads) == 2
    store.reads.clear()
    few = file.read_row_group(1, columns=["c00", "c39"])
    assert few.equals(wide.slice(1000).select(["c00", "c39"]))
    assert len(store.reads) == 2
    assert sum(size for _, size in store.reads) < 40_000


def test_ranges_are_held_while_they_are_read_and_not_longer(tmp_path: Path) -> None:
    (tmp_path / "letters").write_bytes(b"abcdefgh")
    store = Far(str(tmp_path))
    file = StoreFile(store, "letters", 8)
    with file.holding([(0, 3), (4, 8)]):
        assert (file.read(2), file.read(1)) == (b"ab", b"c")
        file.seek(5)
        assert file.read() == b"fgh"
        assert store.reads == [("letters", 3), ("letters", 4)]
        file.seek(2)
        assert file.read(3) == b"cde"  # not in one of them
    file.seek(0)
    assert file.read(2) == b"ab"
    assert store.reads[2:] == [("letters", 3), ("letters", 2)]
