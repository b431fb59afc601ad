"""Tars that are odd or broken, each with the verdict on it; plain, and in one compressed stream."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from artrec.archive import Limits, open_archive
from artrec.errors import ArchiveError
from tests.archive.packs import gzipped, zstandard
from tests.archive.tar_maker import END, GNU, NO_MARK, header, member, outcome, padded, pax, record
from tests.archive.zip_maker import MemoryStore

A, B = member(b"a.jpg", b"first"), member(b"b.jpg", b"second" * 200)
READ = [(b"a.jpg", b"first"), (b"b.jpg", b"second" * 200)]
LONG = b"deep/" * 60 + b"name.jpg"

WRAPS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda blob: blob,
    "gzip": gzipped,
    "zstandard": zstandard,
}
each_wrap = pytest.mark.parametrize("wrap", WRAPS)

ACCOUNTED: dict[str, tuple[bytes, list[tuple[bytes, bytes | str]], int]] = {
    "two members": (A + B + END, READ, 0),
    "a tape's padding": (A + B + END + bytes(9216), READ, 0),
    "padding that is no whole block": (A + B + END + bytes(7), READ, 0),
    "folders": (member(b"x/", kind=b"5") + A + member(b"y/") + B + END, READ, 2),
    "a folder that claims a size": (header(b"x", 999, b"5") + A + B + END, READ, 1),
    "before all standards": (member(b"a.jpg", b"first", b"\0", mark=NO_MARK) + B + END, READ, 0),
    "contiguous": (member(b"a.jpg", b"first", b"7") + B + END, READ, 0),
    "a prefix": (
        member(b"c.jpg", b"3", prefix=b"some/where") + END,
        [(b"some/where/c.jpg", b"3")],
        0,
    ),
    "no prefix in GNU's form": (
        member(b"c.jpg", b"3", mark=GNU, prefix=b"14000000000\0") + END,
        [(b"c.jpg", b"3")],
        0,
    ),
    "a name of 100 bytes": (member(b"n" * 100, b"1") + END, [(b"n" * 100, b"1")], 0),
    "a signed checksum": (
        member(b"\xe9\xe8.jpg", b"1", signed=True) + END,
        [(b"\xe9\xe8.jpg", b"1")],
        0,
    ),
    "numbers between spaces": (
        header(b"a.jpg", b"         5 \0") + padded(b"first") + B + END,
        READ,
        0,
    ),
    "a size in base 256": (
        header(b"a.jpg", b"\x80" + bytes(10) + b"\5", mark=GNU) + padded(b"first") + B + END,
        READ,
        0,
    ),
    "a long name": (
        member(b"././@LongLink", LONG + b"\0", b"L", mark=GNU) + member(LONG[:100], b"1") + END,
        [(LONG, b"1")],
        0,
    ),
    "a long link": (
        member(b"././@LongLink", LONG + b"\0", b"K", mark=GNU)
        + member(b"l", kind=b"2", link=LONG[:100])
        + A
        + END,
        [(b"l", "link"), READ[0]],
        0,
    ),
    "a pax path": (pax(path=LONG) + member(b"short", b"1") + A + END, [(LONG, b"1"), READ[0]], 0),
    "a pax size": (
        pax(size=b"5") + header(b"a.jpg", 0) + padded(b"first") + B + END,
        READ,
        0,
    ),
    "a pax header of Solaris": (
        pax(b"X", path=LONG) + member(b"short", b"1") + END,
        [(LONG, b"1")],
        0,
    ),
    "a global pax header": (pax(b"g", comment=b"c0ffee") + A + B + END, READ, 0),
    "a value with lines and signs": (
        pax(path=b"a=b\n12 c=d\n.jpg") + member(b"short", b"1") + END,
        [(b"a=b\n12 c=d\n.jpg", b"1")],
        0,
    ),
    "pax padded by zeros": (
        member(b"x", record(b"path", b"p.jpg") + bytes(40), b"x") + member(b"s", b"1") + END,
        [(b"p.jpg", b"1")],
        0,
    ),
    "a hard link without bytes": (
        A + header(b"l.jpg", 5, b"1", link=b"a.jpg") + B + END,
        [READ[0], (b"l.jpg", "link"), READ[1]],
        0,
    ),
    "a hard link with bytes": (
        A + member(b"l.jpg", b"first", b"1", link=b"a.jpg") + B + END,
        [READ[0], (b"l.jpg", "link"), READ[1]],
        0,
    ),
    "a hard link at the end": (
        A + header(b"l.jpg", 5, b"1", link=b"a.jpg") + END,
        [READ[0], (b"l.jpg", "link")],
        0,
    ),
    "a symbolic link": (
        header(b"l.jpg", 700, b"2", link=b"a.jpg") + A + END,
        [(b"l.jpg", "link"), READ[0]],
        0,
    ),
    "devices and a pipe": (
        header(b"c", 0, b"3") + header(b"b", 0, b"4") + header(b"p", 0, b"6") + A + END,
        [(b"c", "not_a_file"), (b"b", "not_a_file"), (b"p", "not_a_file"), READ[0]],
        0,
    ),
    "sparse in GNU's old form": (
        header(b"s.jpg", 6, b"S", mark=GNU, after=b"\1")
        + bytes(504) + b"\1" + bytes(7)
        + bytes(512)
        + padded(b"sparse") + A + END,
        [(b"s.jpg", "sparse"), READ[0]],
        0,
    ),
    "sparse in pax": (
        pax(GNU__sparse__major=b"1", GNU__sparse__name=b"real.jpg")
        + member(b"GNUSparseFile.0/real.jpg", b"1\n0\n5\n") + A + END,
        [(b"real.jpg", "sparse"), READ[0]],
        0,
    ),
    "a label of the volume": (header(b"my tape", 0, b"V", mark=GNU) + A + B + END, READ, 0),
    "a type of one maker": (
        member(b"acl", b"user::rwx", b"A") + A + END,
        [(b"acl", "unsupported_method"), READ[0]],
        0,
    ),
    "names are data": (
        member(b"../../etc/passwd", b"1") + member(b"/abs.jpg", b"2") + member(b"a\\b\n", b"3")
        + END,
        [(b"../../etc/passwd", b"1"), (b"/abs.jpg", b"2"), (b"a\\b\n", b"3")],
        0,
    ),
    "a name of zero bytes in the middle": (
        pax(path=b"zero\0byte.jpg") + member(b"s", b"1") + END,
        [(b"zero\0byte.jpg", b"1")],
        0,
    ),
    "one name twice": (A + A + END, [READ[0], READ[0]], 0),
    "names that are no UTF-8": (
        member(b"caf\xe9.jpg", b"1") + member(b"caf\xe8.jpg", b"2") + END,
        [(b"caf\xe9.jpg", b"1"), (b"caf\xe8.jpg", b"2")],
        0,
    ),
    "a member of no bytes": (member(b"e.jpg") + A + END, [(b"e.jpg", b""), READ[0]], 0),
    "nothing": (END, [], 0),
    "a first name that begins like a zip": (
        member(b"PK\3\4.jpg", b"1") + END,
        [(b"PK\3\4.jpg", b"1")],
        0,
    ),
    "a tar within": (
        member(b"inner.tar", A + B + END) + A + END,
        [(b"inner.tar", A + B + END), READ[0]],
        0,
    ),
}  # fmt: skip

DAMAGED = A + bytes([B[0] ^ 1]) + B[1:]

REFUSED: dict[str, tuple[bytes, str]] = {
    "cut between two members": (A + B, "without the two zero blocks"),
    "cut after one zero block": (A + B + bytes(512), "without the two zero blocks"),
    "cut within the second zero block": (A + B + bytes(1000), "without the two zero blocks"),
    "cut within a header": (A + B[:100], "without the two zero blocks"),
    "cut within data": (A + B[:700], "without the two zero blocks"),
    "cut within an extension": (A + pax(path=LONG)[:700], "without the two zero blocks"),
    "a damaged header in the middle": (DAMAGED + END, "header at byte 1,024: its checksum"),
    "other bytes between members": (A + b"junk" * 128 + B + END, "header at byte 1,024"),
    "a checksum of nothing": (A + header(b"x", 0, checksum=bytes(8)) + END, "checksum"),
    "a size that is no number": (header(b"x", b"12345678x") + END, "its size is b'12345678x'"),
    "a size with an underscore": (header(b"x", b"1_0") + END, "its size is"),
    "a size below zero": (header(b"x", b"\xff" * 12) + END, "its size is below zero"),
    "a huge size": (header(b"x", b"\x80" + bytes(3) + b"\x7f" * 8) + END, "it claims a size"),
    "a size past the end": (A + header(b"b.jpg", 1 << 30) + END, "without the two zero blocks"),
    "a pax size that is no number": (pax(size=b"-5") + A + END, "its size is b'-5'"),
    "a pax record without its end": (member(b"x", b"12 path=abcd", b"x") + A + END, "pax"),
    "a pax record that is longer": (member(b"x", b"99 path=a\n", b"x") + A + END, "pax"),
    "a pax record without a length": (member(b"x", b"path=a\n", b"x") + A + END, "pax"),
    "an extension without a member": (A + pax(path=LONG) + END, "no member"),
    "a huge extension": (A + header(b"x", 1 << 30, b"L") + END, "extension has 1,073,741,824 by"),
    "a lone zero block": (A + bytes(512) + B + END, "a lone zero block"),
    "a second tar behind the first": (A + END + B + END, "other bytes follow"),
    "trailing bytes": (A + B + END + bytes(600) + b"x", "other bytes follow"),
    "another volume": (header(b"b.jpg", 0, b"M", mark=GNU) + END, "join the volumes"),
}


@each_wrap
@pytest.mark.parametrize("case", ACCOUNTED)
def test_every_member_of_an_odd_tar_is_read_or_has_a_reason(case: str, wrap: str) -> None:
    blob, expected, folders = ACCOUNTED[case]
    if case == "nothing" and wrap == "plain":
        with pytest.raises(ArchiveError, match="nothing but zero bytes"):
            outcome(blob)
        return
    assert outcome(WRAPS[wrap](blob)) == (expected, folders)


@each_wrap
@pytest.mark.parametrize("case", REFUSED)
def test_a_tar_that_is_not_whole_is_refused_with_the_reason(case: str, wrap: str) -> None:
    blob, words = REFUSED[case]
    with pytest.raises(ArchiveError) as caught:
        outcome(WRAPS[wrap](blob))
    assert words in str(caught.value)
    assert str(caught.value).startswith("memory/a.tar: ")


@each_wrap
def test_a_tar_cut_anywhere_is_never_a_shorter_listing(wrap: str) -> None:
    whole = A + pax(path=LONG) + B + END
    for cut in range(0, len(whole), 13):
        with pytest.raises(ArchiveError):
            outcome(WRAPS[wrap](whole[:cut]))


@each_wrap
def test_a_byte_changed_outside_the_data_is_noticed(wrap: str) -> None:
    """Headers have a checksum, whose own last byte says nothing; the end has to be zeros."""
    whole = A + B + END
    data = {*range(512, 1024), *range(1536, 1536 + 1536), 155, 1024 + 155}
    for at in set(range(0, len(whole), 3)) - data:
        changed = whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
        with pytest.raises(ArchiveError):
            outcome(WRAPS[wrap](changed))


def test_a_gzip_cut_anywhere_is_refused() -> None:
    packed = gzipped(A + B + END)
    for cut in range(len(packed)):
        with pytest.raises(ArchiveError):
            outcome(packed[:cut])


def test_a_zstandard_stream_cut_anywhere_is_refused() -> None:
    packed = zstandard(A + B + END)
    for cut in range(len(packed)):
        with pytest.raises(ArchiveError):
            outcome(packed[:cut])


@pytest.mark.parametrize("pack", [gzipped, zstandard])
def test_several_streams_behind_one_another_are_one_tar(pack: Callable[[bytes], bytes]) -> None:
    whole = A + B + END
    pieces = [whole[at : at + 300] for at in range(0, len(whole), 300)]
    assert outcome(b"".join(map(pack, pieces))) == (READ, 0)


@pytest.mark.parametrize("pack", [gzipped, zstandard])
def test_a_whole_stream_that_is_missing_is_noticed(pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ArchiveError, match="without the two zero blocks"):
        outcome(pack(A))
    with pytest.raises(ArchiveError, match="without the two zero blocks"):
        outcome(pack(A) + pack(B))


def test_zero_bytes_may_follow_a_gzip_and_nothing_else() -> None:
    packed = gzipped(A + B + END)
    assert outcome(packed + bytes(3000)) == (READ, 0)
    for junk in (b"junk", b"\x1f", bytes(2000) + b"x", b"\x1f\x8bjunk"):
        with pytest.raises(ArchiveError, match="cut or damaged"):
            outcome(packed + junk)


def test_nothing_may_follow_a_zstandard_stream() -> None:
    for junk in (b"junk", bytes(100)):
        with pytest.raises(ArchiveError, match="cut or damaged"):
            outcome(zstandard(A + B + END) + junk)


def test_skippable_frames_are_passed_over() -> None:
    frame = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    packed = frame + zstandard(A) + frame + zstandard(B + END) + frame
    assert outcome(packed) == (READ, 0)


def test_a_damaged_gzip_is_refused() -> None:
    packed, refused = gzipped(A + B + END), 0
    for at in range(10, len(packed)):
        changed = packed[:at] + bytes([packed[at] ^ 0x55]) + packed[at + 1 :]
        try:
            assert outcome(changed) == (READ, 0)  # the same bytes, said in another way
        except ArchiveError:
            refused += 1
    assert refused >= len(packed) - 12


@pytest.mark.parametrize("pack", [gzipped, zstandard])
def test_a_compressed_file_of_no_tar_says_so(pack: Callable[[bytes], bytes]) -> None:
    store = MemoryStore()
    store.write("a.csv.gz", pack(b"name,style\n" * 100))
    with pytest.raises(ArchiveError, match="a compressed file, but of no tar"):
        open_archive(store, "a.csv.gz")


def test_a_bomb_is_refused_while_it_unpacks() -> None:
    stream = gzip.compress(header(b"a.jpg", 1 << 33) + bytes(260 << 20), 1)
    with pytest.raises(ArchiveError, match="a bomb"):
        outcome(stream, Limits(ratio=100))


def test_a_size_of_6_gib_is_understood_in_either_form() -> None:
    for head in (
        header(b"a.jpg", b"\x80" + bytes(6) + (6 << 30).to_bytes(5, "big"), mark=GNU),
        pax(size=b"%d" % (6 << 30)) + header(b"a.jpg", 0),
    ):
        with pytest.raises(ArchiveError, match="ends before byte 6,442,45"):
            outcome(head + END)
