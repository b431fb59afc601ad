"""What only Parquet sources do."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.archive import Member, open_archive
from artrec.errors import ArchiveError, ConfigError
from artrec.storage.local import LocalStore
from tests.archive.packs import CLASSES, parquet_bytes
from tests.archive.zip_maker import MemoryStore

PICTURES = [(f"{n}.jpg", b"%d" % n * (100 * n + 1)) for n in range(7)]


def stored(*files: bytes, name: str = "set") -> MemoryStore:
    store = MemoryStore()
    for n, data in enumerate(files):
        store.write(f"{name}/data/train-{n:05d}.parquet", data)
    return store


def listed(store: MemoryStore, path: str = "set") -> list[Member]:
    return list(open_archive(store, path).members())


def labels_of(store: MemoryStore) -> list[dict[str, str] | None]:
    return [dict(each.labels) if each.labels else None for each in listed(store)]


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(st.binary(max_size=300), max_size=20),
    group=st.integers(1, 7),
    files=st.integers(1, 3),
    chosen=st.sets(st.integers(0, 19)),
    form=st.sampled_from(["plain", "without paths", "with paths"]),
)
def test_rows_are_read_back_from_any_cut(
    rows: list[bytes], group: int, files: int, chosen: set[int], form: str
) -> None:
    members = [(f"p/{n}.jpg", data) for n, data in enumerate(rows)]
    how: dict[str, Any] = {"plain": form == "plain", "paths": form == "with paths", "group": group}
    store = stored(*(parquet_bytes(members[n::files], **how) for n in range(files)))
    expected = [data for n in range(files) for data in rows[n::files]]
    archive = open_archive(store, "set")
    found = list(archive.members())
    assert [each.entry for each in found] == list(range(len(rows)))
    assert [(each.bytes, each.fingerprint) for each in found] == [
        (len(data), f"crc32={zlib.crc32(data):08x}") for data in expected
    ]
    wanted = [each for each in found if each.entry in chosen]
    contents = list(archive.read(wanted[::-1]))
    assert [c.member for c in contents] == wanted
    assert [c.data for c in contents] == [expected[each.entry] for each in wanted]


def test_a_slice_is_whole_row_groups() -> None:
    store = stored(parquet_bytes(PICTURES, group=3), parquet_bytes(PICTURES[:2]))
    found = listed(store)
    sizes = [len(data) for _, data in PICTURES]
    starts = [0, sum(sizes[:3]), sum(sizes[:6]), sum(sizes)]
    groups = [0, 0, 0, 1, 1, 1, 2, 3, 3]
    assert [each.offset for each in found] == [starts[n] for n in groups]


def test_a_row_is_named_by_its_path_or_by_its_file_and_number() -> None:
    pictures = [("a/b_c.jpg", b"1"), ("", b"2"), ("caf\xe9.jpg", b"3")]
    store = stored(parquet_bytes(pictures), parquet_bytes(pictures[:2], plain=True))
    assert [each.name for each in listed(store)] == [
        "a/b_c.jpg",
        "data/train-00000/00000001",
        "caf\xe9.jpg",
        "data/train-00001/00000000",
        "data/train-00001/00000001",
    ]
    single = MemoryStore()
    single.write("x/all.parquet", parquet_bytes(pictures, paths=False))
    names = [each.name for each in listed(single, "x/all.parquet")]
    assert names == ["all/00000000", "all/00000001", "all/00000002"]


def test_one_path_in_two_files_is_told_apart_by_its_occurrence() -> None:
    store = stored(parquet_bytes(PICTURES[:2]), parquet_bytes(PICTURES[:1]))
    found = [(each.raw_name, each.occurrence) for each in listed(store)]
    assert found == [(b"0.jpg", 0), (b"1.jpg", 0), (b"0.jpg", 1)]


def test_classes_are_named_as_the_schema_names_them() -> None:
    labels = {
        "style": [0, 2, -1, None, 1, 9, 1],
        "artist": [1, 0, 1, None, 1, 1, 1],
        "genre": [5, 5, -1, 5, 5, 5, None],
        "year": [1889, None, 1890, 1891, 1892, 1893, 1894],
        "title": ["The Starry Night", "", None, "d", "e", "f", "g"],
        "height": [1, 2, 3, 4, 5, 6, 7],
    }
    store = stored(parquet_bytes(PICTURES, labels=labels, classes=CLASSES))
    assert labels_of(store) == [
        {"style": "Baroque", "artist": "painter-0", "genre": "5", "year": "1889"}
        | {"title": "The Starry Night"},
        {"style": "Realism", "genre": "5"},
        {"artist": "painter-0", "year": "1890"},
        {"genre": "5", "year": "1891", "title": "d"},
        {"style": "Cubism", "artist": "painter-0", "genre": "5", "year": "1892", "title": "e"},
        {"artist": "painter-0", "genre": "5", "year": "1893", "title": "f"},
        {"style": "Cubism", "artist": "painter-0", "year": "1894", "title": "g"},
    ]


def test_labels_may_be_a_dictionary_of_texts() -> None:
    column = pa.array(["Cubism", None, "Cubism"]).dictionary_encode()
    store = stored(of_columns(image=[b"1", b"2", b"3"], style=column, artist=[1.5, 2.5, 3.5]))
    assert labels_of(store) == [{"style": "Cubism"}, None, {"style": "Cubism"}]


@pytest.mark.parametrize("metadata", [b"no JSON", b"[]", b"{}", b'{"info": {"features": [1]}}'])
def test_metadata_of_another_form_names_no_classes(metadata: bytes) -> None:
    table = pq.read_table(io.BytesIO(parquet_bytes(PICTURES[:1], labels={"style": [4]})))
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({b"huggingface": metadata}), sink)
    assert labels_of(stored(sink.getvalue())) == [{"style": "4"}]


def test_a_null_is_a_member_of_no_bytes() -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    column = pa.array([{"bytes": b"1", "path": "a"}, None, {"bytes": None, "path": "c"}], kind)
    sink = io.BytesIO()
    pq.write_table(pa.table({"image": column}), sink)
    archive = open_archive(stored(sink.getvalue()), "set")
    members = list(archive.members())
    assert [(each.name, each.bytes) for each in members] == [
        ("a", 1),
        ("data/train-00000/00000001", 0),
        ("c", 0),
    ]
    assert [content.data for content in archive.read(members)] == [b"1", b"", b""]


def folder_kind(files: dict[str, bytes], **more: Any) -> str:
    store = MemoryStore()
    for name, data in files.items():
        store.write(f"in/{name}", data)
    return open_archive(store, "in", **more).pin().kind


def of_columns(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_a_folder_of_parquet_files_with_pictures_alone_is_a_parquet_source() -> None:
    rows = parquet_bytes(PICTURES)
    assert folder_kind({"a.parquet": rows, "b/c.parquet": rows}) == "parquet"
    assert folder_kind({"a.parquet": rows, "b/": b""}) == "parquet"
    assert folder_kind({"a.parquet": rows, "z.jpg": b"1"}) == "folder"
    assert folder_kind({"a.jpg": b"1"}) == "folder"


def test_what_a_source_is_can_be_said() -> None:
    rows = parquet_bytes(PICTURES)
    assert folder_kind({"README.md": b"#", "data/a.parquet": rows}, kind="parquet") == "parquet"
    assert folder_kind({"a.parquet": rows}, kind="folder") == "folder"
    with pytest.raises(ArchiveError, match=r"a folder without \.parquet files"):
        folder_kind({"a.jpg": b"1"}, kind="parquet")
    with pytest.raises(ArchiveError, match="a folder, not a zip"):
        folder_kind({"a.jpg": b"1"}, kind="zip")
    with pytest.raises(ArchiveError, match=r"several \(jpg, png\) of its columns may hold"):
        folder_kind({"a.parquet": of_columns(jpg=[b"1"], png=[b"2"])})
    with pytest.raises(ArchiveError, match="none of its columns may hold pictures"):
        folder_kind({"a.parquet": of_columns(name=["a"])})
    with pytest.raises(ArchiveError, match=r"a\.parquet: no whole Parquet file"):
        folder_kind({"a.parquet": b"no parquet"})
    with pytest.raises(ConfigError, match="no kind of source"):
        folder_kind({"a.jpg": b"1"}, kind="rar")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("zip", "no zip: it seems to be a Parquet"), ("tar", "no tar"), ("folder", "no folder")],
)
def test_a_file_of_another_kind_than_was_said_is_refused(kind: str, words: str) -> None:
    store = MemoryStore()
    store.write("a.bin", parquet_bytes(PICTURES))
    with pytest.raises(ArchiveError, match=words):
        open_archive(store, "a.bin", kind=kind)
    assert open_archive(store, "a.bin", kind="parquet").pin().kind == "parquet"


def test_a_file_cut_anywhere_is_refused() -> None:
    blob = parquet_bytes(PICTURES)
    for cut in (1, 4, 7, 100, len(blob) // 2, len(blob) - 20, len(blob) - 1):
        store = MemoryStore()
        store.write("a.parquet", blob[:-cut])
        with pytest.raises(ArchiveError):
            open_archive(store, "a.parquet")


def test_a_damaged_page_is_refused_or_gives_other_bytes_but_never_fewer_rows() -> None:
    blob = parquet_bytes(PICTURES, group=7)
    footer = int.from_bytes(blob[-8:-4], "little")
    for at in range(4, len(blob) - 8 - footer, 7):
        store = MemoryStore()
        store.write("a.parquet", blob[:at] + bytes([blob[at] ^ 0x55]) + blob[at + 1 :])
        try:
            found = listed(store, "a.parquet")
        except ArchiveError as error:
            assert "row group 0 is damaged" in str(error)  # noqa: PT017
        else:
            assert len(found) == len(PICTURES)


def test_an_index_reads_a_column_in_pieces(tmp_path: Path) -> None:
    """A row group of 40 MB is not read at once."""
    noise = [(f"{n}.jpg", bytes([n]) * 10 + b"%d" % n * 200_000) for n in range(100)]
    inner = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    column = pa.array([{"bytes": data, "path": name} for name, data in noise], inner)
    pq.write_table(
        pa.table({"image": column}),
        tmp_path / "a.parquet",
        compression="none",
        write_batch_size=1,
    )
    store = Recording(LocalStore(str(tmp_path)))
    archive = open_archive(store, "a.parquet")
    assert sum(1 for _ in archive.members()) == 100
    assert (tmp_path / "a.parquet").stat().st_size > 35 << 20
    assert max(store.lengths) <= 9 << 20


class Recording(LocalStore):
    """A local Store that keeps the length of each read."""

    def __init__(self, inner: LocalStore) -> None:
        super().__init__(inner.root)
        object.__setattr__(self, "lengths", [])

    lengths: list[int]

    def read(
        self, path: str, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> bytes:
        data = super().read(path, offset, length, etag)
        self.lengths.append(len(data))
        return data
