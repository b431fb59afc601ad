"""Options that several verbs have."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Config", "Debug", "Json", "Quiet", "Release", "Root", "Set", "Verbose", "verbosity_of"]

Root = Annotated[
    str | None, typer.Option(help="Root of the store; else store.root of the settings.")
]
Release = Annotated[str | None, typer.Option(help="Another release than the current one.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
Config = Annotated[str | None, typer.Option(help="A YAML file of settings, or its URL.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="More detail, Spark's too.")]
Debug = Annotated[bool, typer.Option("--debug", help="Stack traces with errors.")]


def verbosity_of(quiet: bool, verbose: bool) -> str:
    """As ``log.setup`` has it."""
    return "quiet" if quiet else "verbose" if verbose else "normal"
