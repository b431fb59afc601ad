"""A folder, or a prefix of an object store, as an archive: each object is a member."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from artrec.archive import Content, Limits, Member, Pin
from artrec.archive.names import decode_name
from artrec.errors import ArchiveError, ConditionFailed, NotFound, StoreUnavailable
from artrec.storage import Entry, Store
from artrec.storage.ahead import Read, read_ahead

__all__ = ["FolderArchive"]

_ETAG = "etag="
_AT_ONCE, _AHEAD = 16, 16 << 20  # objects asked for at a time, and bytes of them that wait


@dataclass(slots=True)
class FolderArchive:
    """See ``Archive``. An object that changed or vanished since the listing is a reject, as
    others go on writing into a folder; it takes one request for each object.
    """

    store: Store
    pinned: Pin
    limits: Limits = field(default_factory=Limits)
    folders_skipped: int = 0

    def pin(self) -> Pin:
        return self.pinned

    def members(self) -> Iterator[Member]:
        self.folders_skipped = entry = offset = 0
        prefix = self._full("")
        for found in self.store.list(self.pinned.path):
            if found.path.endswith("/"):  # a marker that S3 consoles write for a folder
                self.folders_skipped += 1
                continue
            if entry >= self.limits.members:
                raise ArchiveError(
                    f"{self.store.path_url(self.pinned.path)}: more than "
                    f"{self.limits.members:,} objects; name its subfolders, or raise the limit"
                )
            yield _member(entry, offset, prefix, found)
            entry, offset = entry + 1, offset + found.bytes

    def read(self, members: Sequence[Member]) -> Iterator[Content]:
        ordered = sorted(members, key=lambda member: (member.offset, member.entry))
        reads = (Read(partial(self._content, member), member.bytes) for member in ordered)
        yield from read_ahead(reads, _AT_ONCE, _AHEAD)

    def _content(self, member: Member) -> Content:
        limit = self.limits.member_bytes
        if member.bytes > limit:
            detail = f"{member.bytes:,} bytes, above the limit of {limit:,}"
            return Content(member, None, "too_large", detail)
        path = self._full(member.raw_name.decode("utf-8", "surrogateescape"))
        try:
            data = self.store.read(path, etag=member.fingerprint.removeprefix(_ETAG))
        except ConditionFailed:
            return Content(member, None, "changed", f"not {member.fingerprint} any more")
        except NotFound:
            return Content(member, None, "vanished", "listed, but gone when it was read")
        if len(data) != member.bytes:
            raise StoreUnavailable(
                f"{self.store.path_url(path)}: {len(data)} bytes came of {member.bytes}; "
                "run the same command again"
            )
        return Content(member, data)

    def _full(self, name: str) -> str:
        return f"{self.pinned.path}/{name}" if self.pinned.path else name


def _member(entry: int, offset: int, prefix: str, found: Entry) -> Member:
    raw = found.path.removeprefix(prefix).encode("utf-8", "surrogateescape")
    return Member(
        entry=entry,
        raw_name=raw,
        name=decode_name(raw),
        occurrence=0,
        bytes=found.bytes,
        stored_bytes=found.bytes,
        fingerprint=f"{_ETAG}{found.etag}",
        offset=offset,
        method="object",
    )
