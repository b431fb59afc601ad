"""Reconstruct: how well an autoencoder repeats each picture of a release.

It reads a release, writes a folder of its own, and holds no lease: nothing changes below the
release's root.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from artrec import log
from artrec.commands.options import (
    Config,
    Debug,
    Json,
    Quiet,
    Release,
    Root,
    Set,
    Verbose,
    verbosity_of,
)
from artrec.errors import UsageError
from artrec.stages.ending import ended

__all__ = ["Wanted", "reconstruct"]

MOST = 200  # worst pictures on the sheet


@dataclass(frozen=True)
class Wanted:
    """What a reconstruction was called with."""

    out: str
    encoder: str | None = None
    worst: int = 24
    root: str | None = None
    release: str | None = None
    config: str | None = None
    assignments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.worst <= MOST:
            raise UsageError(f"--worst {self.worst}: the sheet shows 0 to {MOST} pictures")


def reconstruct(
    out: Annotated[str, typer.Option(metavar="DIR", help="A new or empty folder, or its URL.")],
    encoder: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Another encoder of the store than the release's."),
    ] = None,
    worst: Annotated[int, typer.Option(help="Pictures on the sheet of the worst.")] = 24,
    root: Root = None,
    release: Release = None,
    config: Config = None,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """The reconstruction error of every image, and a sheet of the worst, by an autoencoder."""
    verbosity = verbosity_of(quiet, verbose)
    log.setup(verbosity)

    def work() -> None:
        wanted = Wanted(out, encoder, worst, root, release, config, tuple(set_ or ()))
        from artrec.stages.reconstruct.repeating import repeat, show  # and with it Spark

        show(repeat(wanted, verbosity), json)

    ended(work, debug)
