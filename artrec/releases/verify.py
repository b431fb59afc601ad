"""verify: a release read again from its files, with code of its own.

It shares with the writers only the form of the JSON documents: hashes, sizes and rows are counted
anew, and the balance of members, catalog and rejects is a comparison of sets of keys.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from artrec.errors import ArtrecError
from artrec.storage import Store

__all__ = ["verify"]

CHUNK = 16 << 20


def verify(store: Store, release_id: str) -> tuple[dict[str, int], list[str]]:
    """(counts, faults) of a release; without faults it is whole. Memory: one file, and the keys."""
    release = json.loads(store.read(f"releases/{release_id}.json"))
    faults: list[str] = []
    counts = {"files": 0, "bytes": 0, "rows": 0}
    keys: dict[str, list[tuple[str, int]]] = {"members": [], "catalog": [], "rejects": []}
    for path in _runs(release):
        run = json.loads(store.read(path))
        for table, files in run["tables"].items():
            for receipt in files:
                try:
                    data = _whole(store, receipt["path"])
                    faults += _compare(receipt, data)
                    if table in keys and _is_published(release, table, path):
                        keys[table] += _keys(data)
                except (ArtrecError, OSError, ValueError) as error:
                    faults.append(f"{receipt['path']}: {error}")
                counts["files"] += 1
                counts["bytes"] += receipt["bytes"]
                counts["rows"] += receipt["rows"]
        for artifact in (each for files in run.get("artifacts", {}).values() for each in files):
            try:
                faults += _compare(artifact, _whole(store, artifact["path"]))
            except (ArtrecError, OSError) as error:
                faults.append(f"{artifact['path']}: {error}")
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


def _whole(store: Store, path: str) -> bytes:
    parts, at = [], 0
    while chunk := store.read(path, at, CHUNK):
        parts.append(chunk)
        at += len(chunk)
    return b"".join(parts)


def _compare(receipt: dict[str, Any], data: bytes) -> list[str]:
    """Of a table's file its rows too; other files have none."""
    found = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if "rows" in receipt:
        found["rows"] = pq.read_metadata(io.BytesIO(data)).num_rows if data else 0
    return [
        f"{receipt['path']}: {name} is {value}, the receipt says {receipt[name]}"
        for name, value in found.items()
        if value != receipt[name]
    ]


def _keys(data: bytes) -> list[tuple[str, int]]:
    rows = pq.read_table(io.BytesIO(data), columns=["source", "entry"])
    return list(zip(rows["source"].to_pylist(), rows["entry"].to_pylist(), strict=True))


def _balance(keys: dict[str, list[tuple[str, int]]], counts: dict[str, int]) -> list[str]:
    listed = set(keys["members"])
    kept = [*keys["catalog"], *keys["rejects"]]
    counts |= {
        "listed": len(keys["members"]),
        "stored": len(keys["catalog"]),
        "rejected": len(keys["rejects"]),
        "lost": len(listed - set(kept)),
        "double": len(kept) - len(set(kept)),
        "invented": len(set(kept) - listed),
    }
    names = ("lost", "double", "invented")
    return [f"{counts[name]} members are {name}" for name in names if counts[name]]
