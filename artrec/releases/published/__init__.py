"""Releases and CURRENT: what readers see, and the one swap that changes it."""

from artrec.releases.published.current import CURRENT, Base, Current, read_base, read_pointer
from artrec.releases.published.publishing import point_to, publish
from artrec.releases.published.reading import (
    current_release,
    duckdb_views,
    iter_runs,
    list_releases,
    read_release,
    table_receipts,
)
from artrec.releases.published.release import GateReport, GateResult, Planned, Release, StageRuns

__all__ = [
    "Base",
    "CURRENT",
    "Current",
    "GateReport",
    "GateResult",
    "Planned",
    "Release",
    "StageRuns",
    "current_release",
    "duckdb_views",
    "iter_runs",
    "list_releases",
    "point_to",
    "publish",
    "read_base",
    "read_pointer",
    "read_release",
    "table_receipts",
]
