"""A release counted again from the outside: ``python tests/recount.py ROOT ARCHIVE...``.

It shares no code with artrec. It follows CURRENT.json to the release, its runs and their files,
hashes and counts every file, lists the archives itself (``zipfile``, ``tarfile``, ``os.walk``,
pyarrow for Parquet), and compares. It
prints ``listed N / stored N / rejected N / lost N / double N`` and one line for each difference;
the exit status is 1 if there is any. Each ARCHIVE is a path, or SOURCE=PATH where a release has
several sources. Memory: the keys of all members; the embeddings of up to ``MOST_COMPARED`` images.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import sys
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["Count", "main", "read_release", "read_table", "recount"]

MOST_COMPARED = 2_000
NOISE = 4e-15
"""What two float64 sums of one cosine may differ by; more than a float32 step only near zero."""

Key = tuple[str, int]
"""(source, entry)."""
Rows = list[dict[str, Any]]
Matrix = np.ndarray[Any, np.dtype[np.float64]]


@dataclass
class Count:
    """What was counted, and every difference between what is and what should be."""

    listed: int = 0
    stored: int = 0
    rejected: int = 0
    lost: int = 0
    double: int = 0
    files: int = 0
    compared: int = 0
    differences: list[str] = field(default_factory=list)

    def expect(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.differences.append(f"{what}: found {found!r:.200}, expected {expected!r:.200}")

    def __str__(self) -> str:
        names = ("listed", "stored", "rejected", "lost", "double")
        return " / ".join(f"{name} {getattr(self, name)}" for name in names)


@dataclass(frozen=True)
class _Listed:
    """A member as the archive itself names it, and a way to its bytes."""

    raw_name: bytes
    size: int
    read: Callable[[], bytes]


def recount(root: Path, archives: Mapping[str, Path], name: str | None = None) -> Count:
    """Count the current release of the store at ``root``, or the one of that ``name``.

    ``archives`` are its sources by name.
    """
    count = Count()
    release = _current(root, count) if name is None else read_release(root, name)
    _check_files(root, release, count)
    if count.differences:
        return count  # files that are not those of the release tell nothing more
    tables = {
        name: read_table(root, release, name)
        for name in ("members", "catalog", "rejects", "neighbors", "neighbors_nested")
    }
    with ExitStack() as stack:
        listing = {
            (source, entry): member
            for source, path in archives.items()
            for entry, member in enumerate(_listing(path, stack))
        }
        _check_members(listing, tables, release, count)
        _check_balance(set(listing), tables, release, count)
        _check_contents(listing, tables["catalog"], count)
    _check_pictures(root, release, tables["catalog"], count)
    _check_lists(tables, release["k"], count)
    embeddings = read_table(root, release, "embeddings")
    if len(tables["catalog"]) <= MOST_COMPARED and embeddings:
        _check_neighbors(tables, embeddings, release["metric"], count)
    return count


def _current(root: Path, count: Count) -> dict[str, Any]:
    current = json.loads((root / "CURRENT.json").read_bytes())
    data = (root / "releases" / f"{current['release']}.json").read_bytes()
    count.expect("CURRENT.json: sha256", hashlib.sha256(data).hexdigest(), current["sha256"])
    release: dict[str, Any] = json.loads(data)
    count.expect("the release's own name", release["release_id"], current["release"])
    return release


def read_release(root: Path, name: str) -> dict[str, Any]:
    """The document of a release, current or not."""
    found: dict[str, Any] = json.loads((root / "releases" / f"{name}.json").read_bytes())
    return found


def _runs(root: Path, release: dict[str, Any], table: str | None = None) -> Iterator[Any]:
    """(reference, run) of the runs that make up a table, in order; or of all, each once."""
    seen = set()
    for stage in release["stages"].values():
        for name, refs in stage["tables"].items():
            for ref in refs:
                path = root / "runs" / ref["stage"] / ref["run_id"] / "run.json"
                if name == table or (table is None and path not in seen):
                    seen.add(path)
                    yield ref, json.loads(path.read_bytes())


def read_table(
    root: Path, release: dict[str, Any], table: str, columns: list[str] | None = None
) -> Rows:
    """All rows of one table of a release, in the order of its files."""
    rows: Rows = []
    for _, run in _runs(root, release, table):
        for file in run["tables"].get(table, []):
            rows += pq.ParquetFile(root / file["path"]).read(columns=columns).to_pylist()
    return rows


def _check_files(root: Path, release: dict[str, Any], count: Count) -> None:
    """Every file has the size, hash and rows of its receipt, and runs the rows of the release."""
    for ref, run in _runs(root, release):
        name = f"runs/{ref['stage']}/{ref['run_id']}"
        count.expect(f"{name}: its name", (run["stage"], run["run_id"]), _name(ref))
        totals: dict[str, int] = {}
        for table, files in run["tables"].items():
            for file in files:
                data = (root / file["path"]).read_bytes()
                found = (len(data), hashlib.sha256(data).hexdigest())
                said = (file["bytes"], file["sha256"])
                count.expect(f"{file['path']}: bytes, sha256", found, said)
                if found == said:
                    rows = pq.read_metadata(pa.BufferReader(data)).num_rows
                    count.expect(f"{file['path']}: rows", rows, file["rows"])
                totals[table] = totals.get(table, 0) + file["rows"]
                count.files += 1
        count.expect(f"{name}: rows", totals, ref["rows"])


def _name(ref: dict[str, Any]) -> tuple[str, str]:
    return ref["stage"], ref["run_id"]


def _listing(path: Path, stack: ExitStack) -> Iterator[_Listed]:
    """Members of an archive or a folder, in their order; without directory entries."""
    if path.is_dir():
        files = sorted(path.rglob("*.parquet"))
        yield from (
            (each for file in files for each in _parquet(file, path)) if files else _folder(path)
        )
        return
    if ".tar" in path.suffixes:
        yield from _tar(path, stack)
        return
    if path.suffix == ".parquet":
        yield from _parquet(path, path.parent)
        return
    archive = stack.enter_context(zipfile.ZipFile(path))
    for info in archive.infolist():
        utf8 = info.flag_bits & 0x800
        raw = info.orig_filename.encode("utf-8" if utf8 else "cp437")
        if not (raw.endswith(b"/") and not info.file_size):
            yield _Listed(raw, info.file_size, partial(archive.read, info))


def _folder(top: Path) -> Iterator[_Listed]:
    found = []
    for folder, _, names in os.walk(top):
        for name in names:
            found.append(os.path.relpath(os.path.join(folder, name), top))
    for name in sorted(found):
        file = top / name
        yield _Listed(os.fsencode(name), file.stat().st_size, file.read_bytes)


def _tar(path: Path, stack: ExitStack) -> Iterator[_Listed]:
    data = path.read_bytes()
    if path.suffix == ".zst":
        stream = pa.CompressedInputStream(pa.BufferReader(data), "zstd")
        data = b"".join(iter(lambda: stream.read(1 << 20), b""))
    archive = stack.enter_context(tarfile.open(fileobj=io.BytesIO(data)))  # noqa: SIM115
    for info in archive.getmembers():
        if not info.isdir():
            raw = info.name.encode("utf-8", "surrogateescape")
            yield _Listed(raw, info.size, partial(_of_tar, archive, info))


def _of_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(info)
    return stream.read() if stream else b""


def _parquet(file: Path, top: Path) -> Iterator[_Listed]:
    stem = str(file.relative_to(top).with_suffix(""))
    for number, row in enumerate(pq.read_table(file, columns=["image"]).column(0).to_pylist()):
        name = row.get("path") or f"{stem}/{number:08d}"
        yield _Listed(name.encode(), len(row["bytes"]), partial(bytes, row["bytes"]))


def _keys(rows: Rows) -> list[Key]:
    return [(row["source"], row["entry"]) for row in rows]


def _check_members(
    listing: dict[Key, _Listed], tables: dict[str, Rows], release: dict[str, Any], count: Count
) -> None:
    """The table members is the archive's listing; names that are UTF-8 are the images' ids."""
    count.listed = len(listing)
    table = {
        key: (row["raw_name"], row["bytes"])
        for key, row in zip(_keys(tables["members"]), tables["members"], strict=True)
    }
    count.expect("members: rows", len(tables["members"]), len(listing))
    for key in sorted(table.keys() | listing.keys()):
        there = listing.get(key)
        count.expect(f"member {key}", table.get(key), there and (there.raw_name, there.size))
    for row in tables["catalog"] + tables["rejects"]:
        key = (row["source"], row["entry"])
        if key in listing:
            prefix = release["settings"]["sources"][row["source"]]["id_prefix"]
            _check_id(prefix, listing[key].raw_name, row["image_id"], count)


def _check_id(prefix: str, raw_name: bytes, image_id: str, count: Count) -> None:
    try:
        text = raw_name.decode("utf-8")
    except UnicodeDecodeError:
        return
    count.expect(f"image_id of {raw_name!r}", image_id, prefix + unicodedata.normalize("NFC", text))


def _check_balance(
    listed: set[Key], tables: dict[str, Rows], release: dict[str, Any], count: Count
) -> None:
    """Every member is an image or a reject, once; of one id the last entry is the image."""
    catalog, rejects = tables["catalog"], tables["rejects"]
    kept = _keys(catalog) + _keys(rejects)
    count.stored, count.rejected = len(catalog), len(rejects)
    count.lost = len(listed - set(kept))
    count.double = len(kept) - len(set(kept))
    count.expect("members that are lost", sorted(listed - set(kept)), [])
    count.expect("members that are double", count.double, 0)
    count.expect("members that are invented", sorted(set(kept) - listed), [])
    ids = [row["image_id"] for row in catalog]
    count.expect("images of the catalog by id", len(set(ids)), len(ids))
    latest: dict[str, Key] = {}
    for key, row in zip(kept, catalog + rejects, strict=True):
        latest[row["image_id"]] = max(key, latest.get(row["image_id"], key))
    for key, row in zip(kept, catalog + rejects, strict=True):
        earlier = latest[row["image_id"]] > key
        count.expect(f"member {key}: duplicate", row.get("reason") == "duplicate_name", earlier)
    said = {name: release["counts"][name] for name in ("listed", "stored", "rejected")}
    found = {"listed": len(listed), "stored": count.stored, "rejected": count.rejected}
    count.expect("counts of the release", said, found)


def _check_contents(listing: dict[Key, _Listed], catalog: Rows, count: Count) -> None:
    """Each image's hash and size are those of the member's bytes in the archive."""
    for row in catalog:
        member = listing.get((row["source"], row["entry"]))
        if member is not None:
            data = member.read()
            found = (row["content_sha256"].hex(), row["bytes"])
            expected = (hashlib.sha256(data).hexdigest(), len(data))
            count.expect(f"{row['image_id']}: sha256, bytes", found, expected)


def _check_pictures(root: Path, release: dict[str, Any], catalog: Rows, count: Count) -> None:
    """Each image's content is in pictures, where original bytes have the hash they stand under."""
    stored = set()
    for _, run in _runs(root, release, "pictures"):
        for file in run["tables"].get("pictures", []):
            for batch in pq.ParquetFile(root / file["path"]).iter_batches(64):
                for row in batch.to_pylist():
                    stored.add(row["content_sha256"])
                    if row["recipe"] == "original":
                        found = hashlib.sha256(row["data"]).hexdigest()
                        count.expect("a picture's bytes", found, row["content_sha256"].hex())
    missing = [row["image_id"] for row in catalog if row["content_sha256"] not in stored]
    count.expect("images without a picture", missing, [])


