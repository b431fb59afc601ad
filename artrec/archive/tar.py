"""A plain tar as an archive: indexed once from header to header, then read in slices like a zip.

A tar has no CRC of its members' bytes. What is known of them without reading is bound to the file
as it is: a member's fingerprint is the archive's etag and the member's offset, so of an archive
that was packed or copied anew every member is read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from artrec.archive import Content, Limits, Member, Pin
from artrec.archive.names import Repeats, decode_name
from artrec.archive.ranges import GAP, Ranges, read_windows
from artrec.archive.tar_header import BLOCK, is_header
from artrec.archive.tar_walk import FOLDER, TarEntry, walk
from artrec.errors import ArchiveError
from artrec.storage import Store

__all__ = ["Counted", "TarArchive", "listed", "refusal"]

_AHEAD = 8 << 20  # bytes of one range read where members are small
_NEAR = 16 << 10  # and where they are large: a header and what extends it

_REFUSED = {
    "link": ("link", "a link to another member or file, without bytes of its own"),
    "special": ("not_a_file", "a device or a pipe"),
    "sparse": ("sparse", "a sparse file: pack it anew without --sparse"),
}


class Counted:
    """The members of a walk through a tar, numbered; folders are counted by themselves."""

    def __init__(self, url: str, limits: Limits) -> None:
        self._url, self._limits = url, limits
        self.folders = self.members = 0

    def of(self, entries: Iterator[TarEntry]) -> Iterator[tuple[int, TarEntry]]:
        for found in entries:
            if self.folders + self.members >= self._limits.members:
                raise ArchiveError(
                    f"{self._url}: more than {self._limits.members:,} members; "
                    "cut the archive into several, or raise the limit"
                )
            if found.method == FOLDER:
                self.folders += 1
                continue
            self.members += 1
            yield self.members - 1, found


def listed(entry: int, found: TarEntry, repeats: Repeats, fingerprint: str, offset: int) -> Member:
    """The row of a listing for what a walk has found."""
    return Member(
        entry=entry,
        raw_name=found.raw_name,
        name=decode_name(found.raw_name),
        occurrence=repeats.count(found.raw_name),
        bytes=found.bytes,
        stored_bytes=found.bytes,
        fingerprint=fingerprint,
        offset=offset,
        method=found.method,
    )


class _RangeTape:
    """A ``Tape`` of range reads: far ahead where members are small, of little where they are large,
    as another request takes as long as a megabyte more."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._window, self._start, self._last = b"", 0, 0

    @property
    def url(self) -> str:
        return self._ranges.url

    def read(self, at: int, length: int) -> bytes:
        if not self._start <= at <= at + length <= self._start + len(self._window):
            ahead = _AHEAD if at - self._last <= GAP else _NEAR
            self._start, self._window = at, self._ranges.read(at, max(length, ahead))
        self._last = at + length
        return self._window[at - self._start : at - self._start + length]


@dataclass(slots=True)
class TarArchive:
    """See ``Archive``. The listing takes 16 to 32 bytes of memory a member while it runs."""

    store: Store
    pinned: Pin
    limits: Limits = field(default_factory=Limits)
    folders_skipped: int = 0

    def pin(self) -> Pin:
        return self.pinned

    def members(self) -> Iterator[Member]:
        tape = _RangeTape(self._ranges())
        counted, repeats = Counted(tape.url, self.limits), Repeats()
        self.folders_skipped = 0
        for entry, found in counted.of(walk(tape)):
            fingerprint = f"etag={self.pinned.etag}:{found.start}"
            yield listed(entry, found, repeats, fingerprint, found.start)
        self.folders_skipped = counted.folders

    def read(self, members: Sequence[Member]) -> Iterator[Content]:
        ranges = self._ranges()
        ordered = sorted(members, key=lambda member: (member.offset, member.entry))
        refused = [refusal(member, self.limits) for member in ordered]
        spans = [
            (member.offset, member.offset + (0 if refused[n] else BLOCK + member.bytes))
            for n, member in enumerate(ordered)
        ]
        for window, data in read_windows(ranges, spans):
            for n in range(window.first, window.last):
                yield refused[n] or _content(ordered[n], data, window.start)

    def _ranges(self) -> Ranges:
        return Ranges(self.store, self.pinned)


def refusal(member: Member, limits: Limits) -> Content | None:
    """The verdict on a member of a tar that need not be read to be refused."""
    if member.method in _REFUSED:
        reason, detail = _REFUSED[member.method]
        return Content(member, None, reason, detail)
    if member.method != "stored":
        detail = f"{member.method}: no regular file, but a type that one maker's tar alone writes"
        return Content(member, None, "unsupported_method", detail)
    if member.bytes > limits.member_bytes:
        detail = f"{member.bytes:,} bytes, above the limit of {limits.member_bytes:,}"
        return Content(member, None, "too_large", detail)
    return None


def _content(member: Member, data: memoryview, start: int) -> Content:
    at = member.offset - start
    if not is_header(bytes(data[at : at + BLOCK])):
        detail = f"no member begins at byte {member.offset:,}"
        return Content(member, None, "bad_local_header", detail)
    found = bytes(data[at + BLOCK : at + BLOCK + member.bytes])
    if len(found) < member.bytes:
        detail = f"{len(found):,} of {member.bytes:,} bytes are there"
        return Content(member, None, "truncated", detail)
    return Content(member, found)
