"""Archives beyond the 16- and 32-bit numbers of the zip format."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest

from artrec.archive import open_archive
from artrec.errors import ArchiveError
from artrec.storage.local import LocalStore
from tests.archive.zip_maker import Item, MemoryStore, build

MANY = 70_000


@pytest.fixture(scope="module")
def many() -> bytes:
    return build([Item(b"%d" % n, b"%d" % n) for n in range(MANY)], zip64=True)


def with_plain_end(blob: bytes, count: int) -> bytes:
    """The same zip with an end record of 16-bit counts only."""
    size, offset = struct.unpack_from("<2Q", blob, len(blob) - 22 - 20 - 16)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, offset, 0)
    return blob[: -22 - 20 - 56] + end


def test_more_than_65535_members_are_listed_and_read(many: bytes) -> None:
    store = MemoryStore()
    store.write("a.zip", many)
    archive = open_archive(store, "a.zip")
    members = list(archive.members())
    assert len(members) == MANY
    contents = list(archive.read(members[65_530:65_540]))
    assert [content.data for content in contents] == [b"%d" % n for n in range(65_530, 65_540)]


def test_a_count_that_wrapped_at_65536_is_understood_without_zip64(many: bytes) -> None:
    store = MemoryStore()
    store.write("a.zip", with_plain_end(many, MANY - 65_536))
    assert sum(1 for _ in open_archive(store, "a.zip").members()) == MANY


def test_a_wrapped_count_that_does_not_fit_is_refused(many: bytes) -> None:
    store = MemoryStore()
    store.write("a.zip", with_plain_end(many, MANY - 65_537))
    with pytest.raises(ArchiveError, match=r"70,000 entries in the directory, but .* says 4,463"):
        list(open_archive(store, "a.zip").members())


def test_a_listing_takes_little_memory_beside_its_directory() -> None:
    blob = build([Item(b"%0200d" % n) for n in range(20_000)])
    store = MemoryStore()
    store.write("a.zip", blob)
    archive = open_archive(store, "a.zip")
    tracemalloc.start()
    try:
        listed = sum(1 for _ in archive.members())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert listed == 20_000
    # The directory's chunk twice, as it is joined to the rest of the one before, and 50 bytes a
    # member; one object for each member would take more than 200.
    assert peak < 2 * 20_000 * 246 + 50 * 20_000 + (1 << 20)


def test_members_beyond_4_gib_are_read(tmp_path: Path) -> None:
    """A sparse file: a few KiB on the disk."""
    far = 5 << 30
    first, last = Item(b"first", b"1" * 30), Item(b"last", b"2" * 300, method=8)
    huge = Item(b"huge", packed=b"", stored=(4 << 30) + 5, size=(4 << 30) + 5, zip64=True)
    entries = [
        first.entry(0),
        huge.entry(1000),
        Item(last.name, last.data, last.method, zip64=True).entry(far),
    ]
    directory = b"".join(entries)
    start = far + len(last.local())
    with open(tmp_path / "a.zip", "wb") as file:
        file.write(first.local())
        file.seek(1000)
        file.write(huge.local())
        file.seek(far)
        file.write(last.local() + directory)
        file.write(
            struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 3, 3, len(directory), start)
        )
        file.write(struct.pack("<4sLQL", b"PK\6\7", 0, start + len(directory), 1))
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 3, 3, len(directory), 0xFFFFFFFF, 0))
    archive = open_archive(LocalStore(str(tmp_path)), "a.zip")
    members = list(archive.members())
    assert [member.offset for member in members] == [0, 1000, far]
    assert members[1].bytes == 4294967301
    contents = list(archive.read(members))
    assert [content.data for content in contents] == [b"1" * 30, None, b"2" * 300]
    assert contents[1].reason == "too_large"
