"""What a file is by its first bytes; and what it seems to be, where it is no archive."""

from __future__ import annotations

from typing import Literal

from artrec.archive.tar_header import is_header

__all__ = ["HEAD_BYTES", "kind_of", "seems"]

HEAD_BYTES = 512  # a whole header of a tar

_MARKS = (
    (b"PK\x07\x08", "a part of a split zip file"),
    (b"PK\x03\x04", "a zip"),
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


def kind_of(head: bytes) -> Literal["zip", "tar", "tar.gz", "tar.zst", "parquet"] | None:
    """The kind of archive that these first ``HEAD_BYTES`` begin; None for what may yet be a zip,
    which is known by its end."""
    if is_header(head):  # first, as the name of its first member may be anything
        return "tar"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "tar.gz"
    if head.startswith(b"\x28\xb5\x2f\xfd") or _is_skippable_frame(head):
        return "tar.zst"
    return "parquet" if head.startswith(b"PAR1") else None


def _is_skippable_frame(head: bytes) -> bool:
    """Of zstandard; some tools (pzstd) begin with one."""
    return len(head) > 8 and head[0] >> 4 == 5 and head[1:4] == b"\x2a\x4d\x18"


def seems(head: bytes) -> str:
    """A guess in words from the first ``HEAD_BYTES`` of a file."""
    for mark, what in _MARKS:
        if head.startswith(mark):
            return what
    if is_header(head):
        return "a tar archive"
    if head[257:262] == b"ustar":
        return "a tar archive whose first header is damaged; copy it again"
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page (an error or log-in page in place of the download?)"
    if text.startswith((b"<?xml", b"<error", b"{")):
        return "XML or JSON (an error message in place of the download?)"
    return f"something unknown that begins with {head[:8]!r}"
