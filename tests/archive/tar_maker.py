"""Tar files made block by block, so that any part of them can lie."""

from __future__ import annotations

from artrec.archive import REASONS, Limits, open_archive
from tests.archive.zip_maker import MemoryStore

__all__ = ["END", "header", "member", "outcome", "padded", "pax", "record"]

END = bytes(1024)
USTAR, GNU, NO_MARK = b"ustar\x0000", b"ustar  \0", bytes(8)


def header(
    name: bytes,
    size: int | bytes = 0,
    kind: bytes = b"0",
    *,
    mark: bytes = USTAR,
    prefix: bytes = b"",
    link: bytes = b"",
    checksum: bytes | None = None,
    signed: bool = False,
    after: bytes = b"",
) -> bytes:
    """One header block; ``size`` as bytes and ``checksum`` stand there as they are given."""
    said = b"%011o\0" % size if isinstance(size, int) else size
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:124] = b"0000644\0" + b"0000000\0" * 2
    block[124:136] = said.ljust(12, b"\0")
    block[136:148] = b"%011o\0" % 1_700_000_000
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[157 : 157 + len(link)] = link
    block[257:265] = mark
    block[345 : 345 + len(prefix)] = prefix
    block[482 : 482 + len(after)] = after
    total = sum(each - 256 if signed and each > 127 else each for each in block)
    block[148:156] = b"%06o\0 " % total if checksum is None else checksum
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes, data: bytes = b"", kind: bytes = b"0", **more: object) -> bytes:
    """A header and its data."""
    return header(name, len(data), kind, **more) + padded(data)  # type: ignore[arg-type]


def record(key: bytes, value: bytes) -> bytes:
    """One record of a pax header: its length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def pax(kind: bytes = b"x", **said: bytes) -> bytes:
    """An extension header; ``__`` in a key stands for a dot."""
    data = b"".join(record(k.replace("__", ".").encode(), v) for k, v in said.items())
    return member(b"PaxHeaders/x", data, kind)


def outcome(
    blob: bytes, limits: Limits | None = None
) -> tuple[list[tuple[bytes, bytes | str]], int]:
    """What artrec makes of a tar: (raw name, bytes or reason) in its order, folders counted."""
    store = MemoryStore()
    store.write("a.tar", blob)
    archive = open_archive(store, "a.tar", limits=limits, kind="tar")
    members = list(archive.members())
    contents = {content.member.entry: content for content in archive.read(members)}
    assert sorted(contents) == [each.entry for each in members] == list(range(len(members)))
    found: list[tuple[bytes, bytes | str]] = []
    for each in members:
        content = contents[each.entry]
        if content.reason is not None:
            assert content.reason in REASONS
            assert content.detail
            assert "\n" not in content.detail
        found.append((each.raw_name, content.reason or content.data or b""))
    return found, archive.folders_skipped
