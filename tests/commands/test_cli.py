"""The artrec command: help with examples, and usage errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from artrec import __version__
from artrec.stages import NAMES
from tests.commands.conftest import Call


def test_help_shows_examples_and_every_verb(artrec: Call) -> None:
    called = artrec("--help")
    assert called.code == 0
    text = " ".join(called.out.split())
    assert "artrec nightly --set sources.main.url=wikiart.zip --set store.root=./out" in text
    assert "artrec lookup wikiart/Baroque/some-painting.jpg -k 10 --root ./out" in text
    for verb in (*NAMES, "nightly", "lookup", "files", "sample", "releases", "config"):
        assert f"│ {verb} " in text, verb


@pytest.mark.parametrize("verb", [*NAMES, "nightly"])
def test_every_stage_explains_its_options_without_spark(artrec: Call, verb: str) -> None:
    called = artrec(verb, "--help")
    assert called.code == 0
    for option in ("--config", "--set", "--release", "--json", "--quiet", "--debug", "--dry-run"):
        assert option in called.out


@pytest.mark.parametrize("arguments", [["lookup"], ["files"], ["releases", "verify"], ["sample"]])
def test_every_verb_has_help(artrec: Call, arguments: list[str]) -> None:
    called = artrec(*arguments, "--help")
    assert called.code == 0
    assert "Usage: artrec" in called.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["releases", "nonsense"], "No such command 'nonsense'"),
        (["lookup"], "Missing argument"),
        (["lookup", "x", "-k", "many"], "-k"),
        (["lookup", "x", "--nonsense"], "No such option"),
        (["lookup", "x", "y"], "unexpected extra argument"),
        (["nightly", "--sett", "a=b"], "No such option"),
    ],
)
def test_a_usage_error_is_code_2_and_says_what(
    artrec: Call, arguments: list[str], message: str
) -> None:
    called = artrec(*arguments)
    assert (called.code, called.out) == (2, "")
    assert message in " ".join(called.err.split())


def test_the_version_is_told(artrec: Call) -> None:
    assert artrec("--version").out.strip() == __version__


def test_an_unknown_kind_of_store_is_code_3(artrec: Call) -> None:
    called = artrec("lookup", "x", "--root", "gopher://x")
    assert (called.code, called.out) == (3, "")
    assert called.err == "artrec: gopher://x: no store for gopher://; use a local path or file://\n"


def test_a_reader_that_goes_away_gets_no_stack_trace(finished: Path) -> None:
    script = (
        "import os, sys; from artrec.cli import main; "
        f"sys.argv = ['artrec', 'files', 'neighbors', '--root', {str(finished)!r}]; "
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
