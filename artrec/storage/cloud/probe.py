"""The probe at start: does this server honour conditions, as the protocol needs it?"""

from __future__ import annotations

from collections.abc import Callable

from artrec.errors import ConditionFailed, ConfigError, NotFound
from artrec.storage import Store
from artrec.storage.cloud.upload import PART

__all__ = ["check_conditions"]


def check_conditions(store: Store, path: str) -> None:
    """ConfigError for a server that lets two writers win; ``path`` is written."""
    first = store.write(path, b"first")
    _expect_refusal(store, lambda: store.write(path, b"overwritten"), "a create")
    second = store.write(path, b"second", if_etag=first.etag)
    _expect_refusal(
        store, lambda: store.write(path, b"overwritten", if_etag=first.etag), "a swap of another"
    )
    _expect_refusal(store, lambda: _long(store, path), "a create in parts")
    found = store.read(path, etag=second.etag)
    if found != b"second":
        raise ConfigError(
            f"{store.url}: it read {found[:20]!r} where b'second' was written just before"
        )


def _long(store: Store, path: str) -> None:
    with store.create(path) as stream:
        stream.write(bytes(PART))


def _expect_refusal(store: Store, write: Callable[[], object], what: str) -> None:
    try:
        write()
    except (ConditionFailed, NotFound):
        return
    raise ConfigError(
        f"{store.url}: this store overwrote an object by {what}, so two jobs could both publish; "
        "use one that honours conditions"
    )
