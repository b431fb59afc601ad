"""Range reads of one pinned object, and the plan that makes few large ones of many small."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from artrec.archive import Pin
from artrec.errors import ConditionFailed, InputError, NotFound, StoreUnavailable
from artrec.storage import Store
from artrec.storage.ahead import Read, read_ahead

__all__ = ["GAP", "RangeFile", "Ranges", "WINDOW", "Window", "plan_windows", "read_windows"]

GAP = 1 << 20
"""Bytes between two spans that are cheaper to read than another request."""
WINDOW = 8 << 20
"""Bytes of one range read; so much takes a store longer than to begin an answer."""
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Ranges:
    """Reads of the object that ``pin`` names, as long as it is that one."""

    store: Store
    pin: Pin

    @property
    def url(self) -> str:
        return self.store.path_url(self.pin.path)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes, cut only at the end of the object."""
        length = min(length, self.pin.bytes - offset)
        if length <= 0:
            return b""
        try:
            data = self.store.read(self.pin.path, offset, length, self.pin.etag)
        except ConditionFailed as error:
            raise InputError(
                f"{self.url}: archive changed during the run ({error}); "
                "leave it alone and start the run again"
            ) from error
        except NotFound as error:
            raise InputError(
                f"{self.url}: archive vanished during the run; put it back and start the run again"
            ) from error
        if len(data) != length:
            raise StoreUnavailable(
                f"{self.url}: {len(data)} bytes came of {length} at {offset}; "
                "run the same command again"
            )
        return data


@dataclass(frozen=True, slots=True)
class Window:
    """One range read ``[start, end)`` that covers the spans ``[first, last)`` of a plan."""

    first: int
    last: int
    start: int
    end: int


def plan_windows(
    spans: Sequence[tuple[int, int]], gap: int = GAP, window: int = WINDOW
) -> Iterator[Window]:
    """Windows over ``spans`` ((start, end), sorted by start), each span inside one window.

    Spans less than ``gap`` bytes apart share a window of at most ``window`` bytes; a larger span
    has one to itself.
    """
    first = 0
    while first < len(spans):
        start, end = spans[first]
        last = first + 1
        while last < len(spans):
            reach = max(end, spans[last][1])
            if spans[last][0] - end > gap or reach - start > window:
                break
            end, last = reach, last + 1
        yield Window(first, last, start, end)
        first = last


def read_windows(
    ranges: Ranges, spans: Sequence[tuple[int, int]]
) -> Iterator[tuple[Window, memoryview]]:
    """Windows over ``spans`` with their bytes; some are read while an earlier one is worked on."""
    windows = list(plan_windows(spans))
    sizes = [window.end - window.start for window in windows]
    reads = (
        Read(partial(ranges.read, window.start, size), size)
        for window, size in zip(windows, sizes, strict=True)
    )
    found = read_ahead(reads, _AT_ONCE, _AT_ONCE * WINDOW)
    for window, data in zip(windows, found, strict=True):
        yield window, memoryview(data)


class RangeFile(io.RawIOBase):
    """A pinned object as a seekable file; one read asks for ``ahead`` bytes at least."""

    def __init__(self, ranges: Ranges, ahead: int = 0) -> None:
        self._ranges, self._ahead = ranges, ahead
        self._at = self._start = 0
        self._window = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self._ranges.pin.bytes
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._ranges.pin.bytes - self._at)
        length = left if size is None or size < 0 else min(size, left)
        if not self._start <= self._at <= self._at + length <= self._start + len(self._window):
            self._start = self._at
            self._window = self._ranges.read(self._at, max(length, self._ahead))
        data = self._window[self._at - self._start : self._at - self._start + length]
        self._at += length
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
