"""Which releases came before; those never current were superseded, or killed, before their swap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from artrec.errors import NotFound, StoreFormatError
from artrec.releases.published import Release, list_releases, read_pointer
from artrec.releases.runs import read_document
from artrec.storage import Store

__all__ = ["releases_before", "were_current"]


def were_current(store: Store, releases: Iterable[Release] | None = None) -> set[str]:
    """Names of what is current, what a release was made on, and what rollbacks led away from.

    ``releases`` are all of the store, where they were read already. Each of these was current: a
    draft begins on nothing else. What this cannot know: a release from which an artrec without
    ``rolled_back`` went back before another night began; one whose only successor was removed by
    hand or cannot be read (sweep removes the older first); whether a name that was swept and taken
    again means the old release or the new one.
    """
    pointer = read_pointer(store)
    found = _readable(store) if releases is None else releases
    names = {release.previous for release in found}
    if pointer is not None:
        current = pointer[0]
        names |= {current.release, current.previous, *current.rolled_back}
    return {name for name in names if name is not None}


def _readable(store: Store) -> Iterator[Release]:
    """Also a rollback from a damaged release asks."""
    for name in list_releases(store):
        with suppress(NotFound, StoreFormatError):
            yield read_document(store, f"releases/{name}.json", Release)


def releases_before(store: Store, release: Release | None, count: int) -> list[Release]:
    """This release and those that it was made on, the newest first: ``count`` of them at most.

    One that was swept, or that a newer artrec wrote, ends it.
    """
    found: list[Release] = []
    while release is not None and len(found) < count:
        found.append(release)
        release = _before(store, release)
    return found


def _before(store: Store, release: Release) -> Release | None:
    if release.previous is not None:
        with suppress(NotFound, StoreFormatError):
            return read_document(store, f"releases/{release.previous}.json", Release)
    return None