def _check_lists(tables: dict[str, Rows], k: int, count: Count) -> None:
    """One list for each image: min(k, n - 1) others, dense ranks, distances that do not fall."""
    ids = {row["image_id"] for row in tables["catalog"]}
    vector_no = {row["image_id"]: row["vector_no"] for row in tables["catalog"]}
    lists: dict[str, list[tuple[int, str, float]]] = {image_id: [] for image_id in ids}
    for row in tables["neighbors"]:
        entry = (row["rank"], row["neighbor_id"], row["distance"])
        lists.setdefault(row["query_id"], []).append(entry)
    count.expect("lists of no image", sorted(lists.keys() - ids), [])
    for query_id, entries in lists.items():
        others = [neighbor_id for _, neighbor_id, _ in entries]
        count.expect(
            f"{query_id}: ranks", [e[0] for e in entries], list(range(1, 1 + min(k, len(ids) - 1)))
        )
        count.expect(f"{query_id}: lists itself", query_id in others, False)
        count.expect(f"{query_id}: different neighbors", len(set(others)), len(others))
        count.expect(f"{query_id}: neighbors that are no image", set(others) - ids, set())
        order = [(distance, vector_no.get(other, 0), other) for _, other, distance in entries]
        count.expect(f"{query_id}: order", order, sorted(order))
    nested = {row["query_id"]: (row["ids"], row["distances"]) for row in tables["neighbors_nested"]}
    count.expect("nested lists", len(tables["neighbors_nested"]), len(ids))
    for query_id, entries in lists.items():
        flat = ([other for _, other, _ in entries], [distance for _, _, distance in entries])
        count.expect(f"{query_id}: nested", nested.get(query_id), flat)


