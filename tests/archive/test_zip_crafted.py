"""Crafted zip files, each with its verdict: what is listed, what is rejected, what is refused."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from artrec.archive import Limits, open_archive
from artrec.errors import ArchiveError
from tests.archive.zip_maker import Item, MemoryStore, build, deflated, extra, outcome

A = Item(b"a.jpg", b"first picture")
B = Item(b"b.jpg", b"second picture " * 40, method=8)
C = Item(b"c.jpg", b"third")
PLAIN = build([A, B, C])
ALL: list[tuple[bytes, bytes | str]] = [
    (b"a.jpg", b"first picture"),
    (b"b.jpg", b"second picture " * 40),
    (b"c.jpg", b"third"),
]
INNER = build([Item(b"inner.jpg", b"inner")])
EMPTY_END = build([])
LONG_NAME = b"n" * 65_535
SMALL = Limits(member_bytes=1000, members=3)


def one(item: Item) -> bytes:
    """The item between two good members."""
    return build([A, item, C])


def around(name: bytes, verdict: bytes | str) -> list[tuple[bytes, bytes | str]]:
    return [(b"a.jpg", b"first picture"), (name, verdict), (b"c.jpg", b"third")]


def zip64_end(size: int = 44, entries: int = 1) -> bytes:
    return struct.pack("<4sQ2H2L4Q", b"PK\6\6", size, 45, 45, 0, 0, entries, entries, 1, 1)


def two_readings() -> bytes:
    """A zip whose comment holds a second directory, of fewer members, with an end record."""
    start = len(build([A, B]))
    entry = A.entry(0)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), start, 0)
    return build([A, B], comment=entry + end)


# Everything listed and read, with these names and bytes.
LISTED: dict[str, tuple[Callable[[], bytes], list[tuple[bytes, bytes | str]]]] = {
    "plain": (lambda: PLAIN, ALL),
    "no members": (lambda: EMPTY_END, []),
    "junk before": (lambda: build([A, B, C], before=b"MZ" + b"j" * 5000), ALL),
    "junk before, offsets right": (
        lambda: build([A, B, C], before=b"#!/bin/sh\n", shifted=True),
        ALL,
    ),
    "junk before, zip64": (lambda: build([A, B, C], before=b"MZ" * 90, zip64=True), ALL),
    "mark of a split zip before": (lambda: build([A, B, C], before=b"PK00", shifted=True), ALL),
    "junk behind": (lambda: PLAIN + b"j" * 60_000, ALL),
    "comment": (lambda: build([A, B, C], comment=b"c" * 65_535), ALL),
    "comment that is cut": (lambda: build([A, B, C], comment=b"c" * 900)[:-100], ALL),
    "comment with the mark of an end record": (
        lambda: build([A, B, C], comment=b"PK\5\6" + b"c" * 100),
        ALL,
    ),
    "comment with a whole zip": (lambda: build([A, B, C], comment=INNER), ALL),
    "comment with an empty end record": (lambda: build([A, B, C], comment=EMPTY_END), ALL),
    "stored zip in the zip": (
        lambda: build([A, Item(b"inner.zip", INNER)]),
        [ALL[0], (b"inner.zip", INNER)],
    ),
    "comments of members": (
        lambda: one(Item(b"m", b"12", comment=b"PK\1\2" * 9)),
        around(b"m", b"12"),
    ),
    "data descriptor": (
        lambda: one(Item(b"m", b"12" * 99, method=8, flags=8, descriptor=True)),
        around(b"m", b"12" * 99),
    ),
    "long local extra field": (
        lambda: build([A, Item(b"m", b"12" * 99, local_extra=extra(9, b"e" * 60_000))]),
        [ALL[0], (b"m", b"12" * 99)],
    ),
    "damaged extra field": (
        lambda: one(Item(b"m", b"12", extra=b"\xff\x3a\x77\x37\1")),
        around(b"m", b"12"),
    ),
    "zip64 numbers in entries": (
        lambda: build([replace(item, zip64=True) for item in (A, B, C)]),
        ALL,
    ),
    "zip64 end record": (lambda: build([A, B, C], zip64=True), ALL),
    "zip64 end record found by its place": (
        lambda: build([A, B, C], zip64=True, end64_offset=7),
        ALL,
    ),
    "gap between members": (
        lambda: build([A, Item(b"gone", b"x" * 99, unlisted=True), B, C]),
        ALL,
    ),
    "directory in another order": (
        lambda: build(
            [
                replace(A, unlisted=True),
                replace(B, unlisted=True),
                replace(B, absent=True, offset=len(A.local())),
                replace(A, absent=True, offset=0),
            ]
        ),
        [ALL[1], ALL[0]],
    ),
    "duplicate names": (
        lambda: build([A, replace(A, data=b"again"), A]),
        [ALL[0], (b"a.jpg", b"again"), ALL[0]],
    ),
    "empty member": (lambda: one(Item(b"m")), around(b"m", b"")),
    "empty deflated member": (lambda: one(Item(b"m", method=8)), around(b"m", b"")),
    "empty name": (lambda: one(Item(b"", b"12")), around(b"", b"12")),
    "NUL in a name": (lambda: one(Item(b"a\0.jpg", b"12")), around(b"a\0.jpg", b"12")),
    "newline in a name": (lambda: one(Item(b"a\n.jpg", b"12")), around(b"a\n.jpg", b"12")),
    "name of 65,535 bytes": (lambda: one(Item(LONG_NAME, b"12")), around(LONG_NAME, b"12")),
    "absolute name": (lambda: one(Item(b"/etc/passwd", b"12")), around(b"/etc/passwd", b"12")),
    "name that climbs": (lambda: one(Item(b"../../x", b"12")), around(b"../../x", b"12")),
    "name flagged UTF-8 that is not": (
        lambda: one(Item(b"\xff\xfe.jpg", b"12", flags=0x800)),
        around(b"\xff\xfe.jpg", b"12"),
    ),
    "bytes behind the deflate stream": (
        lambda: one(Item(b"m", b"12" * 50, method=8, packed=deflated(b"12" * 50) + b"xx")),
        around(b"m", b"12" * 50),
    ),
    "folder with bytes": (lambda: one(Item(b"d/", b"12")), around(b"d/", b"12")),
    # One bad member: a reject, and the others are read.
    "wrong CRC": (lambda: one(Item(b"m", b"12", crc=1)), around(b"m", "bad_crc")),
    "wrong CRC, deflated": (lambda: one(Item(b"m", b"12" * 9, 8, crc=1)), around(b"m", "bad_crc")),
    "deflate damaged": (
        lambda: one(Item(b"m", b"12", method=8, packed=b"\xff" * 40)),
        around(b"m", "bad_deflate"),
    ),
    "deflate stream cut": (
        lambda: one(Item(b"m", bytes(range(256)), 8, packed=deflated(bytes(range(256)))[:99])),
        around(b"m", "truncated"),
    ),
    "inflates to more than it says": (
        lambda: one(Item(b"m", b"12" * 99, method=8, size=10)),
        around(b"m", "bad_size"),
    ),
    "inflates to less than it says": (
        lambda: one(Item(b"m", b"12" * 99, method=8, size=500)),
        around(b"m", "bad_size"),
    ),
    "stored in fewer bytes than it has": (
        lambda: one(Item(b"m", b"12", size=3)),
        around(b"m", "bad_size"),
    ),
    "stored bytes beyond the end": (
        lambda: build([A, Item(b"m", b"12", stored=9000, size=9000)]),
        [ALL[0], (b"m", "truncated")],
    ),
    "offset beyond the end": (
        lambda: one(Item(b"m", b"12", offset=9000)),
        around(b"m", "truncated"),
    ),
    "offset of 4 EiB": (
        lambda: one(Item(b"m", b"12", offset=(1 << 62) - 1, zip64=True)),
        around(b"m", "truncated"),
    ),
    "no header at the offset": (
        lambda: one(Item(b"m", b"12", local_mark=b"PK\3\5")),
        around(b"m", "bad_local_header"),
    ),
    "another name in the local header": (
        lambda: one(Item(b"m", b"12", local_name=b"n")),
        around(b"m", "bad_local_header"),
    ),
    "encrypted": (lambda: one(Item(b"m", b"12", flags=1)), around(b"m", "encrypted")),
    "strongly encrypted": (lambda: one(Item(b"m", b"12", flags=0x41)), around(b"m", "encrypted")),
    "AES": (lambda: one(Item(b"m", b"12", method=99)), around(b"m", "encrypted")),
    "bzip2": (lambda: one(Item(b"m", b"12", method=12)), around(b"m", "unsupported_method")),
    "lzma": (lambda: one(Item(b"m", b"12", method=14)), around(b"m", "unsupported_method")),
    "says 600 MB": (
        lambda: one(Item(b"m", b"12", method=8, size=600 << 20)),
        around(b"m", "too_large"),
    ),
    "4 GiB without zip64": (
        lambda: one(Item(b"m", b"12", method=8, size=0xFFFFFFFF)),
        around(b"m", "too_large"),
    ),
    "expands 1,028 times": (
        lambda: one(Item(b"m", bytes(9 << 20), method=8)),
        around(b"m", "ratio"),
    ),
}

# No listing at all: the message has these words.
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty file": (lambda: b"", "is empty"),
    "cut in the end record": (lambda: PLAIN[:-3], "no end record: the file seems cut"),
    "cut in the directory": (lambda: PLAIN[:-30], "no end record: the file seems cut"),
    "cut in a member": (lambda: PLAIN[:70], "no end record: the file seems cut"),
    "junk behind, too much": (lambda: PLAIN + b"j" * 70_000, "no end record"),
    "cut right behind a zip in the zip": (
        lambda: build([A, Item(b"inner.zip", INNER), B])[: len(A.local()) + 39 + len(INNER)],
        "does not cover the whole file",
    ),
    "two zips joined": (lambda: PLAIN + INNER, "does not cover the whole file"),
    "a beginning that is gone": (lambda: PLAIN[40:], "bytes are missing before its end"),
    "bytes put in": (lambda: PLAIN[:40] + b"+" + PLAIN[40:], "does not cover the whole file"),
    "directory denied": (
        lambda: build([A], entries=0, size=0, offset=len(build([A])) - 22),
        "does not cover the whole file",
    ),
    "two end records that fit": (two_readings, "more than one way"),
    "tar": (lambda: bytes(257) + b"ustar\x0000" + bytes(2000), "whose first header is damaged"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(99), "compressed stream is cut or damaged"),
    "rar": (lambda: b"Rar!\x1a\x07\x01\x00" + bytes(99), "seems to be a rar"),
    "7z": (lambda: b"7z\xbc\xaf\x27\x1c" + bytes(99), "seems to be a 7z"),
    "HTML": (lambda: b"\r\n<!DOCTYPE html><title>Log in", "seems to be an HTML page"),
    "S3 error": (lambda: b"<Error><Code>AccessDenied</Code></Error>", "XML or JSON"),
    "LFS pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\n", "LFS pointer"),
    "zero bytes": (lambda: bytes(5000), "nothing but zero bytes"),
    "one byte": (lambda: b"P", "something unknown that begins with b'P'"),
    "two members that overlap": (
        lambda: build([A, replace(B, stored=len(B.body()) + 6), C]),
        "members overlap at byte",
    ),
    "50 entries over one member": (
        lambda: build([A] + [replace(A, name=b"%d" % n, absent=True, offset=0) for n in range(50)]),
        "members overlap at byte 0",
    ),
    "overlap, listed backwards": (
        lambda: build([replace(C, absent=True, offset=30), replace(A, offset=0), B]),
        "members overlap at byte 30",
    ),
    "more entries than fit": (lambda: build([A, B, C], entries=99), "99 members in a directory of"),
    "one entry less than listed": (
        lambda: build([A, B, C], entries=2),
        "3 entries in the directory, but its end record says 2",
    ),
    "one entry more than listed": (
        lambda: build([replace(A, comment=b"c" * 50)], entries=2),
        "1 entries in the directory, but its end record says 2",
    ),
    "part of a split zip": (lambda: build([A], disk=1), "split zip"),
    "entries on other disks": (lambda: build([A, B], here=1), "split zip"),
    "member on another disk": (lambda: one(Item(b"m", b"12", disk=3)), "entry 1 lies in another"),
    "directory size too large": (
        lambda: build([A], size=len(A.entry(0)) + 7),
        "7 bytes are missing before its end",
    ),
    "directory size too small": (
        lambda: build([A], size=len(A.entry(0)) - 7),
        "does not cover the whole file",
    ),
    "entry without its mark": (
        lambda: PLAIN.replace(b"PK\1\2", b"PK\1\3"),
        "its entry 0 does not begin like one",
    ),
    "entry longer than the directory": (
        lambda: build([replace(C, comment=b"c")]).replace(
            struct.pack("<5H", 5, 0, 1, 0, 0), struct.pack("<5H", 5, 0, 2, 0, 0)
        ),
        "its entry 0 reaches past the directory's end",
    ),
    "zip64 locator without a record": (
        lambda: build([A], zip64=True, end64=bytes(56)),
        "zip64 end record is missing",
    ),
    "zip64 record longer than its place": (
        lambda: build([A], zip64=True, end64=zip64_end(size=45)),
        "zip64 end record is missing",
    ),
    "zip64 record of other numbers": (
        lambda: (
            build([A])[:-22]
            + zip64_end(entries=2)
            + struct.pack("<4sLQL", b"PK\6\7", 0, len(build([A])) - 22, 1)
            + build([A])[-22:]
        ),
        "its end record says",
    ),
    "zip64 with several disks": (
        lambda: build([A], zip64=True).replace(
            struct.pack("<QL", len(build([A])) - 22, 1), struct.pack("<QL", len(build([A])) - 22, 2)
        ),
        "split zip",
    ),
    "zip64 count of 2**63": (
        lambda: build([A], zip64=True, entries=1 << 63),
        "9,223,372,036,854,775,808 members in a directory",
    ),
    "zip64 field too short": (
        lambda: one(Item(b"m", b"12", size=0xFFFFFFFF, extra=extra(1, b"1234"))),
        "its entry 1 has a zip64 field that is too short",
    ),
    "zip64 size of 2**63": (
        lambda: one(Item(b"m", b"12", size=1 << 63, zip64=True)),
        "its entry 1 claims a size of 9,223,372,036,854,775,808",
    ),
}


@pytest.mark.parametrize("case", LISTED)
def test_a_crafted_zip_is_listed_and_read_as_it_should(case: str) -> None:
    make, expected = LISTED[case]
    assert outcome(make()) == (expected, 0)


@pytest.mark.parametrize("case", REFUSED)
def test_a_crafted_zip_is_refused_with_the_reason(case: str) -> None:
    make, words = REFUSED[case]
    with pytest.raises(ArchiveError) as caught:
        outcome(make())
    assert words in str(caught.value)
    assert str(caught.value).startswith("memory/a.zip: ")


def test_folders_are_counted_and_are_no_members() -> None:
    folder = Item(b"d/")
    blob = build([folder, A, replace(folder, name=b"d/e/"), B, C])
    assert outcome(blob) == (ALL, 2)


def test_members_with_one_name_are_told_apart_by_their_occurrence() -> None:
    store = MemoryStore()
    store.write("a.zip", build([A, B, A, Item(b"d/"), A, B]))
    members = open_archive(store, "a.zip").members()
    found = [(member.entry, member.raw_name, member.occurrence) for member in members]
    assert found == [
        (0, b"a.jpg", 0),
        (1, b"b.jpg", 0),
        (2, b"a.jpg", 1),
        (3, b"a.jpg", 2),
        (4, b"b.jpg", 1),
    ]


def test_a_listing_says_what_a_task_needs_to_read() -> None:
    store = MemoryStore()
    store.write("a.zip", build([A, B, Item(b"e", b"12", 12)], before=b"MZ" * 8))
    first, second, third = open_archive(store, "a.zip").members()
    assert (first.bytes, first.stored_bytes, first.offset, first.method) == (13, 13, 16, "stored")
    assert first.fingerprint == f"crc32={zlib.crc32(b'first picture'):08x}"
    # The first member takes 30 bytes of header, 5 of name, 13 of data.
    assert (second.offset, second.method) == (16 + 48, "deflate")
    assert (second.bytes, second.stored_bytes) == (600, len(B.body()))
    assert third.method == "unsupported-12"


def test_members_above_the_limit_are_rejects() -> None:
    big = Item(b"big", b"x" * 1001)
    packed = Item(b"packed", b"x" * 1001, method=8)
    found, _ = outcome(build([A, big, packed]), SMALL)
    assert found == [ALL[0], (b"big", "too_large"), (b"packed", "too_large")]


def test_more_members_than_the_limit_are_refused() -> None:
    with pytest.raises(ArchiveError, match="more than 3 members"):
        outcome(build([A, B, C, Item(b"d/")]), SMALL)


def test_a_ratio_is_allowed_where_the_limit_says_so() -> None:
    bomb = build([Item(b"m", bytes(2 << 20), method=8)])
    assert outcome(bomb)[0] == [(b"m", "ratio")]
    assert outcome(bomb, Limits(ratio=2000))[0] == [(b"m", bytes(2 << 20))]


@pytest.mark.parametrize(("size", "reason"), [(50 << 20, "ratio"), (1000, "bad_size")])
def test_a_bomb_takes_no_memory_whatever_size_it_claims(size: int, reason: str) -> None:
    blob = build([Item(b"m", method=8, packed=deflated(bytes(50 << 20)), size=size)])
    tracemalloc.start()
    try:
        assert outcome(blob)[0] == [(b"m", reason)]
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
    finally:
        tracemalloc.stop()
