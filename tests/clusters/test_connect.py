"""A night over Spark Connect: the driver's Python here, Spark and its workers behind a server."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.clusters.connect import serving
from tests.faults.rig import (
    FINE,
    GATES,
    HANDMADE,
    LISTS,
    REPOSITORY,
    assert_same_tables,
    assert_whole,
    command,
    environment,
    job,
    outcome,
    started,
)
from tests.services.names import free_port

pytest.importorskip("grpc", reason="Spark Connect needs the extra connect")

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("connect")) as address:
        yield address


def test_a_night_over_connect_is_as_one_without(
    remote: str, archive: Path, clean: Path, tmp_path: Path
) -> None:
    about = environment(tmp_path, SPARK_REMOTE=remote)
    root = tmp_path / "store"
    doctor = [sys.executable, str(REPOSITORY / "jobs" / "doctor.py")]
    well = job([*doctor, "--set", f"store.root={root}"], about)
    assert well.code == 0, well.out + well.log
    assert "All well: driver and 1 executor" in well.out
    assert well.log == ""
    ended = job(command(root, archive, *FINE), about)
    assert ended.code == 0, ended.out + ended.log
    assert [line for line in ended.log.splitlines() if not line.startswith("{")] == []
    assert_same_tables(root, clean)
    assert_whole(root, archive)


def test_a_query_over_connect_is_as_one_without(
    remote: str, archive: Path, clean: Path, tmp_path: Path
) -> None:
    asked = [sys.executable, str(REPOSITORY / "jobs" / "query.py"), str(archive), "-k", "3"]
    tables = {}
    for name, about in (("here", {}), ("there", {"SPARK_REMOTE": remote})):
        out = tmp_path / name
        places = ("--root", str(clean), "--out", str(out), "--quiet")
        ended = job([*asked, *places], environment(tmp_path, **about))
        assert ended.code == 0, ended.out + ended.log
        tables[name] = [
            pq.read_table(sorted((out / table).iterdir())).to_pylist()
            for table in ("neighbors", "query_rejects")
        ]
    assert all(tables["here"])
    assert tables["there"] == tables["here"]


def test_an_archive_that_cannot_be_read_ends_a_night_over_connect_with_its_code(
    remote: str, archive: Path, tmp_path: Path
) -> None:
    about, root = environment(tmp_path, SPARK_REMOTE=remote), tmp_path / "store"
    settings = (HANDMADE, *LISTS, *GATES, "sources.main.kind=tar")
    ended = job(command(root, archive, *settings), about)
    assert ended.code == 4, ended.out + ended.log
    assert outcome(root)["exit_code"] == 4


def test_a_server_that_is_not_there_is_told_at_once(archive: Path, tmp_path: Path) -> None:
    place = f"127.0.0.1:{free_port()}"
    about, root = environment(tmp_path, SPARK_REMOTE=f"sc://{place}"), tmp_path / "store"
    ended = job(command(root, archive, *FINE), about)
    assert ended.code == 6, ended.out + ended.log
    assert ended.complaints == [
        f"artrec: no Spark Connect server answers at {place}, which SPARK_REMOTE names; start it, "
        "and run the same command again"
    ]


WAITS = """\
import os, sys, time
from artrec.stages.ending import explain, heed_signals, stoppable, stop_spark
from artrec.stages.frames import run_tasks
from artrec.stages.session import start_spark

def work(attempt):
    with open(sys.argv[1] + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".part", sys.argv[1])
    while True:
        time.sleep(1)

with stoppable():
    spark = start_spark("waits")
    heed_signals()
    try:
        run_tasks(spark, 1, work)
    except BaseException as error:
        sys.exit(explain(error, debug=False)[1])
    finally:
        stop_spark(spark)
"""


def test_ctrl_c_ends_the_work_behind_the_server_too(remote: str, tmp_path: Path) -> None:
    met = tmp_path / "worker"
    script = WAITS.replace("sys.argv[1]", repr(str(met)))
    about = environment(tmp_path, SPARK_REMOTE=remote)
    with started([sys.executable, "-c", script], about) as process:
        until(met.exists)
        worker = int(met.read_text())
        process.send_signal(signal.SIGINT)
        _, log = process.communicate()
    assert process.returncode == 130
    assert log == "artrec: interrupted; the same command goes on from here\n"
    until(lambda: not is_alive(worker))


def until(condition: object) -> None:
    assert callable(condition)
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
