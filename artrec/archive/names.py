"""Names of members: bytes first, text second."""

from __future__ import annotations

import hashlib
import struct
import zlib
from array import array

__all__ = ["Repeats", "decode_name", "extra_field"]

_UNICODE_PATH = 0x7075
_UNICODE_PATH_MARK = struct.pack("<H", _UNICODE_PATH)
_FIELD = struct.Struct("<HH")  # kind, bytes


def extra_field(extra: bytes, kind: int) -> bytes | None:
    """The first extra field of this kind; None without one, and past the first damaged one."""
    at = 0
    while at + _FIELD.size <= len(extra):
        found, size = _FIELD.unpack_from(extra, at)
        at += _FIELD.size
        if at + size > len(extra):
            return None
        if found == kind:
            return extra[at : at + size]
        at += size
    return None


def decode_name(raw: bytes, extra: bytes = b"") -> str:
    """Text for a raw name: any bytes have one, without surrogates, and nothing is cleaned.

    UTF-8 where the bytes are valid UTF-8, whatever the flag says (many tools forget to set it),
    else code page 437; before both, Info-ZIP's Unicode path (APPNOTE 4.6.9) made for these bytes.
    """
    if _UNICODE_PATH_MARK in extra:
        better = _unicode_path(raw, extra)
        if better is not None:
            return better
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _unicode_path(raw: bytes, extra: bytes) -> str | None:
    field = extra_field(extra, _UNICODE_PATH)
    if field is None or len(field) < 5 or field[0] != 1:
        return None
    if int.from_bytes(field[1:5], "little") != zlib.crc32(raw):
        return None  # the entry was renamed by a tool that does not know the field
    try:
        return field[5:].decode("utf-8")
    except UnicodeDecodeError:
        return None


class Repeats:
    """Counts how often each name came before, in 16 to 32 bytes a name.

    An open hash table of 64-bit digests, since a set of a million names takes ten times as much.
    Two names with one digest (3e-8 in a million) count as a repeat, the same in every listing.
    """

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 << 10))  # 0 is an empty place
        self._used = 0
        self._again: dict[int, int] = {}

    def count(self, raw: bytes) -> int:
        """How many times ``raw`` was counted before."""
        digest = hashlib.blake2b(raw, digest_size=8).digest()
        key = int.from_bytes(digest, "little") or 1
        if self._insert(key):
            return 0
        self._again[key] = self._again.get(key, 0) + 1
        return self._again[key]

    def _insert(self, key: int) -> bool:
        table, mask = self._table, len(self._table) - 1
        place = key & mask
        while found := table[place]:
            if found == key:
                return False
            place = (place + 1) & mask
        table[place] = key
        self._used += 1
        if self._used * 2 > len(table):
            self._grow()
        return True

    def _grow(self) -> None:
        old = self._table
        self._table = array("Q", bytes(16 * len(old)))
        self._used = 0
        for key in old:
            if key:
                self._insert(key)
