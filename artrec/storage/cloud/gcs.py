"""Google Cloud Storage through Google's own client.

Credentials are found as Google's own programs find them (application default credentials), a server
elsewhere by STORAGE_EMULATOR_HOST.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import requests
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.fileio import BlobWriter

from artrec.errors import (
    ArtrecError,
    ConditionFailed,
    ConfigError,
    CredentialsError,
    NotFound,
    StoreFull,
    StoreUnavailable,
    UsageError,
)
from artrec.storage.cloud.driver import TOKEN, Facts, Sending, redacted

__all__ = ["GcsDriver"]

_ONCE: dict[str, Any] = {"retry": None, "timeout": (10, 60)}
_NEVER = 1  # a generation that no object has
_PART = 16 << 20


class GcsDriver:
    """See ``Driver``. The etag of an object is its generation."""

    failures: tuple[type[Exception], ...] = (
        GoogleAPIError,
        GoogleAuthError,
        InvalidResponse,
        DataCorruption,
        requests.RequestException,
    )

    def __init__(self, bucket: str) -> None:
        try:
            self._client = storage.Client(project=None)
        except GoogleAuthError as error:
            raise self.explained(error, f"gs://{bucket}") from None
        self._bucket = self._client.bucket(bucket)

    def list(self, prefix: str) -> Iterator[Facts]:
        for blob in self._client.list_blobs(self._bucket, prefix=prefix, **_ONCE):
            yield _facts(blob)

    def head(self, key: str) -> Facts:
        blob = self._bucket.blob(key)
        blob.reload(**_ONCE)
        return _facts(blob)

    def read(self, key: str, offset: int, length: int | None, etag: str | None) -> bytes:
        blob = self._bucket.blob(key)
        part = {} if offset == 0 and length is None else {"start": offset}
        if length is not None:
            part["end"] = offset + length - 1
        try:
            data = blob.download_as_bytes(
                raw_download=True, if_generation_match=_generation(etag), **part, **_ONCE
            )
        except self.failures as error:
            if _status(error) != 416:
                raise
            if etag is not None and self.head(key).etag != etag:
                raise ConditionFailed(
                    f"gs://{self._bucket.name}/{key} changed: it is not {etag} any more"
                ) from None
            return b""
        if etag is not None and str(blob.generation) != etag:  # not every server knows conditions
            raise ConditionFailed(
                f"gs://{self._bucket.name}/{key} changed: it is not {etag} any more"
            )
        return cast(bytes, data)

    def put(self, key: str, data: bytes, if_etag: str | None, token: str) -> Facts:
        blob = self._new(key, token)
        wanted = 0 if if_etag is None else _generation(if_etag)
        blob.upload_from_string(
            data, "application/octet-stream", if_generation_match=wanted, checksum="crc32c", **_ONCE
        )
        return _facts(blob)

    def begin(self, key: str, token: str) -> Sending:
        writer = BlobWriter(
            self._new(key, token),
            chunk_size=_PART,
            if_generation_match=0,
            checksum="crc32c",
            content_type="application/octet-stream",
        )
        return _Sending(writer)

    def delete(self, key: str) -> None:
        self._bucket.blob(key).delete(**_ONCE)

    def explained(self, error: Exception, where: str) -> ArtrecError:
        status, said = _status(error), redacted(str(error)).partition("\n")[0]
        if status == 404 and ("bucket does not exist" in said or "/o?" in said):
            return ConfigError(f"{where}: there is no such bucket; look at its spelling ({said})")
        if status == 404:
            return NotFound(f"{where}: no such object")
        if status == 412:
            return ConditionFailed(f"{where} exists already, or is another object than expected")
        if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
            return CredentialsError(
                f"{where}: no usable credentials ({said}); set GOOGLE_APPLICATION_CREDENTIALS, run "
                "gcloud auth application-default login, or give the machine a service account"
            )
        if status in (401, 403):
            return CredentialsError(
                f"{where}: access denied ({said}); jobs need the role Storage Object User there"
            )
        if status == 507:
            return StoreFull(f"{where}: no space left ({said})")
        if status in (408, 429) or status >= 500 or not status:
            return StoreUnavailable(
                f"{where}: {type(error).__name__}: {said}; run the same command again"
            )
        if status == 400 and "name" in said:
            return UsageError(f"{where}: this store cannot have such a name ({said})")
        return ArtrecError(f"{where}: refused: {said}")

    def _new(self, key: str, token: str) -> Any:
        blob = self._bucket.blob(key)
        blob.metadata = {TOKEN: token}
        return blob


class _Sending:
    """A resumable upload: parts go one after another, and the last one makes the object.

    The client's stream takes a part before it asks, and asks again by itself for two minutes.
    """

    repeatable = False

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def send(self, part: bytes) -> None:
        self._writer.write(part)

    def finish(self) -> None:
        self._writer.close()

    def abort(self) -> None:
        self._writer.terminate()


def _generation(etag: str | None) -> int | None:
    if etag is None:
        return None
    return int(etag) if etag.isdigit() else _NEVER


def _status(error: Exception) -> int:
    """Of the answer; 0 where there was none."""
    answer = getattr(error, "response", None)
    status = getattr(error, "code", None) or getattr(answer, "status_code", None) or 0
    return int(status)


def _facts(blob: Any) -> Facts:
    modified = blob.updated or datetime.now(UTC)
    token = (blob.metadata or {}).get(TOKEN, "")
    return Facts(blob.name, int(blob.size), str(blob.generation), modified, token)
