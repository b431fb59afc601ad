"""Rollback: readers are led to an older release again, by one swap of CURRENT."""

from __future__ import annotations

from collections.abc import Callable

from artrec.errors import NotFound, Superseded, UsageError
from artrec.failpoints import reached
from artrec.releases.history import were_current
from artrec.releases.published import (
    Base,
    Current,
    Release,
    list_releases,
    point_to,
    read_pointer,
    read_release,
)
from artrec.storage import Entry, Store

__all__ = ["rollback"]


def rollback(
    store: Store, name: str | None = None, confirm: Callable[[], None] = lambda: None
) -> tuple[Current, Current]:
    """Make the release before the current one current, or the named one; (before, now).

    Called again it goes back once more, since the new ``previous`` is what that release was made
    on. It goes forward too, by name, but never to a release that was not current before: its night
    was refused, or ended too early. A night that began before is refused at its swap. Works also
    where the current release is damaged.
    """
    found = read_pointer(store)
    if found is None:
        raise UsageError(f"{store.url}: no release has been published here")
    before, entry = found
    target = name or before.previous
    if target is None:
        raise UsageError(
            f"{store.url}: release {before.release} is the first, there is none before it"
        )
    if target == before.release:
        raise UsageError(f"{store.url}: release {target} is current already")
    release = _whole(store, target)
    if target not in were_current(store):
        raise UsageError(
            f"{store.url}: release {target} was never current, its job ended before its swap; "
            "run that job again, or choose another release (artrec releases list)"
        )
    confirm()
    try:
        now = point_to(store, release, _base(before, entry))
    except Superseded:
        raise Superseded(
            f"{store.url}: CURRENT was changed by another run at the same time; look at it "
            "(artrec releases list) and run this again if it is still wanted"
        ) from None
    reached("rollback.current")
    return before, now


def _base(before: Current, entry: Entry) -> Base:
    left = (*(name for name in before.rolled_back if name != before.release), before.release)
    return Base(None, entry.etag, entry.modified, before.swaps, left)


def _whole(store: Store, name: str) -> Release:
    """The release, if the runs that it names are all there; sweep may have been at work."""
    if name not in list_releases(store):
        known = ", ".join(list_releases(store))
        raise UsageError(f"{store.url}: no release {name} (any more); there are: {known}")
    release = read_release(store, name)
    paths = {
        ref.path: None
        for stage in release.stages.values()
        for refs in stage.tables.values()
        for ref in refs
    }
    gone = [path for path in paths if not _is_there(store, path)]
    if gone:
        raise UsageError(
            f"{store.url}: release {name} is not whole: {len(gone)} of its {len(paths)} runs are "
            f"gone, such as {gone[0]}; choose another one"
        )
    return release


def _is_there(store: Store, path: str) -> bool:
    try:
        return store.stat(path) is not None
    except NotFound:
        return False
