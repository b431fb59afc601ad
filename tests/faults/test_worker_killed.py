"""Python workers and executors die; what is published is the same, but for what killed them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faults.conftest import Nights
from tests.faults.harm import Harm, arm, done
from tests.faults.rig import (
    FINE,
    GATES,
    HANDMADE,
    LISTS,
    NEW,
    Ended,
    assert_same_tables,
    assert_whole,
    command,
    current_rows,
    environment,
    job,
)

CLUSTER = "local-cluster[2,1,1024]"
AMONG = dict(NEW)
POISON, SCARE, HANG = ("Cubism/ben_14.jpg", "Cubism/ben_22.jpg", "Cubism/ben_31.jpg")


def _night(
    nights: Nights, name: str, harms: list[Harm], *assignments: str, master: str | None = CLUSTER
) -> tuple[Path, Path, Ended]:
    """A night with harm done: its store, the folder of the harm, and how the job ended."""
    root, folder = nights.store(name), nights.place / f"{name}-harm"
    python = arm(folder, harms)
    surroundings = environment(
        nights.place / name, PYSPARK_PYTHON=python, PYSPARK_DRIVER_PYTHON=sys.executable
    )
    ended = job(command(root, nights.new, *assignments, master=master), surroundings)
    return root, folder, ended


def test_a_worker_killed_in_ingest_and_one_in_embed_change_nothing(nights: Nights) -> None:
    harms = [
        Harm.to(AMONG["Cubism/ben_17.jpg"], "kill_once", "examine"),
        Harm.to(AMONG["Cubism/ben_25.jpg"], "kill_once", "decode"),
    ]
    root, folder, ended = _night(nights, "worker-killed", harms, *FINE)
    assert ended.code == 0, ended.log
    assert done(folder) == {("examine", "kill_once"): 1, ("decode", "kill_once"): 1}
    assert_whole(root, nights.new)
    assert_same_tables(root, nights.clean)


def test_pictures_that_kill_or_hang_their_decoder_are_rejects(nights: Nights) -> None:
    """One kills any process, one only a worker, and one hangs wherever it is decoded."""
    harms = [
        Harm.to(AMONG[POISON], "kill", "examine", "child"),
        Harm.to(AMONG[SCARE], "kill", "examine"),
        Harm.to(AMONG[HANG], "hang", "examine", "child"),
    ]
    settings = (HANDMADE, *LISTS, *GATES)
    settings += ("ingest.decode_seconds=3", "ingest.slice_bytes=12000")
    root, folder, ended = _night(nights, "poison", harms, *settings)
    assert ended.code == 0, ended.log
    assert all(done(folder)[where, "kill"] >= 1 for where in ("examine", "child"))
    assert done(folder)["examine", "hang"] >= 1
    assert_whole(root, nights.new)
    rejects = {row["image_id"]: row["reason"] for row in current_rows(root, "rejects")}
    truncated = "Baroque/x_truncated.jpg"
    assert rejects == {
        truncated: "truncated",
        POISON: "decode_crashed",
        HANG: "decode_timeout",
    }
    stored = {row["image_id"] for row in current_rows(root, "catalog")}
    assert stored == set(AMONG) - {POISON, HANG, truncated}


@pytest.mark.long
def test_executors_killed_in_ingest_and_in_embed_change_nothing(nights: Nights) -> None:
    harms = [
        Harm.to(AMONG["Cubism/ben_17.jpg"], "kill_executor_once", "examine"),
        Harm.to(AMONG["Cubism/ben_25.jpg"], "kill_executor_once", "decode"),
    ]
    root, folder, ended = _night(nights, "executor-killed", harms, *FINE)
    assert ended.code == 0, ended.log
    assert len(done(folder)) == 2
    assert_whole(root, nights.new)
    assert_same_tables(root, nights.clean)


@pytest.mark.long
def test_a_picture_that_kills_every_worker_of_embed_ends_the_job_and_nothing_is_published(
    nights: Nights,
) -> None:
    before = (nights.before / "CURRENT.json").read_bytes()
    harms = [Harm.to(AMONG[POISON], "kill", "decode")]
    root, _, ended = _night(nights, "poison-embed", harms, *FINE, master=None)
    assert ended.code == 1, ended.log
    assert len(ended.complaints) == 1
    assert "a Python worker died at each of its tries" in ended.complaints[0]
    assert (root / "CURRENT.json").read_bytes() == before
    again = job(command(root, nights.new, *FINE), environment(nights.place / "poison-embed"))
    assert again.code == 0, again.log
    assert_same_tables(root, nights.clean)
