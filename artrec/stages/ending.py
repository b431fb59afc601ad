"""How a run ends: by a signal or an error, with one sentence for people and its exit code."""

from __future__ import annotations

import logging
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from artrec import errors
from artrec.commands.show import plain
from artrec.errors import ArtrecError, ConfigError, CredentialsError, Stopped, StoreFull

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["crossed", "ended", "explain", "heed_signals", "stop_spark", "stoppable", "wrong_python"]

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
PATIENCE = 30.0  # seconds for a JVM to answer, which may be gone itself

_REMOTE = re.compile(r"artrec\.errors\.(\w+): (.*)")
_IN_PYTHON = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)*(\S.*)")
_TWO_PYTHONS = re.compile(r"Python in worker[^:\n]*: *([\d.]+) than that in driver:? ([\d.]+\d)")
_NO_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([^'.]+)", re.MULTILINE)
_NO_PYTHON = re.compile(r"Cannot run program \"([^\"]+)\"")
_IN_TASK = re.compile(r"most recent failure: Lost task [^:]*: (.*)")
_LOST_EXECUTORS = {
    r"most recent failure: Lost task [^:]*: ExecutorLostFailure \([^)]*\) Reason: (.*)": (
        "an executor died at each of a task's tries"
    ),
    r"failed the maximum allowable number of\s+times: \d+\. Most recent failure reason:\s*(.*)": (
        "executors died again and again, and with them what they had shuffled"
    ),
}


_received: list[int] = []


@contextmanager
def stoppable() -> Iterator[None]:
    """Within the block Ctrl-C and SIGTERM end the run, each with its own code."""
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in WORDS}
    heed_signals()
    try:
        yield
    finally:
        _received.clear()
        logging.disable(logging.NOTSET)
        for number, handler in before.items():
            signal.signal(number, handler)


def heed_signals() -> None:
    """To be called again when Spark has started, as it sets a handler of its own."""
    for number in WORDS:
        signal.signal(number, _receive)


def _receive(number: int, frame: FrameType | None) -> None:
    """The first signal ends the run, more of them do nothing.

    The running job is cancelled first: this thread waits for its result, and Py4J could not say
    anything else before it came.
    """
    if _received:
        return
    _received.append(number)
    logging.disable(logging.CRITICAL)  # Py4J's log of connections that end in the middle
    _aside(_cancel_jobs)
    raise SystemExit(128 + number)


def _cancel_jobs() -> None:
    from pyspark import SparkContext
    from pyspark.sql.utils import is_remote

    if is_remote():  # a session's jobs alone: others may be using the server
        from pyspark.sql.connect.session import SparkSession

        session: Any = SparkSession._get_default_session()
        if session is not None:
            session.interruptAll()
        return
    context: Any = SparkContext._active_spark_context
    if context is not None:
        context.cancelAllJobs()


def stop_spark(spark: SparkSession) -> None:
    """Stop Spark, whatever state its JVM and the connections to it are in."""
    _aside(spark.stop)


def _aside(work: Callable[[], None]) -> None:
    """Do it in another thread, which has its own connection to the JVM; errors are no matter."""

    def quietly() -> None:
        with suppress(Exception):
            work()

    thread = threading.Thread(target=quietly, daemon=True)
    thread.start()
    thread.join(PATIENCE)


def ended(work: Callable[[], None], debug: bool) -> NoReturn:
    """Do the work of a verb, and end the process with its exit code."""
    code = 0
    with stoppable():
        try:
            work()
        except BaseException as error:
            _, code = explain(error, debug)
    sys.stdout.flush()
    sys.exit(code)


def explain(error: BaseException, debug: bool) -> tuple[str, int]:
    """One sentence on stderr; (status, exit code)."""
    if debug:
        with suppress(OSError):
            traceback.print_exception(error)
    if _received or isinstance(error, KeyboardInterrupt):
        number = signal.Signals(_received[0] if _received else signal.SIGINT)
        _say(f"{WORDS[number]}; the same command goes on from here")
        return WORDS[number], 128 + number
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return "interrupted", error.code
    try:
        text = str(error)
    except Exception as lost:  # a Java error asks its JVM for the text
        error, text = lost, ""
    blamed = _blamed(error, text)
    if blamed is None:
        gist = f"{type(error).__name__}: {_gist(text)}"
        _say(f"unexpected: {gist}" + ("" if debug else "; --debug shows where it happened"))
        return f"unexpected: {gist}", 1
    _say(str(blamed))
    return str(blamed), blamed.exit_code


def _say(sentence: str) -> None:
    """To people; nobody may be left to read it, when spark-submit was stopped too."""
    with suppress(OSError):
        print(plain(f"artrec: {sentence}"), file=sys.stderr, flush=True)


def _gist(text: str) -> str:
    """The line of an error's text that says what it was, also of one that crossed from a task."""
    lines = _IN_PYTHON.findall(text)[-1:] or _IN_TASK.findall(text) or text.strip().splitlines()
    return str(lines[0]) if lines else "no message"


def _blamed(error: BaseException, text: str) -> ArtrecError | None:
    """The error of ours behind one that crossed from a worker to the driver as text."""
    if isinstance(error, ArtrecError):
        return error
    for name, message in reversed(_REMOTE.findall(text)):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, ArtrecError):
            return crossed(kind, message.strip())
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return StoreFull(
            "no space left on a local disk of Spark (spark.local.dir, or TMPDIR); free some and "
            "run the same command again"
        )
    if (wrong := wrong_python(error, text)) is not None:
        return ConfigError(
            f"{wrong}; set spark.pyspark.python (or PYSPARK_PYTHON) to the environment that the "
            "driver has, and see artrec doctor"
        )
    if _lost_jvm(error) or "SparkContext was shut down" in text:
        return Stopped(
            "Spark's JVM is gone: stopped, killed, or out of memory; run the same command again"
        )
    if type(error).__name__ == "RetriesExceeded" or "StatusCode.UNAVAILABLE" in text:
        return Stopped(
            "the Spark Connect server that SPARK_REMOTE names does not answer; see whether it "
            "runs, and run the same command again"
        )
    if "Python worker exited unexpectedly" in text:
        return ArtrecError(
            "a Python worker died at each of its tries, for lack of memory or by what it was "
            "decoding: give it more memory, or less at once (embed.batch, fewer cores)"
        )
    return _lost_executor(text)


