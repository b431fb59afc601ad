"""Query: many pictures or vectors from outside, or sets of them, and their nearest images.

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

__all__ = ["Asked", "SETS", "query"]

SETS = ("none", "centroid", "any")
MOST = 1000  # neighbors of one query


@dataclass(frozen=True)
class Asked:
    """What a query was called with."""

    source: str
    out: str
    k: int = 10
    sets: str = "none"
    root: str | None = None
    release: str | None = None
    config: str | None = None
    assignments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.sets not in SETS:
            raise UsageError(f"--sets {self.sets}: there are: {', '.join(SETS)}")
        if not 1 <= self.k <= MOST:
            raise UsageError(f"-k {self.k}: a query lists 1 to {MOST} neighbors")


def query(
    source: Annotated[
        str,
        typer.Argument(help="A folder, archive or Parquet of pictures, or Parquet of vectors."),
    ],
    out: Annotated[str, typer.Option(metavar="DIR", help="A new or empty folder, or its URL.")],
    k: Annotated[int, typer.Option("-k", help="How many neighbors.")] = 10,
    sets: Annotated[
        str,
        typer.Option(
            metavar="none|centroid|any",
            help="Each folder of pictures is one query: nearest to its mean, or to any of it.",
        ),
    ] = "none",
    root: Root = None,
    release: Release = None,
    config: Config = None,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Pictures from outside in bulk, or vectors, or sets of them: their nearest images."""
    verbosity = verbosity_of(quiet, verbose)
    log.setup(verbosity)

    def work() -> None:
        asked = Asked(source, out, k, sets, root, release, config, tuple(set_ or ()))
        from artrec.stages.query.answering import answer, show  # and with it Spark

        show(answer(asked, verbosity), json)

    ended(work, debug)
