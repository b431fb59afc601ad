"""What a run says when it ends, whatever crossed from a task or a JVM."""

from __future__ import annotations

import os
import signal

import pytest
from botocore.exceptions import NoCredentialsError

from artrec.errors import CredentialsError, GateRefused, StoreFull
from artrec.stages.ending import explain, stoppable
from artrec.storage.s3.faults import explained

IN_PYTHON = """
  An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "frames.py", line 7, in body
    yield
    ^^^^^
{}
"""
IN_TASK = """An error occurred while calling o79.collectToPython.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 1.0 failed 4 \
times, most recent failure: Lost task 0.3 in stage 1.0 (TID 7) (10.0.0.7 executor 1): {}

	at org.apache.spark.api.python.BasePythonRunner.read(PythonRunner.scala:685)
"""

LOST_EXECUTOR = (
    "ExecutorLostFailure (executor 5 exited caused by one of the running tasks) Reason: Command "
    "exited with code 137"
)

LOST_SHUFFLE = """An error occurred while calling o1076.collectToPython.
: org.apache.spark.SparkException: Job aborted due to stage failure: ResultStage 18 (collect at \
frames.py:230) has failed the maximum allowable number of times: 4. Most recent failure reason:
org.apache.spark.shuffle.MetadataFetchFailedException: Missing an output location for shuffle 5 \
partition 0
	at org.apache.spark.MapOutputTracker$.validateStatus(MapOutputTracker.scala:1739)
"""


class Py4JNetworkError(Exception):
    """As Py4J calls it."""


UNAVAILABLE = """\
<_InactiveRpcError of RPC that terminated with:
\tstatus = StatusCode.UNAVAILABLE
\tdetails = "failed to connect to all addresses; last error: UNKNOWN: Connection refused"
>"""


class RetriesExceeded(Exception):
    """As pyspark's client of Spark Connect calls it."""


class Py4JJavaError(Exception):
    """The text of such an error is asked from a JVM."""

    def __str__(self) -> str:
        raise Py4JNetworkError("answer from Java side is empty")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (GateRefused("gate images: found 0"), 5, "artrec: gate images: found 0"),
        (
            RuntimeError(IN_PYTHON.format("artrec.errors.StoreFull: /disk: no space left")),
            6,
            "artrec: /disk: no space left",
        ),
        (
            RuntimeError(IN_PYTHON.format("ValueError: seven\nis odd")),
            1,
            "artrec: unexpected: RuntimeError: ValueError: seven; --debug shows where it happened",
        ),
        (
            RuntimeError(IN_TASK.format("java.lang.OutOfMemoryError: Java heap space")),
            1,
            "artrec: unexpected: RuntimeError: java.lang.OutOfMemoryError: Java heap space; "
            "--debug shows where it happened",
        ),
        (
            RuntimeError(IN_TASK.format("java.io.IOException: No space left on device")),
            6,
            "artrec: no space left on a local disk of Spark (spark.local.dir, or TMPDIR); free "
            "some and run the same command again",
        ),
        (
            RuntimeError(IN_TASK.format("Python worker exited unexpectedly (crashed): ")),
            1,
            "artrec: a Python worker died at each of its tries, for lack of memory or by what it "
            "was decoding: give it more memory, or less at once (embed.batch, fewer cores)",
        ),
        (
            RuntimeError(IN_TASK.format(LOST_EXECUTOR)),
            1,
            "artrec: an executor died at each of a task's tries (Command exited with code 137), "
            "most likely for lack of memory: give executors more beside their heap (spark."
            "executor.memoryOverhead), or less at once (spark.executor.cores, embed.batch)",
        ),
        (
            RuntimeError(LOST_SHUFFLE),
            1,
            "artrec: executors died again and again, and with them what they had shuffled (org."
            "apache.spark.shuffle.MetadataFetchFailedException: Missing an output location for "
            "shuffle 5 partition 0), most likely for lack of memory: give executors more beside "
            "their heap (spark.executor.memoryOverhead), or less at once (spark.executor.cores, "
            "embed.batch)",
        ),
        (
            ConnectionRefusedError(111, "Connection refused"),
            6,
            "artrec: Spark's JVM is gone: stopped, killed, or out of memory; run the same command "
            "again",
        ),
        (
            Py4JJavaError(),
            6,
            "artrec: Spark's JVM is gone: stopped, killed, or out of memory; run the same command "
            "again",
        ),
        (
            RetriesExceeded(),
            6,
            "artrec: the Spark Connect server that SPARK_REMOTE names does not answer; see whether "
            "it runs, and run the same command again",
        ),
        (
            RuntimeError(UNAVAILABLE),
            6,
            "artrec: the Spark Connect server that SPARK_REMOTE names does not answer; see whether "
            "it runs, and run the same command again",
        ),
        (
            KeyError(),
            1,
            "artrec: unexpected: KeyError: no message; --debug shows where it happened",
        ),
    ],
)
def test_an_error_is_one_sentence_and_its_code(
    error: Exception, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(error, debug=False) == (sentence.removeprefix("artrec: ").split("; --")[0], code)
    assert capsys.readouterr().err == f"{sentence}\n"


def test_credentials_that_an_executor_lacks_are_told_from_those_of_the_driver(
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = explained(NoCredentialsError(), "s3://mine", "get_object")
    assert isinstance(here, CredentialsError)
    told, code = explain(here, debug=False)
    assert (code, "executor" in told) == (7, False)
    there = RuntimeError(IN_PYTHON.format(f"artrec.errors.CredentialsError: {here}"))
    told, code = explain(there, debug=False)
    assert code == 7
    assert told.startswith(f"{here}. The driver found some, this executor did not")
    assert "spark.executorEnv.AWS_ACCESS_KEY_ID" in told
    assert "properties file that only you can read" in told
    denied = RuntimeError(IN_PYTHON.format("artrec.errors.CredentialsError: s3://mine: denied"))
    assert explain(denied, debug=False) == ("s3://mine: denied", 7)


def test_debug_shows_where_it_happened(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StoreFull) as raised:
        raise StoreFull("/disk: no space left")
    assert explain(raised.value, debug=True)[1] == 6
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.endswith("\nartrec: /disk: no space left\n")


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_counts_for_more_than_the_errors_it_causes(
    number: int, code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with stoppable():
        with pytest.raises(SystemExit) as stopped:
            os.kill(os.getpid(), number)
        assert stopped.value.code == code
        os.kill(os.getpid(), number)  # once is enough
        assert explain(ConnectionRefusedError(), debug=False) == (word, code)
    assert signal.getsignal(number) is before
    assert capsys.readouterr().err == f"artrec: {word}; the same command goes on from here\n"
