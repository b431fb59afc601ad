"""Zip files made byte by byte, so that any part of them can lie, and a Store in memory."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from artrec.archive import REASONS, Limits, open_archive
from artrec.errors import ConditionFailed, NotFound
from artrec.storage import Entry

__all__ = ["Item", "MemoryStore", "build", "deflated", "extra", "outcome"]


@dataclass
class MemoryStore:
    """Objects in a dictionary; ``reads`` has the (path, offset, length) of each read."""

    objects: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    reads: list[tuple[str, int, int]] = field(default_factory=list)
    short: int = 0  # bytes that each read leaves out

    url = "memory"

    def list(self, prefix: str = "") -> Iterator[Entry]:
        top = f"{prefix}/" if prefix else ""
        return iter([self.stat(path) for path in sorted(self.objects) if path.startswith(top)])

    def stat(self, path: str) -> Entry:
        if path not in self.objects:
            raise NotFound(path)
        etag = f"v{self.versions[path]}"
        return Entry(path, len(self.objects[path]), etag, datetime(2026, 1, 1, tzinfo=UTC))

    def read(
        self, path: str, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> bytes:
        if etag is not None and self.stat(path).etag != etag:
            raise ConditionFailed(path)
        data = self.objects[path]
        data = data[offset:] if length is None else data[offset : offset + length]
        self.reads.append((path, offset, len(data)))
        return data[: len(data) - self.short]

    def write(self, path: str, data: bytes, if_etag: str | None = None) -> Entry:
        self.objects[path] = data
        self.versions[path] = self.versions.get(path, 0) + 1
        return self.stat(path)

    def delete(self, path: str) -> None:
        del self.objects[path]

    def path_url(self, path: str) -> str:
        return f"memory/{path}"

    def create(self, path: str) -> AbstractContextManager[IO[bytes]]:
        raise NotImplementedError

    def upload(self, local: Path, path: str) -> Entry:
        raise NotImplementedError

    def download(self, path: str, local: Path) -> None:
        raise NotImplementedError


def deflated(data: bytes) -> bytes:
    """The raw deflate stream that a zip holds."""
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


def extra(kind: int, data: bytes) -> bytes:
    """One extra field."""
    return struct.pack("<HH", kind, len(data)) + data


@dataclass(frozen=True)
class Item:
    """A member, and what its directory entry says where that is not the truth."""

    name: bytes
    data: bytes = b""
    method: int = 0
    flags: int = 0
    packed: bytes | None = None  # what lies in the archive, by default made from ``data``
    crc: int | None = None
    stored: int | None = None
    size: int | None = None
    offset: int | None = None
    disk: int = 0
    extra: bytes = b""
    comment: bytes = b""
    zip64: bool = False  # sizes and offset are said in an extra field
    absent: bool = False  # nothing but the directory entry
    unlisted: bool = False  # nothing but the local header and data
    local_name: bytes | None = None
    local_extra: bytes = b""
    local_mark: bytes = b"PK\3\4"
    descriptor: bool = False

    def body(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflated(self.data) if self.method == 8 else self.data

    def local(self) -> bytes:
        name = self.name if self.local_name is None else self.local_name
        body = self.body()
        numbers = (zlib.crc32(self.data), len(body), len(self.data))
        head = struct.pack(
            "<4s5H3L2H",
            *(self.local_mark, 20, self.flags, self.method, 0, 0),
            *((0, 0, 0) if self.descriptor else numbers),
            *(len(name), len(self.local_extra)),
        )
        after = struct.pack("<4s3L", b"PK\7\x08", *numbers) if self.descriptor else b""
        return head + name + self.local_extra + body + after

    def entry(self, offset: int) -> bytes:
        size = len(self.data) if self.size is None else self.size
        stored = len(self.body()) if self.stored is None else self.stored
        offset = offset if self.offset is None else self.offset
        fields = self.extra
        if self.zip64:
            fields = extra(1, struct.pack("<3Q", size, stored, offset)) + fields
            size = stored = offset = 0xFFFFFFFF
        return (
            struct.pack(
                "<4s6H3L5H2L",
                *(b"PK\1\2", 20, 20, self.flags, self.method, 0, 0),
                *(zlib.crc32(self.data) if self.crc is None else self.crc, stored, size),
                *(len(self.name), len(fields), len(self.comment), self.disk, 0, 0, offset),
            )
            + self.name
            + fields
            + self.comment
        )


def build(
    items: Sequence[Item],
    *,
    before: bytes = b"",
    shifted: bool = False,
    comment: bytes = b"",
    comment_bytes: int | None = None,
    after: bytes = b"",
    entries: int | None = None,
    here: int | None = None,
    size: int | None = None,
    offset: int | None = None,
    disk: int = 0,
    zip64: bool = False,
    end64: bytes | None = None,
    end64_offset: int | None = None,
) -> bytes:
    """A zip of ``items``; the named numbers replace those of the end record.

    ``before`` stands in front of the zip, whose offsets count it only when ``shifted``.
    """
    body, places = io.BytesIO(), []
    for item in items:
        places.append(body.tell() + (len(before) if shifted else 0))
        body.write(b"" if item.absent else item.local())
    listed = [(item, at) for item, at in zip(items, places, strict=True) if not item.unlisted]
    directory = b"".join(item.entry(at) for item, at in listed)
    start = body.tell() + (len(before) if shifted else 0)
    entries = len(listed) if entries is None else entries
    said = (
        disk,
        disk,
        entries if here is None else here,
        entries,
        len(directory) if size is None else size,
        start if offset is None else offset,
    )
    wide = b""
    if zip64:
        record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, *said)
        at = start + len(directory) if end64_offset is None else end64_offset
        wide = (record if end64 is None else end64) + struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
        said = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    length = len(comment) if comment_bytes is None else comment_bytes
    end = struct.pack("<4s4H2LH", b"PK\5\6", *said, length)
    return before + body.getvalue() + directory + wide + end + comment + after


def outcome(
    blob: bytes, limits: Limits | None = None
) -> tuple[list[tuple[bytes, bytes | str]], int]:
    """What artrec makes of a zip: (raw name, bytes or reason) in listing order, folders skipped."""
    store = MemoryStore()
    store.write("a.zip", blob)
    archive = open_archive(store, "a.zip", limits=limits)
    members = list(archive.members())
    contents = {content.member.entry: content for content in archive.read(members)}
    assert sorted(contents) == [member.entry for member in members] == list(range(len(members)))
    found: list[tuple[bytes, bytes | str]] = []
    for member in members:
        content = contents[member.entry]
        if content.reason is not None:
            assert content.reason in REASONS
            assert content.detail
            assert "\n" not in content.detail
        found.append((member.raw_name, content.reason or content.data or b""))
    return found, archive.folders_skipped
