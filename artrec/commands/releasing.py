"""The verbs of ``artrec releases``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from artrec.commands import differences, releases, upkeep
from artrec.commands.options import Json, Root

__all__ = ["VERBS"]


def _list(
    root: Root = None,
    drafts: Annotated[bool, typer.Option("--drafts", help="Drafts instead of releases.")] = False,
    json: Json = False,
) -> None:
    """All releases, the current one marked; or all drafts, the open ones marked."""
    if drafts:
        releases.show_drafts(root, json)
    else:
        releases.show_list(root, json)


def _diff(
    one: Annotated[str, typer.Argument(metavar="A", help="A release.")],
    other: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    root: Root = None,
    json: Json = False,
) -> None:
    """What differs between two releases: settings, counts, images, neighbor lists."""
    differences.show(root, one, other, json)


def _abandon(
    draft: Annotated[str, typer.Argument(help="The name of an open draft.")], root: Root = None
) -> None:
    """Give an open draft up: no night goes on with it, and sweep may remove it."""
    upkeep.show_abandoned(root, draft)


def _show(
    release: Annotated[str | None, typer.Argument(help="Its name; else the current one.")] = None,
    root: Root = None,
    json: Json = False,
) -> None:
    """What a release holds."""
    releases.show_one(root, release, json)


def _views(
    release: Annotated[str | None, typer.Argument(help="Its name; else the current one.")] = None,
    root: Root = None,
) -> None:
    """Print a release's DuckDB views for where it lies now; the file beside it has older paths."""
    releases.show_views(root, release)


def _verify(
    release: Annotated[str | None, typer.Argument(help="Its name; else the current one.")] = None,
    root: Root = None,
    json: Json = False,
) -> None:
    """Read a release again, file by file; exit code 1 if something is amiss."""
    if not releases.show_verified(root, release, json):
        raise typer.Exit(1)


VERBS: dict[str, Callable[..., None]] = {
    "list": _list,
    "diff": _diff,
    "abandon": _abandon,
    "show": _show,
    "views": _views,
    "verify": _verify,
}
"""Verb -> what it does."""
