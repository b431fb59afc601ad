"""What a cloud's own client has to do for a Store, and how long its faults are borne."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from artrec import log
from artrec.errors import ArtrecError, StoreUnavailable

__all__ = ["Driver", "Facts", "Patience", "Sending", "TOKEN", "redacted"]

TOKEN = "artrec_write"
"""The object's metadata that names the write which made it (Azure takes no hyphen)."""
_LONGEST_WAIT = 15.0

_SECRETS = (
    (re.compile(r"://[^/@\s]*@"), "://***@"),
    (re.compile(r"(?i)\b(sig|signature|X-Goog-[A-Za-z-]*|access_token)=[^&\s'\"]*"), r"\1=***"),
    (re.compile(r"(?i)\b(AccountKey|SharedAccessSignature)=[^;\s]*"), r"\1=***"),
    (re.compile(r"(?i)\b(Bearer|SharedKey) [^\s'\"]+"), r"\1 ***"),
)


def redacted(text: str) -> str:
    """``text`` without what looks like a key, a signature or a password in an address."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


@dataclass(frozen=True, slots=True)
class Facts:
    """What a client tells of one object. ``etag`` is what its conditions compare."""

    key: str
    bytes: int
    etag: str
    modified: datetime
    token: str = ""


class Sending(Protocol):
    """A new object that is sent in parts; nothing of it is visible before ``finish``.

    ``repeatable``: what failed may be asked again; else it has been tried as often as it may be.
    """

    repeatable: bool

    def send(self, part: bytes) -> None: ...

    def finish(self) -> None: ...

    def abort(self) -> None: ...


class Driver(Protocol):
    """One bucket, one try each; any of ``failures`` may be raised and is told by ``explained``."""

    failures: tuple[type[Exception], ...]

    def list(self, prefix: str) -> Iterator[Facts]: ...

    def head(self, key: str) -> Facts: ...

    def read(self, key: str, offset: int, length: int | None, etag: str | None) -> bytes:
        """Bytes from ``offset``; none where the object has ended."""
        ...

    def put(self, key: str, data: bytes, if_etag: str | None, token: str) -> Facts:
        """Create an object, or with ``if_etag`` swap the one that has it."""
        ...

    def begin(self, key: str, token: str) -> Sending:
        """Create an object in parts."""
        ...

    def delete(self, key: str) -> None: ...

    def explained(self, error: Exception, where: str) -> ArtrecError:
        """The error of a Store that it is; StoreUnavailable for what may pass."""
        ...


class Patience:
    """How long passing faults are borne: ``seconds`` from now on, in all."""

    def __init__(self, where: str, seconds: float) -> None:
        self._where, self._seconds = where, seconds
        self._end = time.monotonic() + seconds
        self._next = 0.1

    def bear(self, error: ArtrecError) -> None:
        """Wait, longer each time; StoreUnavailable (6) when the time is over."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise StoreUnavailable(
                f"{self._where}: the store failed to answer for {self._seconds:g} s "
                "(store.s3.seconds); run the same command again when it does. Its last word: "
                f"{error}"
            ) from None
        wait = min(left, random.uniform(self._next / 2, self._next))
        self._next = min(2 * self._next, _LONGEST_WAIT)
        log.get().warning(
            "the store did not answer, it is asked again",
            what=str(error),
            seconds=round(wait, 1),
            gives_up_in=round(left),
            setting="store.s3.seconds",
        )
        time.sleep(wait)
