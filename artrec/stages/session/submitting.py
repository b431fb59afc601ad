"""A stage as a command, for ``jobs/`` and for ``artrec``."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from artrec.commands.options import Config, Debug, Json, Quiet, Set, Verbose, verbosity_of
from artrec.errors import UsageError
from artrec.stages import JOBS
from artrec.stages.session.running import Options, Run, execute

__all__ = ["command", "plan", "submit"]

RETRYING = ("ingest", "nightly")


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


def plan(
    stage: Annotated[str, typer.Argument(help="One stage; else a whole night.")] = "nightly",
    config: Config = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """What a night would do and cost; reads a few pictures to time them, and writes nothing."""
    if stage not in JOBS:
        raise UsageError(f"there is no stage {stage}; there are: {', '.join(JOBS)}")
    code = execute(stage, Options(config, tuple(set_ or ()), as_json=json, dry_run=True))
    sys.stdout.flush()
    sys.exit(code)


def _first_line(name: str) -> str:
    """The first line of a stage's docstring, read without importing the stage."""
    spec = find_spec(f"artrec.stages.{name}")  # which imports nothing, and reads zips too
    loader: Any = spec and spec.loader
    source = loader.get_source(f"artrec.stages.{name}") or ""
    text = (ast.get_docstring(ast.parse(source)) or name).splitlines()[0].partition(": ")
    sentence = text[2] or text[0]
    return sentence[:1].upper() + sentence[1:]
