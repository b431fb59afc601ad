"""The protocol: runs, drafts, releases and CURRENT.

Data files come first, then the run that lists them, then the draft, then the release, and the
swap of CURRENT last; readers open only what a release lists. So nothing half-written is visible,
and whatever was finished is found again by its name.
"""

from artrec.releases.drafts import Draft
from artrec.releases.forgotten import Ledger, ledger_of
from artrec.releases.heads import (
    DraftHead,
    Outcome,
    abandon,
    all_heads,
    draft_state,
    find_outcome,
    open_heads,
)
from artrec.releases.history import were_current
from artrec.releases.lease import Lease, holding
from artrec.releases.published import (
    Base,
    Current,
    GateReport,
    GateResult,
    Planned,
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
from artrec.releases.rollback import rollback
from artrec.releases.runs import (
    FORMAT,
    Artifact,
    Run,
    RunRef,
    artifacts_of,
    begin_run,
    digest_of,
    find_run,
    read_document,
    read_runs,
    receipts_of,
    record_run,
    run_id,
    upload_artifact,
    versions,
    write_artifact,
)

__all__ = [
    "Artifact",
    "Base",
    "Current",
    "Draft",
    "DraftHead",
    "FORMAT",
    "GateReport",
    "GateResult",
    "Lease",
    "Ledger",
    "Outcome",
    "Planned",
    "Release",
    "Run",
    "RunRef",
    "StageRuns",
    "abandon",
    "all_heads",
    "artifacts_of",
    "begin_run",
    "current_release",
    "digest_of",
    "draft_state",
    "duckdb_views",
    "find_outcome",
    "find_run",
    "holding",
    "iter_runs",
    "ledger_of",
    "list_releases",
    "open_heads",
    "publish",
    "read_base",
    "read_document",
    "read_release",
    "read_runs",
    "receipts_of",
    "record_run",
    "rollback",
    "run_id",
    "table_receipts",
    "upload_artifact",
    "versions",
    "were_current",
    "write_artifact",
]
