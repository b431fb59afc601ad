"""What only folders and prefixes do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from artrec.archive import open_archive
from artrec.errors import InputError
from artrec.storage.local import LocalStore
from tests.archive.keys import KeyStore
from tests.archive.zip_maker import MemoryStore


def test_members_come_in_path_order_with_sums_as_offsets() -> None:
    store = MemoryStore()
    for path, data in (("p/c", b"333"), ("p/a/x", b"1"), ("p/b", b"22"), ("p2/no", b"4")):
        store.write(path, data)
    members = open_archive(store, "p").members()
    assert [(m.raw_name, m.offset, m.stored_bytes, m.method, m.fingerprint) for m in members] == [
        (b"a/x", 0, 1, "object", "etag=v1"),
        (b"b", 1, 2, "object", "etag=v1"),
        (b"c", 3, 3, "object", "etag=v1"),
    ]


def test_markers_of_folders_are_counted_and_are_no_members() -> None:
    store = MemoryStore()
    for path in ("p/", "p/a/", "p/a/x.jpg"):
        store.write(path, b"")
    archive = open_archive(store, "p/")
    assert [member.raw_name for member in archive.members()] == [b"a/x.jpg"]
    assert archive.folders_skipped == 2


def test_the_whole_store_can_be_a_folder() -> None:
    store = MemoryStore()
    store.write("a.jpg", b"1")
    archive = open_archive(store, "")
    assert [content.data for content in archive.read(list(archive.members()))] == [b"1"]


def test_a_folder_without_files_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file and no folder with files"):
        open_archive(LocalStore(str(tmp_path)), "empty")


def test_a_local_name_that_is_no_utf8_is_listed_and_read(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg")).write_bytes(b"coffee")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    archive = open_archive(LocalStore(str(tmp_path)), "in")
    (member,) = archive.members()
    assert member.raw_name == b"caf\xe9.jpg"
    member.name.encode("utf-8")
    assert [content.data for content in archive.read([member])] == [b"coffee"]


def test_one_object_takes_one_request() -> None:
    store = MemoryStore()
    for n in range(20):
        store.write(f"p/{n}", b"x" * n)
    archive = open_archive(store, "p")
    members = list(archive.members())
    assert store.reads == []
    assert len(list(archive.read(members))) == 20
    assert len(store.reads) == 20


def test_keys_are_drawn_as_members_are_asked_for() -> None:
    store = KeyStore(1_000_000)
    members = open_archive(store, "in").members()
    assert [next(members).name for _ in range(2)] == [
        "Style-000/painter-0_work-00000000-1889.jpg",
        "Style-000/painter-1_work-00000001-1889.jpg",
    ]
    assert store.drawn < 10


def test_a_listing_of_many_keys_keeps_none() -> None:
    archive = open_archive(KeyStore(50_000), "in")
    tracemalloc.start()
    try:
        listed = sum(1 for _ in archive.members())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert listed == 50_000
    assert peak < 100_000


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_million_keys_become_tables_in_the_memory_of_a_hundred_thousand() -> None:
    few, many = (tables_of_keys(count) for count in (100_000, 1_000_000))
    assert many["rows"] == {"members": 1_000_000, "labels": 1_000_000, "label_misses": 0}
    assert many["peak"] - few["peak"] < 100 << 20


def tables_of_keys(count: int) -> Any:
    command = [sys.executable, "-m", "tests.archive.keys", str(count)]
    place = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=place)
    return json.loads(done.stdout)
