"""The examples in docstrings say what the code does."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import artrec

ROOT = Path(artrec.__file__).parent
WITH_EXAMPLES = [path for path in sorted(ROOT.rglob("*.py")) if "    >>> " in path.read_text()]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_module_are_true(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    found = doctest.testmod(import_module(name.removesuffix(".__init__")))
    assert (found.failed, found.attempted > 0) == (0, True)
