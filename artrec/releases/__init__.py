"""The protocol: runs, drafts, releases and CURRENT.

Data files come first, then the run that lists them, then the draft, then the release, and the
swap of CURRENT last; readers open only what a release lists. So nothing half-written is visible,
and whatever was finished is found again by its name.
"""

from artrec.releases.drafts import Draft, DraftHead, Outcome
from artrec.releases.published import (
    Base,
    Current,
    GateReport,
    GateResult,
    Release,
    StageRuns,
    current_release,
    duckdb_views,
    iter_runs,
    list_releases,
    publish,
    read_base,
    read_release,
    table_receipts,
)
from artrec.releases.runs import (
    FORMAT,
    Run,
    RunRef,
    begin_run,
    digest_of,
    find_run,
    read_document,
    receipts_of,
    record_run,
    run_id,
    versions,
)

__all__ = [
    "Base",
    "Current",
    "Draft",
    "DraftHead",
    "FORMAT",
    "GateReport",
    "GateResult",
    "Outcome",
    "Release",
    "Run",
    "RunRef",
    "StageRuns",
    "begin_run",
    "current_release",
    "digest_of",
    "duckdb_views",
    "find_run",
    "iter_runs",
    "list_releases",
    "publish",
    "read_base",
    "read_document",
    "read_release",
    "receipts_of",
    "record_run",
    "run_id",
    "table_receipts",
    "versions",
]
