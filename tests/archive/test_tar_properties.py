"""Tars by other hands are listed as those hands list them; and a listing takes few requests."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.archive import Limits, Member, Pin, open_archive
from artrec.errors import ArchiveError
from artrec.storage.local import LocalStore
from tests.archive.packs import gzipped, tar_bytes, zstandard
from tests.archive.tar_maker import END, header, member, outcome
from tests.archive.zip_maker import MemoryStore

FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0/")
PARTS = st.text(LETTERS, min_size=1, max_size=40)
NAMES = st.lists(PARTS, min_size=1, max_size=5).map("/".join)
MEMBERS = st.lists(st.tuples(NAMES, st.binary(max_size=1500)), min_size=1, max_size=8)


@pytest.mark.parametrize("form", ["gnu", "pax"])
@settings(deadline=None, max_examples=60)
@given(members=MEMBERS)
def test_what_tarfile_packs_is_read_back(form: str, members: list[tuple[str, bytes]]) -> None:
    blob = tar_bytes(members, FORMS[form])
    expected = [(name.encode(), data) for name, data in members]
    assert outcome(blob) == (expected, 0)
    assert outcome(gzipped(blob)) == outcome(zstandard(blob)) == (expected, 0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=90), st.binary(max_size=700)), max_size=6))
def test_any_bytes_are_a_name(members: list[tuple[bytes, bytes]]) -> None:
    members = [(b"n" + name.replace(b"\0", b"0") + b".", data) for name, data in members]
    blob = b"".join(member(name, data) for name, data in members) + END
    assert outcome(gzipped(blob)) == (members, 0)


@settings(deadline=None, max_examples=60)
@given(MEMBERS, st.data())
def test_a_tar_cut_at_any_byte_is_refused(
    members: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    blob = tar_bytes(members).rstrip(b"\0")
    cut = data.draw(st.integers(0, len(blob)))
    with pytest.raises(ArchiveError):
        outcome(blob[:cut])


@settings(deadline=None, max_examples=100)
@given(MEMBERS, st.data())
def test_a_damaged_tar_is_refused_or_has_all_members(
    members: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    """Bytes of members and of extensions have no checksum; of members none is ever missing."""
    blob = tar_bytes(members, tarfile.GNU_FORMAT)
    at = data.draw(st.integers(0, len(blob) - 1))
    change = data.draw(st.integers(1, 255))
    changed = blob[:at] + bytes([blob[at] ^ change]) + blob[at + 1 :]
    try:
        found, folders = outcome(changed)
    except ArchiveError:
        return
    assert (len(found), folders) == (len(members), 0)
    assert [len(data) for _, data in found] == [len(data) for _, data in members]


@pytest.mark.skipif(shutil.which("tar") is None, reason="GNU tar is not installed")
@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "pax"])
def test_what_gnu_tar_packs_is_listed_as_it_lists_it(form: str, tmp_path: Path) -> None:
    if b"GNU tar" not in subprocess.check_output(["tar", "--version"]):
        pytest.skip("another tar")
    top = tmp_path / "in"
    names = ["a.jpg", "sub/b.jpg", "sub/deeper/caf\xe9.jpg"]
    names += [] if form == "v7" else ["long/" * 18 + "name-that-needs-more.jpg"]
    for n, name in enumerate(names):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"%d" % n * (400 * n))
    (top / "again.jpg").hardlink_to(top / "sub/b.jpg")
    (top / "link.jpg").symlink_to("a.jpg")
    with open(top / "holes.bin", "wb") as stream:
        stream.seek(1 << 20)
        stream.write(b"end")
    sparse = ["--sparse"] if form in ("oldgnu", "gnu", "pax") else []
    command = ["tar", "-cf", str(tmp_path / "a.tar"), f"--format={form}", "--sort=name", *sparse]
    subprocess.run([*command, "-C", str(top), "."], check=True)
    archive = open_archive(LocalStore(str(tmp_path)), "a.tar")
    members = list(archive.members())
    with tarfile.open(tmp_path / "a.tar") as oracle:
        infos = oracle.getmembers()
    expected = [i.name.encode() for i in infos if not i.isdir()]
    assert [each.raw_name for each in members] == expected
    assert archive.folders_skipped == sum(i.isdir() for i in infos)
    found = {c.member.raw_name: c.reason or c.data for c in archive.read(members)}
    for n, name in enumerate(names):
        assert found[f"./{name}".encode()] in (b"%d" % n * (400 * n), "link")
    assert {found[b"./again.jpg"], found[b"./sub/b.jpg"]} == {"link", b"1" * 400}
    assert found[b"./link.jpg"] == "link"
    assert found[b"./holes.bin"] == ("sparse" if sparse else bytes(1 << 20) + b"end")


def many(size: int, count: int) -> MemoryStore:
    store = MemoryStore()
    blob = b"".join(member(b"%06d.jpg" % n, b"x" * size) for n in range(count)) + END
    store.write("a.tar", blob)
    return store


def test_small_members_are_listed_by_few_requests() -> None:
    store = many(2000, 10_000)  # 25 MB
    assert sum(1 for _ in open_archive(store, "a.tar").members()) == 10_000
    assert len(store.reads) <= 6


def test_large_members_are_passed_over_unread() -> None:
    store = many(3 << 20, 12)
    members = list(open_archive(store, "a.tar").members())
    assert len(members) == 12
    assert len(store.reads) <= 15
    assert sum(length for *_, length in store.reads) < 10 << 20


def test_a_slice_of_a_tar_takes_one_read() -> None:
    store = many(2000, 3000)
    archive = open_archive(store, "a.tar")
    members = list(archive.members())
    store.reads.clear()
    wanted = [m for m in members if 1 << 20 <= m.offset < 2 << 20]
    assert 10 < len(wanted) < len(members) / 2
    assert all(content.data == b"x" * 2000 for content in archive.read(wanted))
    assert len(store.reads) == 1


def test_of_a_tar_with_another_etag_no_member_is_known() -> None:
    one, other = MemoryStore(), MemoryStore()
    blob = tar_bytes([("a.jpg", b"1"), ("b.jpg", b"2")])
    one.write("a.tar", blob)
    other.write("a.tar", b"")
    other.write("a.tar", blob)

    def known(store: MemoryStore) -> list[str]:
        return [each.fingerprint for each in open_archive(store, "a.tar").members()]

    assert known(one) == ["etag=v1:0", "etag=v1:1024"]
    assert known(other) == ["etag=v2:0", "etag=v2:1024"]


def test_a_member_of_a_compressed_tar_is_known_by_its_crc_in_any_packing() -> None:
    members = [("a.jpg", b"picture one" * 9), ("b.jpg", b"")]
    found: set[tuple[tuple[str, int], ...]] = set()
    for blob in (
        gzipped(tar_bytes(members, tarfile.GNU_FORMAT)),
        zstandard(tar_bytes(members)),
    ):
        store = MemoryStore()
        store.write("a", blob)
        listed = list(open_archive(store, "a").members())
        assert {each.offset for each in listed} == {0}
        found.add(tuple((each.fingerprint, each.bytes) for each in listed))
    assert found == {(("crc32=fd48404f", 99), ("crc32=00000000", 0))}


def test_only_compressed_tars_are_read_by_one_task() -> None:
    kinds = ("zip", "tar", "tar.gz", "tar.zst", "folder", "parquet")
    whole = {kind for kind in kinds if not Pin(kind, "a", 0, "").sliced}  # type: ignore[arg-type]
    assert whole == {"tar.gz", "tar.zst"}


def test_members_beyond_8_gib_are_read(tmp_path: Path) -> None:
    """A sparse file: a few KiB on the disk; the size of its first member needs base 256."""
    far = 9 << 30
    size = b"\x80" + far.to_bytes(11, "big")
    with open(tmp_path / "a.tar", "wb") as file:
        file.write(header(b"huge", size, mark=b"ustar  \0"))
        file.seek(512 + far)
        file.write(member(b"last", b"2" * 300) + END)
    archive = open_archive(LocalStore(str(tmp_path)), "a.tar")
    members = list(archive.members())
    assert [(each.bytes, each.offset) for each in members] == [(far, 0), (300, far + 512)]
    contents = list(archive.read(members))
    assert [(each.reason, each.data) for each in contents] == [
        ("too_large", None),
        (None, b"2" * 300),
    ]


def test_a_stream_is_read_in_little_memory() -> None:
    """60 MB of members pass through 8 MB of range reads and one member at a time."""
    noise = bytes(range(256)) * 8
    members = [(f"{n}.jpg", noise * 500) for n in range(60)]
    store = MemoryStore()
    store.write("a.tar.gz", gzipped(tar_bytes(members)))
    del members
    archive = open_archive(store, "a.tar.gz")
    tracemalloc.start()
    try:
        listed = list(archive.members())
        size = sum(len(content.data or b"") for content in archive.read(listed))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == 60 * 500 * 2048
    assert peak < 16 << 20


def test_a_member_that_reads_otherwise_than_listed_is_no_picture() -> None:
    store = MemoryStore()
    store.write("a.tgz", gzipped(tar_bytes([("a.jpg", b"1")])))
    archive = open_archive(store, "a.tgz")
    (listed,) = archive.members()
    lying = Member(0, b"a.jpg", "a.jpg", 0, 1, 1, "crc32=00000000", 0, "stored")
    assert [c.reason for c in archive.read([lying])] == ["bad_crc"]
    other = Member(0, b"b.jpg", "b.jpg", 0, 1, 1, listed.fingerprint, 0, "stored")
    with pytest.raises(ArchiveError, match="another archive than was listed"):
        list(archive.read([other]))


def test_folders_count_toward_the_limit_of_members() -> None:
    blob = b"".join(header(b"f%d/" % n, 0, b"5") for n in range(9)) + END
    assert outcome(blob, Limits(members=9)) == ([], 9)
    with pytest.raises(ArchiveError, match="more than 8 members"):
        outcome(blob, Limits(members=8))
