"""Two tasks beside one, as two bare processes beside one: how ingest and embed scale.

    python -m tests.bench.tasks ARCHIVE [--count 5040] [--rounds 3] [--slots 2] [--json OUT]

Of each round, ``floor.py``'s: a Spark with one slot for tasks and one bare process, then a Spark
with ``--slots`` and as many bare processes, all warm. ``speedup`` is one's seconds / the others',
the median of the rounds; ``ratio`` is Spark's speed-up / that of the bare processes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.floor import bare_round, enlarge, session, spark_round
from tests.bench.join import processor

STAGES = ("ingest", "embed")


def timed(slots: int, small: Path, large: Path, scratch: Path) -> dict[str, Any]:
    """Seconds of both sides with so many slots or processes; a new Spark, warmed."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(slots, mp_context=context) as pool:
        bare_round(pool, small, scratch, slots)
        bare = bare_round(pool, large, scratch, slots)
    spark = session(slots)
    try:
        spark_round(spark, small, scratch / "warm")
        return {"bare": bare, "spark": spark_round(spark, large, scratch / "store")}
    finally:
        spark.stop()


def speedups(rounds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """For each stage the speed-up of each side, and Spark's over the bare one."""
    found = {}
    for stage in STAGES:
        sides = {
            side: [each["one"][side][stage] / each["more"][side][stage] for each in rounds]
            for side in ("bare", "spark")
        }
        ratios = [s / b for s, b in zip(sides["spark"], sides["bare"], strict=True)]
        found[stage] = {
            "bare_speedup": round(median(sides["bare"]), 3),
            "spark_speedup": round(median(sides["spark"]), 3),
            "ratio": round(median(ratios), 3),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--count", type=int, default=5040)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        large, small = scratch / "large.zip", scratch / "small.zip"
        enlarge(given.archive, large, given.count)
        enlarge(given.archive, small, 64 * given.slots)
        rounds = [
            {
                name: timed(slots, small, large, scratch)
                for name, slots in (("one", 1), ("more", given.slots))
            }
            for _ in range(given.rounds)
        ]
    result = {
        "bench": "tasks",
        "archive": given.archive.name,
        "members": given.count,
        "slots": given.slots,
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
        },
        "stages": speedups(rounds),
        "rounds": rounds,
    }
    text = json.dumps(result, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
