"""A store, and a day that does not end while a test runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from artrec.releases import naming
from artrec.storage import Store, open_store
from tests.releases.protocol import TODAY


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


@pytest.fixture(autouse=True)
def _frozen_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "today", lambda: TODAY)
