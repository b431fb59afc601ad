"""Spark starts second attempts at slow tasks; of two that both end, one counts."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Nights
from tests.faults.harm import Harm, arm, done
from tests.faults.rig import COARSE, assert_same_tables, assert_whole, environment, job
from tests.faults.standalone import Cluster

PLACES = ("ingest/pictures", "embed/vectors", "catalog/rejects", "neighbors/neighbor_pool")
EAGER = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.task.duration.threshold": "4s",
    "spark.speculation.efficiency.enabled": "false",
    "spark.python.task.killTimeout": "60s",  # the loser of two attempts may end, too
    "spark.eventLog.enabled": "true",
    "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false",
}


@pytest.mark.long
def test_of_two_attempts_at_a_task_that_both_store_their_files_one_counts(
    nights: Nights, idle: Cluster, tmp_path: Path
) -> None:
    """In four stages a first attempt waits, with its file stored, until a second has its own."""
    how = "twin_once"
    root, folder = nights.store("twins"), nights.place / "twins-harm"
    python = arm(folder, [Harm.at(place, how) for place in PLACES])
    surroundings = environment(
        nights.place / "twins", PYSPARK_PYTHON=python, PYSPARK_DRIVER_PYTHON=sys.executable
    )
    conf = EAGER | {"spark.eventLog.dir": f"file://{tmp_path}"}
    ended = job(idle.night(root, nights.new, *COARSE, conf=conf), surroundings)
    assert ended.code == 0, ended.out + ended.log
    assert done(folder) == {(place, how): 2 for place in PLACES}
    assert _speculative(tmp_path) >= len(PLACES)
    for place in PLACES:
        within = Path((folder / f"met-{place.replace('/', '.')}-{how}-once").read_text())
        both = {
            f"{within}-{path.name[6:]}" for path in (root / within.parent).glob(f"{within.name}-*")
        }
        assert len(both) == 2, place
        assert len(both & _named(root, within)) == 1, place
    assert_whole(root, nights.new)
    assert_same_tables(root, nights.clean)


def _named(root: Path, within: Path) -> set[str]:
    """The files that the run of a path names: runs/<stage>/<run>/<attempt>/<table>/<task>."""
    run: dict[str, Any] = json.loads((root / Path(*within.parts[:3]) / "run.json").read_bytes())
    return {file["path"] for file in run["tables"][within.parts[4]]}


def _speculative(logs: Path) -> int:
    """Second attempts that Spark says it started."""
    (log,) = logs.iterdir()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    starts = [each for each in events if each["Event"] == "SparkListenerTaskStart"]
    return Counter(each["Task Info"]["Speculative"] for each in starts)[True]
