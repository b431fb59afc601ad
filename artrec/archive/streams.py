"""Compressed files as the bytes that they hold, from the beginning and in one pass.

gzip by zlib, zstandard by pyarrow. Both may be several streams behind one another, which are read
as one. A stream that is cut, damaged, or followed by something else is an ``ArchiveError``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import pyarrow as pa

from artrec.archive.ranges import RangeFile, Ranges
from artrec.errors import ArchiveError

__all__ = ["OPENERS", "StreamTape"]

_AHEAD = 8 << 20  # bytes of one range read
_PIECE = 1 << 20  # bytes that are unpacked at once
_RATIO_FROM = 256 << 20
_GZIP = b"\x1f\x8b"


def _gunzip(file: RangeFile) -> Iterator[bytes]:
    """Every member of a gzip file; zero bytes may follow the last one, as on a tape."""
    waiting = file.read(_PIECE)
    if not waiting:
        raise ValueError("the file is empty")
    while waiting:
        if not waiting.startswith(_GZIP[: len(waiting)]):
            _only_zeros(waiting, file)
            return
        engine = zlib.decompressobj(16 + zlib.MAX_WBITS)
        while not engine.eof:
            piece = engine.decompress(waiting, _PIECE)
            waiting = engine.unconsumed_tail
            if piece:
                yield piece
            if not waiting and not engine.eof and not (waiting := file.read(_PIECE)):
                raise ValueError("it ends before its stream does")
        waiting = engine.unused_data or file.read(_PIECE)
        if len(waiting) < len(_GZIP):
            waiting += file.read(_PIECE)


def _only_zeros(data: bytes, file: RangeFile) -> None:
    while data:
        if data.strip(b"\0"):
            raise ValueError("bytes that are no gzip follow its end")
        data = file.read(_PIECE)


def _unzstd(file: RangeFile) -> Iterator[bytes]:
    """Every frame of a zstandard file, skippable ones passed over."""
    stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    while piece := stream.read(_PIECE):
        yield piece


OPENERS: dict[str, Callable[[RangeFile], Iterator[bytes]]] = {
    "tar.gz": _gunzip,
    "tar.zst": _unzstd,
}
"""The kinds of archives that are one compressed stream."""


class StreamTape:
    """A compressed tar as a ``Tape``; in memory are a range read and what is asked for at once.

    ``ArchiveError`` also where it unpacks to more than ``ratio`` times its bytes.
    """

    def __init__(self, ranges: Ranges, kind: str, ratio: float) -> None:
        self._ranges, self._ratio = ranges, ratio
        self._file = RangeFile(ranges, _AHEAD)
        self._pieces = OPENERS[kind](self._file)
        self._waiting = bytearray()  # what is unpacked and not passed, from _start on
        self._start = 0

    @property
    def url(self) -> str:
        return self._ranges.url

    def read(self, at: int, length: int) -> bytes:
        """See ``Tape``; of what was read last, any part may be read again."""
        self._forget(at)
        while self._start + len(self._waiting) < at + length and (piece := self._piece()):
            self._waiting += piece
            self._forget(at)
        with memoryview(self._waiting) as waiting:
            return bytes(waiting[at - self._start : at - self._start + length])

    def _forget(self, at: int) -> None:
        """What lies before ``at``."""
        passed = max(0, min(at - self._start, len(self._waiting)))
        del self._waiting[:passed]
        self._start += passed

    def _piece(self) -> bytes:
        try:
            piece = next(self._pieces, b"")
        except (zlib.error, pa.ArrowException, OSError, ValueError) as error:
            raise ArchiveError(
                f"{self.url}: the compressed stream is cut or damaged near byte "
                f"{self._file.tell():,}: {error}; copy it again, or pack it anew"
            ) from error
        unpacked = self._start + len(self._waiting) + len(piece)
        if unpacked > max(_RATIO_FROM, self._ratio * self._file.tell()):
            raise ArchiveError(
                f"{self.url}: {self._file.tell():,} bytes unpack to more than {unpacked:,}: "
                "a bomb, or no archive of pictures"
            )
        return piece
