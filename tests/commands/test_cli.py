"""The artrec command: help with examples, and usage errors."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import artrec as artrec_package
from artrec import __version__
from artrec.cli import VERBS, main
from artrec.commands import lookup
from artrec.stages import NAMES
from artrec.stages.session import command, running
from tests.commands.conftest import Call


def test_help_shows_examples_and_every_verb(artrec: Call) -> None:
    called = artrec("--help")
    assert called.code == 0
    text = " ".join(called.out.split())
    assert "artrec nightly --config conf/local.yaml --set sources.main.url=wikiart.zip" in text
    assert "--set encoder.id=handmade leaves it out" in text
    assert "artrec lookup wikiart/Baroque/some-painting.jpg -k 10 --root ./out" in text
    for verb in (*NAMES, "nightly", "lookup", "files", "sample", "releases", "config"):
        assert f"│ {verb} " in text, verb


@pytest.mark.parametrize("verb", VERBS.values())
def test_every_stage_explains_its_options_without_spark(artrec: Call, verb: str) -> None:
    called = artrec(verb, "--help")
    assert called.code == 0
    for option in ("--config", "--set", "--release", "--json", "--quiet", "--debug", "--dry-run"):
        assert option in called.out


def test_rejects_are_retried_by_the_stages_that_read(artrec: Call, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    given = ("--set", f"sources.a.url={tmp_path}", "--set", f"store.root={tmp_path / 'root'}")
    for verb in ("nightly", "ingest"):
        assert artrec(verb, *given, "--retry-rejects", "--dry-run").code == 0
    called = artrec("embed", *given, "--retry-rejects", "--dry-run")
    assert called.code == 2
    assert "--retry-rejects is for ingest and nightly" in called.err


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


def test_python_runs_the_command_as_a_module(tmp_path: Path) -> None:
    called = [sys.executable, "-m", "artrec"]
    told = subprocess.run([*called, "--version"], capture_output=True, text=True, check=True)
    assert told.stdout == f"{__version__}\n"
    refused = [*called, "lookup", "x", "--root", str(tmp_path)]
    done = subprocess.run(refused, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"artrec: {tmp_path}: no release has been published here")


def test_an_unknown_kind_of_store_is_code_3(artrec: Call) -> None:
    called = artrec("lookup", "x", "--root", "gopher://x")
    assert (called.code, called.out) == (3, "")
    assert called.err == (
        "artrec: gopher://x: no store for gopher://; use a local path, file://, s3://, gs:// or "
        "az://\n"
    )


def test_a_store_that_is_a_file_is_code_3(artrec: Call, tmp_path: Path) -> None:
    file = tmp_path / "root.zip"
    file.write_bytes(b"")
    for arguments in (["lookup", "x", f"--root={file}"], ["embed", f"--set=store.root={file}"]):
        called = artrec(*arguments)
        assert (called.code, called.out) == (3, "")
        assert called.err == f"artrec: {file} is a file: a store is a folder\n"


@pytest.mark.parametrize("program", ["pytest", "/somewhere/__main__.py"])
def test_the_program_is_called_artrec_however_it_was_started(
    artrec: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    for arguments in (["--help"], ["lookup", "--help"]):
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        assert " ".join(["Usage: artrec", *arguments[:-1]]) in capsys.readouterr().out


def broken(*_: object, **__: object) -> None:
    raise ZeroDivisionError("no such\x1b[31m place\nand more")


SAID = "ZeroDivisionError: no such\\x1b[31m place"


def test_an_unexpected_error_of_a_command_is_one_sentence(
    artrec: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "show", broken)
    called = artrec("lookup", "x")
    assert (called.code, called.out) == (1, "")
    assert called.err == f"artrec: unexpected: {SAID}\n"
    with pytest.raises(ZeroDivisionError):  # that Python prints with its trace
        artrec("--debug", "lookup", "x")


@pytest.mark.parametrize("verb", VERBS.values())
def test_an_unexpected_error_of_a_stage_is_one_sentence(
    artrec: Call, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(running, "open_store", broken)
    called = artrec(verb)
    assert (called.code, called.out) == (1, "")
    assert called.err == f"artrec: unexpected: {SAID}; --debug shows where it happened\n"
    for arguments in ([verb, "--debug"], ["--debug", verb]):
        called = artrec(*arguments)
        assert called.code == 1
        assert "Traceback (most recent call last):" in called.err
        assert "raise ZeroDivisionError" in called.err
        assert called.err.endswith(f"artrec: unexpected: {SAID}\n")


def test_the_stages_commands_can_be_made_from_a_zip_of_the_package(tmp_path: Path) -> None:
    """As spark-submit's --py-files sends them."""
    package = Path(artrec_package.__file__).parent
    with zipfile.ZipFile(tmp_path / "artrec.zip", "w") as packed:
        for file in package.rglob("*.py"):
            packed.write(file, file.relative_to(package.parent))
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'artrec.zip')!r})\n"
        "from artrec.stages import NAMES, session\n"
        "print(session.__file__)\n"
        "for name in (*NAMES, 'nightly'):\n"
        "    print(session.command(name).__doc__)\n"
        "import artrec.cli\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    origin, *lines = done.stdout.splitlines()
    assert origin == str(tmp_path / "artrec.zip" / "artrec" / "stages" / "session" / "__init__.py")
    assert lines == [command(name).__doc__ for name in (*NAMES, "nightly")]
    assert "All stages of a night, in one Spark application." in lines


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
