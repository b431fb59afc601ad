"""The artrec command: verbs from stages and commands, assembled here and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from artrec import __version__
from artrec.commands import (
    adding,
    changes,
    differences,
    encoders,
    export,
    files,
    forget,
    looking,
    lookup,
    migrate,
    outcome,
    releases,
    sample,
    settings,
    training,
    upkeep,
)
from artrec.commands.options import Config, Json, Release, Root, Set
from artrec.commands.show import plain
from artrec.errors import ArtrecError, UsageError
from artrec.stages import JOBS
from artrec.stages.compare import compare
from artrec.stages.doctor import doctor
from artrec.stages.query import query
from artrec.stages.reconstruct import reconstruct
from artrec.stages.session import Options, command, execute

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


@app.command("plan")
def plan_command(
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


@app.command("lookup")
def lookup_command(
    image: Annotated[
        str, typer.Argument(help="An image's id (its path in the archive), or a picture file.")
    ],
    k: Annotated[int, typer.Option("-k", help="How many neighbors.")] = 10,
    root: Root = None,
    json: Json = False,
    picture: Annotated[
        bool, typer.Option("--picture", help="A file, though the catalog has that id too.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Of a file: scan all vectors, even if that is slower.")
    ] = False,
) -> None:
    """One image, or any picture, and its neighbors, without a JVM."""
    lookup.show(root, image, k, json, picture, exact)


@app.command("files")
def files_command(
    table: Annotated[str, typer.Argument(help="Name of a table, such as neighbors.")],
    root: Root = None,
    release: Release = None,
    json: Json = False,
) -> None:
    """Paths of a table's Parquet files in a release."""
    files.show(root, table, release, json)


@app.command("export")
def export_command(
    table: Annotated[str, typer.Argument(help="Name of a table, such as neighbors.")],
    to: Annotated[str, typer.Argument(metavar="DIR", help="A new or empty folder, or its URL.")],
    format: Annotated[str, typer.Option(help="parquet, csv or jsonl.")] = "parquet",
    root: Root = None,
    release: Release = None,
    json: Json = False,
) -> None:
    """Write a table's rows into a folder of its own, for engines that read folders."""
    export.show(root, table, to, format, release, json)


@app.command("changes")
def changes_command(
    old: Annotated[str, typer.Option("--from", metavar="A", help="The release that you have.")],
    new: Annotated[
        str | None, typer.Option("--to", metavar="B", help="The one to have; else the current.")
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="Of this table alone: catalog, neighbors, or a rule's name.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to-dir", metavar="DIR", help="Write it into a new or empty folder."),
    ] = None,
    format: Annotated[str, typer.Option(help="parquet, csv or jsonl.")] = "parquet",
    root: Root = None,
    json: Json = False,
) -> None:
    """What to take out of the tables of one release, and put in, to have those of another."""
    changes.show(root, old, new, table, to, format, json)


@app.command("encoders")
def encoders_command(root: Root = None, json: Json = False) -> None:
    """The encoders of a store, and which one the current release uses."""
    encoders.show(root, json)


