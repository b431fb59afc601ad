"""Time ingest and embed inside Spark against bare processes that do the same work, in turns.

    python tests/bench/floor.py ARCHIVE [--count 6000] [--rounds 3] [--json OUT]

ARCHIVE is a zip of JPEGs. The bench makes a larger one of it: each picture several times, with a
JPEG comment of its own, so that no two members have the same content and decoding costs what it
costs. Both sides get all cores, both are warm before they are timed: Spark is one session that has
run the stages before, the bare side a pool of processes that has. The bare processes read the same
members with Python's own zip reader (which checks the CRC too), hash and examine them, and write
the same columns as Parquet, hashed as it is written; then they read that Parquet, decode, encode in
batches of 32, and write the vectors. What they lack is the protocol: no listing, no anti-join, no
receipts, no digests of rows.

``ratio`` is bare seconds / Spark's seconds of one round; the result has the median of the rounds.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artrec import picture
from artrec.config import load
from artrec.encoders import load_builtin
from artrec.releases import Draft
from artrec.schemas import TABLES
from artrec.storage import open_store
from tests.bench.join import processor

LIMITS = picture.Limits()
GROUP_BYTES = 32 << 20
BATCH = 32


def enlarge(archive: Path, out: Path, count: int) -> None:
    """A zip of ``count`` members: the pictures in turn, each with a comment of its own."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(out, "w") as target:
        names = [n for n in source.namelist() if n.lower().endswith((".jpg", ".jpeg"))]
        for number in range(count):
            name = names[number % len(names)]
            data = source.read(name)
            note = b"%08d" % number
            comment = b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note
            target.writestr(f"{number // len(names):03d}/{name}", data[:2] + comment + data[2:])


class Hashed(io.RawIOBase):
    """A file whose SHA-256 is known when it is written."""

    def __init__(self, path: str) -> None:
        self._file, self.sha256 = open(path, "wb"), hashlib.sha256()  # noqa: SIM115

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def hashed(path: str) -> Iterator[Hashed]:
    with closing(Hashed(path)) as file:
        yield file
        assert len(file.sha256.hexdigest()) == 64


def bare_ingest(archive: str, out: str, part: int, parts: int) -> int:
    """One process's share of the members, read, examined and written; the number stored."""
    schema = TABLES["pictures"].columns
    stored, rows, size = 0, [], 0
    with (
        zipfile.ZipFile(archive) as opened,
        hashed(out) as sink,
        pq.ParquetWriter(sink, schema, compression={"data": "none"}) as writer,
    ):
        members = opened.infolist()
        share = members[part * len(members) // parts : (part + 1) * len(members) // parts]
        for member in share:
            found = picture.examine(opened.read(member), LIMITS)
            if isinstance(found, picture.Picture):
                stored += 1
                size += len(found.data)
                rows.append(_row(found))
            if size >= GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows, size = [], 0
        writer.write_table(pa.Table.from_pylist(rows, schema))
    return stored


def _row(found: picture.Picture) -> dict[str, Any]:
    names = ("data", "width", "height", "format", "mode", "phash")
    kept = {name: getattr(found, name) for name in names}
    return kept | {"content_sha256": found.sha256, "recipe": "original"}


def bare_embed(pictures: str, out: str) -> int:
    """One process's pictures, decoded, encoded and written; the number of vectors."""
    encoder = load_builtin("handmade")
    wanted = encoder.preprocess
    schema = TABLES["vectors"].columns
    count = 0
    with hashed(out) as sink, pq.ParquetWriter(sink, schema) as writer:
        file = pq.ParquetFile(pictures)
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=["content_sha256", "data"])
            keys, data = (rows.column(i).to_pylist() for i in range(2))
            vectors: list[Any] = []
            for start in range(0, len(data), BATCH):
                pixels = [
                    picture.decode(each, LIMITS, wanted.size, wanted.fit, wanted.filter)
                    for each in data[start : start + BATCH]
                ]
                vectors += list(encoder.encode(np.stack(pixels)))
            count += len(vectors)
            columns = {
                "content_sha256": keys,
                "encoder": [encoder.id] * len(keys),
                "vector_no": [int.from_bytes(key[:8], "big") >> 1 for key in keys],
                "embedding": vectors,
                "reason": [None] * len(keys),
                "detail": [None] * len(keys),
            }
            arrays = [pa.array(columns[c.name], c.type) for c in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return count


def bare_round(pool: ProcessPoolExecutor, archive: Path, scratch: Path, parts: int) -> Any:
    """Seconds of (ingest, embed) by bare processes."""
    files = [(str(scratch / f"p{n}.parquet"), str(scratch / f"v{n}.parquet")) for n in range(parts)]
    begun = time.perf_counter()
    jobs = [
        pool.submit(bare_ingest, str(archive), pictures, n, parts)
        for n, (pictures, _) in enumerate(files)
    ]
    stored = sum(job.result() for job in jobs)
    middle = time.perf_counter()
    jobs = [pool.submit(bare_embed, *each) for each in files]
    encoded = sum(job.result() for job in jobs)
    assert encoded == stored
    return {"ingest": middle - begun, "embed": time.perf_counter() - middle, "pictures": stored}


def spark_round(spark: Any, archive: Path, root: Path) -> Any:
    """Seconds of (ingest, embed) in a warm session, on a new store; with what tasks took."""
    from artrec.stages import embed, ingest, inventory

    url = [f"sources.main.url={archive}", f"store.root={root}", "encoder.id=handmade"]
    settings, _ = load(None, url, {})
    draft = Draft.begin(open_store(str(root)), "bench")
    inventory.run(spark, settings, draft)
    found: dict[str, Any] = {}
    for name, stage in (("ingest", ingest), ("embed", embed)):
        begun = time.perf_counter()
        runs = stage.run(spark, settings, draft)
        found[name] = time.perf_counter() - begun
        found[f"{name}_task_seconds"] = runs.counters["task_milliseconds"] / 1000
    shutil.rmtree(root)
    return found


def session(cores: int) -> Any:
    from artrec import log
    from artrec.stages import session as module

    log.setup("quiet")
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    module.ALONE["spark.master"] = f"local[{cores},4]"
    return module.start_spark("artrec bench")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        large, small = scratch / "large.zip", scratch / "small.zip"
        enlarge(given.archive, large, given.count)
        enlarge(given.archive, small, 64 * given.cores)
        spark = session(given.cores)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(given.cores, mp_context=context) as pool:
            bare_round(pool, small, scratch, given.cores)  # both sides get warm
            spark_round(spark, small, scratch / "warm")
            for number in range(given.rounds):
                bare = bare_round(pool, large, scratch, given.cores)
                rounds.append(
                    {"bare": bare, "spark": spark_round(spark, large, scratch / f"{number}")}
                )
        size = large.stat().st_size
        spark.stop()
    ratios = {
        stage: median(each["bare"][stage] / each["spark"][stage] for each in rounds)
        for stage in ("ingest", "embed")
    }
    result = {
        "bench": "floor",
        "archive": given.archive.name,
        "members": given.count,
        "bytes": size,
        "machine": {"processor": processor(), "cores": given.cores, "load": os.getloadavg()},
        "ratio": {stage: round(ratio, 3) for stage, ratio in ratios.items()},
        "rounds": rounds,
    }
    text = json.dumps(result, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
