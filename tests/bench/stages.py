"""Time a whole night on an archive, beside one bare process that does the same work.

    python tests/bench/stages.py ARCHIVE [--json OUT] [--root DIR] [OPTION...]

The bare loop reads each member, hashes and examines it, and writes the pictures as Parquet; then
reads that Parquet, decodes and encodes in batches, and writes the vectors. It is the floor for one
core: without Spark, without receipts, without the protocol. Memory is that of the process tree,
sampled ten times a second, by kind of process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from artrec import picture
from artrec.encoders import load_builtin

ROOT = Path(__file__).parents[2]
LIMITS = picture.Limits()


def members(archive: Path) -> Iterator[bytes]:
    """The bytes of all members, by Python's own readers."""
    if archive.is_dir():
        for folder, _, names in sorted(os.walk(archive)):
            for name in sorted(names):
                yield Path(folder, name).read_bytes()
        return
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            if not info.is_dir():
                try:
                    yield opened.read(info)
                except (zipfile.BadZipFile, RuntimeError):
                    yield b""


def bare_ingest(archive: Path, out: Path) -> tuple[int, int, float]:
    """(read, stored, seconds) of one process without Spark."""
    schema = pa.schema([("sha", pa.binary()), ("data", pa.binary()), ("phash", pa.int64())])
    read, stored, begun = 0, 0, time.perf_counter()
    with pq.ParquetWriter(out, schema, compression={"data": "none", "sha": "zstd"}) as writer:
        rows: list[tuple[bytes, bytes, int]] = []
        size = 0
        for data in members(archive):
            read += 1
            found = picture.examine(data, LIMITS)
            if isinstance(found, picture.Picture):
                stored += 1
                rows.append((hashlib.sha256(found.data).digest(), found.data, found.phash))
                size += len(found.data)
            if size > 32 << 20:
                writer.write_table(table(schema, rows))
                rows, size = [], 0
        writer.write_table(table(schema, rows))
    return read, stored, time.perf_counter() - begun


def table(schema: pa.Schema, rows: list[tuple[bytes, bytes, int]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema)


def bare_embed(pictures: Path, out: Path) -> tuple[int, float]:
    """(encoded, seconds) of one process without Spark."""
    encoder = load_builtin("handmade")
    wanted = encoder.preprocess
    begun, count = time.perf_counter(), 0
    schema = pa.schema([("embedding", pa.list_(pa.float32()))])
    with pq.ParquetWriter(out, schema) as writer:
        for batch in pq.ParquetFile(pictures).iter_batches(32, columns=["data"]):
            pixels = []
            for data in batch.column(0).to_pylist():
                try:
                    pixels.append(
                        picture.decode(data, LIMITS, wanted.size, wanted.fit, wanted.filter)
                    )
                except picture.PictureError:
                    continue
            if pixels:
                vectors = encoder.encode(np.stack(pixels))
                count += len(vectors)
                writer.write_table(
                    pa.table([pa.array(list(vectors), schema.field(0).type)], schema)
                )
    return count, time.perf_counter() - begun


def night(archive: Path, root: Path, options: list[str]) -> dict[str, Any]:
    """One spark-submit of the chain: its account, seconds, peak memory by kind of process."""
    venv = Path(sys.executable).parent
    command = [
        str(venv / "spark-submit"), "--master", os.environ.get("MASTER", "local[*,4]"),
        "--properties-file", str(ROOT / "conf/spark-local.conf"),
        str(ROOT / "jobs/nightly.py"), "--config", str(ROOT / "conf/local.yaml"), "--json",
        "--set", f"sources.main.url={archive}",
        "--set", f"store.root={root}", *options,
    ]  # fmt: skip
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    begun, spent = time.perf_counter(), processor_seconds()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors, env=environment)
        peaks = watch(process)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            raise SystemExit(errors.read().decode()[-2000:])
        account: dict[str, Any] = json.loads(out.read().splitlines()[-1])
    return account | {
        "wall_seconds": time.perf_counter() - begun,
        "processor_seconds": round(processor_seconds() - spent, 1),
        "peak_bytes": peaks,
    }


def processor_seconds() -> float:
    """Of all processes that this one started and that have ended, with theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def watch(process: subprocess.Popen[bytes]) -> dict[str, int]:
    """Largest resident size of each kind of process until the job ends."""
    peaks: dict[str, int] = {}
    while process.poll() is None:
        for each in [psutil.Process(process.pid), *psutil.Process(process.pid).children(True)]:
            try:
                words = " ".join(each.cmdline())
                kind = "driver_jvm" if "java" in each.name() else "driver_python"
                if "CoarseGrainedExecutorBackend" in words:
                    kind = "executor_jvm"
                if "pyspark.daemon" in words or "pyspark/daemon" in words:
                    kind = "worker_python"
                peaks[kind] = max(peaks.get(kind, 0), each.memory_info().rss)
            except psutil.Error:
                continue
        time.sleep(0.1)
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--root", type=Path, help="keep the store here")
    given, options = parser.parse_known_args()  # what is left is for the job
    with tempfile.TemporaryDirectory() as scratch:
        root = given.root or Path(scratch, "store")
        first = night(given.archive, root, options)
        second = night(given.archive, root, options)
        pictures = Path(scratch, "pictures.parquet")
        read, stored, ingest_seconds = bare_ingest(given.archive, pictures)
        encoded, embed_seconds = bare_embed(pictures, Path(scratch, "vectors.parquet"))
        shutil.rmtree(scratch, ignore_errors=True)
    result = {
        "archive": given.archive.name,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load_before": os.getloadavg(),
            "python": platform.python_version(),
        },
        "first": first,
        "second": {key: second[key] for key in ("status", "wall_seconds", "spark_start_seconds")},
        "bare": {
            "read": read,
            "stored": stored,
            "ingest_images_per_second": read / ingest_seconds,
            "encoded": encoded,
            "embed_images_per_second": encoded / embed_seconds,
        },
    }
    text = json.dumps(result, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
