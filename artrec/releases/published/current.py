"""CURRENT, the pointer that readers follow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from artrec.errors import ConditionFailed, NotFound, StoreFormatError
from artrec.releases.published.release import Release
from artrec.releases.runs import Document, parse_document
from artrec.storage import Entry, Store

__all__ = ["Base", "CURRENT", "Current", "read_base", "read_pointer"]

CURRENT = "CURRENT.json"


class Current(Document):
    """The pointer that readers follow; ``sha256`` is that of the release's JSON.

    ``previous`` is what the release was made on, also after a rollback: going back twice is two
    releases back. ``swaps`` counts all swaps, so that no two states of a store are equal, and a
    night that began before a rollback and its undoing is refused wherever an ETag is a checksum.
    ``rolled_back`` are releases that rollbacks led away from: nothing else would tell that they
    ever were current.
    """

    release: str
    previous: str | None
    sha256: str
    swaps: int = 0
    rolled_back: tuple[str, ...] = ()


@dataclass(frozen=True)
class Base:
    """The state of a store when a draft began: the release then current, and CURRENT's ETag."""

    release: Release | None
    etag: str | None
    modified: datetime | None = None
    swaps: int = 0
    rolled_back: tuple[str, ...] = ()

    @property
    def release_id(self) -> str | None:
        return self.release.release_id if self.release else None


def read_pointer(store: Store) -> tuple[Current, Entry] | None:
    """CURRENT as it stands, and what the store says of it; None in an empty store."""
    while True:
        try:
            entry = store.stat(CURRENT)
            data = store.read(CURRENT, etag=entry.etag)
        except NotFound:
            return None
        except ConditionFailed:  # swapped between the two calls
            continue
        return parse_document(data, f"{store.url}/{CURRENT}", Current), entry


def read_base(store: Store) -> Base:
    """What is current now; an empty store has neither release nor ETag."""
    found = read_pointer(store)
    if found is None:
        return Base(None, None)
    current, entry = found
    release = _checked_release(store, current)
    return Base(release, entry.etag, entry.modified, current.swaps, current.rolled_back)


def _checked_release(store: Store, current: Current) -> Release:
    path = f"releases/{current.release}.json"
    data = store.read(path)
    found = hashlib.sha256(data).hexdigest()
    if found != current.sha256:
        raise StoreFormatError(
            f"{store.url}/{path}: altered since it was published: sha256 {found}, "
            f"CURRENT.json says {current.sha256}"
        )
    return parse_document(data, f"{store.url}/{path}", Release)
