"""A driver dies, and its cluster's executors or some of them do not know yet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from tests.faults.conftest import Nights
from tests.faults.harm import Harm, arm, frozen
from tests.faults.rig import FINE, assert_same_tables, assert_whole, environment, job, started
from tests.faults.standalone import Cluster

Found = TypeVar("Found")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_job_submitted_again_ends_well_while_a_task_of_the_old_one_still_writes(
    nights: Nights, idle: Cluster
) -> None:
    """A node hangs, and the driver is killed; the task there goes on when the new job embeds.

    That job's driver is killed too, when it has joined; the third one ends.
    """
    root, folder = nights.store("resubmitted"), nights.place / "resubmitted-harm"
    python = arm(folder, [Harm.at("ingest/ingested", "freeze_once")])
    surroundings = environment(
        nights.place / "resubmitted", PYSPARK_PYTHON=python, PYSPARK_DRIVER_PYTHON=sys.executable
    )
    arguments = idle.night(root, nights.new, *FINE)
    with started(arguments, surroundings, subprocess.DEVNULL) as first:
        held = _awaited(lambda: frozen(folder))
        os.killpg(first.pid, signal.SIGKILL)
    try:
        late = _late_file(root, held.files)
        assert not late.exists()
        with ThreadPoolExecutor() as pool:
            again = surroundings | {"ARTREC_FAILPOINT": "neighbors.pool"}
            second = pool.submit(job, arguments, again)
            _awaited(lambda: second.done() or _embeds(root, nights.before))
            held.thaw("daemon", "worker")
            _awaited(late.exists)
            held.thaw("node", "executor")
            ended = second.result()
    finally:
        held.thaw()
    assert ended.code == 128 + signal.SIGKILL, ended.out + ended.log
    last = job(arguments, surroundings)
    assert last.code == 0, last.out + last.log
    run = json.loads((late.parents[2] / "run.json").read_bytes())
    named = {file["path"] for file in run["tables"]["pictures"]}
    assert late.relative_to(root).as_posix() not in named
    assert_whole(root, nights.new)
    assert_same_tables(root, nights.clean)


def _late_file(root: Path, files: str) -> Path:
    """What the task stores next: ``files`` is the beginning of the path of its last one."""
    (ingested,) = root.glob(f"{files}-*")
    return ingested.parents[1] / "pictures" / ingested.name


def _embeds(root: Path, before: Path) -> bool:
    """Whether a night after that of ``before`` has stored vectors."""
    now, then = (set(each.glob("runs/embed/*/*/vectors/*")) for each in (root, before))
    return len(now) > len(then)


def _awaited(look: Callable[[], Found | None], seconds: float = 300) -> Found:
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)
    return found
