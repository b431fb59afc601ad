"""A compressed tar as an archive: nobody can begin in its middle, so one task reads all of it.

The listing unpacks it once and takes the CRC of each member on the way, which is what a later
night knows the member by. The task that needs members unpacks it again, from the start.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from artrec.archive import Content, Limits, Member, Pin
from artrec.archive.names import Repeats
from artrec.archive.ranges import Ranges
from artrec.archive.streams import StreamTape
from artrec.archive.tar import Counted, listed, refusal
from artrec.archive.tar_header import BLOCK, is_header
from artrec.archive.tar_walk import TarEntry, walk
from artrec.errors import ArchiveError
from artrec.storage import Store

__all__ = ["StreamedTar"]

_CHUNK = 1 << 20


@dataclass(slots=True)
class StreamedTar:
    """See ``Archive``. All members lie in one slice: their offset is 0.

    Memory while reading: one range read and one member, and the list of the members asked for.
    """

    store: Store
    pinned: Pin
    limits: Limits = field(default_factory=Limits)
    folders_skipped: int = 0

    def pin(self) -> Pin:
        return self.pinned

    def check(self) -> None:
        """``ArchiveError`` where the stream does not begin with a tar."""
        tape = self._tape()
        if not is_header(head := tape.read(0, BLOCK)) and head.strip(b"\0"):
            raise ArchiveError(
                f"{tape.url}: a compressed file, but of no tar; give the URL of a tar.gz or tar.zst"
            )

    def members(self) -> Iterator[Member]:
        tape, repeats = self._tape(), Repeats()
        counted = Counted(tape.url, self.limits)
        self.folders_skipped = 0
        for entry, found in counted.of(walk(tape)):
            yield listed(entry, found, repeats, f"crc32={_crc32(tape, found):08x}", 0)
        self.folders_skipped = counted.folders

    def read(self, members: Sequence[Member]) -> Iterator[Content]:
        tape = self._tape()
        entries = Counted(tape.url, self.limits).of(walk(tape))
        for member in sorted(members, key=lambda member: member.entry):
            refused = refusal(member, self.limits)
            yield refused or _content(member, tape, entries)

    def _tape(self) -> StreamTape:
        ranges = Ranges(self.store, self.pinned)
        return StreamTape(ranges, self.pinned.kind, self.limits.ratio)


def _crc32(tape: StreamTape, found: TarEntry) -> int:
    crc, end = 0, found.body + found.bytes
    for at in range(found.body, end, _CHUNK):
        crc = zlib.crc32(tape.read(at, min(_CHUNK, end - at)), crc)
    return crc


def _content(member: Member, tape: StreamTape, entries: Iterator[tuple[int, TarEntry]]) -> Content:
    found = next((each for entry, each in entries if entry == member.entry), None)
    if found is None or (found.raw_name, found.bytes) != (member.raw_name, member.bytes):
        raise ArchiveError(f"{tape.url}: another archive than was listed; start the run again")
    data = tape.read(found.body, found.bytes)
    if (crc := zlib.crc32(data)) != int(member.fingerprint.removeprefix("crc32="), 16):
        return Content(
            member, None, "bad_crc", f"crc32={crc:08x}, but {member.fingerprint} is listed"
        )
    return Content(member, data)
