"""A Store on a local disk, or on a file system that all machines mount."""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from artrec.errors import (
    ArtrecError,
    ConditionFailed,
    CredentialsError,
    NotFound,
    StoreFull,
    StoreUnavailable,
    UsageError,
)
from artrec.storage import Entry

__all__ = ["LocalStore"]

_PART = ".artrec-part-"  # prefix of files that are still being written; lists leave them out


@dataclass(frozen=True, slots=True)
class LocalStore:
    """Objects are files below ``root``.

    A new object is written beside its place and linked there, so it appears whole and never
    replaces another (``os.link`` fails where the name is taken). Swaps lock the folder.
    """

    root: str

    @property
    def url(self) -> str:
        return self.root

    def path_url(self, path: str) -> str:
        return os.path.join(os.path.abspath(self.root), path)

    def check(self, path: str) -> None:
        """Nothing to prove: links and locks are what a file system promises."""

    def list(self, prefix: str = "") -> Iterator[Entry]:
        top = self._file(prefix) if prefix.strip("/") else Path(self.root)
        with _explained(top):
            yield from self._walk(top)

    def unfinished(self) -> Iterator[Entry]:
        with _explained(Path(self.root)):
            yield from self._walk(Path(self.root), parts=True)

    def discard(self, entry: Entry) -> None:
        self.delete(entry.path)

    def _walk(self, folder: Path, parts: bool = False) -> Iterator[Entry]:
        try:
            with os.scandir(folder) as found:
                names = sorted((e.name + "/" if e.is_dir() else e.name) for e in found)
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            if name.endswith("/"):
                yield from self._walk(folder / name, parts)
            elif name.startswith(_PART) == parts:
                with suppress(FileNotFoundError):  # removed, or a dangling link
                    yield self._entry(folder / name)

    def stat(self, path: str) -> Entry:
        file = self._file(path)
        with _explained(file):
            entry = self._entry(file)
            if file.is_dir():
                raise NotFound(f"{file} is a folder, not a file")
            return entry

    def read(
        self, path: str, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> bytes:
        file = self._file(path)
        with _explained(file), open(file, "rb") as stream:
            found = _etag(os.fstat(stream.fileno()))
            if etag is not None and found != etag:
                raise ConditionFailed(f"{file} changed: expected {etag}, found {found}")
            stream.seek(offset)
            return stream.read() if length is None else stream.read(length)

    @contextmanager
    def create(self, path: str) -> Iterator[IO[bytes]]:
        file = self._file(path)
        with _explained(file):
            handle, part = _part_beside(file)
            try:
                with open(handle, "wb") as stream:
                    yield stream
                    stream.flush()
                    os.fsync(stream.fileno())
                os.chmod(part, 0o666 & ~_umask())
                try:
                    os.link(part, file)
                except FileExistsError:
                    raise ConditionFailed(f"{file} exists already") from None
            finally:
                os.unlink(part)

    def write(self, path: str, data: bytes, if_etag: str | None = None) -> Entry:
        if if_etag is None:
            with self.create(path) as stream:
                stream.write(data)
            return self.stat(path)
        return self._swap(self._file(path), data, if_etag)

    def _swap(self, file: Path, data: bytes, if_etag: str) -> Entry:
        with _explained(file), _locked(file.parent):
            found = self._entry(file).etag
            if found != if_etag:
                raise ConditionFailed(f"{file} changed: expected {if_etag}, found {found}")
            handle, part = tempfile.mkstemp(prefix=_PART, dir=file.parent)
            try:
                with open(handle, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.chmod(part, 0o666 & ~_umask())
                os.replace(part, file)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(part)
                raise
            return self._entry(file)

    def upload(self, local: Path, path: str) -> Entry:
        with open(local, "rb") as source, self.create(path) as target:
            while chunk := source.read(1 << 20):
                target.write(chunk)
        return self.stat(path)

    def download(self, path: str, local: Path) -> None:
        with (
            _explained(self._file(path)),
            open(self._file(path), "rb") as source,
            open(local, "wb") as target,
        ):
            while chunk := source.read(1 << 20):
                target.write(chunk)

    def delete(self, path: str) -> None:
        """Folders that are empty then go too: other stores have none."""
        file = self._file(path)
        with _explained(file):
            os.unlink(file)
        with suppress(OSError):  # not empty
            for folder in file.parents:
                if folder == Path(self.root):
                    break
                os.rmdir(folder)

    def _file(self, path: str) -> Path:
        parts = path.strip("/").split("/")
        if not path or any(part in ("", ".", "..") for part in parts) or "\0" in path:
            raise UsageError(f"{path!r} is not a path inside {self.root}")
        return Path(self.root, *parts)

    def _entry(self, file: Path) -> Entry:
        info = os.stat(file)
        return Entry(
            path=file.relative_to(self.root).as_posix(),
            bytes=info.st_size,
            etag=_etag(info),
            modified=datetime.fromtimestamp(info.st_mtime, UTC),
        )


def _etag(info: os.stat_result) -> str:
    return f"{info.st_ino:x}-{info.st_size:x}-{info.st_mtime_ns:x}"


def _part_beside(file: Path) -> tuple[int, str]:
    """A new file in the same folder, which a sweep may just have found empty and removed."""
    for _ in range(8):
        file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return tempfile.mkstemp(prefix=_PART, dir=file.parent)
    return tempfile.mkstemp(prefix=_PART, dir=file.parent)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One swap at a time in a folder; the folder itself is locked, so no lock file is left."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@functools.cache
def _umask() -> int:
    """Files made by ``mkstemp`` are private; objects follow the user's umask like any file."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Operating-system errors as errors of a Store, with the file and what to do."""
    try:
        yield
    except ArtrecError:
        raise
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise NotFound(f"{error.filename or file}: no such file") from error
    except FileExistsError as error:  # a file stands where the path has a folder
        raise ConditionFailed(f"{error.filename or file} exists already, as a file") from error
    except PermissionError as error:
        raise CredentialsError(f"{error.filename or file}: access denied") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(f"{error.filename or file}: links lead in a circle") from error
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(f"{file}: a name longer than its file system takes") from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(
                f"{file.parent}: no space left; free some and run the same command again"
            ) from error
        if error.errno in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT):
            raise StoreUnavailable(
                f"{file}: {error.strerror}; run the same command again"
            ) from error
        raise
