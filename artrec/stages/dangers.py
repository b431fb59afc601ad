"""Values of Spark's own settings that harm a job, told before it works.

Spark's settings belong to whoever submits: nothing is changed here. What would end the job is
refused, what makes it frail or slow is a warning. Each says key, found value, and what to set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from artrec import log
from artrec.config import Settings
from artrec.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Conf", "check_spark", "harmful", "loads_torch"]

Conf = Callable[[str], str]
"""A key's value, Spark's default where it is not set, ``""`` where there is none."""

OLDEST = (3, 5)
ADDRESSES = 4 << 30  # of one worker: torch maps 3.5 GB, of which 0.6 are ever in memory
RESIDENT = 512 << 20  # of one worker
RECORDS = 100_000  # rows of one Arrow batch
BATCH = 1 << 30  # bytes of one Arrow batch

_UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_TRIED_ONCE = re.compile(r"local(\[[^,]+(, *1)?\])?")
_OWN_PYTHON = ("PYSPARK_PYTHON", "DATABRICKS_RUNTIME_VERSION")


def check_spark(spark: SparkSession, settings: Settings) -> None:
    """Warn of harmful settings; ConfigError for those that would end the job."""
    if tuple(map(int, spark.version.split(".")[:2])) < OLDEST:
        raise ConfigError(f"Spark {spark.version} is too old: artrec runs on 3.5 to 4.3")
    fatal = []
    told = partial(_value, spark)
    for ends, text in harmful(told, loads_torch(settings, told)):
        if ends:
            fatal.append(text)
        else:
            log.get().warning("Spark's settings", why=text)
    if fatal:
        raise ConfigError("; ".join(fatal))


def loads_torch(settings: Settings, told: Callable[[str], str]) -> bool:
    """Whether workers do: for a trained encoder, and for any on a GPU."""
    device = settings.embed.device
    gpu = device == "cuda" or (device == "auto" and told("spark.task.resource.gpu.amount") != "")
    return gpu or settings.encoder.id not in ("", "handmade")


def _value(spark: SparkSession, key: str) -> str:
    if not key.startswith("spark.sql."):  # these have no default here that could be told
        return str(spark.conf.get(key, ""))
    try:
        return str(spark.conf.get(key))  # with a second argument Spark's own default is not told
    except Exception:  # whose class differs from version to version
        return ""


def harmful(conf: Conf, torch: bool = False) -> Iterator[tuple[bool, str]]:
    """(whether it ends the job, what was found and what to set) for each harmful value.

    ``torch``: the workers are known to need it.
    """
    yield from _tries(conf)
    yield from _batches(conf)
    yield from _address_space(conf, torch)
    yield from _containers(conf)
    yield from _pythons(conf)
    if conf("spark.dynamicAllocation.enabled") == "true" and not conf("spark.default.parallelism"):
        yield (
            False,
            "spark.dynamicAllocation.enabled is true: work is cut for the executors that are there "
            "at the start, which are few; set spark.default.parallelism to all the cores that "
            "there may be",
        )
    if conf("spark.sql.ansi.enabled") == "false":
        yield (
            False,
            "spark.sql.ansi.enabled is false: a number that overflows would be another number, "
            "silently; set it to true",
        )


def _tries(conf: Conf) -> Iterator[tuple[bool, str]]:
    master, tries = conf("spark.master"), conf("spark.task.maxFailures")
    why = "a picture that kills its worker ends the job, and nobody tries again or rejects it"
    if _TRIED_ONCE.fullmatch(master):
        yield False, f"spark.master is {master}: {why}; set it to local[*,4]"
    elif tries == "1" and not master.startswith("local["):
        yield False, f"spark.task.maxFailures is 1: {why}; set it to 4"


def _batches(conf: Conf) -> Iterator[tuple[bool, str]]:
    records = int(conf("spark.sql.execution.arrow.maxRecordsPerBatch") or 10_000)
    most = _bytes(conf("spark.sql.execution.arrow.maxBytesPerBatch"), "b")  # Spark 4
    if not 0 < records <= RECORDS and not 0 < most <= BATCH:
        yield (
            False,
            f"spark.sql.execution.arrow.maxRecordsPerBatch is {records}, and nothing limits the "
            "bytes: a worker may be sent a whole partition at once; set it to 10000",
        )


def _address_space(conf: Conf, torch: bool) -> Iterator[tuple[bool, str]]:
    given = _bytes(conf("spark.executor.pyspark.memory"), "m")
    each = given // int(conf("spark.executor.cores") or 1)
    if 0 < each < ADDRESSES:
        yield (
            torch,
            f"spark.executor.pyspark.memory leaves {each >> 20} MB of addresses to each worker, "
            "and torch, which trained encoders and GPUs need, maps 3500; leave it unset, or set it "
            "to 4g for each of spark.executor.cores",
        )


def _containers(conf: Conf) -> Iterator[tuple[bool, str]]:
    """On YARN and Kubernetes Python lives in what is left of the container beside the heap."""
    master = conf("spark.master")
    if not master.startswith(("yarn", "k8s://")):
        return
    factor = float(
        conf("spark.executor.memoryOverheadFactor") or (0.1 if master == "yarn" else 0.4)
    )
    heap = _bytes(conf("spark.executor.memory") or "1g", "m")
    overhead = _bytes(conf("spark.executor.memoryOverhead"), "m")
    beside = overhead or max(384 << 20, int(factor * heap))
    beside += _bytes(conf("spark.executor.pyspark.memory"), "m")
    at_once = int(conf("spark.executor.cores") or 1) // int(conf("spark.task.cpus") or 1)
    if beside < at_once * RESIDENT:
        yield (
            False,
            f"{beside >> 20} MB are left to {at_once} Python workers beside the heap of an "
            "executor, and its container will be killed for using more; set "
            f"spark.executor.memoryOverhead to {at_once}g",
        )


def _pythons(conf: Conf) -> Iterator[tuple[bool, str]]:
    master = conf("spark.master")
    chosen = conf("spark.pyspark.python") or any(name in os.environ for name in _OWN_PYTHON)
    if master and not master.startswith("local[") and not chosen:
        yield (
            False,
            "neither spark.pyspark.python nor PYSPARK_PYTHON is set: executors take whatever "
            "python3 they find; name the environment's, and see artrec doctor",
        )
    if conf("spark.python.worker.reuse") == "false":
        yield (
            False,
            "spark.python.worker.reuse is false: each task imports everything and loads the "
            "encoder anew; set it to true",
        )


def _bytes(text: str, unit: str) -> int:
    """Spark's way to write sizes: 512m, 4g, 4gb; a bare number counts in ``unit``. 0 for ``""``."""
    found = re.fullmatch(r"(\d+)\s*([bkmgt]?)(i?b)?", text.strip().lower())
    return int(found[1]) * _UNITS[found[2] or unit] if found else 0
