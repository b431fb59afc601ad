"""The sample's zip: members written as they are made, and the ways in which some are broken."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from artrec.sample.plan import Member
from artrec.sample.styles import paint

__all__ = ["BROKEN_KINDS", "member_bytes", "write_zip"]

BROKEN_KINDS = MappingProxyType(
    {
        "truncated_jpeg": "a JPEG of which the second half is missing",
        "html": "an error page saved under a picture's name",
        "empty": "no bytes at all",
        "wrong_crc": "a JPEG whose CRC in the zip is another one",
        "random_bytes": "bytes of no format",
        "damaged_deflate": "a deflated JPEG with bytes of the stream overwritten",
        "text": "a note in plain text",
        "encrypted": "a member whose flag says that it is encrypted",
        "truncated_gif": "a GIF of which the second half is missing",
        "oversized": "a PNG whose header claims 60,000 x 60,000 pixels",
    }
)

_DATE = (2017, 6, 1, 12, 0, 0)
_PAGE = b"""<!DOCTYPE html>
<html><head><title>404 Not Found</title></head>
<body><h1>Not Found</h1><p>The requested picture was not found on this server.</p></body></html>
"""
_NOTE = b"This picture was withdrawn at the request of the owner.\n"


def _jpeg(member: Member, seed: int) -> bytes:
    work = member.work
    picture = paint(seed, work.style, work.artist, work.number, work.motif)
    quality = 80 + (work.style * 5 + work.artist * 7) % 13
    return _encoded(picture, "JPEG", quality=quality)


def _encoded(picture: Image.Image, form: str, quality: int = 0) -> bytes:
    target = io.BytesIO()
    options = {"quality": quality} if quality else {}
    picture.save(target, form, **options)
    return target.getvalue()


def member_bytes(member: Member, seed: int) -> bytes:
    """What is stored under a name: mostly a JPEG; under a broken one, what its kind says."""
    kind = member.kind
    if kind == "html":
        return _PAGE
    if kind == "empty":
        return b""
    if kind == "text":
        return _NOTE
    if kind == "random_bytes":
        rng = np.random.default_rng([seed, 6, member.work.number])
        return b"\x00" + rng.bytes(int(rng.integers(500, 4000)))
    if kind == "oversized":
        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        data = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(60_000)))
        return b"\x89PNG\r\n\x1a\n" + data + _chunk(b"IEND", b"")
    data = _jpeg(member, seed)
    if kind == "truncated_gif":
        data = _encoded(Image.open(io.BytesIO(data)), "GIF")
    return data[: len(data) // 2] if kind in ("truncated_jpeg", "truncated_gif") else data


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_zip(path: Path, members: Iterable[tuple[Member, bytes]]) -> int:
    """Write the members in their order, one in memory at a time; the size in bytes is returned.

    The archive appears under its name when it is complete, never before.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    marred: list[zipfile.ZipInfo] = []
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
            for member, data in members:
                info = zipfile.ZipInfo(member.name, _DATE)
                info.create_system, info.external_attr = 3, 0o100644 << 16
                archive.writestr(
                    info, _deflated(data) if member.kind == "damaged_deflate" else data
                )
                if _mar(info, member.kind, data):
                    marred.append(info)
        with draft.open("r+b") as file:
            for info in marred:
                _repeat_in_local_header(file, info)
            size = file.seek(0, os.SEEK_END)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return size


def _deflated(data: bytes) -> bytes:
    """A raw deflate stream that an inflater refuses after its first third."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    third = len(data) // 3
    # A full flush ends at a byte, where the next block begins: 0x07 is of the reserved type.
    begun = packer.compress(data[:third]) + packer.flush(zlib.Z_FULL_FLUSH)
    return begun + b"\x07" + packer.compress(data[third:]) + packer.flush()


def _mar(info: zipfile.ZipInfo, kind: str | None, data: bytes) -> bool:
    """Make the directory entry of a stored member say what its kind wants said."""
    if kind == "wrong_crc":
        info.CRC ^= 0x5A5A5A5A
    elif kind == "encrypted":
        info.flag_bits |= 1
    elif kind == "damaged_deflate":
        info.compress_type = zipfile.ZIP_DEFLATED
        info.file_size, info.CRC = len(data), zlib.crc32(data)
    else:
        return False
    return True


def _repeat_in_local_header(file: io.BufferedRandom, info: zipfile.ZipInfo) -> None:
    """Both headers of a member agree: offsets 6 (flags, method) and 14 (CRC, sizes) of APPNOTE."""
    file.seek(info.header_offset + 6)
    flags = struct.unpack("<H", file.read(2))[0] | (info.flag_bits & 1)
    file.seek(info.header_offset + 6)
    file.write(struct.pack("<HH", flags, info.compress_type))
    file.seek(info.header_offset + 14)
    file.write(struct.pack("<III", info.CRC, info.compress_size, info.file_size))
