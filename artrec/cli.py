"""The artrec command: verbs from stages and commands, assembled here and nothing else."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from artrec import __version__
from artrec.commands import (
    adding,
    encoding,
    keeping,
    looking,
    outcome,
    releasing,
    sample,
    settings,
    taking,
)
from artrec.commands.show import plain
from artrec.errors import ArtrecError
from artrec.stages import JOBS
from artrec.stages.compare import compare
from artrec.stages.doctor import doctor
from artrec.stages.query import query
from artrec.stages.reconstruct import reconstruct
from artrec.stages.session import command, plan

__all__ = ["VERBS", "app", "main"]

EXAMPLES = """
Picture archives in; embeddings, a catalog and exact neighbor tables out.

  artrec nightly --config conf/local.yaml --set sources.main.url=wikiart.zip \
--set store.root=./out\n
  artrec lookup wikiart/Baroque/some-painting.jpg -k 10 --root ./out\n
  artrec releases list --root ./out

A store's first night trains an encoder, for minutes, a quarter of an hour at most on two cores; \
--set encoder.id=handmade leaves it out.
"""

app = typer.Typer(
    help=EXAMPLES, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
releases_app = typer.Typer(help="List, show, verify and compare releases.", no_args_is_help=True)
config_app = typer.Typer(help="The settings.", no_args_is_help=True)
app.add_typer(releases_app, name="releases")
app.add_typer(config_app, name="config")

VERBS = {stage: stage for stage in JOBS} | {"report": "build-report"}
"""Stage -> its verb; ``report`` itself is for those who want to have one."""

for stage, verb in VERBS.items():
    app.command(verb)(command(stage))
app.command("doctor")(doctor)
app.command("query")(query)
app.command("add-encoder")(adding.add_encoder)
app.command("reconstruct")(reconstruct)
app.command("compare")(compare)
app.command("plan")(plan)
for verb, work in (taking.VERBS | encoding.VERBS | looking.VERBS).items():
    app.command(verb)(work)
app.command("outcome")(outcome.show)
app.command("sample")(sample.show)
for verb, work in keeping.VERBS.items():
    app.command(verb)(work)
for verb, work in releasing.VERBS.items():
    releases_app.command(verb)(work)
config_app.command("show")(settings.show)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Stack traces with errors.")] = False,
) -> None:
    if debug:  # stages have the option themselves
        context.default_map = {
            verb: {"debug": True}
            for verb in (*VERBS.values(), "doctor", "query", "reconstruct", "compare")
        }
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point; an error of ours is one sentence on stderr and its exit code."""
    try:
        app(prog_name="artrec")
    except ArtrecError as error:
        lines = map(plain, str(error).split("\n"))  # names in a message are data
        print("artrec: " + "\n".join(lines), file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(141)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        what = plain(str(error).split("\n")[0])
        print(f"artrec: unexpected: {type(error).__name__}: {what}", file=sys.stderr)
        sys.exit(1)
