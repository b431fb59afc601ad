"""From a command line to a finished run: settings, Spark, draft, outcome, exit code.

``spark-submit jobs/<stage>.py`` and ``artrec <stage>`` both end here.
"""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artrec import errors, log
from artrec.commands.show import plain
from artrec.config import Settings, load
from artrec.errors import ArtrecError, ReleaseConflict, Stopped, StoreFull
from artrec.releases import Draft, Outcome, StageRuns, read_base
from artrec.stages.listing import check_sources
from artrec.storage import open_store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Options", "command", "describe", "execute", "start_spark", "submit"]

Run = Callable[..., StageRuns]
BEGIN = ("inventory", "nightly")  # these may open a draft; other stages go on with one

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
    "spark.ui.enabled": "false",
}
"""For a process that starts its own Spark; ``local[*]`` would never try a task again."""

_REMOTE = re.compile(r"artrec\.errors\.(\w+): (.*)")
_IN_PYTHON = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)*(\S.*)")
_IN_TASK = re.compile(r"most recent failure: Lost task [^:]*: (.*)")


@dataclass(frozen=True)
class Options:
    """What every stage takes on its command line."""

    config: str | None = None
    assignments: tuple[str, ...] = ()
    release: str | None = None
    as_json: bool = False
    verbosity: str = "normal"
    debug: bool = False
    dry_run: bool = False


def submit(run: Run) -> None:
    """The body of a file in ``jobs/``: parse the arguments, run the stage, exit with its code."""
    typer.run(command(run.__module__.rpartition(".")[2]))


def command(name: str) -> Callable[..., None]:
    """The command of a stage; the stage, and Spark with it, is imported when it is called."""

    def stage(
        config: Annotated[str | None, typer.Option(help="A YAML file of settings.")] = None,
        set_: Annotated[
            list[str] | None,
            typer.Option(
                "--set", metavar="KEY=VALUE", help="One setting; over file and environment."
            ),
        ] = None,
        release: Annotated[str | None, typer.Option(help="Name of the release to make.")] = None,
        json: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
        quiet: Annotated[bool, typer.Option("--quiet", help="Only warnings and errors.")] = False,
        verbose: Annotated[
            bool, typer.Option("--verbose", help="More detail, Spark's too.")
        ] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Stack traces with errors.")] = False,
        dry_run: Annotated[
            bool,
            typer.Option("--dry-run", help="Say what would be done, with counts; write nothing."),
        ] = False,
    ) -> None:
        verbosity = "quiet" if quiet else "verbose" if verbose else "normal"
        options = Options(config, tuple(set_ or ()), release, json, verbosity, debug, dry_run)
        code = execute(name, options)
        sys.stdout.flush()
        sys.exit(code)

    stage.__doc__ = _first_line(name)
    return stage


def _first_line(name: str) -> str:
    """The first line of a stage's docstring, read without importing the stage."""
    source = pkgutil.get_data("artrec.stages", f"{name}.py") or b""  # from a zip too
    text = (ast.get_docstring(ast.parse(source)) or name).splitlines()[0].partition(": ")
    sentence = text[2] or text[0]
    return sentence[:1].upper() + sentence[1:]


def execute(name: str, options: Options) -> int:
    """Run a stage and return the exit code; every error ends as one sentence and its code."""
    log.setup(options.verbosity)
    draft: list[Draft] = []
    with _terminable():
        try:
            message = _execute(name, options, draft)
            status, code = message
        except BaseException as error:
            status, code = _explain(error, options.debug)
            if code in (130, 143):
                signal.signal(signal.SIGINT, signal.SIG_IGN)
    if draft and not options.dry_run:
        _finish(draft[0], status, code)
    return code


def _execute(name: str, options: Options, holder: list[Draft]) -> tuple[str, int]:
    settings, _ = load(options.config, options.assignments)
    store = open_store(settings.store.root)
    if options.dry_run:
        from artrec.stages.preview import preview

        preview(name, settings, options)
        return "previewed", 0
    if name in BEGIN:
        draft: Draft | None = Draft.begin(store, options.release)
    else:
        draft = Draft.reopen(store, options.release)
        if draft is not None:
            _check_settings(draft, settings)
    if draft is None:
        return _nothing_open(name, settings)
    holder.append(draft)
    if name in BEGIN:
        check_sources(settings)
    run: Run = importlib.import_module(f"artrec.stages.{name}").run
    begun = time.monotonic()
    spark = start_spark(f"artrec {name}", options.verbosity)
    # Spark's own handler first asks a JVM that Ctrl-C may have ended too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic() - begun
    try:
        result = run(spark, settings, draft)
    finally:
        with suppress(Exception):
            spark.stop()
    from artrec.stages.account import show

    return show(name, settings, draft, result, started, options.as_json), 0


