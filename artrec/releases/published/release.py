"""A release: all that stages, gates and the plan of a night put under one name."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from artrec.planning import Figures, Joins, Rates
from artrec.releases.runs import Document, RunRef

__all__ = ["GateReport", "GateResult", "Planned", "Release", "StageRuns"]


class StageRuns(Document):
    """What a release takes from one stage: for each table the runs whose files make it up.

    ``inputs`` is a digest of all that can change these tables: a stage that finds it again in the
    current release has nothing to do.
    """

    stage: str
    inputs: str
    tables: dict[str, list[RunRef]]
    counters: dict[str, int] = Field(default_factory=dict)
    seconds: float = 0.0
    notes: dict[str, Any] = Field(default_factory=dict)

    def rows(self, table: str) -> int:
        return sum(ref.rows.get(table, 0) for ref in self.tables.get(table, []))


class GateResult(Document):
    """What one gate found and what it expected; ``overridden`` is why it does not refuse."""

    gate: str
    passed: bool
    found: str
    expected: str
    overridden: str | None = None

    @property
    def refuses(self) -> bool:
        return not self.passed and self.overridden is None


class GateReport(Document):
    """What all gates found in one draft; kept also when the release is refused."""

    gates: list[GateResult]
    counts: dict[str, int]


class Planned(Document):
    """What each stage of a night was expected to cost, and what it was measured to.

    ``measured`` lacks stages that found their work done, and whatever comes after it was kept.
    ``tables``, under rules, are parts of what neighbors was expected to cost. ``joins`` says how
    neighbors are found and why, where lists are to be made.
    """

    cores: int
    rates: Rates
    expected: dict[str, Figures]
    measured: dict[str, Figures] = Field(default_factory=dict)
    tables: dict[str, Figures] = Field(default_factory=dict)
    joins: Joins | None = None


class Release(Document):
    """One coherent set of tables under a name; never changed once written.

    ``migrated`` is not empty where ``artrec migrate`` made it of the one before: the tables that it
    wrote again, and the versions that they had.
    """

    release_id: str
    previous: str | None
    inputs: str
    created: datetime
    settings: dict[str, Any]
    versions: dict[str, str]
    encoder: str
    metric: str
    dim: int
    k: int
    stages: dict[str, StageRuns]
    gates: list[GateResult]
    counts: dict[str, int]
    plan: Planned | None = None
    migrated: dict[str, tuple[int, ...]] = Field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"releases/{self.release_id}.json"

    def refs(self, table: str) -> list[RunRef]:
        """The runs whose files make up a table, in order."""
        for stage in self.stages.values():
            if table in stage.tables:
                return stage.tables[table]
        return []
