"""A Store on Google Cloud Storage or Azure Blob Storage, through each one's own client.

The store itself is an address. Its client is made where it is used, in each process anew, and finds
credentials by itself, as that cloud's own programs do.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import IO, TypeVar

from artrec.errors import (
    ArtrecError,
    ConditionFailed,
    ConfigError,
    NotFound,
    StoreUnavailable,
    UsageError,
)
from artrec.storage import Entry
from artrec.storage.cloud.driver import Driver, Facts, Patience
from artrec.storage.cloud.probe import check_conditions
from artrec.storage.cloud.upload import Upload

__all__ = ["CLOUDS", "CloudStore"]

CLOUDS = {"gs": "gcs", "az": "azure"}
"""Scheme of an address -> the extra of the package, and the module, that it needs."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]")
_LONGEST = 1024  # bytes of a key in UTF-8
_CHUNK = 16 << 20
_LOCK = Lock()

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CloudStore:
    """Objects of ``bucket`` whose keys begin with ``prefix``, which is empty or ends with ``/``.

    ``seconds``: how long a store may fail to answer, in all. An etag is Azure's without its quotes,
    and the generation of an object on Google.
    """

    scheme: str
    bucket: str
    prefix: str
    seconds: float

    @classmethod
    def at(cls, url: str, seconds: float) -> CloudStore:
        """The store at ``gs://bucket/prefix`` or ``az://container/prefix``."""
        scheme, _, rest = url.partition("://")
        bucket, _, prefix = rest.partition("/")
        prefix = prefix.strip("/")
        if not _BUCKET.fullmatch(bucket) or _is_crooked(prefix):
            raise ConfigError(f"{url}: not an address of the form {scheme}://bucket/prefix")
        return cls(scheme, bucket, f"{prefix}/" if prefix else "", seconds)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")

    def path_url(self, path: str) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}{path.strip('/')}"

    def check(self, path: str) -> None:
        try:
            check_conditions(self, path)
        finally:
            with suppress(ArtrecError):
                self.delete(path)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        folder = f"{self.prefix}{prefix.strip('/')}/" if prefix.strip("/") else self.prefix
        before, again, driver = "", False, self._driver()
        patience = self._patience(prefix)
        found = driver.list(folder)
        while True:
            try:
                facts = next(found, None)
            except driver.failures as error:
                patience.bear(self._passing(error, prefix))
                found, again = driver.list(folder), True  # what is known is passed over
                continue
            if facts is None:
                return
            path = facts.key[len(self.prefix) :]
            patience = self._patience(prefix)  # it has answered
            if path > before:
                before, again = path, False
                yield self._entry(facts)
            elif path and not again:
                raise ConfigError(
                    f"{self.url}: this store lists {path!r} behind {before!r}; one that lists in "
                    "the order of names is needed"
                )

    def stat(self, path: str) -> Entry:
        key = self._key(path)
        return self._entry(self._asked(path, lambda driver: driver.head(key)))

    def read(
        self, path: str, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> bytes:
        key = self._key(path)
        if length == 0:
            found = self.stat(path).etag
            if etag not in (None, found):
                raise ConditionFailed(
                    f"{self.path_url(path)} changed: expected {etag}, found {found}"
                )
            return b""
        patience = self._patience(path)
        while True:
            data = self._asked(path, lambda driver: driver.read(key, offset, length, etag))
            if length is None or len(data) == length:
                return data
            end = max(0, self.stat(path).bytes - offset)
            if len(data) == min(length, end):
                return data
            where = self.path_url(path)
            patience.bear(StoreUnavailable(f"{where}: {len(data)} bytes came of {length}"))

    @contextmanager
    def create(self, path: str) -> Iterator[IO[bytes]]:
        upload = Upload(self, self._driver(), self._key(path), path)
        try:
            yield upload  # type: ignore[misc]
            upload.finish()
        except BaseException:
            upload.abort()
            raise

    def write(self, path: str, data: bytes, if_etag: str | None = None) -> Entry:
        key, token = self._key(path), uuid.uuid4().hex
        try:
            return self._entry(
                self._asked(path, lambda driver: driver.put(key, data, if_etag, token))
            )
        except ConditionFailed:
            found = self.written(path, token)
            if found is not None:
                return found
            if if_etag is not None:
                self.stat(path)  # NotFound, where there is nothing to be swapped
            raise

    def written(self, path: str, token: str) -> Entry | None:
        """What stands there, if the write with this token put it there."""
        key = self._key(path)
        try:
            found = self._asked(path, lambda driver: driver.head(key))
        except NotFound:
            return None
        return self._entry(found) if found.token == token else None

    def upload(self, local: Path, path: str) -> Entry:
        with open(local, "rb") as source, self.create(path) as target:
            while chunk := source.read(1 << 20):
                target.write(chunk)
        return self.stat(path)

    def download(self, path: str, local: Path) -> None:
        entry, at = self.stat(path), 0
        with open(local, "wb") as target:
            while at < entry.bytes:
                at += target.write(self.read(path, at, _CHUNK, entry.etag))

    def delete(self, path: str) -> None:
        key = self._key(path)
        self._asked(path, lambda driver: driver.delete(key))

    def _asked(self, path: str, ask: Callable[[Driver], _T]) -> _T:
        """An answer; what may pass is borne with for a while."""
        driver, patience = self._driver(), self._patience(path)
        while True:
            try:
                return ask(driver)
            except driver.failures as error:
                patience.bear(self._passing(error, path))

    def _passing(self, error: Exception, path: str) -> StoreUnavailable:
        """The fault that may pass; any other is raised."""
        told = self._driver().explained(error, self.path_url(path))
        if not isinstance(told, StoreUnavailable):
            raise told from None
        return told

    def _patience(self, path: str) -> Patience:
        return Patience(self.path_url(path), self.seconds)

    def _driver(self) -> Driver:
        variables = frozenset(item for item in os.environ.items() if item[0].startswith(_READ))
        with _LOCK:  # threads that read ahead begin at once, and want one client together
            return _made(self.scheme, self.bucket, os.getpid(), hash(variables))

    def _entry(self, facts: Facts) -> Entry:
        return Entry(facts.key[len(self.prefix) :], facts.bytes, facts.etag, facts.modified)

    def _key(self, path: str) -> str:
        inner = path.strip("/")
        if not inner or _is_crooked(path.lstrip("/")) or "\0" in path:
            raise UsageError(f"{path!r} is not a path inside {self.url}")
        key = f"{self.prefix}{inner}"
        if len(key.encode("utf-8", "surrogateescape")) > _LONGEST:
            raise UsageError(f"{self.path_url(path)}: a name longer than 1024 bytes")
        return key


_READ = ("GOOGLE_", "CLOUDSDK_", "STORAGE_", "AZURE_")


@lru_cache(maxsize=8)
def _made(scheme: str, bucket: str, process: int, environment: int) -> Driver:
    """The client of this process and environment for one bucket."""
    try:
        if scheme == "gs":
            from artrec.storage.cloud.gcs import GcsDriver

            return GcsDriver(bucket)
        from artrec.storage.cloud.azure import AzureDriver

        return AzureDriver(bucket)
    except ImportError as error:
        raise ConfigError(
            f"{scheme}://{bucket}: {error.name or error} is not installed here: "
            f"pip install 'artrec[{CLOUDS[scheme]}]', on every machine that runs tasks"
        ) from None


def _is_crooked(path: str) -> bool:
    return any(part in ("", ".", "..") for part in path.rstrip("/").split("/")) and path != ""
