"""Time the neighbors stage in a warm Spark beside the bare product of the same vectors.

    python -m tests.bench.neighbors --n 81446 --dim 512 --rounds 2 --json OUT

Each round joins the catalog of a fresh store, of a clustered mixture (``join.py``) or of
``--vectors``, with a picture for each vector; a small one goes first, so that Spark is warm.
``floor_seconds`` is the product of all pairs in this process, with one BLAS thread, before and
after each round. ``join_ratio`` is the wall of the joining times the cores, what they spent
together, by that floor; names come in after it and have ``name_seconds``, which do not depend on
the dimension. ``shuffled`` is entries that left the tasks of the join for each place of a list.

With ``--approximate .95 .98`` the stage joins approximately, once for each of these targets, the
vectors that ``approximate.py`` joins in one process (``--data hard --archive paintings.zip``).
``cpu_ratio`` is the processor's seconds of Spark's JVM and Python workers, all they did, by those
of the bare product: other work on the machine changes it little. ``task_ratio`` is the seconds
inside Spark's tasks, by its own account, ``parts`` those of each step: they wait with the machine.
The recall is that of the join's own sample.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.config import Settings, load
from artrec.releases import Draft, Run, RunRef, StageRuns, record_run
from artrec.schemas import TABLES
from artrec.stages import neighbors
from artrec.stages.session import start_spark
from artrec.storage import open_store
from artrec.tables import TableWriter
from artrec.vectors import Tiling
from artrec.vectors.distance import Floats
from tests.bench.approximate import floor as processor_floor
from tests.bench.join import blas, mixture, processor, product
from tests.bench.vectors import made

PART = 4000


def drafted(root: str, vectors: Floats, metric: str, rules: list[str]) -> tuple[Settings, Draft]:
    """A draft whose catalog has a picture for each of ``vectors``, and no other stages."""
    settings, _ = load(None, [f"store.root={root}", *rules], {})
    draft = Draft.begin(open_store(root), "one")
    draft.hold("bench")
    numbers = np.arange(len(vectors)) * ((2**63 - 1) // len(vectors)) + 1
    with (
        TableWriter(draft.store, "runs/catalog/bench/once", TABLES["catalog"], "c") as catalog,
        TableWriter(draft.store, "runs/catalog/bench/once", TABLES["live_vectors"], "v") as live,
    ):
        for low in range(0, len(vectors), PART):
            part = slice(low, low + PART)
            live.write(live_rows(numbers[part], vectors[part]))
            catalog.write(catalog_rows(numbers[part], low))
    notes = {"encoder": "bench-1", "metric": metric, "dim": vectors.shape[1]}
    tables = {"catalog": catalog.receipts, "live_vectors": live.receipts}
    for stage, found in (("catalog", tables), ("embed", {"vectors": []})):
        run = Run(stage=stage, run_id="bench", tables=found, inputs={}, settings={}, versions={},
                  counters={}, seconds=0.0)  # fmt: skip
        refs = [RunRef.of(record_run(draft.store, run))]
        record = {"stage": stage, "inputs": "bench", "tables": dict.fromkeys(found, refs)}
        draft.record(StageRuns(**record, notes=notes if stage == "embed" else {}))
    return settings, draft


def live_rows(numbers: Any, vectors: Floats) -> pa.RecordBatch:
    offsets = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]
    lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)))
    return pa.RecordBatch.from_arrays([pa.array(numbers), lists], names=["vector_no", "embedding"])


def catalog_rows(numbers: Any, low: int) -> pa.RecordBatch:
    facts = {
        "image_id": [f"wikiart/style/artist_work-{low + i:07d}.jpg" for i in range(len(numbers))],
        "vector_no": numbers,
        "content_sha256": [(2 * int(number)).to_bytes(8, "big") + bytes(24) for number in numbers],
    }
    columns = TABLES["catalog"].columns
    arrays = [
        pa.array(facts[c.name], c.type)
        if c.name in facts
        else pa.nulls(len(numbers), c.type)
        if c.nullable
        else pa.array([""] * len(numbers) if c.type == pa.string() else [0] * len(numbers), c.type)
        for c in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def joined(
    spark: SparkSession, vectors: Floats, given: argparse.Namespace, *more: str
) -> dict[str, Any]:
    """Seconds, counters and notes of the stage on a fresh store."""
    with tempfile.TemporaryDirectory() as root:
        settings, draft = drafted(root, vectors, given.metric, [*given.set, *more])
        begun, seen, cpu = time.perf_counter(), len(task_seconds(spark)), [cpu_seconds()]
        names = neighbors.published_lists

        def listed(*given: Any) -> Any:
            cpu.append(cpu_seconds())
            return names(*given)

        with patch.object(neighbors, "published_lists", listed):
            done = neighbors.run(spark, settings, draft)
        seconds, spent = time.perf_counter() - begun, cpu[1] - cpu[0]
        parts: dict[str, float] = {}
        for text, each in task_seconds(spark)[seen:]:
            parts[text] = round(parts.get(text, 0.0) + each, 3)
        found = {"seconds": seconds, "cpu": spent, "notes": done.notes, "parts": parts}
        return {**done.counters, **found}


def cpu_seconds() -> float:
    """Of all processes that this one has started, and theirs."""
    times, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            times[int(path.parent.name)] = sum(int(each) for each in fields[11:15])
    mine, found = {os.getpid()}, 0
    while len(mine) > found:
        found = len(mine)
        mine |= {pid for pid, parent in parents.items() if parent in mine}
    ticks = sum(times.get(pid, 0) for pid in mine - {os.getpid()})
    return ticks / os.sysconf("SC_CLK_TCK")


def task_seconds(spark: SparkSession) -> list[tuple[str, float]]:
    """Of each of Spark's stages so far its description and the seconds inside its tasks."""
    context = spark.sparkContext
    none = context._gateway.new_array(context._jvm.double, 0)
    every = context._jvm.java.util.ArrayList()
    store = context._jsc.sc().statusStore()
    stages = store.stageList(every, False, False, none, every)
    found = []
    for place in reversed(range(stages.size())):
        stage = stages.apply(place)
        text = stage.description()
        found.append((text.get() if text.isDefined() else "", stage.executorRunTime() / 1000))
    return found


