"""Members of a zip: from range reads to bytes that have the size and CRC of the listing.

The directory is believed about sizes and method and the CRC decides; of the local header only
its lengths and its name are used. Format: PKWARE's APPNOTE.TXT, 4.3.7.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

from artrec.archive import Content, Limits, Member
from artrec.archive.ranges import Ranges, Window, read_windows

__all__ = ["HEADER_BYTES", "read_members"]

HEADER_BYTES = 30  # of a local header without name and extra field
_HEADER = struct.Struct("<4s22x2H")  # signature, name bytes, extra bytes
_MARK = b"PK\x03\x04"
_EXTRA = 256  # bytes of local extra field that a plan allows for; more are fetched
_RATIO_FROM = 1 << 20
_DEFLATE_MORE = 64  # bytes by which deflate may lengthen what it cannot shorten, beside 1 %


class _Refused(Exception):
    """A member has no bytes, for this reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def read_members(ranges: Ranges, members: Sequence[Member], limits: Limits) -> Iterator[Content]:
    """See ``Archive.read``."""
    ordered = sorted(members, key=lambda member: (member.offset, member.entry))
    refused = [_refusal(member, ranges.pin.bytes, limits) for member in ordered]
    spans = [
        _span(member, ranges.pin.bytes, reads=refusal is None)
        for member, refusal in zip(ordered, refused, strict=True)
    ]
    for window, data in read_windows(ranges, spans):
        for n in range(window.first, window.last):
            yield refused[n] or _content(ranges, ordered[n], window, data)


def _content(ranges: Ranges, member: Member, window: Window, data: memoryview) -> Content:
    try:
        return Content(member, _extract(ranges, member, window, data))
    except _Refused as refused:
        return Content(member, None, refused.reason, refused.detail)


def _span(member: Member, size: int, *, reads: bool) -> tuple[int, int]:
    start = min(member.offset, size)
    if not reads:
        return start, start
    end = start + HEADER_BYTES + len(member.raw_name) + _EXTRA + member.stored_bytes
    return start, min(end, size)


def _refusal(member: Member, size: int, limits: Limits) -> Content | None:
    """The verdict on what need not be read to be refused."""
    if member.method == "encrypted":
        return Content(member, None, "encrypted", "pack the archive without a password")
    if member.method not in ("stored", "deflate"):
        detail = f"{member.method}: only stored (0) and deflate (8) are read"
        return Content(member, None, "unsupported_method", detail)
    limit = limits.member_bytes
    if member.bytes > limit or member.stored_bytes > limit + limit // 100 + _DEFLATE_MORE:
        largest = max(member.bytes, member.stored_bytes)
        detail = f"{largest:,} bytes, above the limit of {limit:,}"
        return Content(member, None, "too_large", detail)
    if member.bytes > max(_RATIO_FROM, limits.ratio * member.stored_bytes):
        detail = f"{member.bytes:,} bytes stored in {member.stored_bytes:,}"
        return Content(member, None, "ratio", detail)
    if member.offset + HEADER_BYTES > size:
        detail = f"begins at byte {member.offset:,} of a file of {size:,}"
        return Content(member, None, "truncated", detail)
    return None


def _extract(ranges: Ranges, member: Member, window: Window, data: memoryview) -> bytes:
    at = member.offset - window.start
    mark, name_bytes, extra_bytes = _HEADER.unpack_from(data, at)
    if mark != _MARK:
        raise _Refused("bad_local_header", f"no member begins at byte {member.offset:,}")
    name = bytes(data[at + HEADER_BYTES : at + HEADER_BYTES + name_bytes])
    if name != member.raw_name:
        raise _Refused("bad_local_header", f"the name at byte {member.offset:,} is {name[:40]!r}")
    start = at + HEADER_BYTES + name_bytes + extra_bytes
    packed = data[start : start + member.stored_bytes]
    if missing := member.stored_bytes - len(packed):
        more = ranges.read(window.start + start + len(packed), missing)
        packed = memoryview(bytes(packed) + more)
    content = _unpack(member, packed)
    if len(content) < member.bytes:
        raise _Refused("truncated", f"{len(content):,} of {member.bytes:,} bytes are there")
    if (crc := zlib.crc32(content)) != int(member.fingerprint.removeprefix("crc32="), 16):
        raise _Refused("bad_crc", f"crc32={crc:08x}, but {member.fingerprint} is listed")
    return content


def _unpack(member: Member, packed: memoryview) -> bytes:
    """At most the bytes of the listing; fewer if the data ends too early."""
    if member.method == "stored":
        if member.stored_bytes < member.bytes:
            raise _Refused(
                "bad_size", f"{member.bytes:,} bytes listed, {member.stored_bytes:,} stored"
            )
        return bytes(packed[: member.bytes])
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = engine.decompress(packed, member.bytes + 1)
    except zlib.error as error:
        raise _Refused("bad_deflate", str(error)) from error
    if len(content) > member.bytes or (engine.eof and len(content) < member.bytes):
        found = "more" if len(content) > member.bytes else f"{len(content):,}"
        raise _Refused("bad_size", f"{member.bytes:,} bytes listed, {found} inflated")
    return content