def _check_neighbors(tables: dict[str, Rows], rows: Rows, metric: str, count: Count) -> None:
    """The lists are those of a brute force over the embeddings, but for the order of ties."""
    place = {row["image_id"]: n for n, row in enumerate(rows)}
    ids = {row["image_id"] for row in tables["catalog"]}
    count.expect("images with an embedding", place.keys(), ids)
    vectors: Matrix = np.array([row["embedding"] for row in rows], np.float64)
    finite = bool(np.isfinite(vectors).all() and vectors.any(axis=1).all())
    count.expect("embeddings are finite and not zero", finite, True)
    if metric == "cosine":
        vectors /= np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    for row in tables["neighbors_nested"]:
        if row["query_id"] not in place or not set(row["ids"]) <= place.keys():
            continue  # said already
        at = place[row["query_id"]]
        distances = _distances(vectors, at, metric)
        said = np.array(row["distances"], np.float32)
        named = distances[[place[other] for other in row["ids"]]]
        nearest = np.sort(np.delete(distances, at))[: len(said)]
        count.expect(f"{row['query_id']}: distances of those listed", _differ(said, named), [])
        count.expect(f"{row['query_id']}: the nearest distances", _differ(said, nearest), [])
        count.compared += 1


def _distances(vectors: Matrix, at: int, metric: str) -> Matrix:
    """From one vector to all; for cosine the vectors have length 1."""
    if metric == "cosine":
        return np.asarray(1.0 - vectors @ vectors[at])
    return np.asarray(np.sqrt(((vectors - vectors[at]) ** 2).sum(axis=1)))


