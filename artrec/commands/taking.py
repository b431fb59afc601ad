"""The verbs for people who take from a release: lookup, files, export, changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from artrec.commands import changes, export, files, lookup
from artrec.commands.options import Json, Release, Root

__all__ = ["VERBS"]


def _lookup(
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


def _files(
    table: Annotated[str, typer.Argument(help="Name of a table, such as neighbors.")],
    root: Root = None,
    release: Release = None,
    json: Json = False,
) -> None:
    """Paths of a table's Parquet files in a release."""
    files.show(root, table, release, json)


def _export(
    table: Annotated[str, typer.Argument(help="Name of a table, such as neighbors.")],
    to: Annotated[str, typer.Argument(metavar="DIR", help="A new or empty folder, or its URL.")],
    format: Annotated[str, typer.Option(help="parquet, csv or jsonl.")] = "parquet",
    root: Root = None,
    release: Release = None,
    json: Json = False,
) -> None:
    """Write a table's rows into a folder of its own, for engines that read folders."""
    export.show(root, table, to, format, release, json)


def _changes(
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


VERBS: dict[str, Callable[..., None]] = {
    "lookup": _lookup,
    "files": _files,
    "export": _export,
    "changes": _changes,
}
"""Verb -> what it does."""
