"""The driver is killed with SIGKILL at named points; the same command ends at the same release."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from artrec.failpoints import POINTS
from tests.faults.conftest import Nights
from tests.faults.rig import (
    FINE,
    assert_same_tables,
    assert_whole,
    command,
    current_rows,
    environment,
    events,
    job,
    outcome,
)

EVERYDAY = (
    "ingest.segment#2",
    "embed.tasks#3",
    "index.shards",
    "neighbors.pool",
    "publish.release",
    "publish.views",
    "publish.current",
)
SLICES, SEGMENTS = 8, 5
PAIRS = ("neighbors.pairs_from=1", "neighbors.block_rows=9", "neighbors.rebuild_share=0")
OF_SOME_NIGHTS = (
    *("rollback.", "migrate.", "sweep."),
    *("neighbors.part", "neighbors.met", "neighbors.table"),
    *("ingest.compact", "embed.compact"),
)
NIGHT = [point for point in POINTS if not point.startswith(OF_SOME_NIGHTS)]
TABLES = (
    "neighbors.tables.in_style.within=[style]",
    "neighbors.tables.two={at_most: {artist: 2}, collapse: true}",
)


def _every_point() -> list[str]:
    """All points in the order of a night; those of segments at a first, a middle and a last one.

    Those of train belong to a store's first night, and are tested with the training.
    ``*.segment`` counts finished segments that are met again, ``*.tasks`` only those done anew.
    """
    wanted: list[str] = []
    for point in NIGHT:
        if point.endswith(".tasks"):
            stage = point.removesuffix(".tasks")
            wanted += [point, f"{stage}.segment", f"{point}#2", f"{stage}.segment#{SEGMENTS}"]
        elif not point.endswith(".segment"):
            wanted.append(point)
    return wanted


def test_the_chain_of_all_points_leaves_none_out() -> None:
    assert {point.partition("#")[0] for point in _every_point()} == set(NIGHT)


def test_a_driver_killed_here_and_there_publishes_what_it_would_have(nights: Nights) -> None:
    _kill_in_turn(nights, "killed", EVERYDAY)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_driver_killed_at_every_point_publishes_what_it_would_have(nights: Nights) -> None:
    _kill_in_turn(nights, "killed-everywhere", _every_point())


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_driver_killed_between_two_parts_of_a_join_goes_on_behind_them(nights: Nights) -> None:
    _kill_in_turn(nights, "killed-in-pairs", ("neighbors.part", "neighbors.pool"), PAIRS)
    root = nights.place / "killed-in-pairs"
    laid = [path.name.split("-")[1] for path in root.rglob("neighbor_layout/block-*.parquet")]
    assert len(laid) == len(set(laid)) > 1


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_driver_killed_while_it_keeps_a_table_up_to_date_ends_at_the_same_lists(
    nights: Nights,
) -> None:
    kept = ("neighbors.rebuild_share=1", "neighbors.block_rows=9")
    _kill_in_turn(nights, "killed-maintaining", ("neighbors.met", "neighbors.pool"), kept)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_driver_killed_between_two_tables_under_rules_makes_each_once(nights: Nights) -> None:
    _kill_in_turn(nights, "killed-ruled", ("neighbors.table", "neighbors.table"), TABLES)
    root = nights.place / "killed-ruled"
    for name in ("in_style", "two"):
        assert len(list(root.glob(f"runs/neighbors/*/*/neighbors_{name}_nested"))) == 1
        lists = current_rows(root, f"neighbors_{name}_nested")
        assert len(lists) == len(current_rows(root, "catalog")) > 10


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_driver_killed_while_segments_are_compacted_goes_on(nights: Nights) -> None:
    points = [point for point in POINTS if ".compact" in point]
    _kill_in_turn(nights, "killed-compacting", points, ("store.compact_share=0.001",))


def _kill_in_turn(
    nights: Nights, name: str, points: Sequence[str], more: Sequence[str] = ()
) -> None:
    """One store; each attempt is killed at the next point, and the last one is left in peace."""
    root = nights.store(name)
    arguments = command(root, nights.new, *FINE, *more)
    surroundings = environment(nights.place / "driver")
    before = (root / "CURRENT.json").read_bytes()
    logs: list[str] = []
    kept, everything = _immutable(root), sorted(root.rglob("*"))
    for point in points:
        ended = job(arguments, surroundings | {"ARTREC_FAILPOINT": point})
        assert ended.code == -signal.SIGKILL, f"{point} was not reached: {ended}"
        swapped = point == "publish.current"
        assert ((root / "CURRENT.json").read_bytes() != before) == swapped, point
        now = _immutable(root)
        assert now.items() >= kept.items(), f"{point}: a finished object was touched"
        kept = now
        logs.append(ended.log)
        if point == "inventory.listed":
            assert sorted(root.rglob("*")) == everything, "listing alone left a trace"
    last = job(arguments, surroundings)
    assert last.code == 0, last
    assert _immutable(root).items() >= kept.items()
    _assert_done_once(root, [*logs, last.log])
    assert outcome(root)["exit_code"] == 0
    assert_whole(root, nights.new)
    assert_same_tables(root, nights.clean)


def _immutable(root: Path) -> dict[str, tuple[int, int, int]]:
    """Runs and releases with inode, time and size; not the files that an attempt was writing."""
    return {
        str(path.relative_to(root)): (status.st_ino, status.st_mtime_ns, status.st_size)
        for folder in ("runs", "releases")
        for path in (root / folder).rglob("*")
        if path.is_file()
        for status in [os.stat(path)]
    }


def _assert_done_once(root: Path, logs: Sequence[str]) -> None:
    """Each segment was done by one attempt alone, and there were as many as were asked for."""
    log = "".join(logs)
    for stage in ("ingest", "embed"):
        cuts = [line for line in events(log, "cut") if line["stage"] == stage]
        assert len(cuts) == 1
        assert cuts[0]["slices"] >= SLICES
        assert cuts[0]["segments"] >= SEGMENTS
        ends = [line for line in events(log, "segment done") if line["stage"] == stage]
        done = [line["run"] for line in ends if "kept" not in line]  # which compactions have
        assert len(done) == len(set(done)) == cuts[0]["segments"]
        assert all((root / f"runs/{stage}/{run}/run.json").is_file() for run in done)
