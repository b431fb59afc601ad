"""What a file seems to be, for the message that it is not an archive that can be read."""

from __future__ import annotations

__all__ = ["HEAD_BYTES", "seems"]

HEAD_BYTES = 512  # enough for the mark of a tar, at 257

_MARKS = (
    (b"PK\x07\x08", "a part of a split zip file"),
    (b"\x1f\x8b", "gzip (.gz, .tar.gz)"),
    (b"BZh", "bzip2 (.bz2, .tar.bz2)"),
    (b"\xfd7zXZ\x00", "xz (.xz, .tar.xz)"),
    (b"\x28\xb5\x2f\xfd", "zstandard (.zst, .tar.zst)"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF file"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"MZ", "a Windows program"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)


def seems(head: bytes) -> str:
    """A guess in words from the first ``HEAD_BYTES`` of a file."""
    for mark, what in _MARKS:
        if head.startswith(mark):
            return what
    if head[257:262] == b"ustar":
        return "a tar archive"
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page (an error or log-in page in place of the download?)"
    if text.startswith((b"<?xml", b"<error", b"{")):
        return "XML or JSON (an error message in place of the download?)"
    return f"something unknown that begins with {head[:8]!r}"
