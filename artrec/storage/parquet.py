"""Parquet files that lie in a Store, opened for reading."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artrec.storage import Store

__all__ = ["StoreFile", "opened"]


_GAP = 64 << 10  # bytes between two columns that cost less than another request

Range = tuple[int, int]
"""First byte and the one after the last."""


def opened(source: Any, **how: Any) -> pq.ParquetFile:
    """The file behind a path or an object of Python, read by the caller's thread; ``how`` is
    pyarrow's own."""
    return _Plain(source, **{"pre_buffer": False, **how})


class _Plain(pq.ParquetFile):  # type: ignore[misc]
    """Read without pyarrow's threads.

    A task has one core, and an object of Python is read by one thread at a time in any case. And a
    process that has started those threads may abort when it ends, its work done ("terminate called
    without an active exception"): pyarrow 14 and 26 did so now and then on a busy machine. What
    they are for, many columns in few requests, the Store's file does, a row group at a time.
    """

    def __init__(self, source: Any, **how: Any) -> None:
        super().__init__(source, **how)
        self._behind = source if isinstance(source, StoreFile) and source.far else None

    def read_row_group(
        self, i: int, columns: Sequence[str] | None = None, use_threads: bool = False, **more: Any
    ) -> pa.Table:
        if self._behind is None:
            return super().read_row_group(i, columns=columns, use_threads=use_threads, **more)
        with self._behind.holding(_ranges(self.metadata.row_group(i), columns)):
            return super().read_row_group(i, columns=columns, use_threads=use_threads, **more)

    def read_row_groups(self, *args: Any, use_threads: bool = False, **more: Any) -> pa.Table:
        return super().read_row_groups(*args, use_threads=use_threads, **more)

    def read(self, *args: Any, use_threads: bool = False, **more: Any) -> pa.Table:
        return super().read(*args, use_threads=use_threads, **more)

    def iter_batches(self, *args: Any, use_threads: bool = False, **more: Any) -> Any:
        return super().iter_batches(*args, use_threads=use_threads, **more)


def _ranges(group: Any, columns: Sequence[str] | None) -> list[Range]:
    """Where a row group's columns lie, those that are near each other as one range."""
    found: list[Range] = []
    for start, end in sorted(_places(group, columns)):
        if found and start - found[-1][1] <= _GAP:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _places(group: Any, columns: Sequence[str] | None) -> Iterator[Range]:
    for number in range(group.num_columns):
        column = group.column(number)
        if columns is None or column.path_in_schema.partition(".")[0] in columns:
            first = column.dictionary_page_offset if column.has_dictionary_page else None
            start = column.data_page_offset if first is None else first
            yield start, start + column.total_compressed_size


class StoreFile(io.RawIOBase):
    """A seekable view of one object; every read is one range of the Store."""

    def __init__(self, store: Store, path: str, size: int) -> None:
        self._store, self._path, self._size, self._at = store, path, size, 0
        self._held: list[tuple[int, bytes]] = []

    @property
    def far(self) -> bool:
        """Whether each read is a request to a server."""
        return "://" in self._store.url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        length = self._size - self._at if size is None or size < 0 else size
        data = self._bytes(self._at, max(0, min(length, self._size - self._at)))
        self._at += len(data)
        return data

    def _bytes(self, at: int, length: int) -> bytes:
        for start, data in self._held:
            if start <= at and at + length <= start + len(data):
                return data[at - start : at - start + length]
        return self._store.read(self._path, at, length)

    @contextmanager
    def holding(self, ranges: Sequence[Range]) -> Iterator[None]:
        """While these ranges are read, each asked of the Store once, at the beginning."""
        self._held = [
            (start, self._store.read(self._path, start, end - start)) for start, end in ranges
        ]
        try:
            yield
        finally:
            self._held = []

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
