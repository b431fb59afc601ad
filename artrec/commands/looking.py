"""The verbs for people who look: reports, sheets, copies, clusters and maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from artrec.commands import copying, report, sheets
from artrec.commands.options import Release, Root

__all__ = ["VERBS"]

_Out = Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")]
_Answers = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="What artrec query wrote: its queries, or those named."),
]
_K = Annotated[int, typer.Option("-k", help="How many neighbors.")]
_Images = Annotated[
    list[str] | None, typer.Argument(metavar="[IMAGE]...", help="Ids of images, or picture files.")
]


def _report(
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


def _sheet(
    out: _Out,
    images: _Images = None,
    k: _K = 10,
    answers: _Answers = None,
    root: Root = None,
) -> None:
    """Images with their neighbors to look at: a page, and a PNG for each."""
    sheets.show_sheet(root, images or [], out, k, answers)


def _copy_out(
    out: _Out,
    images: _Images = None,
    k: _K = 10,
    answers: _Answers = None,
    root: Root = None,
) -> None:
    """Copy the files of images and their neighbors: a folder for each."""
    copying.show(root, images or [], out, k, answers)


def _clusters(out: _Out, root: Root = None, release: Release = None) -> None:
    """The clusters of a release to look at: a page, and a PNG for each."""
    sheets.show_clusters(root, release, out)


def _map(
    out: _Out,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="cluster|style|artist", help="What colours mean; else all three."),
    ] = None,
    root: Root = None,
    release: Release = None,
) -> None:
    """The maps of a release as pictures, flat and in space."""
    sheets.show_map(root, release, out, by or [])


VERBS: dict[str, Callable[..., None]] = {
    "report": _report,
    "sheet": _sheet,
    "copy-out": _copy_out,
    "clusters": _clusters,
    "map": _map,
}
"""Verb -> what it does."""
