"""A finished store, and the artrec command called in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import verb
from tests.commands.small_store import publish_paintings


@dataclass(frozen=True)
class Called:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Call = Callable[..., Called]


@pytest.fixture
def artrec(capsys: pytest.CaptureFixture[str]) -> Call:
    """``artrec("lookup", ...)``: code, stdout and stderr of the command."""

    def call(*arguments: str) -> Called:
        capsys.readouterr()
        code = verb.artrec(*arguments)
        said = capsys.readouterr()
        return Called(code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the release 2026-01-02 of 14 paintings; for reading only."""
    root = tmp_path_factory.mktemp("finished")
    publish_paintings(root, "2026-01-02")
    return root


@pytest.fixture
def store_root(tmp_path: Path) -> Path:
    """The same as ``finished``, of the test's own: it may be spoiled."""
    publish_paintings(tmp_path, "2026-01-02")
    return tmp_path
