"""A job that is asked to stop: its own exit code, one sentence, and the same command goes on.

Each is stopped while a picture hangs in its decoder, so stopping does not wait for the work.
spark-submit prints what a Python driver says on stderr on its own stdout.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import STDOUT, Popen

import pytest

from tests.faults.conftest import Nights
from tests.faults.harm import Harm, arm
from tests.faults.rig import (
    GATES,
    HANDMADE,
    LISTS,
    NEW,
    Ended,
    assert_same_tables,
    assert_whole,
    command,
    environment,
    job,
    outcome,
    started,
)
from tests.nights import night

PICTURE = dict(NEW)["Cubism/ben_20.jpg"]
PATIENT = (HANDMADE, *LISTS, *GATES, "ingest.decode_seconds=1000")
TRACE = re.compile(r"Traceback|^\s+at ", re.MULTILINE)

Stop = Callable[[Popen[str]], None]


def ctrl_c(process: Popen[str]) -> None:
    """As a terminal does it: to all processes of the job."""
    os.killpg(process.pid, signal.SIGINT)


def terminate(process: Popen[str]) -> None:
    """As an orchestrator does it: to the process that it started."""
    process.terminate()


def _stopped(
    nights: Nights, root: Path, stop: Stop, where: str, master: str | None = None
) -> Ended:
    """A night that is stopped while a task hangs; both streams together as its log."""
    folder = nights.place / f"{root.name}-{where}"
    python = arm(folder, [Harm.to(PICTURE, "hang", where)])
    surroundings = environment(
        nights.place / root.name, PYSPARK_PYTHON=python, PYSPARK_DRIVER_PYTHON=sys.executable
    )
    arguments = command(root, nights.new, *PATIENT, master=master)
    with started(arguments, surroundings, stderr=STDOUT) as process:
        _wait_until(lambda: any(folder.glob("met-*")), process)
        stop(process)
        log, _ = process.communicate()
    return Ended(process.returncode, "", log)


def _wait_until(reached: Callable[[], bool], process: Popen[str] | None = None) -> None:
    end = time.monotonic() + 200
    while not reached():
        assert time.monotonic() < end, "it was not reached"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)


def _assert_nothing_published(nights: Nights, root: Path) -> None:
    before = (nights.before / "CURRENT.json").read_bytes()
    assert (root / "CURRENT.json").read_bytes() == before
    assert not (root / "releases/new.json").exists()


def test_ctrl_c_and_a_termination_stop_the_job_and_the_same_command_goes_on(
    nights: Nights,
) -> None:
    root = nights.store("signals")
    for stop, where, code, word in (
        (ctrl_c, "examine", 130, "interrupted"),
        (terminate, "decode", 143, "terminated"),
    ):
        ended = _stopped(nights, root, stop, where)
        assert ended.code == code, ended.log
        assert ended.complaints == [f"artrec: {word}; the same command goes on from here"]
        assert not TRACE.search(ended.log), ended.log
        _assert_nothing_published(nights, root)
        found = outcome(root)
        assert (found["exit_code"], found["status"], found["current"]) == (code, "failed", "old")
        assert json.loads((root / "LEASE.json").read_bytes())["released"] is True
    night(root, "new", f"sources.main.url={nights.new}", *PATIENT)
    assert_whole(root, nights.new)
    assert_same_tables(root, nights.clean)


def test_spark_submit_returns_the_code_of_ctrl_c(nights: Nights) -> None:
    root = nights.store("submitted")
    ended = _stopped(nights, root, ctrl_c, "examine", master="local[2,4]")
    assert ended.code == 130, ended.log
    _assert_nothing_published(nights, root)
    # spark-submit does not wait for its driver
    _wait_until((root / "drafts/new/outcome.json").exists)
    assert (outcome(root)["exit_code"], outcome(root)["message"]) == (130, "interrupted")


def test_spark_submit_returns_the_code_of_an_unreadable_archive(nights: Nights) -> None:
    root = nights.store("submitted-nothing")
    arguments = command(root, nights.place / "nowhere.zip", master="local[2,4]")
    ended = job(arguments, environment(nights.place / "submitted"))
    assert ended.code == 4, ended.log
    said = [line for line in (ended.out + ended.log).splitlines() if line.startswith("artrec: ")]
    assert len(said) == 1
    assert "nowhere.zip" in said[0]
    assert outcome(root)["exit_code"] == 4


@pytest.mark.long
def test_spark_submit_returns_the_code_of_a_termination(nights: Nights) -> None:
    root = nights.store("submitted-terminated")
    ended = _stopped(nights, root, terminate, "decode", master="local[2,4]")
    assert ended.code == 143, ended.log
    _assert_nothing_published(nights, root)
    _wait_until((root / "drafts/new/outcome.json").exists)
    assert outcome(root)["exit_code"] == 6  # only the JVM was told
    assert "run the same command again" in outcome(root)["message"]
    arguments = command(root, nights.new, *PATIENT, master="local[2,4]")
    again = job(arguments, environment(nights.place / "again"))
    assert again.code == 0, again.log + again.out
    assert_same_tables(root, nights.clean)
