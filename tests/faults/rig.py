"""Whole jobs as processes of their own, and what they leave in a store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.pictures import Named, picture
from tests.recount import read_table, recount

__all__ = [
    "COARSE",
    "CUTS",
    "FINE",
    "GATES",
    "HANDMADE",
    "LISTS",
    "NEW",
    "OLD",
    "PUBLISHED",
    "REPOSITORY",
    "Ended",
    "assert_same_tables",
    "assert_whole",
    "command",
    "copied",
    "current_rows",
    "environment",
    "events",
    "job",
    "outcome",
    "started",
    "submitted",
]

REPOSITORY = Path(__file__).parents[2]
PUBLISHED = ("catalog", "rejects", "embeddings", "neighbors", "neighbors_nested")
TOLERANCE = 1e-6

BROKEN: Named = ("Baroque/x_truncated.jpg", picture(99)[:600])
KEPT: list[Named] = [(f"Baroque/anna_{n}.jpg", picture(n)) for n in range(6)]
OLD: list[Named] = [*KEPT, ("Cubism/ben_gone.jpg", picture(6))]
"""The archive of the release that is current before a fault."""
NEW: list[Named] = [
    *KEPT,
    *((f"Cubism/ben_{n}.jpg", picture(n)) for n in range(10, 40)),
    BROKEN,
    ("Realism/copy_of_anna.jpg", picture(2)),
]
"""The archive of the release in whose making the fault happens."""

CUTS = (
    "ingest.slice_bytes=3500",
    "ingest.segment_bytes=3000",
    "embed.slice_bytes=3000",
    "embed.segment_bytes=3500",
)
"""Settings that cut the work on NEW into at least 8 slices and 5 segments, twice."""

LISTS = ("neighbors.k=5", "neighbors.slack=3")
GATES = (
    *("gates.reject_rate=0.9", "gates.shrinkage=1", "gates.source_shrinkage=1"),
    "gates.drift=9",
)
"""Limits that none of these archives reaches: here something else goes wrong."""
HANDMADE = "encoder.id=handmade"
"""Nothing is trained."""
FINE = (*CUTS, *LISTS, *GATES, HANDMADE)
COARSE = ("ingest.slice_bytes=8000", "embed.slice_bytes=8000", *LISTS, *GATES, HANDMADE)
"""The same night in one segment of some slices each: for clusters, where a job costs more."""

SPARK = """\
spark.driver.host 127.0.0.1
spark.driver.bindAddress 127.0.0.1
spark.driver.memory 1g
spark.executor.memory 512m
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
spark.executor.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
spark.sql.shuffle.partitions 2
spark.ui.enabled false
"""


@dataclass(frozen=True)
class Ended:
    """How a process ended, and all that it said."""

    code: int
    out: str
    log: str

    @property
    def complaints(self) -> list[str]:
        """What is said to people on stderr when a job fails."""
        return [line for line in self.log.splitlines() if line.startswith("artrec: ")]


def environment(place: Path, **more: str) -> dict[str, str]:
    """For one small Spark that writes its scratch below ``place``."""
    conf = place / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "spark-defaults.conf").write_text(SPARK)
    return os.environ | {"SPARK_CONF_DIR": str(conf)} | more


def command(
    root: Path, archive: Path, *assignments: str, release: str = "new", master: str | None = None
) -> list[str]:
    """The nightly job as one types it: by itself, or with a master through spark-submit."""
    nightly = str(REPOSITORY / "jobs" / "nightly.py")
    start = [sys.executable, nightly] if master is None else submitted(nightly, master=master)
    job = [*start, "--release", release]
    settings = (f"store.root={root}", f"sources.main.url={archive}", *assignments)
    return job + [part for each in settings for part in ("--set", each)]


def submitted(program: str, *arguments: str, master: str = "local[2,4]") -> list[str]:
    """A Python program as one gives it to Spark."""
    submit = Path(sys.executable).with_name("spark-submit")
    if not submit.exists():
        pytest.skip(f"{submit} is missing")
    return [str(submit), "--master", master, program, *arguments]


@contextmanager
def started(
    arguments: Sequence[str], environment: Mapping[str, str], stderr: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own, killed with that group if the test ends first."""
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        errors="replace",
        env=dict(environment),
        cwd=REPOSITORY,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)


def job(arguments: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Run to the end: of the driver, and of all that holds its pipes, such as its JVM."""
    with started(arguments, environment) as process:
        out, log = process.communicate()
    return Ended(process.returncode, out, log)


def events(log: str, event: str) -> list[dict[str, Any]]:
    """Lines of the structured log that tell of one kind of event."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def outcome(root: Path, release: str = "new") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / f"drafts/{release}/outcome.json").read_bytes())
    return found


def assert_whole(root: Path, archive: Path) -> None:
    """The outside count of what is current finds every member in its one place."""
    count = recount(root, {"main": archive})
    assert (count.differences, count.lost, count.double) == ([], 0, 0)


def assert_same_tables(found: Path, expected: Path) -> None:
    """What two stores publish is the same, row for row and in order."""
    for table in PUBLISHED:
        a, b = (current_rows(root, table) for root in (found, expected))
        if table == "embeddings":
            assert [row["image_id"] for row in a] == [row["image_id"] for row in b]
            for x, y in zip(a, b, strict=True):
                assert _furthest(x["embedding"], y["embedding"]) <= TOLERANCE
        else:
            assert a == b, table
        assert a, table


def current_rows(root: Path, table: str) -> list[dict[str, Any]]:
    """A table of the release that is current, in order."""
    current = json.loads((root / "CURRENT.json").read_bytes())
    release = json.loads((root / f"releases/{current['release']}.json").read_bytes())
    return read_table(root, release, table)


def _furthest(a: list[float], b: list[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def copied(root: Path, to: Path) -> Path:
    """A store to do harm to."""
    shutil.copytree(root, to)
    return to
