"""Time and memory of the evaluate stage on a synthetic catalog.

    python tests/bench/evaluate.py --images 80000 --dim 154 [--queries 2000] [--json OUT]

The catalog is literal: a clustered mixture of vectors under 27 styles and 1,119 artists, each image
with a small PNG of its own. Its neighbor lists are made up (as long as real ones, but not right),
so recall of the table is 0; all else is measured as on a real night. ``seconds`` is the wall time
of the stage, ``worker_peak_bytes`` the largest Python worker, ``driver_peak_bytes`` this process.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from artrec.config import load
from artrec.releases import Draft, Run, RunRef, StageRuns, record_run
from artrec.schemas import TABLES
from artrec.stages import evaluate
from artrec.stages.rules import picture_recipe
from artrec.stages.session import start_spark
from artrec.storage import open_store
from artrec.tables import TableWriter
from tests.bench.join import mixture

K, STYLES, ARTISTS, PART = 50, 27, 1119, 4000


def tables(n: int, dim: int, recipe: str) -> Iterator[tuple[str, str, pa.Table]]:
    """(stage, table, rows) of a whole draft, in parts."""
    rng = np.random.default_rng(0)
    vectors = mixture(n, dim, 0)
    artists = np.minimum(rng.zipf(1.3, n), ARTISTS)
    for low in range(0, n, PART):
        rows = np.arange(low, min(n, low + PART))
        names = [f"wikiart/style-{a % STYLES}/artist-{a}_work-{i}.jpg" for i, a in
                 zip(rows, artists[rows], strict=True)]  # fmt: skip
        shas = [int(2 * i + 2).to_bytes(8, "big") + bytes(24) for i in rows]
        facts: dict[str, Any] = {
            "source": ["main"] * len(rows), "entry": rows, "image_id": names,
            "content_sha256": shas, "vector_no": rows + 1,
            "style": [f"style-{a % STYLES}" for a in artists[rows]],
            "artist": [f"artist-{a}" for a in artists[rows]],
            "title": [f"work-{i}" for i in rows],
            "raw_name": [name.encode() for name in names], "fingerprint": ["crc32=0"] * len(rows),
            "method": ["stored"] * len(rows), "format": ["PNG"] * len(rows),
            "recipe": [recipe] * len(rows), "mode": ["RGB"] * len(rows),
            "data": [png(i) for i in rows], "phash": hashes(rng, len(rows)),
            "embedding": list(vectors[rows]), "query_id": names,
            "ids": [[names[(j + i) % len(names)] for i in range(1, K + 1)] for j in
                    range(len(names))],
            "distances": [[0.5] * K] * len(rows),
            "others": [(rows[0] + (np.arange(j, j + K) + 1) % len(rows) + 1) for j in
                       range(len(rows))],
            "first_release": ["one"] * len(rows), "changed_release": ["one"] * len(rows),
            "neighbor_id": names, "rank": [1] * len(rows), "distance": [0.5] * len(rows),
        }  # fmt: skip
        for stage, table in (
            ("inventory", "members"), ("ingest", "pictures"), ("catalog", "catalog"),
            ("catalog", "live_vectors"), ("neighbors", "neighbors_nested"),
            ("neighbors", "neighbors"), ("neighbors", "neighbor_pool"),
        ):  # fmt: skip
            yield stage, table, part_of(table, facts, len(rows))


def hashes(rng: np.random.Generator, count: int) -> Any:
    """As many ones as zeros; every tenth is one swap from the one before."""
    bits = rng.permuted(np.tile(np.repeat([0, 1], 32), (count, 1)), axis=1).astype(np.uint8)
    for n in range(10, count, 10):
        bits[n] = bits[n - 1]
        bits[n, [bits[n].argmin(), bits[n].argmax()]] = 1, 0
    return np.packbits(bits, axis=1).view(">i8").ravel().astype(np.int64)


def part_of(table: str, facts: dict[str, Any], count: int) -> pa.Table:
    columns = TABLES[table].columns
    found = {
        c.name: pa.array(facts[c.name], c.type)
        if c.name in facts
        else pa.nulls(count, c.type)
        if c.nullable
        else pa.array([""] * count if c.type == pa.string() else [0] * count, c.type)
        for c in columns
    }
    return pa.table(found, columns)


def png(seed: int) -> bytes:
    patches = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(patches).resize((64, 64)).save(stream := io.BytesIO(), "PNG")
    return stream.getvalue()


def drafted(root: str, n: int, dim: int, assignments: list[str]) -> tuple[Any, Draft]:
    settings, _ = load(None, [f"store.root={root}", *assignments], {})
    draft = Draft.begin(open_store(root), "one")
    draft.hold("bench")
    writers: dict[tuple[str, str], TableWriter] = {}
    for stage, table, rows in tables(n, dim, picture_recipe(settings.ingest)):
        if (stage, table) not in writers:
            folder = f"runs/{stage}/bench/once"
            opened = TableWriter(draft.store, folder, TABLES[table], table, file_bytes=32 << 20)
            writers[stage, table] = opened.__enter__()
        for batch in rows.to_batches():
            writers[stage, table].write(batch)
    for writer in writers.values():
        writer.__exit__(None, None, None)
    notes: dict[str, dict[str, Any]] = {
        "embed": {"encoder": "bench-1", "metric": "cosine", "dim": dim},
        "neighbors": {"k": K, "exact": True},
    }
    empty = {"catalog": ["rejects"], "embed": ["vectors"]}
    for stage in ("inventory", "ingest", "embed", "catalog", "neighbors"):
        found = {t: w.receipts for (s, t), w in writers.items() if s == stage}
        found |= {name: [] for name in empty.get(stage, [])}
        run = Run(stage=stage, run_id="bench", tables=found, inputs={}, settings={}, versions={},
                  counters={}, seconds=0.0)  # fmt: skip
        refs = [RunRef.of(record_run(draft.store, run))]
        draft.record(StageRuns(stage=stage, inputs="bench", tables=dict.fromkeys(found, refs),
                               notes=notes.get(stage, {})))  # fmt: skip
    return settings, draft


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=80_000)
    parser.add_argument("--dim", type=int, default=154)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        rules = [f"evaluate.queries={given.queries}"]
        settings, draft = drafted(root, given.images, given.dim, rules)
        made_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        spark = start_spark("bench")
        begun, load_before = time.perf_counter(), os.getloadavg()
        found = evaluate.run(spark, settings, draft)
        seconds = time.perf_counter() - begun
        spark.stop()
    result = {
        "machine": {"cores": os.cpu_count(), "load_before": load_before,
                    "load_after": os.getloadavg(), "python": platform.python_version()},
        "images": given.images, "dim": given.dim, "queries": given.queries,
        "seconds": round(seconds, 1),
        "task_seconds": found.counters["task_milliseconds"] / 1000,
        "worker_peak_bytes": found.counters["worker_peak_bytes"],
        "driver_peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "driver_peak_bytes_before": 1024 * made_peak,
    }  # fmt: skip
    text = json.dumps(result, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
