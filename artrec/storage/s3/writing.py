"""Writing objects: whole or not at all, by one put or an upload in parts.

Each write carries a token of its own in the object's metadata. Where an answer was lost, and the
repeated request is refused, the token tells whether the object that stands there is ours.
"""

from __future__ import annotations

import io
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from artrec.errors import ArtrecError, ConditionFailed, NotFound, StoreUnavailable
from artrec.storage import Entry
from artrec.storage.s3.client import Asking

__all__ = [
    "PART",
    "Upload",
    "begin_upload",
    "complete_upload",
    "part_bytes",
    "put_object",
    "send_part",
]

PART = 16 << 20
"""Bytes of a part, of the first 24 GB."""
_OF_WRITTEN = 1500
_TOKEN = "artrec-write"

Part = dict[str, Any]


def put_object(ask: Asking, key: str, data: bytes, if_etag: str | None) -> Entry:
    """Create an object, or swap the one with this etag; ConditionFailed where another stands."""
    token = uuid.uuid4().hex
    condition = {"IfNoneMatch": "*"} if if_etag is None else {"IfMatch": f'"{if_etag}"'}
    try:
        answer = ask("put_object", Key=key, Body=data, Metadata={_TOKEN: token}, **condition)
        etag, headers = answer["ETag"], answer["ResponseMetadata"]["HTTPHeaders"]
    except ConditionFailed as error:
        found = _ours(ask, key, token)
        if found is None:
            raise _refused(ask, if_etag) from error
        etag, headers = found["ETag"], found["ResponseMetadata"]["HTTPHeaders"]
    return Entry(key, len(data), etag.strip('"'), _date(headers))


def _refused(ask: Asking, if_etag: str | None) -> ConditionFailed:
    if if_etag is None:
        return ConditionFailed(f"{ask.where} exists already")
    return ConditionFailed(f"{ask.where} changed: it is not {if_etag} any more")


def _ours(ask: Asking, key: str, token: str) -> dict[str, Any] | None:
    """What stands under ``key``, if this very write put it there."""
    try:
        found = ask("head_object", Key=key)
    except NotFound:
        return None
    return found if found.get("Metadata", {}).get(_TOKEN) == token else None


def _date(headers: dict[str, str]) -> datetime:
    try:
        return parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)


def begin_upload(ask: Asking, key: str, metadata: dict[str, str]) -> str:
    """Begin an upload in parts; its id."""
    # what is not announced here, some servers do not find again in the parts
    sums = {"ChecksumAlgorithm": "CRC32"} if ask.options.checksums else {}
    return str(ask("create_multipart_upload", Key=key, Metadata=metadata, **sums)["UploadId"])


def send_part(ask: Asking, key: str, upload: str, number: int, data: bytes) -> Part:
    """Send one part; what the completion has to say of it."""
    answer = ask("upload_part", Key=key, UploadId=upload, PartNumber=number, Body=data)
    part = {"PartNumber": number, "ETag": answer["ETag"]}
    if "ChecksumCRC32" in answer:
        part["ChecksumCRC32"] = answer["ChecksumCRC32"]
    return part


def complete_upload(ask: Asking, key: str, upload: str, parts: list[Part]) -> None:
    """Make an object of the parts; ConditionFailed where one stands already."""
    whole = {"Parts": parts}
    ask(
        "complete_multipart_upload",
        Key=key,
        UploadId=upload,
        MultipartUpload=whole,
        IfNoneMatch="*",
    )


def part_bytes(written: int) -> int:
    """How large the next part is: they grow with what is written, so that 10,000 make 5 TB."""
    return max(PART, written // _OF_WRITTEN)


class Upload(io.RawIOBase):
    """A stream into a new object. Memory: one part, twice while it is sent."""

    def __init__(self, ask: Asking, key: str) -> None:
        self._ask, self._key = ask, key
        self._token = uuid.uuid4().hex
        self._waiting = bytearray()
        self._written = 0
        self._id: str | None = None
        self._parts: list[Part] = []
        self._done = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._waiting += view
        self._written += len(view)
        while len(self._waiting) >= (size := part_bytes(self._written)):
            with memoryview(self._waiting) as waiting:
                part = bytes(waiting[:size])
            del self._waiting[:size]
            self._send(part)
        return len(view)

    def tell(self) -> int:
        return self._written

    def finish(self) -> None:
        """Make the object visible; ConditionFailed where one stands already."""
        if self._done:
            return
        if self._id is None:
            put_object(self._ask, self._key, bytes(self._waiting), None)
        else:
            if self._waiting:
                self._send(bytes(self._waiting))
            self._complete(self._id)
        self._done = True
        self._waiting.clear()

    def abort(self) -> None:
        """Leave nothing behind; what cannot be taken back now is found by a sweep."""
        self._done = True
        self._waiting.clear()
        if self._id is not None:
            with suppress(ArtrecError):
                self._ask("abort_multipart_upload", Key=self._key, UploadId=self._id)

    def _send(self, data: bytes) -> None:
        if self._id is None:
            self._id = begin_upload(self._ask, self._key, {_TOKEN: self._token})
        number = len(self._parts) + 1
        self._parts.append(send_part(self._ask, self._key, self._id, number, data))

    def _complete(self, upload_id: str) -> None:
        try:
            complete_upload(self._ask, self._key, upload_id, self._parts)
        except (ConditionFailed, NotFound) as error:
            # a repeated request finds its object there, and its upload gone
            if _ours(self._ask, self._key, self._token) is not None:
                return
            if isinstance(error, NotFound):
                raise StoreUnavailable(
                    f"{self._ask.where}: the store lost the upload before it was complete; run the "
                    "same command again"
                ) from error
            raise _refused(self._ask, None) from error
