"""What reading ahead is worth: one task's work on a store that answers as an object store does.

    python -m tests.bench.ahead ARCHIVE [--count 400] [--latency 0.03] [--rate 80] [--json OUT]

ARCHIVE is a zip of JPEGs; its first members are put, as a zip and as loose objects, into a folder
that is read as if each request took ``--latency`` seconds and then brought ``--rate`` megabytes a
second. One process examines every picture as a task of ingest does: at once after each answer, as
bytes that lie ready; and with the reads one after the other, or ahead.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artrec import picture
from artrec.archive import folder, open_archive, ranges
from artrec.storage.ahead import read_ahead
from artrec.storage.local import LocalStore
from tests.bench.join import processor

LIMITS = picture.Limits()


@dataclass(frozen=True)
class Distant(LocalStore):
    """A folder that takes as long to answer as a store far away."""

    latency: float = 0.0
    rate: float = float("inf")

    def read(
        self, path: str, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> bytes:
        data = super().read(path, offset, length, etag)
        time.sleep(self.latency + len(data) / self.rate)
        return data


def packed(archive: Path, place: Path, count: int) -> None:
    """``a.zip`` and the folder ``loose`` with the first members of ``archive``."""
    (place / "loose").mkdir()
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(place / "a.zip", "w") as target:
        for number, name in enumerate(n for n in source.namelist() if n.endswith(".jpg")):
            if number == count:
                return
            data = source.read(name)
            target.writestr(f"{number:05d}.jpg", data)
            (place / "loose" / f"{number:05d}.jpg").write_bytes(data)


def one_by_one(reads: Any, at_once: int, ahead_bytes: int) -> Iterator[Any]:
    return (read.call() for read in reads)


@contextmanager
def reading(how: Any) -> Iterator[None]:
    folder.read_ahead = ranges.read_ahead = how
    try:
        yield
    finally:
        folder.read_ahead = ranges.read_ahead = read_ahead


def seconds(store: LocalStore, path: str) -> float:
    """To read and examine all members of an archive."""
    archive = open_archive(store, path)
    members = list(archive.members())
    begun, count = time.perf_counter(), 0
    for content in archive.read(members):
        assert content.data is not None
        count += isinstance(picture.examine(content.data, LIMITS), picture.Picture)
    assert count == len(members)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--latency", type=float, default=0.03)
    parser.add_argument("--rate", type=float, default=80.0, help="megabytes a second")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        packed(given.archive, Path(scratch), given.count)
        near = LocalStore(scratch)
        far = Distant(scratch, given.latency, given.rate * 1e6)
        for kind, path in (("zip", "a.zip"), ("loose objects", "loose")):
            ready = seconds(near, path)
            ahead = seconds(far, path)
            with reading(one_by_one):
                waiting = seconds(far, path)
            found[kind] = {
                "ready_seconds": round(ready, 2),
                "ahead": round(ready / ahead, 3),
                "one_by_one": round(ready / waiting, 3),
            }
    result = {
        "bench": "ahead",
        "archive": given.archive.name,
        "count": given.count,
        "latency": given.latency,
        "megabytes_per_second": given.rate,
        "machine": {"processor": processor(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "ratio": found,
    }
    text = json.dumps(result, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
