"""Publishing: all that CURRENT will lead to, then its swap."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress

from artrec.errors import ConditionFailed, NotFound, Superseded
from artrec.failpoints import reached
from artrec.releases.published.current import CURRENT, Base, Current, read_pointer
from artrec.releases.published.reading import duckdb_views
from artrec.releases.published.release import Release
from artrec.releases.runs import create, read_document
from artrec.storage import Store

__all__ = ["point_to", "publish"]


def publish(
    store: Store, release: Release, base: Base, confirm: Callable[[], None] = lambda: None
) -> Release:
    """Write the release and its views, then swap CURRENT against the state the draft began from.

    A release of that name from an interrupted attempt is adopted if it names the same runs.
    ``confirm`` is called before anything is written and right before the swap, and stops both by
    raising. Raises Superseded when CURRENT changed meanwhile; nothing that readers see has changed
    then, and no release was written unless it changed in the last moment.
    """
    confirm()
    _look_first(store, release, base)
    if not create(store, release.path, release):
        found = read_document(store, release.path, Release)
        if _runs(found) != _runs(release):
            raise Superseded(f"release {release.release_id} exists with other contents")
        release = found
    reached("publish.release")
    _create_views(store, release)
    reached("publish.views")
    confirm()
    point_to(store, release, base)
    return release


def point_to(store: Store, release: Release, base: Base) -> Current:
    """Swap CURRENT to a release of the store; Superseded if it is not as in ``base`` any more."""
    sha256 = hashlib.sha256(store.read(release.path)).hexdigest()
    current = Current(
        release=release.release_id,
        previous=release.previous,
        sha256=sha256,
        swaps=base.swaps + 1,
        rolled_back=tuple(name for name in base.rolled_back if name != release.release_id),
    )
    _swap(store, current, base)
    return current


def _runs(release: Release) -> dict[str, dict[str, list[str]]]:
    return {
        name: {table: [r.run_id for r in refs] for table, refs in stage.tables.items()}
        for name, stage in release.stages.items()
    }


def _create_views(store: Store, release: Release) -> None:
    with suppress(ConditionFailed):  # from an interrupted attempt, and made from the same release
        store.write(f"releases/{release.release_id}.sql", duckdb_views(store, release).encode())


def _look_first(store: Store, release: Release, base: Base) -> None:
    """Superseded where the swap would be refused anyway: a release that stays would mislead."""
    found = read_pointer(store)
    etag = found[1].etag if found else None
    if etag != base.etag and (found is None or found[0].release != release.release_id):
        raise _superseded(store, found[0].release if found else "nothing", release.release_id, base)


def _superseded(store: Store, found: str, name: str, base: Base) -> Superseded:
    return Superseded(
        f"{store.url}: {found} was published since this draft began from "
        f"{base.release_id or 'an empty store'}; release {name} is not current. "
        "Run the job again to build on what is current now"
    )


def _swap(store: Store, current: Current, base: Base) -> None:
    data = current.to_bytes()
    try:
        store.write(CURRENT, data, if_etag=base.etag)
    except (ConditionFailed, NotFound) as error:
        try:
            if store.read(CURRENT) == data:
                return  # a retried write had already succeeded
            found = read_document(store, CURRENT, Current).release
        except NotFound:
            found = "nothing"
        raise _superseded(store, found, current.release, base) from error
