"""Two nights as they should be: what the nights with a fault start from, and are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.rig import FINE, NEW, OLD, copied
from tests.faults.standalone import Cluster, standalone
from tests.nights import night
from tests.pictures import write_zip

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Nights:
    """Archives and stores. ``before`` has the release old; ``clean`` is a copy with new on top."""

    place: Path
    old: Path
    new: Path
    before: Path
    clean: Path

    def store(self, name: str) -> Path:
        """A fresh copy of ``before``."""
        return copied(self.before, self.place / name)


@pytest.fixture(scope="session")
def nights(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    place = tmp_path_factory.mktemp("faults")
    found = Nights(
        place=place,
        old=write_zip(place / "old.zip", OLD),
        new=write_zip(place / "new.zip", NEW),
        before=place / "before",
        clean=place / "clean",
    )
    night(found.before, "old", f"sources.main.url={found.old}", *FINE)
    copied(found.before, found.clean)
    night(found.clean, "new", f"sources.main.url={found.new}", *FINE)
    return found


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A standalone cluster whose workers come back when they are killed."""
    with standalone(tmp_path_factory.mktemp("standalone")) as found:
        yield found


@pytest.fixture
def idle(cluster: Cluster) -> Cluster:
    """The cluster with all its workers, and nothing to do."""
    cluster.await_workers()
    return cluster
