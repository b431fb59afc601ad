"""Reading objects: what is cut is gone on with, what is short is not believed."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import FlexibleChecksumError

from artrec.errors import ConditionFailed, ConfigError, StoreUnavailable
from artrec.storage import Entry
from artrec.storage.s3.client import Asking
from artrec.storage.s3.faults import FAILURES, code_of, explained, is_passing

__all__ = ["read_object", "stat_object"]

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_CHUNK = 1 << 20


def stat_object(ask: Asking, key: str) -> Entry:
    """What the server says of an object, under its key."""
    patience = ask.patience()
    while True:
        try:
            found = ask.once("head_object", Key=key)
            return _entry(key, found, found["ContentLength"])
        except FAILURES as error:
            if not is_passing(error):
                break
            patience.bear(error)
    # an answer to HEAD has no body, so it cannot say whether key, bucket or right is missing
    found = ask("get_object", Key=key, Range="bytes=0-0")
    found["Body"].close()
    whole = _RANGE.match(found.get("ContentRange", ""))
    return _entry(key, found, int(whole[3]) if whole else found["ContentLength"])


def _entry(key: str, found: dict[str, Any], size: int) -> Entry:
    return Entry(key, size, found["ETag"].strip('"'), found["LastModified"])


@dataclass
class _Wanted:
    """The part of an object that is still to come, and the object that it is a part of."""

    start: int
    end: int | None
    etag: str | None

    def parameters(self) -> dict[str, str]:
        wanted = {"IfMatch": f'"{self.etag}"'} if self.etag else {}
        if self.start or self.end is not None:
            last = "" if self.end is None else str(self.end - 1)
            wanted["Range"] = f"bytes={self.start}-{last}"
        return wanted


def read_object(ask: Asking, key: str, offset: int, length: int | None, etag: str | None) -> bytes:
    """Bytes of an object from ``offset``; fewer than ``length`` only at its end.

    A body that breaks off is gone on with where it did, as long as the object is the same; if it
    is not, and no ``etag`` was asked for, or its checksum is wrong, the reading begins anew.
    """
    end = None if length is None else offset + length
    wanted, parts = _Wanted(offset, end, etag), list[bytes]()
    patience, since = ask.patience(), offset
    while True:
        if wanted.start > since:  # something came
            patience, since = ask.patience(), wanted.start
        try:
            _take(ask, key, wanted, parts)
            return b"".join(parts)
        except FAILURES as error:
            code = code_of(error)
            if code in ("InvalidRange", "416"):
                return b"".join(parts)
            changed = code in ("PreconditionFailed", "412")
            if isinstance(error, FlexibleChecksumError) or (changed and etag is None):
                wanted, parts = _Wanted(offset, end, etag), []
            elif changed:
                raise ConditionFailed(f"{ask.where} changed: it is not {etag} any more") from None
            elif not is_passing(error):
                raise explained(error, ask.where, "get_object") from None
            patience.bear(error)
        except ShortAnswer as error:
            patience.bear(error)


class ShortAnswer(Exception):
    """Fewer bytes than the object has."""


def _take(ask: Asking, key: str, wanted: _Wanted, parts: list[bytes]) -> None:
    """Ask for what is wanted, and add what comes; ``wanted`` shrinks with each piece."""
    answer = ask.once("get_object", Key=key, **wanted.parameters())
    wanted.etag = answer["ETag"].strip('"')
    with closing(answer["Body"]) as body:
        end = _end(ask, answer, wanted)
        while piece := body.read(_CHUNK):
            parts.append(piece)
            wanted.start += len(piece)
    if wanted.start < end:
        raise ShortAnswer(f"{wanted.start} bytes came of {end}")


def _end(ask: Asking, answer: dict[str, Any], wanted: _Wanted) -> int:
    """Where the bytes end that were asked for, by what the server says of the whole object."""
    found = _RANGE.match(answer.get("ContentRange", ""))
    if found is None:
        if wanted.start or (wanted.end is not None and answer["ContentLength"] > wanted.end):
            raise ConfigError(f"{ask.where}: the store does not answer requests for byte ranges")
        return int(answer["ContentLength"])
    if int(found[1]) != wanted.start:
        raise StoreUnavailable(
            f"{ask.where}: asked for bytes from {wanted.start}, the store answered {found[0]}"
        )
    whole = int(found[2]) + 1 if found[3] == "*" else int(found[3])
    return whole if wanted.end is None else min(whole, wanted.end)
