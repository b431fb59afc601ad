"""Opening shards: nothing is asked before file, ids and sidecar fit each other and the release.

Annoy loads nearly any file under any dimension, and a query on a wrong one ends the process.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from artrec.errors import NotFound, StoreFormatError
from artrec.index.mapped import mapped_vectors
from artrec.index.shards import Shard, ShardSet
from artrec.index.sidecar import ANNOY_METRICS, Sidecar, new_index
from artrec.releases import Artifact
from artrec.releases.runs import parse_document
from artrec.storage import Store

__all__ = ["Wanted", "cache_folder", "open_shard", "open_shards"]

_HASHED_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a release says of its vectors."""

    encoder: str
    metric: str
    dim: int


def open_shards(
    store: Store,
    files: Sequence[Artifact],
    wanted: Wanted,
    items: int,
    search_k: int = 0,
    cache: Path | None = None,
    scans: bool = False,
) -> ShardSet:
    """All shards of a run, from its artifacts named ``shards``; ``items`` is the rows of its table.

    With ``scans`` they are not asked but scanned, so that answers are exact.

    Raises StoreFormatError naming the first thing that does not fit, with both values.
    """
    sidecars = [file for file in files if file.path.endswith(".json")]
    with ThreadPoolExecutor(_HASHED_AT_ONCE) as pool:
        shards = list(pool.map(lambda file: open_shard(store, file, wanted, cache), sidecars))
    places = {(shard.sidecar.shard, shard.sidecar.shards) for shard in shards}
    if len(places) != len(shards) or len({of for _, of in places}) > 1:
        raise StoreFormatError(f"{store.url}: these shards are not of one index: {sorted(places)}")
    held = sum(len(shard.numbers) for shard in shards)
    if held != items:
        raise StoreFormatError(
            f"{store.url}: the shards hold {held} vectors, their table {items}: one is missing"
        )
    return ShardSet(shards, wanted.metric, wanted.dim, search_k, scans)


def open_shard(store: Store, file: Artifact, wanted: Wanted, cache: Path | None = None) -> Shard:
    """The shard of a sidecar. ``cache`` keeps files of a store that is not on this machine.

    Raises StoreFormatError, with found and expected, for whatever does not fit.
    """
    sidecar = parse_document(_read(store, file), f"{store.url}/{file.path}", Sidecar)
    _compare(
        f"{store.url}/{file.path}",
        {
            "encoder": (sidecar.encoder, wanted.encoder),
            "metric": (sidecar.metric, wanted.metric),
            "annoy_metric": (sidecar.annoy_metric, ANNOY_METRICS.get(wanted.metric)),
            "dim": (sidecar.dim, wanted.dim),
        },
    )
    numbers = _numbers(store, sidecar)
    path = _local(store, sidecar.file, cache or cache_folder())
    index = new_index(sidecar.dim, sidecar.metric)
    index.load(str(path))
    _compare(str(path), {"items": (index.get_n_items(), sidecar.items)})
    return Shard(sidecar, index, numbers, mapped_vectors(path, index, sidecar.items, sidecar.dim))


def cache_folder() -> Path:
    """Where downloaded shards are kept: below the user's cache, named by their hashes."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home, "artrec", "shards")


def _compare(where: str, facts: dict[str, tuple[object, object]]) -> None:
    for name, (found, expected) in facts.items():
        if found != expected:
            raise StoreFormatError(
                f"{where}: {name} is {found}, expected {expected}; this shard is not asked. "
                "Restore it from a copy, or build other shards with another index.seed"
            )


def _read(store: Store, file: Artifact) -> bytes:
    where = f"{store.url}/{file.path}"
    try:
        data = store.read(file.path)
    except NotFound as error:
        raise StoreFormatError(f"{where} is missing; a shard is whole only with it") from error
    found = hashlib.sha256(data).hexdigest()
    _compare(where, {"bytes": (len(data), file.bytes), "sha256": (found, file.sha256)})
    return data


def _numbers(store: Store, sidecar: Sidecar) -> NDArray[np.int64]:
    """The vector_no of each item, from files that are hashed as they are read."""
    parts = [np.zeros(0, np.int64)]
    for file in sidecar.item_files:
        opened = pq.ParquetFile(pa.BufferReader(_read(store, file)))
        for chunk in opened.read(["vector_no"]).column(0).chunks:
            # the values as they lie there: pyarrow's own conversion would load pandas
            values = np.frombuffer(chunk.buffers()[1] or b"", np.int64)
            parts.append(values[chunk.offset : chunk.offset + len(chunk)])
    numbers = np.concatenate(parts)
    where = f"{store.url}/{sidecar.item_files[0].path}" if sidecar.item_files else sidecar.name
    _compare(where, {"items": (len(numbers), sidecar.items)})
    return numbers


def _local(store: Store, file: Artifact, cache: Path) -> Path:
    """The Annoy file on this machine, hashed now: where the store has it, or in the cache."""
    path = Path(store.path_url(file.path))
    if "://" in store.url:
        path = cache / f"{file.sha256}.annoy"
        if path.exists() and all(found == due for found, due in _state(path, file).values()):
            return path
        _download(store, file, path)
    try:
        _compare(str(path), _state(path, file))
    except FileNotFoundError as error:
        raise StoreFormatError(f"{path} is missing; a shard is whole only with it") from error
    return path


def _state(path: Path, file: Artifact) -> dict[str, tuple[object, object]]:
    """Bytes and hash of a local file, found and due."""
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        return {"bytes": (stream.tell(), file.bytes), "sha256": (found, file.sha256)}


def _download(store: Store, file: Artifact, path: Path) -> None:
    """Visible under its name only when it is whole; two processes may do it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder, path.name)
        store.download(file.path, part)
        part.replace(path)
