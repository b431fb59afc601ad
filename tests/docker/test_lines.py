"""The two lines of versions: what their files pin, and how the set-up is asked for one."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
SETUP = REPOSITORY / "docker/setup.sh"

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS = {"modern": ("test", "prometheus"), "petastorm": ("test", "prometheus", "petastorm")}

each_line = pytest.mark.parametrize("line", EXTRAS)


def pinned(line: str) -> dict[str, str]:
    text = (REPOSITORY / f"docker/constraints-{line}.txt").read_text()
    return dict(pin.split("==") for pin in text.split())


@each_line
def test_a_line_pins_all_that_the_project_requires_within_its_bounds(line: str) -> None:
    pins = pinned(line)
    required = [*PROJECT["dependencies"]]
    for extra in EXTRAS[line]:
        required += PROJECT["optional-dependencies"][extra]
    for requirement in map(Requirement, required):
        assert requirement.specifier.contains(pins[requirement.name]), requirement


def test_the_lines_share_one_torch_and_one_installer() -> None:
    modern, petastorm = pinned("modern"), pinned("petastorm")
    for name in ("torch", "triton", "uv"):
        assert modern[name] == petastorm[name]


@pytest.mark.parametrize("arguments", [["--line"], ["--line", "../modern"], ["--lines", "modern"]])
def test_the_set_up_refuses_what_is_no_line(arguments: list[str]) -> None:
    done = subprocess.run(
        ["bash", str(SETUP), "--test", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "setup: usage: docker/setup.sh [--test] [--line modern|petastorm]\n"
