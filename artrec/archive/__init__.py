"""Archives of pictures: one listing, slices of it, and each slice read as members with their bytes.

An archive is read through a Store by few, large range reads; nothing is written to disk, and a
member's name is data, never a path. A member that cannot be read is a ``Content`` with a reason
from ``REASONS``; an archive that cannot be listed in full is an ``ArchiveError``. Once opened, an
archive is pinned: another object under the same path ends the run with an ``InputError``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from artrec.archive.slices import Slice, cut_slices
from artrec.errors import InputError, NotFound, UsageError
from artrec.storage import Store

__all__ = [
    "Archive",
    "Content",
    "Limits",
    "Member",
    "Pin",
    "REASONS",
    "Slice",
    "cut_slices",
    "open_archive",
]

REASONS = frozenset(
    {
        "bad_crc",  # the bytes do not have the CRC of the listing
        "bad_deflate",  # the compressed data is damaged
        "bad_local_header",  # no header where the listing says, or one with another name
        "bad_size",  # more or fewer bytes than the listing says
        "changed",  # the object is another one than was listed
        "encrypted",
        "ratio",  # expands more than pictures do: a bomb
        "too_large",
        "truncated",  # the bytes end before the member does
        "unsupported_method",  # compressed by something else than deflate
        "vanished",  # the object was listed and is gone
    }
)


@dataclass(frozen=True, slots=True)
class Member:
    """One row of a listing; what a task needs to read it again, without the listing.

    ``entry`` counts members from 0 in the order of the listing, skipped folders not counted.
    ``occurrence`` is the number of earlier members with the same ``raw_name``.
    ``offset`` is where the member's local header lies in the file (zip), or the sum of the bytes
    of all earlier members (folder), so that slices can be cut by it.
    ``method`` is ``stored``, ``deflate``, ``encrypted``, ``unsupported-<number>`` or ``object``.
    ``fingerprint`` is ``crc32=<8 hex digits>`` (zip) or ``etag=<etag>`` (folder).
    """

    entry: int
    raw_name: bytes
    name: str
    occurrence: int
    bytes: int
    stored_bytes: int
    fingerprint: str
    offset: int
    method: str


@dataclass(frozen=True, slots=True)
class Content:
    """A member's bytes, or the reason (of ``REASONS``) why there are none, with one line more."""

    member: Member
    data: bytes | None = None
    reason: str | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        if (self.data is None) == (self.reason is None):
            raise ValueError(f"entry {self.member.entry}: either data or a reason, not both")


@dataclass(frozen=True, slots=True)
class Pin:
    """What an archive was when the run opened it; small, and sent to every task.

    A zip is pinned by its size and etag. A folder's objects are pinned one by one, by the
    fingerprints of its members: its own ``bytes`` and ``etag`` are 0 and empty.
    """

    kind: Literal["zip", "folder"]
    path: str
    bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class Limits:
    """How large an archive and its members may be before they are refused.

    ``member_bytes`` holds for the bytes of a member and, but for 1 %, for its stored bytes;
    ``ratio`` (bytes by stored bytes) for members above 1 MiB; ``members`` for one archive, folders
    included.
    """

    member_bytes: int = 512 << 20
    ratio: float = 1000.0
    members: int = 20_000_000


@runtime_checkable
class Archive(Protocol):
    """A listing and its members; picklable, without open handles."""

    folders_skipped: int  # directory entries that the last listing passed over; complete at its end

    def pin(self) -> Pin: ...

    def members(self) -> Iterator[Member]:
        """The listing, streamed. It counts only when it ends: the last step checks the whole.

        ``ArchiveError`` when it cannot be read in full, is larger than the limits, or when
        members overlap; ``InputError`` when the archive changed since it was opened.
        """
        ...

    def read(self, members: Sequence[Member]) -> Iterator[Content]:
        """One ``Content`` for each of ``members`` (given in any order), by growing offset.

        Memory: one window of 64 MiB, or of one member where that is larger, and the member.
        Errors of the Store are raised; ``InputError`` when the archive changed.
        """
        ...


def open_archive(
    store: Store, path: str, *, pin: Pin | None = None, limits: Limits | None = None
) -> Archive:
    """The archive under ``path``: a zip if an object lies there, else a folder of objects.

    With ``pin`` nothing is looked at: tasks open what the driver has opened. ``ArchiveError`` for
    a file that is no zip, with what it seems to be; ``InputError`` where nothing lies.
    """
    # The implementations stand on the types of this module.
    from artrec.archive.folder import FolderArchive
    from artrec.archive.zip import ZipArchive

    limits = limits or Limits()
    path = path.strip("/")
    if pin is not None:
        if pin.path != path:
            raise UsageError(f"the pin is of {pin.path}, not of {path}")
        return (ZipArchive if pin.kind == "zip" else FolderArchive)(store, pin, limits)
    try:
        entry = store.stat(path) if path else None
    except NotFound:
        entry = None
    if entry is not None:
        archive = ZipArchive(store, Pin("zip", path, entry.bytes, entry.etag), limits)
        archive.directory()
        return archive
    if next(iter(store.list(path)), None) is None:
        raise InputError(f"{store.path_url(path)}: no file and no folder with files; check the URL")
    return FolderArchive(store, Pin("folder", path, 0, ""), limits)
