"""Doctor: do driver and executors agree, and can all of them use the store?

It asks every executor for its versions, lets each build a tiny index and write, swap and read in a
scratch folder of the store, ``doctor/<id>/``, which it removes again. Nothing else is touched.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

from artrec import log
from artrec.config import load
from artrec.errors import ArtrecError, NotFound
from artrec.releases.runs import attempt_name
from artrec.stages.dangers import check_spark
from artrec.stages.doctor import probe
from artrec.stages.ending import ended, heed_signals, stop_spark
from artrec.stages.session import start_spark
from artrec.storage import Store, open_store

__all__ = ["doctor"]


def doctor(
    config: Annotated[str | None, typer.Option(help="A YAML file of settings, or its URL.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting.")
    ] = None,
    executors: Annotated[
        int | None,
        typer.Option(min=1, help="How many must answer; else spark.executor.instances, if set."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="More detail, Spark's too.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Stack traces with errors.")] = False,
) -> None:
    """Do driver and executors agree, and can each use the store? Exit code 3 if not."""
    verbosity = "verbose" if verbose else "normal"
    log.setup(verbosity)
    ended(lambda: _doctor(config, set_ or [], executors, json, verbosity), debug)


def _doctor(
    config: str | None, assignments: Sequence[str], awaited: int | None, as_json: bool, level: str
) -> None:
    from artrec.stages.doctor.asking import find, show  # and with it Spark

    settings, _ = load(config, assignments)
    store = open_store(settings.store.root, settings.store.options)
    with _scratch(store) as (scratch, token):
        store.check(f"{scratch}/check")  # before Spark starts: this may be all there is to say
        probe.try_store(store, scratch, "driver", token)
        spark = start_spark("artrec doctor", level)
        heed_signals()
        try:
            check_spark(spark, settings)
            findings = find(spark, store, scratch, token, awaited)
        finally:
            stop_spark(spark)
    show(findings, as_json)
    if findings.problems:
        raise findings.problems[0]


@contextmanager
def _scratch(store: Store) -> Iterator[tuple[str, bytes]]:
    """A folder that no other doctor uses, and the word its objects begin with; removed at the end.

    Only objects below it are removed, by their paths.
    """
    scratch = f"doctor/{attempt_name()}"
    try:
        yield scratch, secrets.token_hex(8).encode()
    finally:
        with suppress(ArtrecError):
            for entry in list(store.list(scratch)):
                with suppress(NotFound):
                    store.delete(entry.path)
