"""Time the report of a synthetic store, by default of 80,000 images.

    python tests/bench/report.py [--images N] [--picture-bytes N] [--json OUT]

The store has every table that a report reads, with random rows, and pictures of about the given
size under made-up hashes. Measured are the stage, as a night has it (Spark is running), its parts,
and what it wrote. The pictures are read from the page cache of this machine.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from PIL import Image

from artrec.config import load
from artrec.releases import Draft, Run, RunRef, StageRuns, artifacts_of, record_run
from artrec.schemas import TABLES
from artrec.stages import report
from artrec.stages.places import PICTURE_GROUP
from artrec.stages.session import start_spark, stop_spark
from artrec.storage import Store, open_store
from artrec.tables import TableWriter

K, STYLES, ARTISTS = 50, 27, 1100
RANDOM = np.random.default_rng(0)

Columns = dict[str, Any]


def jpeg(size: int) -> bytes:
    """A noisy picture of about so many bytes."""
    side = max(32, int((size / 0.55) ** 0.5))
    coarse = RANDOM.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((side, side)).save(stream, "JPEG", quality=90)
    return stream.getvalue().ljust(size, b"\0")


def write(store: Store, table: str, batches: Iterator[Columns]) -> list[Any]:
    """Files of a table in which columns that are not given are null."""
    schema, groups = TABLES[table].columns, {"group_bytes": PICTURE_GROUP}
    more = groups if table == "pictures" else {}
    with TableWriter(store, "runs/bench/all/one", TABLES[table], "all", **more) as writer:  # type: ignore[arg-type]
        for columns in batches:
            rows = len(next(iter(columns.values())))
            arrays = [
                pa.array(columns[c.name], c.type) if c.name in columns else pa.nulls(rows, c.type)
                for c in schema
            ]
            writer.write(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return writer.receipts


def labels(numbers: range) -> Columns:
    return {
        "style": [f"Style_{n % STYLES}" for n in numbers],
        "artist": [f"artist-{n % ARTISTS}" for n in numbers],
        "title": [f"a-work-of-some-name-{n}" for n in numbers],
    }


def constant(count: int, **values: Any) -> Columns:
    return {name: [value] * count for name, value in values.items()}


def tables(images: int, size: int) -> dict[str, Callable[[], Iterator[Columns]]]:
    """The rows of each table, in its order."""
    every = range(images)
    ids = [f"wikiart/{n:08d}.jpg" for n in every]
    contents = [RANDOM.bytes(32) for _ in every]
    bodies = [jpeg(size) for _ in range(50)]

    def pictures() -> Iterator[Columns]:
        for low in range(0, images, 200):
            part = range(low, min(low + 200, images))
            yield {
                "content_sha256": [contents[n] for n in part],
                "data": [bodies[n % 50] for n in part],
                **constant(len(part), recipe="original", width=200, height=200, format="JPEG",
                           mode="RGB", phash=0),
            }  # fmt: skip

    def neighbors() -> Iterator[Columns]:
        for low in range(0, images, 1000):
            part = range(low, min(low + 1000, images))
            others = RANDOM.integers(0, images, len(part) * K)
            yield {
                "query_id": [ids[n] for n in part for _ in range(K)],
                "rank": [*range(1, K + 1)] * len(part),
                "neighbor_id": [ids[n] for n in others],
                "distance": np.tile(np.linspace(0.1, 0.5, K, dtype=np.float32), len(part)),
            }

    def catalog() -> Iterator[Columns]:
        yield {
            "image_id": ids, "content_sha256": contents, "entry": every, "vector_no": every,
            **labels(every),
            **constant(images, source="main", width=9, height=9, format="JPEG", bytes=9,
                       first_release="one", changed_release="one"),
        }  # fmt: skip

    def members() -> Iterator[Columns]:
        yield {
            "entry": every, "image_id": ids, "raw_name": [i.encode() for i in ids],
            **constant(images, source="main", occurrence=0, bytes=9, stored_bytes=9,
                       fingerprint="x", offset=0, method="stored"),
        }  # fmt: skip

    def rejects() -> Iterator[Columns]:
        count = max(12, images // 200)
        yield {
            "entry": range(images, images + count),
            "image_id": [f"bad/{n}.jpg" for n in range(count)],
            "reason": [("truncated", "bad_crc", "empty")[n % 3] for n in range(count)],
            **constant(count, source="main", stage="ingest", detail="it ends early", bytes=9,
                       first_release="one", attempts=1),
        }  # fmt: skip

    def evaluation() -> Iterator[Columns]:
        names = [f"Style_{n}" for n in range(STYLES)] + [f"artist-{n}" for n in range(ARTISTS)]
        for average, groups in (("micro", [""]), ("class", names)):
            for variant in ("all", "no_same_artist"):
                for k in (1, 10, 50):
                    count = len(groups)
                    yield {
                        "group": groups, "value": RANDOM.random(count),
                        **constant(count, encoder="bench-1", measure="precision", pool="catalog",
                                   label="style", variant=variant, average=average, k=k,
                                   queries=50),
                    }  # fmt: skip

    def some(count: int, **columns: Any) -> Iterator[Columns]:
        part = range(min(count, images))
        yield {
            "image_id": ids[: len(part)],
            "content_sha256": contents[: len(part)],
            **labels(part),
            **{name: made(len(part)) for name, made in columns.items()},
        }

    def duplicates() -> Iterator[Columns]:
        pairs = sorted(contents[: images // 50])
        yield {
            "content_sha256": [content for content in pairs for _ in range(2)],
            "image_id": [f"{ids[n]}-{m}" for n in range(len(pairs)) for m in range(2)],
        }

    plane: Any = RANDOM.standard_normal
    return {
        "members": members,
        "pictures": pictures,
        "catalog": catalog,
        "rejects": rejects,
        "neighbors": neighbors,
        "evaluation": evaluation,
        "hubs": lambda: some(50, lists=lambda n: range(n)),
        "duplicates": duplicates,
        "coordinates": lambda: some(8_000, x=plane, y=plane),
    }


STAGES = {
    "inventory": ("members",),
    "ingest": ("pictures",),
    "embed": (),
    "catalog": ("catalog", "rejects"),
    "index": (),
    "neighbors": ("neighbors",),
    "evaluate": ("evaluation", "hubs", "duplicates", "coordinates"),
}


def draft_of(store: Store, images: int, size: int) -> Draft:
    """A draft in which all stages before the report are done."""
    draft = Draft.begin(store, "bench")
    draft.hold("bench")
    rows = tables(images, size)
    nothing: dict[str, Any] = {"inputs": {}, "settings": {}, "versions": {}, "counters": {}}
    for stage, names in STAGES.items():
        written = {name: write(store, name, rows[name]()) for name in names}
        run = Run(stage=stage, run_id="bench", tables=written, seconds=1.0, **nothing)
        ref = RunRef.of(record_run(store, run))
        notes = {"encoder": "bench-1", "metric": "cosine", "dim": 128, "k": K}
        runs = {name: [ref] for name in names}
        draft.record(StageRuns(stage=stage, inputs="bench", tables=runs, notes=notes))
    return draft


def cpu_seconds() -> float:
    """Of this process, its JVM and its workers: on a busy machine the truer number."""
    own = psutil.Process()
    total = 0.0
    for process in (own, *own.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system
        if process is not own:  # workers that have ended
            total += times.children_user + times.children_system
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=80_000)
    parser.add_argument("--picture-bytes", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        draft = draft_of(store, given.images, given.picture_bytes)
        settings = load(None, [f"store.root={folder}"], {})[0]
        spark = start_spark("report bench", "quiet")
        spark.range(8).count()
        begun, before = time.perf_counter(), cpu_seconds()
        runs = report.run(spark, settings, draft)
        seconds, cpu = time.perf_counter() - begun, cpu_seconds() - before
        stop_spark(spark)
        files = artifacts_of(store, runs.tables["report"], "report")
        sizes = {file.path.rpartition("/")[2]: file.bytes for file in files}
    found = {
        "machine": f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
        "load": os.getloadavg()[0],
        "images": given.images,
        "picture_bytes": given.picture_bytes,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "thumbnails": runs.counters["thumbnails"],
        "thumbnail_task_seconds": runs.counters["task_milliseconds"] / 1000,
        "page_bytes": sizes["index.html"],
        "data_bytes": sizes["data.json"],
        "all_bytes": sum(sizes.values()),
        "files": len(files),
    }
    text = json.dumps(found, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
