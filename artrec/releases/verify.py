"""verify: a release read again from its files, with code of its own.

It shares with the writers only the form of the JSON documents: hashes, sizes and rows are counted
anew, and the balance of members, catalog and rejects is a comparison of sets of keys. Files are
read by ranges and never held whole; of each key its number is kept, in eight bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from artrec.errors import ArtrecError
from artrec.storage import Store

__all__ = ["verify"]

CHUNK = 16 << 20
KEYS = 1 << 16  # looked up at once

Numbers = NDArray[np.int64]


def verify(store: Store, release_id: str) -> tuple[dict[str, int], list[str]]:
    """(counts, faults) of a release; without faults it is whole.

    Memory: a chunk of a file, and at most 60 bytes a member.
    """
    release = json.loads(store.read(f"releases/{release_id}.json"))
    faults: list[str] = []
    counts = {"files": 0, "bytes": 0, "rows": 0}
    keys = {name: _Keys() for name in ("members", "catalog", "rejects")}
    for path in _runs(release):
        run = json.loads(store.read(path))
        for table, files in run["tables"].items():
            wanted = keys.get(table) if _is_published(release, table, path) else None
            for receipt in files:
                faults += _compare(store, receipt) + _compare_rows(store, receipt, wanted)
                counts["files"] += 1
                counts["bytes"] += receipt["bytes"]
                counts["rows"] += receipt["rows"]
        for artifact in (each for files in run.get("artifacts", {}).values() for each in files):
            faults += _compare(store, artifact)
            counts["files"] += 1
            counts["bytes"] += artifact["bytes"]
    faults += _balance(keys, counts)
    return counts, faults


def _runs(release: dict[str, Any]) -> Iterator[str]:
    seen = set()
    for stage in release["stages"].values():
        for refs in stage["tables"].values():
            for ref in refs:
                path = f"runs/{ref['stage']}/{ref['run_id']}/run.json"
                if path not in seen:
                    seen.add(path)
                    yield path


def _is_published(release: dict[str, Any], table: str, run_path: str) -> bool:
    refs = [
        ref
        for stage in release["stages"].values()
        for name, listed in stage["tables"].items()
        for ref in listed
        if name == table
    ]
    return any(run_path == f"runs/{r['stage']}/{r['run_id']}/run.json" for r in refs)


def _compare(store: Store, receipt: dict[str, Any]) -> list[str]:
    """Faults of a file's size and hash."""
    path, size, sha256 = receipt["path"], 0, hashlib.sha256()
    try:
        while chunk := store.read(path, size, CHUNK):
            sha256.update(chunk)
            size += len(chunk)
    except (ArtrecError, OSError) as error:
        return [f"{path}: {error}"]
    found = {"bytes": size, "sha256": sha256.hexdigest()}
    return [
        f"{path}: {name} is {value}, the receipt says {receipt[name]}"
        for name, value in found.items()
        if value != receipt[name]
    ]


def _compare_rows(store: Store, receipt: dict[str, Any], keys: _Keys | None) -> list[str]:
    """Faults of a table's file as Parquet; its rows are added to ``keys``, where those count."""
    path = receipt["path"]
    try:
        size = store.stat(path).bytes
        if size == 0:
            return []  # told already, unless the receipt says so too
        file = pq.ParquetFile(_Ranges(store, path, size), pre_buffer=False)
        if keys is not None:
            names = ["source", "entry"]
            for batch in file.iter_batches(KEYS, columns=names, use_threads=False):
                keys.add(batch["source"], batch["entry"])
    except (ArtrecError, OSError, ValueError, KeyError) as error:
        fault = f"{path}: {error}"
    else:
        rows = file.metadata.num_rows
        fault = f"{path}: rows is {rows}, the receipt says {receipt['rows']}"
        if rows == receipt["rows"]:
            return []
    return [fault]


class _Ranges(io.RawIOBase):
    """An object of the store that Parquet can seek in."""

    def __init__(self, store: Store, path: str, size: int) -> None:
        self._read, self._path, self._size, self._at = store.read, path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._read(self._path, self._at, len(buffer)) if self._at < self._size else b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@dataclass
class _Keys:
    """The keys of one table's rows: of each source the entries, in the order in which they came."""

    parts: dict[str, list[Numbers]] = field(default_factory=dict)

    def add(self, sources: Any, entries: Any) -> None:
        """Rows of one batch: arrays of texts and of int64. ValueError for a null."""
        if sources.null_count or entries.null_count:
            raise ValueError("a key is null")
        numbers = entries.to_numpy()
        for source in sources.unique().to_pylist():
            own = pc.equal(sources, source).to_numpy(zero_copy_only=False)
            self.parts.setdefault(source, []).append(numbers[own])

    def take(self, source: str) -> Numbers:
        """The sorted entries of a source, which are not kept here any longer."""
        parts = self.parts.pop(source, [])
        found: Numbers = np.concatenate([np.zeros(0, np.int64), *parts])
        parts.clear()
        found.sort()
        return found


def _balance(keys: dict[str, _Keys], counts: dict[str, int]) -> list[str]:
    """Faults of the three tables as sets of keys; ``counts`` get their sizes."""
    names = ("lost", "double", "invented")
    counts |= dict.fromkeys(("listed", "stored", "rejected", *names), 0)
    for source in sorted({source for each in keys.values() for source in each.parts}):
        listed, stored, rejected = (each.take(source) for each in keys.values())
        counts["listed"] += len(listed)
        counts["stored"] += len(stored)
        counts["rejected"] += len(rejected)
        kept = np.concatenate([stored, rejected])
        del stored, rejected
        kept.sort()
        listed, kept, doubles = _once(listed)[0], *_once(kept)
        counts["double"] += doubles
        counts["lost"] += _missing(listed, kept)
        counts["invented"] += _missing(kept, listed)
    return [f"{counts[name]} members are {name}" for name in names if counts[name]]


def _once(ordered: Numbers) -> tuple[Numbers, int]:
    """Sorted numbers, each once, and how many there were more."""
    again = np.zeros(len(ordered), bool)
    again[1:] = ordered[1:] == ordered[:-1]
    doubles = int(again.sum())
    return (ordered[~again] if doubles else ordered), doubles


def _missing(wanted: Numbers, among: Numbers) -> int:
    """How many of ``wanted`` are not in ``among``; both are sorted."""
    if not len(among):
        return len(wanted)
    missing = 0
    for start in range(0, len(wanted), KEYS):
        some = wanted[start : start + KEYS]
        places = np.searchsorted(among, some).clip(max=len(among) - 1)
        missing += int((among[places] != some).sum())
    return missing
