"""The only door to storage: a Store reads and writes whole objects under one root.

Paths inside a Store are relative, with ``/`` between parts. An object becomes visible whole or
not at all. A Store is small, picklable and holds no open handles or clients until it is used, so
it may travel to tasks.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol, runtime_checkable

from artrec.errors import ConfigError, UsageError

__all__ = ["Entry", "S3Options", "Store", "Unfinished", "Versioned", "open_store", "split_url"]

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+)://")
_BUCKETS = ("s3://", "gs://", "az://")
_USER = re.compile(r"://[^/]*(:.*)?@")  # a secret may hold slashes, a bucket no colon


@dataclass(frozen=True, slots=True)
class S3Options:
    """How a store on S3 is asked, beside what its client finds out by itself.

    ``checksums``: objects are sent with a CRC32 and checked when they are read. ``retries``:
    ``standard`` or ``adaptive``, which slows down for a store that is too busy. ``seconds``: how
    long a store may fail to answer, in all, before a request is given up. ``listers``: how many
    requests of one list may be under way. Nothing of it is secret.
    """

    checksums: bool = True
    retries: str = "standard"
    seconds: float = 300.0
    listers: int = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """What a Store knows of one object without reading it."""

    path: str
    bytes: int
    etag: str
    modified: datetime


@runtime_checkable
class Store(Protocol):
    """Whole objects under one root. Equal stores have the same root and the same options.

    Every method raises ``NotFound`` for a missing object, ``CredentialsError`` when access is
    denied, ``StoreFull`` and ``StoreUnavailable`` when the run should stop and be resumed.
    """

    def __hash__(self) -> int: ...

    @property
    def url(self) -> str:
        """The root, as it would be written in the settings; never with a secret in it."""
        ...

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Objects whose path starts with the folder ``prefix``, in order of their paths."""
        ...

    def stat(self, path: str) -> Entry: ...

    def read(
        self, path: str, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> bytes:
        """``length`` bytes from ``offset`` (fewer only at the end of the object).

        With ``etag`` the object must still be that one, else ``ConditionFailed``.
        """
        ...

    def create(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """A stream into a new object, visible whole when the block ends without an error.

        Existing objects are never replaced: ``ConditionFailed``.
        """
        ...

    def write(self, path: str, data: bytes, if_etag: str | None = None) -> Entry:
        """Create ``path``, or with ``if_etag`` swap the object that has this etag.

        ``ConditionFailed`` when the object exists, or is another one than ``if_etag`` names.
        """
        ...

    def upload(self, local: Path, path: str) -> Entry:
        """Create ``path`` from a local file."""
        ...

    def download(self, path: str, local: Path) -> None: ...

    def delete(self, path: str) -> None: ...

    def path_url(self, path: str) -> str:
        """How other programs (DuckDB, pandas, Spark) name the object."""
        ...

    def check(self, path: str) -> None:
        """Prove that conditional writes are refused as they should be; asked before any writing.

        ``path`` may be used for the proof, and is free again afterwards. ConfigError for a store on
        which two writers could both win.
        """
        ...


@runtime_checkable
class Unfinished(Protocol):
    """A Store that can tell what writers which died have left half-written."""

    def unfinished(self) -> Iterator[Entry]:
        """Such leftovers, and what is being written now; ``list`` shows neither."""
        ...

    def discard(self, entry: Entry) -> None:
        """Remove one of them."""
        ...


@runtime_checkable
class Versioned(Store, Protocol):
    """A Store that may keep what was deleted, as older versions which ``list`` does not show."""

    def versions(self, folder: str) -> Iterator[Entry]:
        """Such versions, and marks of deletion, below a folder; ``etag`` is that version's id."""
        ...

    def purge(self, entry: Entry) -> None:
        """Remove one of them for good."""
        ...


def open_store(url: str, s3: S3Options | None = None) -> Store:
    """The Store for a URL or a local path; nothing is opened or created yet.

    ``s3`` is for ``s3://bucket/prefix`` and travels with the Store; its seconds are for
    ``gs://bucket/prefix`` and ``az://container/prefix`` too. Credentials come from where each
    cloud's own programs look for them; an address that holds some is refused.
    """
    scheme = _SCHEME.match(url)
    if scheme is None or scheme[1] == "file":
        from artrec.storage.local import LocalStore

        root = os.path.abspath(url.removeprefix("file://"))
        if os.path.isfile(root):
            raise ConfigError(f"{root} is a file: a store is a folder")
        return LocalStore(root)
    if _USER.search(url):
        raise ConfigError(
            f"{_USER.sub('://***@', url)}: credentials do not belong in an address; it is written "
            "into logs and releases. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY (or what the other clouds read), or give the machine a role"
        )
    if scheme[1] == "s3":
        from artrec.storage.s3 import S3Store

        return S3Store.at(url, s3 or S3Options())
    if scheme[1] in ("gs", "az"):
        from artrec.storage.cloud import CloudStore

        return CloudStore.at(url, (s3 or S3Options()).seconds)
    raise ConfigError(
        f"{url}: no store for {scheme[1]}://; use a local path, file://, s3://, gs:// or az://"
    )


def split_url(url: str) -> tuple[str, str]:
    """(root of a Store, path in it) for the URL of one object or folder.

    >>> split_url("data/wikiart.zip")
    ('data', 'wikiart.zip')
    >>> split_url("s3://bucket/wikiart.zip")
    ('s3://bucket', 'wikiart.zip')

    A whole bucket has the path ``""``.
    """
    if url.startswith(_BUCKETS):
        scheme, _, rest = url.partition("://")
        bucket, _, key = rest.strip("/").partition("/")
        folder, _, name = key.rpartition("/")
        return f"{scheme}://{bucket}/{folder}".rstrip("/"), name
    stripped = url.removeprefix("file://").rstrip("/")
    if not stripped:
        raise UsageError("an empty URL names no object")
    root, path = posixpath.split(stripped)
    return root or ("/" if stripped.startswith("/") else "."), path
