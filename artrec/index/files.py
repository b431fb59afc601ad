"""Files of an index on this machine: each is read whole or mapped, and hashed before it counts."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from artrec.errors import NotFound, StoreFormatError
from artrec.storage import Store
from artrec.storage.parquet import opened

__all__ = ["Listed", "cache_folder", "compare", "local_file", "numbers_in", "read_file", "values"]


class Listed(Protocol):
    """A file as its run lists it: an artifact, or the receipt of a table's file."""

    @property
    def path(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def sha256(self) -> str: ...


def cache_folder() -> Path:
    """Where downloaded files are kept: below the user's cache, named by their hashes."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home, "artrec", "shards")


def compare(where: str, facts: dict[str, tuple[object, object]]) -> None:
    """Raise StoreFormatError with found and expected for the first that differ."""
    for name, (found, expected) in facts.items():
        if found != expected:
            raise StoreFormatError(
                f"{where}: {name} is {found}, expected {expected}; this shard is not asked. "
                "Restore it from a copy, or build other shards with another index.seed"
            )


def read_file(store: Store, file: Listed) -> bytes:
    """The bytes of a file, hashed."""
    where = f"{store.url}/{file.path}"
    try:
        data = store.read(file.path)
    except NotFound as error:
        raise StoreFormatError(f"{where} is missing; a shard is whole only with it") from error
    found = hashlib.sha256(data).hexdigest()
    compare(where, {"bytes": (len(data), file.bytes), "sha256": (found, file.sha256)})
    return data


def local_file(store: Store, file: Listed, cache: Path) -> Path:
    """The file on this machine, hashed now: where the store has it, or in the cache."""
    path = Path(store.path_url(file.path))
    if "://" in store.url:
        path = cache / f"{file.sha256}{Path(file.path).suffix}"
        if path.exists() and all(found == due for found, due in _state(path, file).values()):
            return path
        _download(store, file, path)
    try:
        compare(str(path), _state(path, file))
    except FileNotFoundError as error:
        raise StoreFormatError(f"{path} is missing; a shard is whole only with it") from error
    return path


def _state(path: Path, file: Listed) -> dict[str, tuple[object, object]]:
    """Bytes and hash of a local file, found and due."""
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        return {"bytes": (stream.tell(), file.bytes), "sha256": (found, file.sha256)}


def _download(store: Store, file: Listed, path: Path) -> None:
    """Visible under its name only when it is whole; two processes may do it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder, path.name)
        store.download(file.path, part)
        part.replace(path)


def numbers_in(store: Store, file: Listed, columns: list[str]) -> Iterator[list[Any]]:
    """Integer columns of a Parquet file that is hashed as it is read, a row group at a time."""
    table = opened(pa.BufferReader(read_file(store, file)))
    kinds = [np.dtype(str(table.schema_arrow.field(name).type)) for name in columns]
    for group in range(table.metadata.num_row_groups):
        rows = table.read_row_group(group, columns=columns)
        parts = (rows.column(name) for name in columns)
        yield [values(part, kind) for part, kind in zip(parts, kinds, strict=True)]


def values(column: pa.ChunkedArray, kind: Any) -> Any:
    """The values as they lie there: pyarrow's own conversion would load pandas."""
    parts = [np.zeros(0, kind)]
    for chunk in column.chunks:
        found = np.frombuffer(chunk.buffers()[1] or b"", kind)
        parts.append(found[chunk.offset : chunk.offset + len(chunk)])
    return np.concatenate(parts)
