"""artrec sample: an archive of procedural paintings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["show"]


def show(
    out: Annotated[Path, typer.Argument(help="The zip to write.")],
    images: Annotated[int, typer.Option(help="Good members.")] = 600,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    broken: Annotated[int, typer.Option(help="Broken members beside them.")] = 0,
) -> None:
    """Make an archive of procedural paintings."""
    from artrec.sample import write_sample  # drawing needs packages that no other verb does

    report = write_sample(out, images, seed, broken)
    print(
        f"{out}: {report.members} members, {report.pictures} pictures in {report.styles} styles by "
        f"{report.artists} artists, {report.broken} broken, {report.bytes / 1e6:.1f} MB"
    )
