"""The gate that stands before all work: a source that lost most of its members stops the night.

Somebody emptied a bucket, or a disk is not mounted: to publish that would delete a catalog.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pyarrow.compute as pc

from artrec.config import GatesSettings
from artrec.errors import GateRefused
from artrec.evaluation import judge_sources
from artrec.releases import Draft, GateReport, GateResult, Release, receipts_of
from artrec.storage import Store
from artrec.tables import read_table

__all__ = ["check_shrunken", "members_by_source", "refuse_shrunken"]


def members_by_source(store: Store, release: Release | None) -> dict[str, int]:
    """How many members each source had; counted from the table where no note says so."""
    if release is None:
        return {}
    inventory = release.stages.get("inventory")
    noted: dict[str, int] | None = inventory.notes.get("sources") if inventory else {}
    if noted is not None:
        return noted
    found = Counter[str]()
    members = receipts_of(store, release.refs("members"), "members")
    for batch in read_table(store, members, ["source"]):
        counts = pc.value_counts(batch.column("source")).to_pylist()
        found.update({each["values"]: each["counts"] for each in counts})
    return dict(found)


def check_shrunken(
    limits: GatesSettings, store: Store, release: Release | None, now: Mapping[str, int]
) -> None:
    """GateRefused where a source has too few of its members; nothing is written."""
    gate = _refusing(limits, store, release, now)
    if gate is not None:
        raise GateRefused(
            f"gate {gate.gate}: found {gate.found}, expected {gate.expected}; a night would stop "
            "here, unless --set gates.override.sources=REASON says why that is as it should be"
        )


def refuse_shrunken(limits: GatesSettings, draft: Draft, now: Mapping[str, int]) -> None:
    """The same for a night: its draft is kept, with what the gate found."""
    gate = _refusing(limits, draft.store, draft.base.release, now)
    if gate is None:
        return
    draft.begin_work()
    draft.keep_gates(GateReport(gates=[gate], counts={"listed": sum(now.values())}))
    raise GateRefused(
        f"gate {gate.gate}: found {gate.found}, expected {gate.expected}. Nothing was read, and "
        f"release {draft.release_id} is not made; its draft is kept. Look whether the source is "
        "whole; if that is as it should be, the same command with --set "
        "gates.override.sources=REASON goes on"
    )


def _refusing(
    limits: GatesSettings, store: Store, release: Release | None, now: Mapping[str, int]
) -> GateResult | None:
    gate = judge_sources(now, members_by_source(store, release), limits)
    return gate if gate is not None and gate.refuses else None
