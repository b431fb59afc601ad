"""Parquet files that lie in a Store, opened for reading."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artrec.storage import Store

__all__ = ["StoreFile", "opened"]


def opened(source: Any, **how: Any) -> pq.ParquetFile:
    """The file behind a path or an object of Python, read by the caller's thread; ``how`` is
    pyarrow's own."""
    how.setdefault("pre_buffer", isinstance(source, StoreFile) and source.far)
    return _Plain(source, **how)


class _Plain(pq.ParquetFile):  # type: ignore[misc]
    """Read without pyarrow's threads, but for one that asks a server for many columns at once.

    A task has one core, and an object of Python is read by one thread at a time in any case. And a
    process that has started those threads may abort when it ends, its work done ("terminate called
    without an active exception"): pyarrow 14 and 26 did so now and then on a busy machine.
    """

    def read_row_group(
        self, i: int, columns: Sequence[str] | None = None, use_threads: bool = False, **more: Any
    ) -> pa.Table:
        return super().read_row_group(i, columns=columns, use_threads=use_threads, **more)

    def read(self, *args: Any, use_threads: bool = False, **more: Any) -> pa.Table:
        return super().read(*args, use_threads=use_threads, **more)

    def iter_batches(self, *args: Any, use_threads: bool = False, **more: Any) -> Any:
        return super().iter_batches(*args, use_threads=use_threads, **more)


class StoreFile(io.RawIOBase):
    """A seekable view of one object; every read is one range of the Store."""

    def __init__(self, store: Store, path: str, size: int) -> None:
        self._store, self._path, self._size, self._at = store, path, size, 0

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
        data = self._store.read(self._path, self._at, max(0, min(length, self._size - self._at)))
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
