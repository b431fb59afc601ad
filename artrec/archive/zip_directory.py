"""The central directory of a zip, streamed, and the check that its members do not overlap.

Format: PKWARE's APPNOTE.TXT, 4.3.12 (entries) and 4.5.3 (zip64 extra field).
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Iterator
from typing import NamedTuple

from artrec.archive.names import extra_field
from artrec.archive.ranges import Ranges
from artrec.archive.zip_end import ENTRY_BYTES, Directory
from artrec.errors import ArchiveError

__all__ = ["Extents", "Record", "directory_digest", "records"]

_CHUNK = 16 << 20
_MARK = b"PK\x01\x02"
# signature, flags, method, crc, stored bytes, bytes, name, extra and comment bytes, disk, offset
_ENTRY = struct.Struct("<4s4x2H4x3L4H6xL")
_ZIP64 = 0x0001
_UNSAID, _UNSAID_DISK = 0xFFFFFFFF, 0xFFFF
_HUGE = 1 << 62  # above any file, below the largest number of a 64-bit column


class Record(NamedTuple):
    """One entry of the directory, zip64 resolved; ``offset`` still without the shift."""

    flags: int
    method: int
    crc32: int
    stored: int
    size: int
    disk: int
    offset: int
    raw_name: bytes
    extra: bytes


def records(ranges: Ranges, directory: Directory) -> Iterator[Record]:
    """All entries, folders too; ``ArchiveError`` at the first that cannot be read, or at the end
    if there were more or fewer than the end record says.
    """
    listed, buffer, at = 0, b"", 0
    for chunk in _chunks(ranges, directory):
        buffer, at = buffer[at:] + chunk, 0
        while len(buffer) - at >= ENTRY_BYTES:
            fields = _ENTRY.unpack_from(buffer, at)
            if fields[0] != _MARK:
                raise _damaged(ranges, listed, "does not begin like one")
            name_at = at + ENTRY_BYTES
            extra_at = name_at + fields[6]
            comment_at = extra_at + fields[7]
            end = comment_at + fields[8]
            if end > len(buffer):
                break
            flags, method, crc32, stored, size, *_, disk, offset = fields[1:]
            name, extra = buffer[name_at:extra_at], buffer[extra_at:comment_at]
            record = Record(flags, method, crc32, stored, size, disk, offset, name, extra)
            yield _checked(ranges, listed, record)
            listed, at = listed + 1, end
    if at != len(buffer):
        raise _damaged(ranges, listed, "reaches past the directory's end")
    if not directory.agrees(listed):
        raise ArchiveError(
            f"{ranges.url}: {listed:,} entries in the directory, but its end record says "
            f"{directory.entries:,}; copy it again"
        )


def directory_digest(ranges: Ranges, directory: Directory) -> str:
    """Equal for files whose directories list the same members in the same way."""
    digest = hashlib.sha256(repr((directory, ranges.pin.bytes)).encode())
    for chunk in _chunks(ranges, directory):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(ranges: Ranges, directory: Directory) -> Iterator[bytes]:
    end = directory.start + directory.bytes
    for at in range(directory.start, end, _CHUNK):
        yield ranges.read(at, min(_CHUNK, end - at))


def _checked(ranges: Ranges, listed: int, record: Record) -> Record:
    """The record with its zip64 numbers in place."""
    if _UNSAID in (record.size, record.stored, record.offset) or record.disk == _UNSAID_DISK:
        record = _with_zip64(ranges, listed, record)
    if record.disk:
        raise _damaged(ranges, listed, "lies in another part of a split zip")
    return record


def _with_zip64(ranges: Ranges, listed: int, record: Record) -> Record:
    """The extra field holds those of the four numbers that have no room, in this order."""
    field = extra_field(record.extra, _ZIP64)
    if field is None:
        return record  # written by a tool without zip64: the numbers are what they say
    at = 0
    for name, unsaid, width in (
        ("size", _UNSAID, 8),
        ("stored", _UNSAID, 8),
        ("offset", _UNSAID, 8),
        ("disk", _UNSAID_DISK, 4),
    ):
        if getattr(record, name) != unsaid:
            continue
        if at + width > len(field):
            raise _damaged(ranges, listed, "has a zip64 field that is too short")
        value = int.from_bytes(field[at : at + width], "little")
        if value >= _HUGE:
            raise _damaged(ranges, listed, f"claims a {name} of {value:,}")
        record = record._replace(**{name: value})  # type: ignore[arg-type]
        at += width
    return record


def _damaged(ranges: Ranges, listed: int, what: str) -> ArchiveError:
    return ArchiveError(
        f"{ranges.url}: the directory is damaged: its entry {listed} {what}; copy the archive again"
    )


class Extents:
    """The byte ranges of members, at 16 bytes each, to find two that overlap."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._ends = array("Q")
        self._disjoint = True  # so far, and in order: then nothing needs sorting

    def add(self, start: int, end: int) -> None:
        if self._ends and start < self._ends[-1]:
            self._disjoint = False
        self._starts.append(start)
        self._ends.append(end)

    def overlap(self) -> int | None:
        """An offset where a range begins inside another, or None.

        Ranges (none empty) are disjoint just when, starts and ends sorted apart, each end comes
        no later than the next start: then the i ranges that began before it have all ended.
        """
        if self._disjoint:
            return None
        starts = array("Q", sorted(self._starts))
        ends = array("Q", sorted(self._ends))
        for start, end in zip(starts[1:], ends, strict=False):
            if start < end:
                return start
        return None