def crossed(kind: type[ArtrecError], message: str) -> ArtrecError:
    """What an executor met, with what to do where its surroundings are not the driver's."""
    if issubclass(kind, CredentialsError) and "no usable credentials" in message:
        message += (
            ". The driver found some, this executor did not: it has an environment of its own. "
            "Give its machine a role, or the executors the variables as spark.executorEnv.NAME "
            "(spark.executorEnv.AWS_ACCESS_KEY_ID …) in a properties file that only you can read, "
            "not by --conf, which stands in the process list; see jobs/README.md, On S3"
        )
    return kind(message)


def _lost_executor(text: str) -> ArtrecError | None:
    """Executors that died until Spark gave up: at a task, or for what they had shuffled."""
    for pattern, what in _LOST_EXECUTORS.items():
        if found := re.search(pattern, text):
            return ArtrecError(
                f"{what} ({found[1].strip().rstrip('.')}), most likely for lack of memory: give "
                "executors more beside their heap (spark.executor.memoryOverhead), or less at once "
                "(spark.executor.cores, embed.batch)"
            )
    return None


def wrong_python(error: BaseException, text: str) -> str | None:
    """What is wrong with the Python of the executors, where that ended the job."""
    if isinstance(error, ImportError):
        return None  # the driver's own
    if found := _TWO_PYTHONS.search(text):
        return f"executors run Python {found[1]}, the driver {found[2]}"
    if found := _NO_MODULE.search(text):
        return f"the executors' Python has no module {found[1]}"
    if found := _NO_PYTHON.search(text):
        return f"an executor has no program {found[1]}, which should be its Python"
    return None


def _lost_jvm(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ConnectionError) or type(error).__name__ == "Py4JNetworkError":
            return True
        error = error.__cause__ or error.__context__
    return False
