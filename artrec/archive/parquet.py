"""Parquet files with a column of pictures' bytes as an archive: each row is a member.

The form is that of data sets on Hugging Face: a column ``image`` of struct{bytes, path} or of plain
bytes, beside columns of labels. Parquet does not say how long a value is, so the listing reads the
files once, and takes the CRC of each value on the way. A slice is whole row groups.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, groupby
from typing import Self

import pyarrow as pa

from artrec.archive import Content, Limits, Member, Pin
from artrec.archive.names import Repeats
from artrec.archive.parquet_columns import PictureColumns
from artrec.archive.ranges import RangeFile, Ranges
from artrec.errors import ArchiveError
from artrec.storage import Entry, Store
from artrec.storage.parquet import opened

__all__ = ["ParquetArchive", "is_parquet"]

_ENDING = ".parquet"
_ROWS = 16  # that are decoded at once: pictures are large
_BUFFER = 8 << 20  # bytes of one range read of a column


def is_parquet(entry: Entry) -> bool:
    """Whether an object of a folder is named like a Parquet file."""
    return entry.path.endswith(_ENDING)


@dataclass(slots=True)
class ParquetArchive:
    """See ``Archive``. A row is named by its ``path``, or without one by its file and number.

    Memory: 16 rows, and a page of the file, whose size its writer chose.
    """

    store: Store
    pinned: Pin
    limits: Limits = field(default_factory=Limits)
    folders_skipped: int = 0

    @classmethod
    def of(cls, store: Store, path: str, entries: Sequence[Entry], limits: Limits) -> Self:
        """The archive of these files below ``path``, or of the one that lies there."""
        prefix = f"{path}/" if path else ""
        archive = cls(store, Pin("parquet", path, 0, ""), limits)
        files = []
        for entry in entries:
            name = "" if entry.path == path else entry.path.removeprefix(prefix)
            file = _File(archive._ranges(name, entry.bytes, entry.etag))
            files.append((name, entry.bytes, entry.etag, file.rows))
        archive.pinned = Pin("parquet", path, 0, "", tuple(files))
        return archive

    @classmethod
    def found(cls, store: Store, path: str, limits: Limits, alone: bool) -> Self | None:
        """The archive of the Parquet files of a folder; None without any.

        With ``alone`` None also where other files lie there.
        """
        entries: list[Entry] = []
        for entry in store.list(path):
            if is_parquet(entry):
                entries.append(entry)
            elif alone and not entry.path.endswith("/"):
                return None
        return cls.of(store, path, entries, limits) if entries else None

    def pin(self) -> Pin:
        return self.pinned

    def members(self) -> Iterator[Member]:
        repeats = Repeats()
        entry = offset = 0
        for (name, *_), file in self._files():
            stem = (name or self.pinned.path.rpartition("/")[2]).removesuffix(_ENDING)
            row = 0
            for group in range(len(file.starts)):
                size = 0
                for found in file.listed(group):
                    if entry >= self.limits.members:
                        raise file.error(f"more than {self.limits.members:,} rows in all")
                    path = found.path or f"{stem}/{row:08d}"
                    raw = path.encode()
                    yield Member(
                        entry=entry,
                        raw_name=raw,
                        name=path,
                        occurrence=repeats.count(raw),
                        bytes=found.bytes,
                        stored_bytes=found.bytes,
                        fingerprint=f"crc32={found.crc32:08x}",
                        offset=offset,
                        method="row",
                        labels=found.labels,
                    )
                    entry, row, size = entry + 1, row + 1, size + max(1, found.bytes)
                offset += size

    def read(self, members: Sequence[Member]) -> Iterator[Content]:
        ordered = sorted(members, key=lambda member: member.entry)
        ends = list(accumulate(rows for *_, rows in self.pinned.files))
        for number, wanted in groupby(ordered, lambda member: bisect_right(ends, member.entry)):
            name, size, etag, rows = self.pinned.files[number]
            file = _File(self._ranges(name, size, etag))
            first = ends[number] - rows
            for member, data in file.values(list(wanted), first):
                yield self._content(member, data)

    def _content(self, member: Member, data: memoryview) -> Content:
        limit = self.limits.member_bytes
        if member.bytes > limit:
            detail = f"{member.bytes:,} bytes, above the limit of {limit:,}"
            return Content(member, None, "too_large", detail)
        if (crc := zlib.crc32(data)) != int(member.fingerprint.removeprefix("crc32="), 16):
            detail = f"crc32={crc:08x}, but {member.fingerprint} is listed"
            return Content(member, None, "bad_crc", detail)
        return Content(member, bytes(data))

    def _files(self) -> Iterator[tuple[tuple[str, int, str, int], _File]]:
        for each in self.pinned.files:
            yield each, _File(self._ranges(*each[:3]))

    def _ranges(self, name: str, size: int, etag: str) -> Ranges:
        path = "/".join(part for part in (self.pinned.path, name) if part)
        return Ranges(self.store, Pin("parquet", path, size, etag))


@dataclass(frozen=True, slots=True)
class _Row:
    """A row as a listing needs it."""

    path: str
    bytes: int
    crc32: int
    labels: dict[str, str] | None


class _File:
    """One Parquet file: its footer, and its row groups in batches of few rows."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        try:
            # The buffer keeps it from reading a whole column of a row group at once.
            file = opened(RangeFile(ranges), buffer_size=_BUFFER)
            self.rows = file.metadata.num_rows
            groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        except (pa.ArrowException, OSError) as error:
            raise self.error(f"no whole Parquet file ({error}); copy it again") from error
        self._file = file
        self.starts = [0, *accumulate(groups)][:-1]
        try:
            self._columns = PictureColumns.of(file.schema_arrow)
        except ValueError as error:
            raise self.error(str(error)) from None

    def error(self, what: str) -> ArchiveError:
        return ArchiveError(f"{self._ranges.url}: {what}")

    def listed(self, group: int) -> Iterator[_Row]:
        """All rows of a row group."""
        for batch in self._batches(group, self._columns.all()):
            paths, labels = self._columns.paths(batch), self._columns.labels(batch)
            for path, value, said in zip(paths, self._columns.values(batch), labels, strict=True):
                yield _Row(path, len(value), zlib.crc32(value), said)

    def values(self, members: Sequence[Member], first: int) -> Iterator[tuple[Member, memoryview]]:
        """The bytes of some members, of which ``first`` is the entry of the file's first row."""

        def group_of(member: Member) -> int:
            return bisect_right(self.starts, member.entry - first) - 1

        for group, wanted in groupby(members, group_of):
            rows = chain.from_iterable(
                self._columns.values(batch)
                for batch in self._batches(group, self._columns.bytes_alone())
            )
            start = first + self.starts[group]
            numbered = enumerate(rows, start)
            for member in wanted:
                yield member, next(value for at, value in numbered if at == member.entry)

    def _batches(self, group: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._file.iter_batches(_ROWS, row_groups=[group], columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise self.error(f"row group {group} is damaged ({error}); copy it again") from error
