"""From a command line to a finished run: settings, Spark, draft, outcome, exit code.

``spark-submit jobs/<stage>.py`` and ``artrec <stage>`` both end here.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artrec import errors, log
from artrec.commands.show import plain
from artrec.config import Settings, load
from artrec.errors import ArtrecError, StoreFull
from artrec.releases import Draft, Outcome, StageRuns
from artrec.stages.listing import check_sources
from artrec.storage import open_store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Options", "command", "describe", "execute", "start_spark", "submit"]

Run = Callable[..., StageRuns]
BEGIN = ("inventory", "nightly")  # these may open a draft; other stages go on with one

HOSTED = ("PYSPARK_GATEWAY_PORT", "SPARK_REMOTE", "DATABRICKS_RUNTIME_VERSION")
"""One of these is set where somebody else has chosen the master, as spark-submit does."""

ALONE = {
    "spark.master": "local[*,4]",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "8",
    "spark.ui.enabled": "false",
}
"""For a process that starts its own Spark; ``local[*]`` would never try a task again."""

_REMOTE = re.compile(r"artrec\.errors\.(\w+): (.*)")


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
    tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
    text = (ast.get_docstring(tree) or name).splitlines()[0].partition(": ")
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
    if draft is None:
        return _nothing_open(name, settings)
    holder.append(draft)
    if name in BEGIN:
        check_sources(settings)
    run: Run = importlib.import_module(f"artrec.stages.{name}").run
    begun = time.monotonic()
    spark = start_spark(f"artrec {name}", options.verbosity)
    started = time.monotonic() - begun
    try:
        result = run(spark, settings, draft)
    finally:
        with suppress(Exception):
            spark.stop()
    from artrec.stages.account import show

    return show(name, settings, draft, result, started, options.as_json), 0


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

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder: Any = SparkSession.builder
    builder = builder.appName(name).config("spark.sql.session.timeZone", "UTC")
    builder = builder.config("spark.python.worker.faulthandler.enabled", "true")
    if verbosity != "verbose":
        builder = builder.config("spark.log.level", "ERROR")
        builder = builder.config("spark.ui.showConsoleProgress", "false")
    if not any(name in os.environ for name in HOSTED) and not SparkSession.getActiveSession():
        for key, value in ALONE.items():
            builder = builder.config(key, value)
    session: SparkSession = builder.getOrCreate()
    if verbosity != "verbose":
        _hush(session)
    return session


def _hush(spark: SparkSession) -> None:
    """A local Spark logs every failed try with its stack; what failed in the end, we say."""
    with suppress(Exception):  # Spark Connect has no context
        if str(spark.sparkContext.master).startswith("local["):
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
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        print("artrec: interrupted; the same command goes on from here", file=sys.stderr)
        return "interrupted", 130
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        if error.code == 143:
            print("artrec: terminated; the same command goes on from here", file=sys.stderr)
        return "interrupted", error.code
    blamed = _blamed(error)
    if blamed is None:
        text = str(error).strip().splitlines() or [type(error).__name__]
        print(plain(f"artrec: unexpected: {type(error).__name__}: {text[0]}"), file=sys.stderr)
        if not debug:
            print("artrec: --debug shows where it happened", file=sys.stderr)
        return f"unexpected: {text[0]}", 1
    print(plain(f"artrec: {blamed}"), file=sys.stderr)
    return str(blamed), blamed.exit_code


def _blamed(error: BaseException) -> ArtrecError | None:
    """The error of ours behind one that crossed from a worker to the driver as text."""
    if isinstance(error, ArtrecError):
        return error
    text = str(error)
    for name, message in _REMOTE.findall(text):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, ArtrecError):
            return kind(message.strip())
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return StoreFull(
            "no space left on a local disk of Spark (spark.local.dir, or TMPDIR); free some and "
            "run the same command again"
        )
    return None


def _finish(draft: Draft, status: str, code: int) -> None:
    outcome = Outcome(
        status="done" if code == 0 else "failed",
        exit_code=code,
        message=status,
        release_id=draft.release_id,
        current=draft.base.release_id,
        ended=datetime.now(UTC),
    )
    try:
        draft.finish(outcome)
    except (ArtrecError, OSError) as error:
        log.get().warning("no outcome written", why=str(error))
