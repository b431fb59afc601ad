"""From a command line to a finished run: settings, Spark, draft, outcome, exit code.

``spark-submit jobs/<stage>.py`` and ``artrec <stage>`` both end here.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artrec import log
from artrec.commands.options import Config, Debug, Quiet, Verbose, verbosity_of
from artrec.config import Settings, load
from artrec.encoders import check_named
from artrec.encoders.reader import check_engine
from artrec.errors import ArtrecError, ReleaseConflict
from artrec.releases import Draft, Outcome, StageRuns, holding, read_base
from artrec.stages.connecting import connect
from artrec.stages.dangers import check_spark
from artrec.stages.ending import explain, heed_signals, stop_spark, stoppable
from artrec.stages.later import Later
from artrec.stages.listing import check_sources, known_sources
from artrec.stages.metrics import check as check_metrics
from artrec.stages.metrics import write as write_metrics
from artrec.storage import Store, open_store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Options", "command", "describe", "execute", "places_at_once", "start_spark", "submit"]

Run = Callable[..., StageRuns]
RETRYING = ("ingest", "nightly")
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
    "spark.sql.ansi.enabled": "true",
    "spark.ui.enabled": "false",
}
"""For a process that starts its own Spark; ``local[*]`` would never try a task again."""


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
        config: Config = None,
        set_: Annotated[
            list[str] | None,
            typer.Option(
                "--set", metavar="KEY=VALUE", help="One setting; over file and environment."
            ),
        ] = None,
        release: Annotated[str | None, typer.Option(help="Name of the release to make.")] = None,
        json: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
        quiet: Quiet = False,
        verbose: Verbose = False,
        debug: Debug = False,
        dry_run: Annotated[
            bool,
            typer.Option(
                "--dry-run", help="Say what would be done, with counts and costs; write nothing."
            ),
        ] = False,
        retry_rejects: Annotated[
            bool,
            typer.Option(
                "--retry-rejects", help="Read rejected members again, whatever the reason."
            ),
        ] = False,
    ) -> None:
        if retry_rejects and name not in RETRYING:
            raise typer.BadParameter(f"--retry-rejects is for {' and '.join(RETRYING)}")
        verbosity = verbosity_of(quiet, verbose)
        assignments = (*(set_ or ()), *(("ingest.retry_rejects=true",) if retry_rejects else ()))
        options = Options(config, assignments, release, json, verbosity, debug, dry_run)
        code = execute(name, options)
        sys.stdout.flush()
        sys.exit(code)

    stage.__doc__ = _first_line(name)
    return stage


def _first_line(name: str) -> str:
    """The first line of a stage's docstring, read without importing the stage."""
    spec = find_spec(f"artrec.stages.{name}")  # which imports nothing, and reads zips too
    loader: Any = spec and spec.loader
    source = loader.get_source(f"artrec.stages.{name}") or ""
    text = (ast.get_docstring(ast.parse(source)) or name).splitlines()[0].partition(": ")
    sentence = text[2] or text[0]
    return sentence[:1].upper() + sentence[1:]


def execute(name: str, options: Options) -> int:
    """Run a stage and return the exit code; every error ends as one sentence and its code."""
    log.setup(options.verbosity)
    job = _Job()
    with stoppable(), ExitStack() as lease:  # given back last, when the outcome is written
        try:
            status, code = _execute(name, options, job, lease)
        except BaseException as error:
            status, code = explain(error, options.debug)
        if not options.dry_run:
            _finish(job, status, code)
    return code


@dataclass
class _Job:
    """What a run holds once it has come so far."""

    settings: Settings | None = None
    draft: Draft | None = None
    result: StageRuns | None = None


def _execute(name: str, options: Options, job: _Job, held: ExitStack) -> tuple[str, int]:
    settings, _ = load(options.config, options.assignments)
    check_metrics(settings)
    job.settings = settings
    store = open_store(settings.store.root, settings.store.options)
    if options.dry_run:
        from artrec.stages.preview import preview

        preview(name, settings, options)
        return "previewed", 0
    if _open_draft(name, options, store) is None:  # nothing to write, so nothing is held
        return _nothing_open(name, settings)
    lease = held.enter_context(holding(store, f"artrec {name}", settings.store.lease_seconds))
    draft = _open_draft(name, options, store)
    if draft is None:  # the writer that was waited for has published it
        return _nothing_open(name, settings)
    draft.guard(lease)
    if name not in BEGIN:
        _check_settings(draft, settings)
    job.draft = draft
    log.bind(attempt=draft.attempt)
    if name in BEGIN:
        check_sources(settings, known_sources(draft.base.release))
    if settings.encoder.id:
        check_named(store, settings.encoder.id)
    first = draft.base.release is None and not settings.encoder.id
    here = settings.train.where == "driver"  # elsewhere, that place has to have it
    if here and (name == "train" or (name == "nightly" and first)):
        check_engine(settings.train.reader)
    run, spark = _runner(name), Later(partial(_started, name, settings, options.verbosity))
    try:
        job.result = result = run(spark.session, settings, draft)
    finally:
        if spark.started is not None:
            stop_spark(spark.started)
    from artrec.stages.account import show

    return show(name, settings, draft, result, spark.seconds, options.as_json), 0


def _started(name: str, settings: Settings, verbosity: str) -> SparkSession:
    """A session that is fit for work; ConfigError for one that is not, and is stopped."""
    spark = start_spark(f"artrec {name}", verbosity)
    heed_signals()
    try:
        check_spark(spark, settings)
    except BaseException:
        stop_spark(spark)
        raise
    return spark


def _runner(name: str) -> Run:
    from artrec.stages.steps import step

    run: Run = importlib.import_module(f"artrec.stages.{name}").run
    return run if name == "nightly" else partial(step, name, run=run)


def _open_draft(name: str, options: Options, store: Store) -> Draft | None:
    if name in BEGIN:
        return Draft.begin(store, options.release)
    draft = Draft.reopen(store, options.release)
    if draft is None and name == "train":  # it may go on with the pictures of the current release
        return Draft.begin(store, None)
    return draft


def _check_settings(draft: Draft, settings: Settings) -> None:
    """The stages of one draft run with the same settings, or tables would not fit each other."""
    from artrec.stages.inventory import draft_inputs

    inputs = draft_inputs(draft.need("inventory").inputs, settings, draft.ledger)
    if draft.head is not None and draft.head.inputs != inputs:
        raise ReleaseConflict(
            f"draft {draft.release_id} was begun with other settings (or another version of "
            "artrec, or before a picture was forgotten); give every stage the same ones, or begin "
            "a new draft with artrec inventory"
        )


def _nothing_open(name: str, settings: Settings) -> tuple[str, int]:
    from artrec.releases import current_release

    release = current_release(open_store(settings.store.root, settings.store.options))
    print(
        f"{name}: no draft is open and nothing was done; {release.release_id} is current "
        "(artrec inventory opens a draft when something changed)"
    )
    return "unchanged", 0


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


def _finish(job: _Job, status: str, code: int) -> None:
    if job.settings is not None:
        write_metrics(job.settings, job.draft, job.result, code)
    draft = job.draft
    if draft is None:
        return
    try:
        outcome = Outcome(
            status=status if code == 0 else "failed",
            exit_code=code,
            message=status,
            release_id=draft.release_id,
            current=read_base(draft.store).release_id,
            ended=datetime.now(UTC),
            changes=job.result.notes.get("changes") if job.result is not None else None,
        )
        draft.finish(outcome)
    except (ArtrecError, OSError) as error:
        log.get().warning("no outcome written", why=str(error))
