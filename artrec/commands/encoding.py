"""The verbs for people with encoders of their own: encoders, train-encoder, export-encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from artrec.commands import encoders, training
from artrec.commands.options import Config, Json, Root, Set

__all__ = ["VERBS"]


def _encoders(root: Root = None, json: Json = False) -> None:
    """The encoders of a store, and which one the current release uses."""
    encoders.show(root, json)


def _train_encoder(
    examples: Annotated[str, typer.Argument(help="The run of examples that artrec train wrote.")],
    root: Root = None,
    config: Config = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Train an encoder in this process, without a JVM, on examples that train.where=beside left."""
    training.show_trained(root, examples, config, set_ or [], json)


def _export_encoder(
    encoder: Annotated[str, typer.Argument(help="The id of an encoder, trained or built in.")],
    to: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write into.")],
    format: Annotated[str, typer.Option(help="onnx or torch.")] = "onnx",
    root: Root = None,
) -> None:
    """Write an encoder as one file: pictures in, vectors out. It is a program: open such files of
    trusted sources only."""
    training.show_exported(root, encoder, to, format)


VERBS: dict[str, Callable[..., None]] = {
    "encoders": _encoders,
    "train-encoder": _train_encoder,
    "export-encoder": _export_encoder,
}
"""Verb -> what it does."""
