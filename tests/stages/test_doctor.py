"""artrec doctor: driver and executors agree, or what differs is named; the store is left as it was.

The differing environment is a real one: a second Python environment whose packages are those of
this one, but for an artrec of another version and an annoy that is absent.
"""

from __future__ import annotations

import json
import shutil
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

import artrec
from artrec.errors import ConfigError, CredentialsError
from artrec.stages.doctor import asking, doctor, probe
from artrec.stages.ending import explain
from artrec.storage import open_store
from tests.faults.rig import REPOSITORY, Ended, environment, job
from tests.services.s3 import Server


@dataclass
class Called:
    code: int
    said: str


@pytest.fixture
def call(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> Any:
    def calling(root: Path, as_json: bool = False, executors: int | None = None) -> Called:
        with pytest.raises(SystemExit) as ended:
            doctor(None, [f"store.root={root}"], executors, as_json)
        out, err = capsys.readouterr()
        return Called(int(str(ended.value.code)), out + err)

    return calling


def test_on_one_machine_all_agree_and_the_store_is_as_before(call: Any, tmp_path: Path) -> None:
    (tmp_path / "doctor/mine").mkdir(parents=True)
    (tmp_path / "doctor/mine/notes").write_text("not of a doctor")
    (tmp_path / "CURRENT.json").write_text("{}")
    called = call(tmp_path)
    assert called.code == 0, called.said
    assert "All well: driver and 1 executor on " in called.said
    assert f"annoy 1.17.3, pydantic {_version('pydantic')}" in called.said
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert files == ["CURRENT.json", "doctor/mine/notes"]


def test_as_json_it_is_one_line(call: Any, tmp_path: Path) -> None:
    found = json.loads(call(tmp_path, as_json=True).said)
    assert found["differing"] == found["problems"] == []
    (executor,) = found["executors"].values()
    assert executor == found["driver"]
    assert executor["python"] == sys.version.split()[0]
    assert len(executor["tiny index"].split()) == 5


def test_a_store_that_is_a_file_is_refused_before_spark(call: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    called = call(tmp_path / "file")
    assert called.code == 3
    assert "is a file: a store is a folder" in called.said


def test_executors_that_do_not_answer_are_missed(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artrec.stages.doctor.asking.WAIT", 0.1)
    called = call(tmp_path, executors=3)
    assert called.code == 3
    assert "1 of 3 executors answered" in called.said


def test_a_folder_of_one_machine_alone_is_no_store_for_a_cluster(tmp_path: Path) -> None:
    of_the_driver, of_a_node = (open_store(str(tmp_path / name)) for name in "ab")
    probe.try_store(of_the_driver, "doctor/1", "driver", b"word")
    probe.try_store(of_the_driver, "doctor/1", "node-1", b"word")
    with pytest.raises(ConfigError, match=r"not to be seen from node-1; store.root must be one"):
        probe.try_store(of_a_node, "doctor/1", "node-1", b"word")


def test_a_store_that_swaps_whatever_was_there_is_found(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))

    class Careless:
        url = "careless"
        read = store.read

        def write(self, path: str, data: bytes, if_etag: str | None = None) -> Any:
            if if_etag is not None:
                if_etag = store.stat(path).etag
            return store.write(path, data, if_etag)

    with pytest.raises(ConfigError, match="a swap against an old state went through from driver"):
        probe.try_store(Careless(), "doctor/1", "driver", b"word")


def test_an_executor_without_credentials_is_told_what_the_driver_has_beyond_it() -> None:
    met = asking._problem("node/7", "CredentialsError", "s3://mine: no usable credentials (none)")
    assert isinstance(met, CredentialsError)
    assert str(met).startswith("executor node/7: s3://mine: no usable credentials (none). The dri")
    assert "spark.executorEnv.NAME" in str(met)


def test_executors_without_the_packages_are_a_finding_beside_the_driver_s_facts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As Spark itself says it; a test below has such executors."""

    def failing(*_: object) -> Any:
        raise RuntimeError("\nModuleNotFoundError: No module named 'pyarrow'\n")

    monkeypatch.setattr(asking, "_reports", failing)
    store, spark = open_store(str(tmp_path)), cast(SparkSession, None)
    findings = asking.find(spark, store, "doctor/1", b"word", 1)
    asking.show(findings, as_json=False)
    assert capsys.readouterr().out.startswith(f"driver: python {sys.version.split()[0]}, artrec ")
    (problem,) = findings.problems
    assert problem.exit_code == 3
    assert str(problem).startswith("the executors' Python has no module pyarrow; set PYSPARK_PYT")
    assert "see artrec doctor" not in str(problem)


def test_two_pythons_end_any_job_with_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    """As Spark itself says it, when a worker's minor version is not the driver's."""
    told = PySparkRuntimeError(
        errorClass="PYTHON_VERSION_MISMATCH",
        messageParameters={"worker_version": "3.12", "driver_version": "3.11"},
    )
    assert explain(told, debug=False)[1] == 3
    assert (
        "executors run Python 3.12, the driver 3.11; set spark.pyspark" in capsys.readouterr().err
    )


def _version(package: str) -> str:
    return str(probe.facts()[package])


# -- whole processes ------------------------------------------------------------------------


def submitted(place: Path, root: Path | str, *options: str, **surroundings: str) -> Ended:
    """``spark-submit jobs/doctor.py`` on two executors of this machine."""
    command = [
        str(Path(sys.executable).with_name("spark-submit")),
        *("--master", "local-cluster[2,1,1024]"),
        *options,
        str(REPOSITORY / "jobs" / "doctor.py"),
        *("--set", f"store.root={root}", "--executors", "2"),
    ]
    about = environment(place, PYSPARK_DRIVER_PYTHON=sys.executable, **surroundings)
    return job(command, about)


def another_environment(folder: Path) -> Path:
    """Its Python. It has this environment's packages, an artrec 0.0.9, and no annoy."""
    venv.create(folder, symlinks=True)
    (ours,) = Path(sys.prefix).glob("lib/python3*/site-packages")
    (theirs,) = folder.glob("lib/python3*/site-packages")
    for entry in ours.iterdir():
        if not entry.name.startswith(("annoy", "artrec", "_artrec", "__editable__")):
            (theirs / entry.name).symlink_to(entry)
    shutil.copytree(Path(artrec.__file__).parent, theirs / "artrec")
    init = theirs / "artrec" / "__init__.py"
    text = init.read_text()
    assert f'__version__ = "{artrec.__version__}"' in text
    init.write_text(text.replace(artrec.__version__, "0.0.9"))
    return folder / "bin" / "python"


def python_by_executor(path: Path, first: str, other: Path) -> str:
    """A program that is ``first`` in the executor 0 of a local cluster, and ``other`` in 1."""
    path.write_text(
        f'#!/bin/sh\ncase "$PWD" in */0) exec "{first}" "$@";; esac\nexec "{other}" "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


@pytest.mark.long
def test_an_executor_with_another_environment_is_named(tmp_path: Path) -> None:
    other = another_environment(tmp_path / "other")
    python = python_by_executor(tmp_path / "python", sys.executable, other)
    ended = submitted(tmp_path, tmp_path / "store", PYSPARK_PYTHON=python)
    assert ended.code == 3, ended.out + ended.log
    rows = {line.split()[0]: line.split() for line in ended.out.splitlines() if line.strip()}
    ours = artrec.__version__
    assert rows["artrec"][1] == ours  # the driver's
    assert sorted(rows["artrec"][1:]) == ["0.0.9", ours, ours]
    assert sorted(rows["annoy"][1:]) == ["1.17.3", "1.17.3", "absent"]
    assert "do not agree on artrec, annoy, tiny index: give all" in ended.out
    assert not list((tmp_path / "store").rglob("*"))


@pytest.mark.long
def test_a_cluster_with_one_environment_is_well(tmp_path: Path) -> None:
    ended = submitted(tmp_path, tmp_path / "store", PYSPARK_PYTHON=sys.executable)
    assert ended.code == 0, ended.out + ended.log
    assert "All well: driver and 2 executors on " in ended.out


@pytest.mark.long
def test_executors_without_the_packages_are_told_what_is_missing(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    ended = submitted(tmp_path, tmp_path / "store", PYSPARK_PYTHON=python)
    assert ended.code == 3, ended.log
    assert "the executors' Python has no module pyarrow; set PYSPARK_PYTHON" in ended.out
    assert f"driver: python {sys.version.split()[0]}, artrec {artrec.__version__}" in ended.out


@pytest.mark.long
def test_an_executor_without_rights_in_the_store_ends_it_with_7(
    tmp_path: Path, s3_server: Server
) -> None:
    bucket = s3_server.bucket()
    wrong = ("--conf", "spark.executorEnv.AWS_SECRET_ACCESS_KEY=wrong")
    root = f"s3://{bucket}/art"
    ended = submitted(tmp_path, root, *wrong, PYSPARK_PYTHON=sys.executable)
    assert ended.code == 7, ended.out + ended.log
    assert "artrec: executor " in ended.out
    assert "AWS_SECRET_ACCESS_KEY" in ended.out
    well = submitted(tmp_path, root, PYSPARK_PYTHON=sys.executable)
    assert well.code == 0, well.out + well.log
    assert f"each can write, swap and read in {root}" in well.out
    assert not [p for p in (s3_server.folder / bucket).rglob("*") if p.is_file()]
