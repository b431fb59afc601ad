"""Where the central directory of a zip lies: the end record, and its zip64 form.

The sizes and offsets of the end record must fit together with the place where it was found, and
exactly one record must fit: else the file is refused, since a listing that is merely shorter than
the true one would pass unseen. Format: PKWARE's APPNOTE.TXT, 4.3.14 to 4.3.16.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from artrec.archive.ranges import Ranges
from artrec.archive.sniff import HEAD_BYTES, seems
from artrec.errors import ArchiveError

__all__ = ["Directory", "ENTRY_BYTES", "find_directory"]

ENTRY_BYTES = 46  # of a directory entry without its name

# signature, disk, disk of the directory, entries here, entries, bytes, offset, comment bytes
_END = struct.Struct("<4s4H2LH")
# signature, disk of the record, its offset, disks
_LOCATOR = struct.Struct("<4sLQL")
# signature, bytes that follow, versions, disk, disk of the directory, entries here, entries,
# bytes, offset
_END64 = struct.Struct("<4sQ4x2L4Q")
_END_MARK, _LOCATOR_MARK, _END64_MARK = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_MEMBER_MARK = b"PK\x03\x04"
_UNSAID = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)  # "see the zip64 record"

_REACH = _END.size + 0xFFFF  # an end record lies within, as its comment is at most so long
_TAIL = _REACH + _LOCATOR.size + _END64.size
_CANDIDATES = 64  # end records that are looked at; each may cost a read


@dataclass(frozen=True, slots=True)
class _Ends:
    """What was read of the file: its first bytes, and its last ones from ``start`` on."""

    ranges: Ranges
    head: bytes
    tail: bytes
    start: int

    def error(self, what: str) -> ArchiveError:
        return ArchiveError(f"{self.ranges.url}: {what}")

    def read(self, offset: int, length: int) -> bytes:
        at = offset - self.start
        if at >= 0:
            return self.tail[at : at + length]
        return self.ranges.read(offset, length)


@dataclass(frozen=True, slots=True)
class Directory:
    """``bytes`` of central directory at ``start``, of ``entries`` entries.

    ``shift`` is what comes before the zip in the file and is added to every offset in it. Without
    zip64 the count may be one modulo 65,536, as some tools write it.
    """

    start: int
    bytes: int
    entries: int
    shift: int
    zip64: bool

    def agrees(self, listed: int) -> bool:
        return (listed if self.zip64 else listed & 0xFFFF) == self.entries


def find_directory(ranges: Ranges, head: bytes | None = None) -> Directory:
    """The one directory that an end record in the last 64 KiB names; ``ArchiveError`` else.

    ``head`` are the first ``HEAD_BYTES`` of the file, where they have been read.
    """
    start = max(0, ranges.pin.bytes - _TAIL)
    tail = ranges.read(start, _TAIL)
    if head is None:
        head = tail[:HEAD_BYTES] if start == 0 else ranges.read(0, HEAD_BYTES)
    ends = _Ends(ranges, head, tail, start)
    found, refused = [], ends.error(_no_end_record(head, ranges.pin.bytes))
    for place in _end_records(tail):
        try:
            found.append(_resolve(ends, place))
        except ArchiveError as error:
            refused = error
    if len(found) > 1:
        raise ends.error(
            f"{len(found)} end records fit this file, so it can be read in more than one way; "
            "pack it anew, without a comment"
        )
    if not found:
        raise refused
    return found[0]


def _end_records(tail: bytes) -> list[int]:
    """Places in the tail: of those whose comment ends with the file if there are any, else all."""
    exact: list[int] = []
    loose: list[int] = []
    place = tail.rfind(_END_MARK)
    while place >= max(0, len(tail) - _REACH):
        if place + _END.size <= len(tail):
            comment = _END.unpack_from(tail, place)[-1]
            (exact if place + _END.size + comment == len(tail) else loose).append(place)
        place = tail.rfind(_END_MARK, 0, place + 3) if place else -1
    return (exact or loose)[:_CANDIDATES]


def _no_end_record(head: bytes, size: int) -> str:
    if not head:
        return "the file is empty; copy it again"
    if head.startswith(_MEMBER_MARK):
        return (
            f"no end record: the file seems cut; compare its size ({size:,} bytes) with the "
            "original's and copy it again"
        )
    return (
        f"no archive that can be read: it seems to be {seems(head)}; name a zip, tar, tar.gz, "
        "tar.zst or Parquet file, or a folder of pictures"
    )


def _resolve(ends: _Ends, place: int) -> Directory:
    """The directory of the end record at ``place`` in the tail, if its numbers fit the file."""
    said = _END.unpack_from(ends.tail, place)[1:7]
    end64 = _find_end64(ends, place)
    base = ends.start + place
    if end64 is not None:
        base, wide = end64
        if any(s not in (none, w & none) for s, w, none in zip(said, wide, _UNSAID, strict=True)):
            raise ends.error(f"its end record says {said}, its zip64 record {wide}; copy it again")
        said = wide
    disk, directory_disk, here, entries, size, offset = said
    if disk or directory_disk or here != entries:
        raise ends.error("one part of a split zip; join the parts first (zip -s 0)")
    shift = base - size - offset
    if shift < 0:
        raise ends.error(f"{-shift:,} bytes are missing before its end; copy it again")
    # A file that begins with a member and whose end record speaks of a later beginning holds
    # another zip, whole, at its end: it was cut there, or two were joined.
    if ends.head.startswith(_MEMBER_MARK) and (shift or not size):
        raise ends.error(
            "its end record does not cover the whole file: the file seems cut, or other bytes "
            "were put into it; copy it again"
        )
    if entries * ENTRY_BYTES > size:
        raise ends.error(f"{entries:,} members in a directory of {size:,} bytes; copy it again")
    return Directory(base - size, size, entries, shift, end64 is not None)


def _find_end64(ends: _Ends, place: int) -> tuple[int, tuple[int, ...]] | None:
    """Where the zip64 record lies and what it says; None without a locator before ``place``."""
    if place < _LOCATOR.size:
        return None
    mark, disk, offset, disks = _LOCATOR.unpack_from(ends.tail, place - _LOCATOR.size)
    if mark != _LOCATOR_MARK:
        return None
    if disk or disks > 1:
        raise ends.error("one part of a split zip; join the parts first (zip -s 0)")
    locator = ends.start + place - _LOCATOR.size
    # Where something stands before the zip, the offset is too small; then the record, without
    # extensible data, ends where the locator begins.
    for at in (locator - _END64.size, offset):
        if 0 <= at <= locator - _END64.size:
            record = _END64.unpack(ends.read(at, _END64.size))
            if record[0] == _END64_MARK and at + 12 + record[1] <= locator:
                return at, record[2:]
    raise ends.error("its zip64 end record is missing or damaged; copy it again")
