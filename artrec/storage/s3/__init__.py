"""A Store on S3, or on a server that speaks its language, through boto3.

The store itself is a name and options. Its client is made where it is used, in each process anew,
and finds region, endpoint and credentials by itself, as AWS's own programs do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import IO, Any

from artrec.errors import ConditionFailed, ConfigError, NotFound, UsageError
from artrec.storage import Entry, S3Options
from artrec.storage.s3.client import Asking
from artrec.storage.s3.conditions import check_conditions
from artrec.storage.s3.listing import Listing
from artrec.storage.s3.reading import read_object, stat_object
from artrec.storage.s3.writing import Upload, put_object

__all__ = ["S3Store"]

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_LONGEST = 1024  # bytes of a key in UTF-8
_CHUNK = 16 << 20


@dataclass(frozen=True, slots=True)
class S3Store:
    """Objects of ``bucket`` whose keys begin with ``prefix``, which is empty or ends with ``/``.

    New objects are created with ``If-None-Match: *`` and swapped with ``If-Match``. ETags are as
    the server gives them, without the quotes.
    """

    bucket: str
    prefix: str
    options: S3Options

    @classmethod
    def at(cls, url: str, options: S3Options) -> S3Store:
        """The store at ``s3://bucket/prefix``; ConfigError for what is no such address."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        prefix = prefix.strip("/")
        if not _BUCKET.fullmatch(bucket) or _is_crooked(prefix):
            raise ConfigError(f"{url}: not an address of the form s3://bucket/prefix")
        return cls(bucket, f"{prefix}/" if prefix else "", options)

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def path_url(self, path: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{path.strip('/')}"

    def check(self, path: str) -> None:
        check_conditions(self._asking(path), self._key(path))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        folder = f"{self.prefix}{prefix.strip('/')}/" if prefix.strip("/") else self.prefix
        stopped, before = Event(), ""
        ask = replace(self._asking(prefix), stopped=stopped.is_set)
        found = Listing(ask, folder, self.options.listers, stopped=stopped)
        for key, size, etag, modified in found:
            if path := key[len(self.prefix) :]:
                before = self._after(before, path)
                yield Entry(path, size, etag, modified)

    def _after(self, before: str, path: str) -> str:
        """``path``, if it comes after the one before it."""
        if path <= before:
            raise ConfigError(
                f"{self.url}: this store lists {path!r} behind {before!r}; one that lists in the "
                "order of names is needed (buckets of S3 Express do not)"
            )
        return path

    def unfinished(self) -> Iterator[Entry]:
        """Uploads in parts that were neither completed nor aborted; ``etag`` is the upload's id."""
        more: dict[str, Any] = {}
        while True:
            page = self._asking("")("list_multipart_uploads", Prefix=self.prefix, **more)
            for found in page.get("Uploads", []):
                size = self._bytes_of_parts(found["Key"], found["UploadId"])
                path = found["Key"][len(self.prefix) :]
                yield Entry(path, size, found["UploadId"], found["Initiated"])
            if not page.get("IsTruncated"):
                return
            more = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def discard(self, entry: Entry) -> None:
        ask = self._asking(entry.path)
        ask("abort_multipart_upload", Key=self._key(entry.path), UploadId=entry.etag)

    def versions(self, folder: str) -> Iterator[Entry]:
        """Nothing in a bucket without versions, or on a server that knows none."""
        prefix = f"{self.prefix}{folder.strip('/')}/"
        more: dict[str, Any] = {}
        while True:
            try:
                page = self._asking(folder)("list_object_versions", Prefix=prefix, **more)
            except ConfigError:  # not implemented there
                return
            old = (each for each in page.get("Versions", []) if not each["IsLatest"])
            for found in (*old, *page.get("DeleteMarkers", [])):
                path = found["Key"][len(self.prefix) :]
                size = int(found.get("Size", 0))
                yield Entry(path, size, found["VersionId"], found["LastModified"])
            if not page.get("IsTruncated"):
                return
            more = {
                "KeyMarker": page["NextKeyMarker"],
                "VersionIdMarker": page["NextVersionIdMarker"],
            }

    def purge(self, entry: Entry) -> None:
        ask = self._asking(entry.path)
        ask("delete_object", Key=self._key(entry.path), VersionId=entry.etag)

    def stat(self, path: str) -> Entry:
        return replace(stat_object(self._asking(path), self._key(path)), path=path.strip("/"))

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
        return read_object(self._asking(path), key, offset, length, etag)

    @contextmanager
    def create(self, path: str) -> Iterator[IO[bytes]]:
        upload = Upload(self._asking(path), self._key(path))
        try:
            yield upload  # type: ignore[misc]
            upload.finish()
        except BaseException:
            upload.abort()
            raise

    def write(self, path: str, data: bytes, if_etag: str | None = None) -> Entry:
        written = put_object(self._asking(path), self._key(path), data, if_etag)
        try:
            found = self.stat(path)  # when it was modified is not told to the writer
        except NotFound:
            return replace(written, path=path.strip("/"))
        return found if found.etag == written.etag else replace(written, path=path.strip("/"))

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
        """S3 itself does not say whether anything was there: it is asked first."""
        self.stat(path)
        self._asking(path)("delete_object", Key=self._key(path))

    def _bytes_of_parts(self, key: str, upload_id: str) -> int:
        ask, total, marker = self._asking(""), 0, 0
        while True:
            try:
                page = ask("list_parts", Key=key, UploadId=upload_id, PartNumberMarker=marker)
            except NotFound:  # it ended meanwhile
                return total
            total += sum(int(part["Size"]) for part in page.get("Parts", []))
            if not page.get("IsTruncated"):
                return total
            marker = int(page["NextPartNumberMarker"])

    def _asking(self, path: str) -> Asking:
        return Asking(self.bucket, self.path_url(path), self.options)

    def _key(self, path: str) -> str:
        inner = path.strip("/")
        if not inner or _is_crooked(path.lstrip("/")) or "\0" in path:
            raise UsageError(f"{path!r} is not a path inside {self.url}")
        key = f"{self.prefix}{inner}"
        if len(key.encode("utf-8", "surrogateescape")) > _LONGEST:
            raise UsageError(f"{self.path_url(path)}: a name longer than the 1024 bytes of S3")
        return key


def _is_crooked(path: str) -> bool:
    """Whether a path has parts that other programs would take for something else."""
    return any(part in ("", ".", "..") for part in path.rstrip("/").split("/")) and path != ""
