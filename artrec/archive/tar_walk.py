"""From header to header through a tar: every member in order, and the proof that it is whole.

A tar has no directory and no count: one that is cut between two members looks like a shorter one.
So each block between members has to be a header with its checksum, the end is two zero blocks,
and nothing but zeros may follow. Format: POSIX.1-2001 (pax) and GNU tar's extensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from artrec.archive.tar_header import BLOCK, BadHeader, Header, is_header, parse_header
from artrec.errors import ArchiveError

__all__ = ["FOLDER", "Tape", "TarEntry", "walk"]

FOLDER = "folder"  # the method of directory entries, which are no members

_METHODS = {b"0": "stored", b"\0": "stored", b"7": "stored", b"S": "sparse"}
_METHODS |= dict.fromkeys((b"1", b"2"), "link") | dict.fromkeys((b"3", b"4", b"6"), "special")
_METHODS |= dict.fromkeys((b"5", b"D"), FOLDER)
_WITHOUT_BYTES = (b"2", b"3", b"4", b"5", b"6")  # their size, if any, is no number of bytes here
_HARD_LINK, _LABEL, _CONTINUED = b"1", b"V", b"M"
_LONG_NAME, _LONG_LINK, _GLOBAL, _LOCAL = b"L", b"K", b"g", (b"x", b"X")
_SPARSE = b"GNU.sparse."
_MOST = 16 << 20  # bytes of one extension header
_CHUNK = 1 << 20


class Tape(Protocol):
    """What a tar is read from: forward, by places that never fall."""

    @property
    def url(self) -> str: ...

    def read(self, at: int, length: int) -> bytes:
        """These bytes of the tar; fewer only at its end."""
        ...


@dataclass(frozen=True, slots=True)
class TarEntry:
    """A member: its own header lies at ``start``, ``bytes`` of data at ``body``.

    ``method`` is ``stored``, ``folder``, ``link``, ``special`` (a device or pipe), ``sparse`` or
    ``unsupported-<number of its type flag>``.
    """

    raw_name: bytes
    bytes: int
    start: int
    body: int
    method: str


@dataclass
class _Said:
    """What extension headers say: of the next member, and of all that follow."""

    name: bytes | None = None
    pax: dict[bytes, bytes] = field(default_factory=dict)
    always: dict[bytes, bytes] = field(default_factory=dict)
    pending: bool = False

    def hear(self, header: Header, data: bytes) -> None:
        if header.kind == _GLOBAL:
            self.always |= _records(data)
            return
        self.pending = True
        if header.kind == _LONG_NAME:
            self.name = data.rstrip(b"\0")
        elif header.kind in _LOCAL:
            self.pax |= _records(data)

    def applied(self, header: Header) -> tuple[Header, bool]:
        """The header of a member with what was said before it, and whether that is sparse."""
        pax = self.always | self.pax
        sparse = any(key.startswith(_SPARSE) for key in pax)
        named = pax.get(b"GNU.sparse.name") or pax.get(b"path") or self.name
        if size := pax.get(b"size"):
            if not size.isdigit() or len(size) > 18:
                raise BadHeader(f"its size is {size[:40]!r}")
            header = header._replace(size=int(size))
        self.name, self.pax, self.pending = None, {}, False
        return header._replace(raw_name=named or header.raw_name), sparse


def walk(tape: Tape) -> Iterator[TarEntry]:
    """Every entry, directories too; ``ArchiveError`` at the first place where no header is, or at
    the end where the tar is not closed. An entry's data may be read before the next one is asked
    for.
    """
    said, at = _Said(), 0
    while True:
        block = _block(tape, at)
        if not block.strip(b"\0"):
            if said.pending:
                raise _damaged(tape, at, "its last header has no member")
            _check_end(tape, at)
            return
        try:
            header = parse_header(block)
            if header.kind in (_LONG_NAME, _LONG_LINK, _GLOBAL, *_LOCAL):
                said.hear(header, _extension(tape, at, header))
                at += BLOCK + _padded(header.size)
                continue
            if header.kind == _CONTINUED:
                raise BadHeader("it goes on from another volume: join the volumes first")
            header, sparse = said.applied(header)
        except BadHeader as error:
            raise _damaged(tape, at, str(error)) from None
        body = at + BLOCK
        while header.extended:  # blocks of an old GNU sparse map
            header = header._replace(extended=_block(tape, body)[504] != 0)
            body += BLOCK
        size = _size(tape, header, body)
        if header.kind != _LABEL:
            yield TarEntry(header.raw_name, size, at, body, _method(header, sparse))
        at = body + _padded(size)


def _block(tape: Tape, at: int) -> bytes:
    block = tape.read(at, BLOCK)
    if len(block) < BLOCK:
        raise ArchiveError(
            f"{tape.url}: the tar ends before byte {at + BLOCK:,}, without the two zero blocks "
            "that close one: it seems cut; compare its size with the original's and copy it again, "
            "or pack it anew"
        )
    return block


def _extension(tape: Tape, at: int, header: Header) -> bytes:
    if header.size > _MOST:
        raise BadHeader(f"its extension has {header.size:,} bytes, more than {_MOST:,}")
    data = tape.read(at + BLOCK, header.size)
    if len(data) < header.size:
        _block(tape, at + BLOCK + _padded(header.size))
        raise BadHeader("its extension is cut")
    return data


def _size(tape: Tape, header: Header, body: int) -> int:
    """The bytes that lie behind a header. Of hard links some tools write the size of the file that
    they stand for, others also its bytes: what comes next tells."""
    if header.kind in _WITHOUT_BYTES:
        return 0
    if header.kind == _HARD_LINK and header.size:
        following = tape.read(body, BLOCK)
        if is_header(following) or not following.strip(b"\0"):
            return 0
    return header.size


def _method(header: Header, sparse: bool) -> str:
    if header.kind in (b"0", b"\0") and header.raw_name.endswith(b"/") and not header.size:
        return FOLDER
    method = _METHODS.get(header.kind) or f"unsupported-{header.kind[0]}"
    return "sparse" if sparse and method == "stored" else method


def _check_end(tape: Tape, at: int) -> None:
    """Two zero blocks, and then zeros to the end."""
    if _block(tape, at + BLOCK).strip(b"\0"):
        raise _damaged(tape, at, "a lone zero block stands there")
    at += 2 * BLOCK
    while chunk := tape.read(at, _CHUNK):
        if rest := chunk.lstrip(b"\0"):
            place = at + len(chunk) - len(rest)
            raise ArchiveError(
                f"{tape.url}: the tar ends before byte {place:,}, where other bytes follow: a "
                "second archive joined to it, or damage; split them, or copy it again"
            )
        at += len(chunk)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _damaged(tape: Tape, at: int, what: str) -> ArchiveError:
    return ArchiveError(
        f"{tape.url}: the tar is damaged: no whole header at byte {at:,}: {what}; "
        "copy the archive again"
    )


def _records(data: bytes) -> dict[bytes, bytes]:
    """The records of a pax header: ``<bytes of the record> <key>=<value>`` and a line's end."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(data) and data[at]:
        digits, space, _ = data[at : at + 20].partition(b" ")
        if not space or not digits.isdigit():
            raise BadHeader("its pax extension is damaged")
        end = at + int(digits)
        key, equals, value = data[at + len(digits) + 1 : end].partition(b"=")
        if not equals or not value.endswith(b"\n") or end > len(data):
            raise BadHeader("its pax extension is damaged")
        found[key] = value[:-1]
        at = end
    return found
