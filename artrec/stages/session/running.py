"""A run of one stage, from its settings to its outcome."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from artrec import log
from artrec.config import Settings, load
from artrec.encoders import check_named
from artrec.encoders.reader import check_engine
from artrec.errors import ArtrecError, ReleaseConflict
from artrec.releases import Draft, Outcome, StageRuns, holding, read_base
from artrec.stages.dangers import check_spark
from artrec.stages.ending import explain, heed_signals, stop_spark, stoppable
from artrec.stages.listing import check_sources, known_sources
from artrec.stages.metrics import check as check_metrics
from artrec.stages.metrics import write as write_metrics
from artrec.stages.session.later import Later
from artrec.stages.session.spark import start_spark
from artrec.storage import Store, open_store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Options", "Run", "execute"]

Run = Callable[..., StageRuns]
BEGIN = ("inventory", "nightly")  # these may open a draft; other stages go on with one


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
