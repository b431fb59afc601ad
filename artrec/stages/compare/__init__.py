"""Compare: several encoders on the pictures of one release, side by side.

It reads a release, writes a folder of its own, and holds no lease. Encoders that are trained for it
stand in the store under their names, as ``artrec train`` leaves them.
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

__all__ = ["Wanted", "compare"]


@dataclass(frozen=True)
class Wanted:
    """What a comparison was called with."""

    encoders: tuple[str, ...]
    out: str
    over: str | None = None
    images: int | None = None
    root: str | None = None
    release: str | None = None
    config: str | None = None
    assignments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        double = [name for name in set(self.encoders) if self.encoders.count(name) > 1]
        if double:
            raise UsageError(f"encoder {double[0]} is named twice")
        if not self.encoders and self.over is None:
            raise UsageError("name encoders to compare (artrec encoders lists them), or --over")
        if self.images is not None and self.images < 2:
            raise UsageError(f"--images {self.images}: at least 2 can be neighbors")
        if self.over is not None:
            _ = self.swept

    @property
    def swept(self) -> tuple[str, tuple[str, ...]] | None:
        """The key of ``over`` and its values."""
        if self.over is None:
            return None
        key, _, values = self.over.partition("=")
        each = tuple(value.strip() for value in values.split(","))
        if not key.startswith("train.") or not all(each) or len(set(each)) < len(each):
            raise UsageError(
                f"--over {self.over}: name a setting of training and its values, each once, as in "
                "train.latent=8,16,32"
            )
        return key, each


def compare(
    out: Annotated[str, typer.Option(metavar="DIR", help="A new or empty folder, or its URL.")],
    encoders: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENCODER]...", help="Built-in ones, or ids of the store's."),
    ] = None,
    over: Annotated[
        str | None,
        typer.Option(
            metavar="train.KEY=V1,V2,…",
            help="Train an encoder for each of these values, on the release's pictures, and "
            "compare these too.",
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(help="Random images to compare on; else all that the evaluation sampled."),
    ] = None,
    root: Root = None,
    release: Release = None,
    config: Config = None,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Encoders side by side: quality, length of a vector, time for a picture, bytes, training."""
    verbosity = verbosity_of(quiet, verbose)
    log.setup(verbosity)

    def work() -> None:
        named = tuple(encoders or ())
        wanted = Wanted(named, out, over, images, root, release, config, tuple(set_ or ()))
        from artrec.stages.compare.comparing import beside, show  # and with it Spark

        show(beside(wanted, verbosity), json)

    ended(work, debug)
