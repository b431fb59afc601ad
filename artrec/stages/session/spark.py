"""The Spark session of a stage: the one that others have prepared, else our own."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from artrec.stages.session.connecting import connect
from artrec.stages.session.later import Later

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["ALONE", "describe", "places_at_once", "start_spark"]

HOSTED = ("PYSPARK_GATEWAY_PORT", "SPARK_REMOTE", "DATABRICKS_RUNTIME_VERSION")
"""One of these is set where somebody else has chosen the master, as spark-submit does."""

ALWAYS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.python.worker.faulthandler.enabled": "true",
    # Spark takes a table read by tasks for a tiny one: let it broadcast only what it has measured.
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    "spark.sql.adaptive.autoBroadcastJoinThreshold": "10MB",
}

ALONE = {
    "spark.master": "local[*,4]",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "8",
    "spark.sql.ansi.enabled": "true",
    "spark.ui.enabled": "false",
}
"""For a process that starts its own Spark; ``local[*]`` would never try a task again."""


def start_spark(name: str, verbosity: str = "normal") -> SparkSession:
    """The session: the one that was prepared, else one of our own on this machine."""
    from pyspark.sql import SparkSession

    remote = os.environ.get("SPARK_REMOTE", "")
    conf = dict(ALWAYS)
    if verbosity != "verbose":
        conf |= {"spark.log.level": "ERROR", "spark.ui.showConsoleProgress": "false"}
    if not any(name in os.environ for name in HOSTED) and not SparkSession.getActiveSession():
        conf |= ALONE
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if remote:
        return connect(name, (ALONE if remote.startswith("local") else {}) | conf, remote)
    builder: Any = SparkSession.builder
    session: SparkSession = builder.appName(name).config(map=conf).getOrCreate()
    with suppress(Exception):  # a session of Spark Connect that others have prepared has no context
        if str(session.sparkContext.master).startswith("local["):
            _settle_in(session, verbosity)
    return session


def _settle_in(spark: SparkSession, verbosity: str) -> None:
    """On one machine workers are this very Python, and Spark is quiet.

    A local Spark logs every failed try with its stack; what failed in the end, we say.
    """
    if "PYSPARK_PYTHON" not in os.environ:
        spark.sparkContext.pythonExec = sys.executable
    if verbosity != "verbose":
        spark.sparkContext.setLogLevel("FATAL")


def describe(spark: SparkSession, text: str) -> None:
    """Name the next jobs in Spark's UI, where the session has a way to and is there."""
    if isinstance(spark, Later) and spark.started is None:
        return
    with suppress(Exception):  # Spark Connect has no context; names are only a courtesy
        spark.sparkContext.setJobDescription(text)


def places_at_once(spark: SparkSession) -> int | None:
    """How many tasks run at once, told without a job; None where the session cannot say."""
    with suppress(Exception):  # as above
        set_by_hand = spark.conf.get("spark.sql.leafNodeDefaultParallelism", None)
        return int(set_by_hand or spark.sparkContext.defaultParallelism)
    return None
