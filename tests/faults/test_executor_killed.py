"""Executors and nodes die in every stage that gives them tasks; what is published is the same.

Each dies when a task of its has stored a file and not yet said so: the file is an orphan, and what
the executor had shuffled is lost with it. inventory and publish have no tasks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from artrec.stages.session import Options, execute
from tests.faults.conftest import Nights
from tests.faults.harm import Harm, arm, done
from tests.faults.rig import (
    COARSE,
    REPOSITORY,
    assert_same_tables,
    assert_whole,
    command,
    copied,
    environment,
    job,
)
from tests.faults.standalone import Cluster

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

LOCAL = "local-cluster[2,1,1024]"
EVERYWHERE = (
    "ingest/pending_members",
    "ingest/pictures",
    "embed/vectors",
    "catalog/rejects",
    "catalog/live_vectors",
    "index/shards",
    "neighbors/neighbor_pool",
    "neighbors/neighbors",
    "evaluate/retrieval",
    "report/thumbs",
)
PAIRS = tuple(f"neighbors/neighbor_{table}" for table in ("cells", "layout", "first", "pool"))
NODES = ("ingest/ingested", "embed/vectors", "neighbors/neighbors_nested")
SMALL = (
    "train.recipe=convolutional",
    "train.side=16",
    "train.channels=[4,8]",
    "train.epochs=1",
    "train.held_out=0.5",
)


def _armed(
    nights: Nights, name: str, places: Sequence[str], how: str
) -> tuple[Path, dict[str, str]]:
    folder = nights.place / f"{name}-harm"
    python = arm(folder, [Harm.at(place, how) for place in places])
    return folder, environment(
        nights.place / name, PYSPARK_PYTHON=python, PYSPARK_DRIVER_PYTHON=sys.executable
    )


def _assert_survived(
    nights: Nights, root: Path, folder: Path, places: Sequence[str], how: str
) -> None:
    assert done(folder) == {(place, how): 1 for place in places}
    assert_whole(root, nights.new)
    assert_same_tables(root, nights.clean)


def _assert_orphans(nights: Nights, root: Path) -> None:
    """Each stage's task left a file that does not count; report takes over what is there."""
    stages = {place.partition("/")[0] for place in EVERYWHERE} - {"report"}
    assert {path.split("/")[1] for path in _orphans(root) - _orphans(nights.before)} >= stages


def _orphans(root: Path) -> set[str]:
    """Files below runs/ that no run names."""
    there = {path.relative_to(root).as_posix() for path in root.glob("runs/*/*/*/*/*")}
    named: set[str] = set()
    for path in root.glob("runs/*/*/run.json"):
        run = json.loads(path.read_bytes())
        for files in (run["tables"] | run["artifacts"]).values():
            named |= {file["path"] for file in files}
    return there - named


def test_an_executor_killed_in_each_stage_on_a_standalone_cluster_changes_nothing(
    nights: Nights, idle: Cluster
) -> None:
    how = "kill_executor_once"
    root = nights.store("executors")
    folder, surroundings = _armed(nights, "executors", EVERYWHERE, how)
    ended = job(idle.night(root, nights.new, *COARSE), surroundings)
    assert ended.code == 0, ended.out + ended.log
    _assert_survived(nights, root, folder, EVERYWHERE, how)
    _assert_orphans(nights, root)


def test_an_executor_killed_in_each_stage_on_a_local_cluster_changes_nothing(
    nights: Nights,
) -> None:
    how = "kill_executor_once"
    root = nights.store("local-executors")
    folder, surroundings = _armed(nights, "local-executors", EVERYWHERE, how)
    ended = job(command(root, nights.new, *COARSE, master=LOCAL), surroundings)
    assert ended.code == 0, ended.out + ended.log
    _assert_survived(nights, root, folder, EVERYWHERE, how)
    _assert_orphans(nights, root)


def test_an_executor_killed_in_each_part_of_a_join_in_pairs_changes_no_list(
    nights: Nights,
) -> None:
    """What blocks found in each other is lost with an executor, and found again."""
    how = "kill_executor_once"
    root = nights.store("pairs")
    folder, surroundings = _armed(nights, "pairs", PAIRS, how)
    laid = ("neighbors.pairs_from=1", "neighbors.block_rows=5", "neighbors.rebuild_share=0")
    ended = job(command(root, nights.new, *COARSE, *laid, master=LOCAL), surroundings)
    assert ended.code == 0, ended.out + ended.log
    _assert_survived(nights, root, folder, PAIRS, how)


def test_a_node_killed_in_three_stages_changes_nothing(nights: Nights, idle: Cluster) -> None:
    """The night goes on with the other node, until the first is back.

    An executor whose node is gone ends by itself, before or after its task has said what it did.
    """
    how, before = "kill_node_once", idle.restarts
    root = nights.store("nodes")
    folder, surroundings = _armed(nights, "nodes", NODES, how)
    ended = job(idle.night(root, nights.new, *COARSE), surroundings)
    assert ended.code == 0, ended.out + ended.log
    assert idle.restarts - before == len(NODES)
    _assert_survived(nights, root, folder, NODES, how)


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("ingest/pictures", "an executor died at each of a task's tries (Command exited with code"),
        ("catalog/rejects", "executors died again and again, and with them what they had shuffled"),
    ],
    ids=["one task", "a shuffle"],
)
def test_a_task_that_kills_every_executor_ends_the_job_with_what_to_do(
    nights: Nights, place: str, what: str
) -> None:
    """As one does that needs more memory than a container has."""
    name = f"every-executor-{place.partition('/')[0]}"
    before = (nights.before / "CURRENT.json").read_bytes()
    root, how = nights.store(name), "kill_executor"
    folder, surroundings = _armed(nights, name, [place], how)
    arguments = command(root, nights.new, *COARSE, master=LOCAL)
    ended = job(arguments, surroundings)
    assert ended.code == 1, ended.out + ended.log
    assert done(folder)[place, how] >= 4
    (said,) = [line for line in ended.out.splitlines() if line.startswith("artrec: ")]
    assert said.startswith(f"artrec: {what}"), said
    assert "spark.executor.memoryOverhead" in said
    assert (root / "CURRENT.json").read_bytes() == before
    again = job(arguments, environment(nights.place / name))
    assert again.code == 0, again.out + again.log
    assert_same_tables(root, nights.clean)


def test_an_executor_killed_while_it_makes_examples_changes_no_encoder(nights: Nights) -> None:
    plain = copied(nights.clean, nights.place / "trained")
    settings = (f"store.root={plain}", *SMALL)
    assert execute("train", Options(assignments=settings, verbosity="quiet")) == 0
    root, how = copied(nights.clean, nights.place / "trained-with-harm"), "kill_executor_once"
    folder, surroundings = _armed(nights, "train-harm", ["train/examples"], how)
    arguments = command(root, nights.new, *SMALL, master=LOCAL)
    train = str(REPOSITORY / "jobs" / "train.py")
    at = arguments.index(str(REPOSITORY / "jobs" / "nightly.py"))
    ended = job([*arguments[:at], train, *arguments[at + 3 :]], surroundings)
    assert ended.code == 0, ended.out + ended.log
    assert done(folder) == {("train/examples", how): 1}
    assert _trained(root) == _trained(plain)


def _trained(root: Path) -> tuple[list[str], list[str]]:
    """The store's encoders and its runs of train; both are named after what they hold."""
    encoders, runs = (root / "encoders").iterdir(), (root / "runs" / "train").iterdir()
    return sorted(each.name for each in encoders), sorted(each.name for each in runs)
