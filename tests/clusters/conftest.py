"""One archive, and a night on it by a Spark of this machine alone, which clusters must equal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.rig import FINE, NEW
from tests.nights import night
from tests.pictures import write_zip

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zip(tmp_path_factory.mktemp("archive") / "new.zip", NEW)


@pytest.fixture(scope="session")
def clean(spark: SparkSession, archive: Path) -> Path:
    """The store of that night."""
    root = archive.parent / "clean"
    night(root, "new", f"sources.main.url={archive}", *FINE)
    return root
