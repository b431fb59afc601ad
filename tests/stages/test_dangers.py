"""Spark's settings that harm a job are named before it works, with what to set."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from artrec.config import load
from artrec.stages.dangers import check_spark, harmful, loads_torch
from tests.faults.rig import REPOSITORY, environment, job

ARROW = "spark.sql.execution.arrow.maxRecordsPerBatch"
YARN = {"spark.master": "yarn", "spark.pyspark.python": "./environment/bin/python"}


def of(conf: dict[str, str]) -> list[tuple[bool, str]]:
    return list(harmful(lambda key: conf.get(key, "")))


@pytest.mark.parametrize("master", ["local", "local[4]", "local[*]", "local[*,1]", "local[2, 1]"])
def test_masters_that_never_try_again_are_warned_of(master: str) -> None:
    ((ends, text),) = of({"spark.master": master})
    assert not ends
    assert text.startswith(f"spark.master is {master}: a picture that kills its worker")
    assert text.endswith("set it to local[*,4]")


@pytest.mark.parametrize(
    "conf",
    [
        {"spark.master": "local[*,4]", "spark.task.maxFailures": "1"},  # the master decides
        {"spark.master": "local[2, 4]", "spark.sql.ansi.enabled": "true"},
        YARN | {"spark.executor.cores": "2", "spark.executor.memoryOverhead": "2g"},
        YARN | {"spark.executor.memory": "6g"},  # a tenth, for one worker
        {"spark.dynamicAllocation.enabled": "true", "spark.default.parallelism": "320"},
        {"spark.master": "local[1,2]", ARROW: "10000"},
        {"spark.master": "local[1,2]", ARROW: "0"}
        | {"spark.sql.execution.arrow.maxBytesPerBatch": "67108864"},
        {"spark.executor.pyspark.memory": "8g", "spark.executor.cores": "2"},
        {},  # Spark Connect tells little
    ],
)
def test_sound_settings_pass(conf: dict[str, str]) -> None:
    assert of(conf) == []


@pytest.mark.parametrize(
    ("conf", "text"),
    [
        (YARN | {"spark.task.maxFailures": "1", "spark.executor.memory": "8g"}, "set it to 4"),
        ({ARROW: "0"}, "maxRecordsPerBatch is 0, and nothing limits the bytes"),
        ({"spark.dynamicAllocation.enabled": "true"}, "set spark.default.parallelism to all the"),
        ({ARROW: "2000000"}, "maxRecordsPerBatch is 2000000"),
        (YARN, "384 MB are left to 1 Python workers"),
        (
            YARN | {"spark.executor.memory": "10g", "spark.executor.cores": "4"},
            "1024 MB are left to 4 Python workers beside the heap of an executor, and its "
            "container will be killed for using more; set spark.executor.memoryOverhead to 4g",
        ),
        ({"spark.python.worker.reuse": "false"}, "loads the encoder anew"),
        ({"spark.sql.ansi.enabled": "false"}, "set it to true"),
    ],
)
def test_what_makes_a_job_frail_or_slow_is_warned_of(conf: dict[str, str], text: str) -> None:
    ((ends, said),) = of(conf)
    assert (ends, text in said) == (False, True)


def test_two_pythons_are_likely_where_nobody_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYSPARK_PYTHON")
    ((ends, text),) = of({"spark.master": "spark://host:7077"})
    assert not ends
    assert "executors take whatever python3 they find" in text
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    assert of({"spark.master": "spark://host:7077"}) == []


def test_workers_without_room_for_torch_are_refused() -> None:
    conf = {"spark.executor.pyspark.memory": "4g", "spark.executor.cores": "2"}
    ((ends, text),) = harmful(lambda key: conf.get(key, ""), torch=True)
    assert ends
    assert of(conf) == [(False, text)]  # the hand-made encoder has room enough
    assert "leaves 2048 MB of addresses to each worker" in text


CONFS = sorted(REPOSITORY.glob("conf/spark-*.conf"))


@pytest.mark.parametrize("path", CONFS, ids=lambda path: path.stem)
def test_our_own_settings_for_spark_are_sound_and_each_has_its_reason(path: Path) -> None:
    lines = path.read_text().splitlines()
    conf = dict(line.split(maxsplit=1) for line in lines if not line.startswith("#"))
    assert of({"spark.master": "local[*,4]"} | conf) == []
    bare = [
        line
        for before, line in pairwise(lines)
        if not line.startswith("#") and not before.startswith("#")
    ]
    assert (bare, lines[0][:2]) == ([], "# ")
    assert len(conf) == len([line for line in lines if not line.startswith("#")]) > 7


@pytest.mark.parametrize(
    ("options", "gpu", "loads"),
    [
        (["encoder.id=handmade"], "", False),
        (["encoder.id=handmade"], "0.25", True),
        (["encoder.id=handmade", "embed.device=cpu"], "0.25", False),
        (["encoder.id=handmade", "embed.device=cuda"], "", True),
        (["encoder.id=anna-0123", "embed.device=cpu"], "", True),
    ],
)
def test_workers_load_torch_for_trained_encoders_and_on_gpus(
    options: list[str], gpu: str, loads: bool
) -> None:
    conf = {"spark.task.resource.gpu.amount": gpu}
    assert loads_torch(load(None, options, {})[0], conf.__getitem__) is loads


def test_the_session_of_these_tests_is_sound(spark: SparkSession) -> None:
    check_spark(spark, load(None, ["encoder.id=anna-0123"], {})[0])


def test_a_refused_setting_ends_a_job_with_3_before_it_works(tmp_path: Path) -> None:
    submit = str(Path(sys.executable).with_name("spark-submit"))
    command = [submit, "--master", "local[1]", "--conf", "spark.executor.pyspark.memory=1g"]
    command += [str(REPOSITORY / "jobs" / "doctor.py"), "--set", f"store.root={tmp_path / 'store'}"]
    command += ["--set", "encoder.id=anna-0123"]
    ended = job(command, environment(tmp_path))
    assert ended.code == 3, ended.out + ended.log
    assert "artrec: spark.executor.pyspark.memory leaves 1024 MB" in ended.out
    assert "spark.master is local[1]: a picture that kills its worker" in ended.out