def _check_settings(draft: Draft, settings: Settings) -> None:
    """The stages of one draft run with the same settings, or tables would not fit each other."""
    from artrec.stages.inventory import draft_inputs

    inputs = draft_inputs(draft.need("inventory").inputs, settings)
    if draft.head is not None and draft.head.inputs != inputs:
        raise ReleaseConflict(
            f"draft {draft.release_id} was begun with other settings (or another version of "
            "artrec); give every stage the same ones, or begin a new draft with artrec inventory"
        )


def _nothing_open(name: str, settings: Settings) -> tuple[str, int]:
    from artrec.releases import current_release

    release = current_release(open_store(settings.store.root))
    print(
        f"{name}: no draft is open and nothing was done; {release.release_id} is current "
        "(artrec inventory opens a draft when something changed)"
    )
    return "unchanged", 0


def start_spark(name: str, verbosity: str = "normal") -> SparkSession:
    """The session: the one that was prepared, else one of our own on this machine."""
    from pyspark.sql import SparkSession

    builder: Any = SparkSession.builder
    builder = builder.appName(name)
    for key, value in ALWAYS.items():
        builder = builder.config(key, value)
    if verbosity != "verbose":
        builder = builder.config("spark.log.level", "ERROR")
        builder = builder.config("spark.ui.showConsoleProgress", "false")
    if not any(name in os.environ for name in HOSTED) and not SparkSession.getActiveSession():
        for key, value in ALONE.items():
            builder = builder.config(key, value)
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    session: SparkSession = builder.getOrCreate()
    with suppress(Exception):  # Spark Connect has no context
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
    """Name the next jobs in Spark's UI, where the session has a way to."""
    with suppress(Exception):  # Spark Connect has no context; names are only a courtesy
        spark.sparkContext.setJobDescription(text)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the run like Ctrl-C, with its own code."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _explain(error: BaseException, debug: bool) -> tuple[str, int]:
    """One sentence on stderr; (status, exit code)."""
    if debug:
        with suppress(OSError):
            traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        _say("interrupted; the same command goes on from here")
        return "interrupted", 130
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        if error.code == 143:
            _say("terminated; the same command goes on from here")
        return "interrupted", error.code
    blamed = _blamed(error)
    if blamed is None:
        gist = f"{type(error).__name__}: {_gist(str(error))}"
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


def _blamed(error: BaseException) -> ArtrecError | None:
    """The error of ours behind one that crossed from a worker to the driver as text."""
    if isinstance(error, ArtrecError):
        return error
    text = str(error)
    for name, message in reversed(_REMOTE.findall(text)):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, ArtrecError):
            return kind(message.strip())
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return StoreFull(
            "no space left on a local disk of Spark (spark.local.dir, or TMPDIR); free some and "
            "run the same command again"
        )
    if _lost_jvm(error):
        return Stopped(
            "Spark's JVM is gone: stopped, killed, or out of memory; run the same command again"
        )
    if "Python worker exited unexpectedly" in text:
        return ArtrecError(
            "a Python worker died at each of its tries, for lack of memory or by what it was "
            "decoding: give it more memory, or less at once (embed.batch, fewer cores)"
        )
    return None


def _lost_jvm(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ConnectionError) or type(error).__name__ == "Py4JNetworkError":
            return True
        error = error.__cause__ or error.__context__
    return False


def _finish(draft: Draft, status: str, code: int) -> None:
    try:
        outcome = Outcome(
            status=status if code == 0 else "failed",
            exit_code=code,
            message=status,
            release_id=draft.release_id,
            current=read_base(draft.store).release_id,
            ended=datetime.now(UTC),
        )
        draft.finish(outcome)
    except (ArtrecError, OSError) as error:
        log.get().warning("no outcome written", why=str(error))