def approximately(
    spark: SparkSession, vectors: Floats, given: argparse.Namespace
) -> list[dict[str, Any]]:
    """The stage for each target, between two bare products; names are no part of the join."""
    rounds, before = [], processor_floor(vectors)
    for target in given.approximate:
        rules = ("neighbors.method=approximate", f"neighbors.recall={target}")
        found = joined(spark, vectors, given, *rules)
        after = processor_floor(vectors)
        around, before = (before + after) / 2, after
        parts = {text: each for text, each in found["parts"].items() if "names" not in text}
        notes = found["notes"]
        rounds.append(
            {
                "target": target,
                "floor_seconds": round(around, 2),
                "near": notes["near"],
                "probes": notes["probes"],
                "recall": notes["recall"],
                "products": round(notes["products"] / notes["exact_products"], 4),
                "cpu_ratio": round(found["cpu"] / around, 3),
                "task_ratio": round(sum(parts.values()) / around, 3),
                "python_ratio": round(notes["seconds"] / around, 3),
                "wall_seconds": round(found["join_milliseconds"] / 1000, 2),
                "exact_ratio_expected": round(notes["exact_seconds"] / around, 2),
                "parts": {text: round(each / around, 4) for text, each in parts.items()},
                "shuffled": found.get("shuffled", 0),
                "worker_peak_bytes": found["worker_peak_bytes"],
            }
        )
    return rounds


def floor(vectors: Floats) -> float:
    begun = time.perf_counter()
    product(vectors, Tiling())
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=81_446)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--vectors", type=Path, help="an .npy of float32 [n, d] instead")
    parser.add_argument("--metric", default="cosine")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--approximate", type=float, nargs="+", metavar="TARGET")
    parser.add_argument("--data", choices=("easy", "hard"), help="of vectors.py, not of join.py")
    parser.add_argument("--archive", type=Path, help="pictures that hard vectors are made of")
    parser.add_argument("--no-floor", action="store_true", help="for sizes where it takes hours")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.data:
        vectors = made(given.data, given.n, given.dim, given.archive, None)
    else:
        vectors = np.load(given.vectors) if given.vectors else mixture(given.n, given.dim, 0)
    spark, cores = start_spark("bench"), os.cpu_count() or 1
    warm = ["neighbors.method=approximate"] if given.approximate else []
    joined(spark, mixture(34_000, 16, 1), given, *warm)
    if given.approximate:
        report(given, vectors, {"approximate": approximately(spark, vectors, given)})
        spark.stop()
        return
    floors, rounds = [0.0 if given.no_floor else floor(vectors)], []
    for _ in range(given.rounds):
        rounds.append(joined(spark, vectors, given))
        floors.append(0.0 if given.no_floor else floor(vectors))
    spark.stop()
    joins = [each["join_milliseconds"] / 1000 for each in rounds]
    around = [sum(pair) / 2 for pair in pairwise(floors)]
    size = {each.split("=")[0]: int(each.split("=")[1]) for each in given.set if "=" in each}
    width = size.get("neighbors.k", 50) + size.get("neighbors.slack", 14)
    found = {
        "floor_seconds": [round(each, 2) for each in floors],
        "join_seconds": [round(each, 2) for each in joins],
        "join_ratios": [
            round(cores * each / base, 3) for each, base in zip(joins, around, strict=True) if base
        ],
        "cpu_seconds": [round(each["cpu"], 1) for each in rounds],
        "name_seconds": [
            round(each["seconds"] - join, 1) for each, join in zip(rounds, joins, strict=True)
        ],
        "shuffled": [round(r.get("shuffled", 0) / len(vectors) / width, 2) for r in rounds],
        "worker_peak_bytes": max(int(r["worker_peak_bytes"]) for r in rounds),
    }
    report(given, vectors, found)


def report(given: argparse.Namespace, vectors: Floats, found: dict[str, Any]) -> None:
    result = {
        "bench": "neighbors",
        "machine": {"processor": processor(), "cores": os.cpu_count(), "os": platform.system()},
        "blas": blas(),
        "n": len(vectors),
        "dim": vectors.shape[1],
        "metric": given.metric,
        "set": given.set,
        **found,
    }
    text = json.dumps(result, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