@app.command("train-encoder")
def train_encoder_command(
    examples: Annotated[str, typer.Argument(help="The run of examples that artrec train wrote.")],
    root: Root = None,
    config: Config = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Train an encoder in this process, without a JVM, on examples that train.where=beside left."""
    training.show_trained(root, examples, config, set_ or [], json)


@app.command("export-encoder")
def export_encoder_command(
    encoder: Annotated[str, typer.Argument(help="The id of a trained encoder.")],
    to: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write into.")],
    format: Annotated[str, typer.Option(help="onnx or torch.")] = "onnx",
    root: Root = None,
) -> None:
    """Write an encoder as one file: pictures in, vectors out. It is a program: open such files of
    trusted sources only."""
    training.show_exported(root, encoder, to, format)


for verb, look in looking.VERBS.items():
    app.command(verb)(look)


@app.command("outcome")
def outcome_command(
    release: Annotated[
        str | None, typer.Argument(help="The name that was to be made; else the latest.")
    ] = None,
    root: Root = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of a job that ended no earlier (UTC).")
    ] = None,
    json: Json = False,
    exit: Annotated[
        bool, typer.Option("--exit", help="End with the exit code of the job itself.")
    ] = False,
) -> None:
    """How a job ended, and whether the same command may go on; for orchestrators."""
    outcome.show(root, release, since, json, exit)


@app.command("sample")
def sample_command(
    out: Annotated[Path, typer.Argument(help="The zip to write.")],
    images: Annotated[int, typer.Option(help="Good members.")] = 600,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    broken: Annotated[int, typer.Option(help="Broken members beside them.")] = 0,
) -> None:
    """Make an archive of procedural paintings."""
    sample.show(out, images, seed, broken)


@app.command("rollback")
def rollback_command(
    release: Annotated[
        str | None, typer.Argument(help="Its name; else the one before the current one.")
    ] = None,
    root: Root = None,
    json: Json = False,
) -> None:
    """Make an older release current again, by one swap."""
    upkeep.show_rollback(root, release, json)


@app.command("sweep")
def sweep_command(
    root: Root = None,
    config: Config = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Releases to keep; else store.keep_releases.")
    ] = None,
    older_than: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="Only what is older than that.")
    ] = 0,
    abandon: Annotated[bool, typer.Option("--abandon", help="Open drafts too.")] = False,
    encoders: Annotated[
        bool, typer.Option("--encoders", help="Encoders too that nothing kept uses.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; else it is only told.")] = False,
    json: Json = False,
) -> None:
    """Remove what no kept release and no open draft needs; without --yes only say what that is."""
    wanted = upkeep.Wanted(config, keep, older_than, abandon, encoders, yes)
    upkeep.show_sweep(root, wanted, json)


@app.command("forget")
def forget_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE_ID|SHA256]...", help="Ids of images, or hashes of bytes."),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; kept with the hash.")] = None,
    status: Annotated[
        bool, typer.Option("--status", help="What still holds it, and what removes that.")
    ] = False,
    root: Root = None,
    json: Json = False,
) -> None:
    """Take pictures down: the next night leaves them out, and they do not come back."""
    if status:
        forget.show_status(root, names or [], json)
    else:
        forget.show(root, names or [], reason, json)


@app.command("migrate")
def migrate_command(
    root: Root = None,
    config: Config = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also tables that are read as they are.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else it is only told.")] = False,
    json: Json = False,
) -> None:
    """Bring the current release of an older artrec up to today's form; --yes does it."""
    migrate.show(root, config, every, yes, json)


@releases_app.command("list")
def releases_list(
    root: Root = None,
    drafts: Annotated[bool, typer.Option("--drafts", help="Drafts instead of releases.")] = False,
    json: Json = False,
) -> None:
    """All releases, the current one marked; or all drafts, the open ones marked."""
    if drafts:
        releases.show_drafts(root, json)
    else:
        releases.show_list(root, json)


@releases_app.command("diff")
def releases_diff(
    one: Annotated[str, typer.Argument(metavar="A", help="A release.")],
    other: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    root: Root = None,
    json: Json = False,
) -> None:
    """What differs between two releases: settings, counts, images, neighbor lists."""
    differences.show(root, one, other, json)


@releases_app.command("abandon")
def releases_abandon(
    draft: Annotated[str, typer.Argument(help="The name of an open draft.")], root: Root = None
) -> None:
    """Give an open draft up: no night goes on with it, and sweep may remove it."""
    upkeep.show_abandoned(root, draft)


@releases_app.command("show")
def releases_show(
    release: Annotated[str | None, typer.Argument(help="Its name; else the current one.")] = None,
    root: Root = None,
    json: Json = False,
) -> None:
    """What a release holds."""
    releases.show_one(root, release, json)


@releases_app.command("views")
def releases_views(
    release: Annotated[str | None, typer.Argument(help="Its name; else the current one.")] = None,
    root: Root = None,
) -> None:
    """Print a release's DuckDB views for where it lies now; the file beside it has older paths."""
    releases.show_views(root, release)


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