def _differ(said: np.ndarray[Any, np.dtype[np.float32]], true: Matrix) -> list[str]:
    """Pairs that are further apart than one float32 step."""
    step = np.spacing(np.abs(said)).astype(np.float64)
    wide = said.astype(np.float64)
    off = np.abs(wide - true.astype(np.float32).astype(np.float64)) > np.maximum(step, NOISE)
    return [f"{a!r} for {b!r}" for a, b in zip(wide[off], true[off], strict=True)]


def _named(texts: Sequence[str], sources: Sequence[str]) -> dict[str, Path]:
    """``SOURCE=PATH`` or, of a release with one source, ``PATH``."""
    named = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if equals and name in sources:
            named[name] = Path(path)
        elif len(sources) == 1:
            named[sources[0]] = Path(text)
        else:
            raise SystemExit(f"{text}: name its source, one of {', '.join(sources)}: SOURCE=PATH")
    return named


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Count a release again, from the outside.")
    parser.add_argument("root", type=Path)
    parser.add_argument("archive", nargs="+", help="PATH, or SOURCE=PATH")
    given = parser.parse_args(arguments)
    release = _current(given.root, Count())
    count = recount(given.root, _named(given.archive, list(release["settings"]["sources"])))
    print(count)
    for difference in count.differences:
        print(f"DIFFERENCE {difference}")
    return 1 if count.differences else 0


if __name__ == "__main__":
    sys.exit(main())
