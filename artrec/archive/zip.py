"""A zip file as an archive: its listing, and the parts of it that tasks read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from artrec.archive import Content, Limits, Member, Pin
from artrec.archive.names import Repeats, decode_name
from artrec.archive.ranges import Ranges
from artrec.archive.zip_directory import Extents, Record, directory_digest, records
from artrec.archive.zip_end import Directory, find_directory
from artrec.archive.zip_read import HEADER_BYTES, read_members
from artrec.errors import ArchiveError
from artrec.storage import Store

__all__ = ["ZipArchive"]

_ENCRYPTED = 0x2041  # flags: encrypted, strongly encrypted, local header masked
_AES = 99
_METHODS = {0: "stored", 8: "deflate", _AES: "encrypted"}


@dataclass(slots=True)
class ZipArchive:
    """See ``Archive``. The listing takes 32 to 50 bytes of memory a member while it runs."""

    store: Store
    pinned: Pin
    limits: Limits = field(default_factory=Limits)
    folders_skipped: int = 0
    _directory: Directory | None = field(default=None, init=False, repr=False, compare=False)

    def pin(self) -> Pin:
        return self.pinned

    def directory(self, head: bytes | None = None) -> Directory:
        """Where the central directory lies; ``ArchiveError`` if the file is no whole zip.

        ``head`` are the first bytes of the file, where they have been read.
        """
        if self._directory is None:
            self._directory = find_directory(self._ranges(), head)
        return self._directory

    def members(self) -> Iterator[Member]:
        ranges, directory = self._ranges(), self.directory()
        extents, repeats = Extents(), Repeats()
        self.folders_skipped = entry = 0
        self._check_count(directory.entries)
        for record in records(ranges, directory):
            if record.raw_name.endswith(b"/") and not record.size:
                self.folders_skipped += 1
                continue
            self._check_count(entry + self.folders_skipped + 1)
            member = _member(entry, record, directory.shift, repeats.count(record.raw_name))
            if member.offset < self.pinned.bytes:
                end = member.offset + HEADER_BYTES + member.stored_bytes
                extents.add(member.offset, min(end, self.pinned.bytes))
            yield member
            entry += 1
        if (offset := extents.overlap()) is not None:
            raise ArchiveError(
                f"{ranges.url}: members overlap at byte {offset:,}: a zip bomb, a damaged "
                "directory, or an archive above 4 GiB without zip64; pack it anew"
            )

    def listing_digest(self) -> str:
        return directory_digest(self._ranges(), self.directory())

    def read(self, members: Sequence[Member]) -> Iterator[Content]:
        return read_members(self._ranges(), members, self.limits)

    def _ranges(self) -> Ranges:
        return Ranges(self.store, self.pinned)

    def _check_count(self, entries: int) -> None:
        if entries > self.limits.members:
            raise ArchiveError(
                f"{self._ranges().url}: more than {self.limits.members:,} members; "
                "cut the archive into several, or raise the limit"
            )


def _member(entry: int, record: Record, shift: int, occurrence: int) -> Member:
    if record.flags & _ENCRYPTED:
        method = "encrypted"
    else:
        method = _METHODS.get(record.method) or f"unsupported-{record.method}"
    return Member(
        entry=entry,
        raw_name=record.raw_name,
        name=decode_name(record.raw_name, record.extra),
        occurrence=occurrence,
        bytes=record.size,
        stored_bytes=record.stored,
        fingerprint=f"crc32={record.crc32:08x}",
        offset=record.offset + shift,
        method=method,
    )
