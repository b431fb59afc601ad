"""Archives of pictures: one listing, slices of it, and each slice read as members with their bytes.

An archive is read through a Store by few, large range reads; nothing is written to disk, and a
member's name is data, never a path. A member that cannot be read is a ``Content`` with a reason
from ``REASONS``; an archive that cannot be listed in full is an ``ArchiveError``. Once opened, an
archive is pinned: another object under the same path ends the run with an ``InputError``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from artrec.storage import Store

__all__ = [
    "Archive",
    "Content",
    "Digested",
    "KINDS",
    "Limits",
    "Member",
    "Pin",
    "REASONS",
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
        "link",  # of a tar: names another member or file, and has no bytes of its own
        "not_a_file",  # of a tar: a device or a pipe
        "ratio",  # expands more than pictures do: a bomb
        "sparse",  # of a tar: holes were left out, which is not undone
        "too_large",
        "truncated",  # the bytes end before the member does
        "unsupported_method",  # compressed by something else than deflate, or a type of member
        "vanished",  # the object was listed and is gone
    }
)

KINDS = ("auto", "zip", "tar", "folder", "parquet")
"""What a source may be said to be; ``tar`` also compressed, ``auto`` what its bytes show."""


@dataclass(frozen=True, slots=True)
class Member:
    """One row of a listing; what a task needs to read it again, without the listing.

    ``entry`` counts members from 0 in the order of the listing, skipped folders not counted.
    ``occurrence`` is the number of earlier members with the same ``raw_name``.
    ``offset`` is that by which slices are cut: where the member's header lies in the file (zip,
    tar), the bytes of all earlier members (folder) or row groups (Parquet), 0 in a compressed tar,
    all of which is one slice.
    ``method`` is ``stored``, ``deflate``, ``encrypted`` or ``unsupported-<number>``; of a tar also
    ``link``, ``special`` or ``sparse``; of a folder ``object``; of Parquet ``row``.
    ``fingerprint`` is ``crc32=<8 hex digits>`` of the bytes, or where a listing does not know them
    ``etag=<etag>`` (folder) and ``etag=<etag of the tar>:<offset>`` (tar).
    ``labels`` is what the archive itself says of the member, by field of the table labels.

    One slot each, as a task holds those of its slice: some 400 bytes a member.
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
    labels: Mapping[str, str] | None = field(default=None, hash=False)


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

    A file is pinned by its size and etag. A folder's objects are pinned one by one, by the
    fingerprints of its members: its own ``bytes`` and ``etag`` are 0 and empty. So are those of
    Parquet, whose ``files`` are (path below the folder or "", bytes, etag, rows) each.
    """

    kind: Literal["zip", "tar", "tar.gz", "tar.zst", "folder", "parquet"]
    path: str
    bytes: int
    etag: str
    files: Sequence[tuple[str, int, str, int]] = ()

    @property
    def sliced(self) -> bool:
        """Whether several tasks may share it; else one reads all of it, from the start."""
        return not self.kind.startswith("tar.")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large an archive and its members may be before they are refused.

    ``member_bytes`` holds for the bytes of a member and, but for 1 %, for its stored bytes;
    ``ratio`` (bytes by stored bytes) for members above 1 MiB, and for compressed tars as a whole;
    ``members`` for one archive, folders included.
    """

    member_bytes: int = 512 << 20
    ratio: float = 1000.0
    members: int = 20_000_000


@runtime_checkable
class Digested(Protocol):
    """An archive that can tell its listing from another without making it."""

    def listing_digest(self) -> str:
        """Of the bytes that the listing is read from, and of where they lie."""
        ...


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
    store: Store,
    path: str,
    *,
    pin: Pin | None = None,
    limits: Limits | None = None,
    kind: str = "auto",
) -> Archive:
    """The archive under ``path``, of whatever kind its first bytes show, or as ``kind`` says.

    A folder is Parquet where it holds nothing but ``.parquet`` files, else each of its files is a
    member. With ``pin`` nothing is looked at: tasks open what the
    driver has opened. ``ArchiveError`` for a file that is no archive, with what it seems to be;
    ``InputError`` where nothing lies.
    """
    # The implementations stand on the types of this module.
    from artrec.archive import opening

    limits, path = limits or Limits(), path.strip("/")
    if pin is not None:
        return opening.pinned(store, path, pin, limits)
    return opening.found(store, path, limits, kind)
