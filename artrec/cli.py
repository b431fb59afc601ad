"""The artrec command: verbs from stages and commands, assembled here and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from artrec import __version__
from artrec.commands import files, lookup, releases, report, sample, settings
from artrec.commands.show import plain
from artrec.errors import ArtrecError
from artrec.stages import NAMES
from artrec.stages.session import command

__all__ = ["VERBS", "app", "main"]

EXAMPLES = """
Picture archives in; embeddings, a catalog and exact neighbor tables out.

  artrec nightly --set sources.main.url=wikiart.zip --set store.root=./out\n
  artrec lookup wikiart/Baroque/some-painting.jpg -k 10 --root ./out\n
  artrec releases list --root ./out
"""

app = typer.Typer(
    help=EXAMPLES, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
releases_app = typer.Typer(help="List, show and verify releases.", no_args_is_help=True)
config_app = typer.Typer(help="The settings.", no_args_is_help=True)
app.add_typer(releases_app, name="releases")
app.add_typer(config_app, name="config")

VERBS = {stage: stage for stage in (*NAMES, "nightly")} | {"report": "build-report"}
"""Stage -> its verb; ``report`` itself is for those who want to have one."""

for stage, verb in VERBS.items():
    app.command(verb)(command(stage))

Root = Annotated[
    str | None, typer.Option(help="Root of the store; else store.root of the settings.")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
Config = Annotated[str | None, typer.Option(help="A YAML file of settings.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting.")]


@app.command("lookup")
def lookup_command(
    image_id: Annotated[str, typer.Argument(help="The image's id: its path in the archive.")],
    k: Annotated[int, typer.Option("-k", help="How many neighbors.")] = 10,
    root: Root = None,
    json: Json = False,
) -> None:
    """One image and its neighbors, without a JVM."""
    lookup.show(root, image_id, k, json)


@app.command("files")
def files_command(
    table: Annotated[str, typer.Argument(help="Name of a table, such as neighbors.")],
    root: Root = None,
    release: Annotated[
        str | None, typer.Option(help="Another release than the current one.")
    ] = None,
    json: Json = False,
) -> None:
    """Paths of a table's Parquet files in a release."""
    files.show(root, table, release, json)


@app.command("report")
def report_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[RELEASE|DRAFT]", help="Its name; else current."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="The folder to write, absent or empty.", metavar="DIR")
    ] = None,
    root: Root = None,
) -> None:
    """Write the report of a release or draft into a folder, to be opened in a browser."""
    report.show(root, name, to)


@app.command("sample")
def sample_command(
    out: Annotated[Path, typer.Argument(help="The zip to write.")],
    images: Annotated[int, typer.Option(help="Good members.")] = 600,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    broken: Annotated[int, typer.Option(help="Broken members beside them.")] = 0,
) -> None:
    """Make an archive of procedural paintings."""
    sample.show(out, images, seed, broken)


@releases_app.command("list")
def releases_list(root: Root = None, json: Json = False) -> None:
    """All releases, the current one marked."""
    releases.show_list(root, json)


@releases_app.command("show")
def releases_show(
    release: Annotated[str | None, typer.Argument(help="Its name; else the current one.")] = None,
    root: Root = None,
    json: Json = False,
) -> None:
    """What a release holds."""
    releases.show_one(root, release, json)


@releases_app.command("verify")
def releases_verify(
    release: Annotated[str | None, typer.Argument(help="Its name; else the current one.")] = None,
    root: Root = None,
    json: Json = False,
) -> None:
    """Read a release again, file by file; exit code 1 if something is amiss."""
    if not releases.show_verified(root, release, json):
        raise typer.Exit(1)


@config_app.command("show")
def config_show(config: Config = None, set_: Set = None, json: Json = False) -> None:
    """Each setting, resolved, with its origin."""
    settings.show(config, set_ or [], json)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Stack traces with errors.")] = False,
) -> None:
    if debug:  # stages have the option themselves
        context.default_map = {verb: {"debug": True} for verb in VERBS.values()}
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
