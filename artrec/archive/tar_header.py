"""One 512-byte block of a tar as a header: its checksum, its numbers and its name.

Forms: POSIX.1-1988 (ustar), GNU tar's (large numbers in base 256, other fields in the place of the
prefix), and the one before both, without a mark.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BLOCK", "BadHeader", "Header", "is_header", "parse_header"]

BLOCK = 512
_USTAR, _GNU = b"ustar\0", b"ustar  \0"
_NAME, _SIZE, _CHECKSUM = slice(0, 100), slice(124, 136), slice(148, 156)
_KIND, _LINK, _MARK, _PREFIX = slice(156, 157), slice(157, 257), 257, slice(345, 500)
_EXTENDED = 482  # of an old GNU sparse header: whether more of its map follows
_HUGE = 1 << 62  # above any file, below the largest number of a 64-bit column


class BadHeader(ValueError):
    """A block, or what extension headers say, is no header; the text says why."""


class Header(NamedTuple):
    """What one header block says; ``kind`` is its type flag, ``size`` the bytes behind it."""

    raw_name: bytes
    size: int
    kind: bytes
    link: bytes
    extended: bool


def is_header(block: bytes) -> bool:
    """Whether a block has the checksum of a header; zero blocks have not."""
    try:
        return len(block) == BLOCK and _checks_out(block)
    except BadHeader:
        return False


def parse_header(block: bytes) -> Header:
    """The header in 512 bytes; ``BadHeader`` for anything else."""
    if not _checks_out(block):
        raise BadHeader("its checksum is wrong")
    raw_name = _text(block[_NAME])
    if block.startswith(_USTAR, _MARK) and (prefix := _text(block[_PREFIX])):
        raw_name = prefix + b"/" + raw_name
    kind = block[_KIND]
    return Header(
        raw_name=raw_name,
        size=_number(block[_SIZE], "size"),
        kind=kind,
        link=_text(block[_LINK]),
        extended=kind == b"S" and block.startswith(_GNU, _MARK) and block[_EXTENDED] != 0,
    )


def _checks_out(block: bytes) -> bool:
    """The sum of all bytes, the checksum's own taken for spaces; some tools sum signed bytes."""
    field = block[_CHECKSUM]
    if field[0] & 0x80 or not field.strip(b"\0 "):
        return False
    said = _number(field, "checksum")
    rest = block[: _CHECKSUM.start] + b" " * 8 + block[_CHECKSUM.stop :]
    total = sum(rest)
    return said == total or said == total - 256 * sum(each > 127 for each in rest)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes, what: str) -> int:
    """Octal digits between spaces and zeros, or GNU's base 256 behind a set highest bit."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40:
            raise BadHeader(f"its {what} is below zero")
    else:
        digits = _text(field).strip(b" ")
        if digits.strip(b"01234567"):
            raise BadHeader(f"its {what} is {digits!r}")
        value = int(digits or b"0", 8)
    if value >= _HUGE:
        raise BadHeader(f"it claims a {what} of {value:,}")
    return value
