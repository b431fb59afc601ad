"""A stream into a new object of a cloud: small ones by one put, long ones in parts."""

from __future__ import annotations

import io
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from artrec.errors import ConditionFailed, NotFound, StoreUnavailable
from artrec.storage.cloud.driver import Driver, Patience, Sending

if TYPE_CHECKING:
    from artrec.storage.cloud import CloudStore

__all__ = ["PART", "Upload"]

PART = 16 << 20
"""Bytes of a part; Azure takes 50,000 of them."""


class Upload(io.RawIOBase):
    """Memory: one part, twice while it is sent."""

    def __init__(self, store: CloudStore, driver: Driver, key: str, path: str) -> None:
        self._store, self._driver, self._key, self._path = store, driver, key, path
        self._token = uuid.uuid4().hex
        self._waiting = bytearray()
        self._written = 0
        self._sending: Sending | None = None
        self._done = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._waiting += view
        self._written += len(view)
        while len(self._waiting) >= PART:
            with memoryview(self._waiting) as waiting:
                part = bytes(waiting[:PART])
            del self._waiting[:PART]
            self._send(part)
        return len(view)

    def tell(self) -> int:
        return self._written

    def finish(self) -> None:
        """Make the object visible; ConditionFailed where one stands already."""
        if self._done:
            return
        if self._sending is None:
            self._store.write(self._path, bytes(self._waiting))
        else:
            if self._waiting:
                self._send(bytes(self._waiting))
            self._complete(self._sending)
        self._done = True
        self._waiting.clear()

    def abort(self) -> None:
        """Leave nothing visible; the clouds forget parts that are not completed, after a week."""
        self._waiting.clear()
        if self._sending is not None and not self._done:
            with suppress(Exception):  # whose class is the client's; why we abort matters more
                self._sending.abort()
        self._done = True

    def _send(self, part: bytes) -> None:
        patience = self._patience()
        while True:
            try:
                if self._sending is None:
                    self._sending = self._driver.begin(self._key, self._token)
                return self._sending.send(part)
            except self._driver.failures as error:
                told = self._driver.explained(error, self._store.path_url(self._path))
                if not isinstance(told, StoreUnavailable) or not self._may_repeat():
                    raise told from None
                patience.bear(told)

    def _may_repeat(self) -> bool:
        """Whether a request that failed may be made again; a stream has taken its part already."""
        return self._sending is None or self._sending.repeatable

    def _complete(self, sending: Sending) -> None:
        patience = self._patience()
        while True:
            try:
                return sending.finish()
            except self._driver.failures as error:
                told = self._driver.explained(error, self._store.path_url(self._path))
                if self._store.written(self._path, self._token) is not None:
                    return  # its answer was lost
                if isinstance(told, NotFound):  # another writer's completion dropped the parts
                    self._store.stat(self._path)
                    raise ConditionFailed(
                        f"{self._store.path_url(self._path)} exists already"
                    ) from None
                if not isinstance(told, StoreUnavailable) or not sending.repeatable:
                    raise told from None
                patience.bear(told)

    def _patience(self) -> Patience:
        return Patience(self._store.path_url(self._path), self._store.seconds)
