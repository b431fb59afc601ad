"""The verbs for people who keep a store: rollback, sweep, forget, migrate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from artrec.commands import forget, migrate, upkeep
from artrec.commands.options import Config, Json, Root

__all__ = ["VERBS"]


def _rollback(
    release: Annotated[
        str | None, typer.Argument(help="Its name; else the one before the current one.")
    ] = None,
    root: Root = None,
    json: Json = False,
) -> None:
    """Make an older release current again, by one swap."""
    upkeep.show_rollback(root, release, json)


def _sweep(
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


def _forget(
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


def _migrate(
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


VERBS: dict[str, Callable[..., None]] = {
    "rollback": _rollback,
    "sweep": _sweep,
    "forget": _forget,
    "migrate": _migrate,
}
"""Verb -> what it does."""
