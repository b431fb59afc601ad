"""Shorthand for tests of the protocol: stages without files, drafts and releases made of them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from artrec.errors import ConditionFailed
from artrec.releases import (
    Base,
    Draft,
    Outcome,
    Release,
    RunRef,
    StageRuns,
    publish,
    read_base,
    read_release,
    rollback,
)
from artrec.storage import Store

__all__ = ["LATER", "RUNS", "TODAY", "back", "night", "outcome", "ref", "release", "stage", "tree"]

TODAY, LATER = "2026-01-02", "2026-01-03"
RUNS = {"inventory": "members", "ingest": "ingested", "embed": "vectors"}
"""Stages of these tests, each with its one table; of tables that have no view."""


def ref(name: str, run: str) -> RunRef:
    return RunRef(stage=name, run_id=run, rows={RUNS[name]: 3})


def stage(name: str, run: str = "run-1", inputs: str = "same", **more: Any) -> StageRuns:
    return StageRuns(stage=name, inputs=inputs, tables={RUNS[name]: [ref(name, run)]}, **more)


def release(name: str, base: Base, run: str = "run-1", inputs: str = "same") -> Release:
    return Release(
        release_id=name,
        previous=base.release_id,
        inputs=inputs,
        created=datetime.now(UTC),
        settings={},
        versions={},
        encoder="e",
        metric="cosine",
        dim=1,
        k=1,
        stages={each: stage(each, run, inputs) for each in RUNS},
        gates=[],
        counts={},
    )


def night(store: Store, name: str | None = None, run: str = "run-1", inputs: str = "same") -> str:
    """A whole night; the name it published under, or "unchanged"."""
    draft = Draft.begin(store, name)
    draft.hold(inputs)
    for each in RUNS:
        draft.record(stage(each, run, inputs))
    if draft.unchanged:
        return "unchanged"
    publish(store, release(draft.release_id, draft.base, run, inputs), draft.base)
    assert read_base(store).release_id == draft.release_id
    return draft.release_id


def back(store: Store, name: str) -> None:
    """A rollback, which looks whether the runs are there."""
    for stages in read_release(store, name).stages.values():
        for refs in stages.tables.values():
            for each in refs:
                with suppress(ConditionFailed):
                    store.write(each.path, b"{}")
    rollback(store, name)


def outcome(draft: Draft, message: str = "done") -> Outcome:
    return Outcome(
        status="done",
        exit_code=0,
        message=message,
        release_id=draft.release_id,
        current=draft.base.release_id,
        ended=datetime.now(UTC),
    )


def tree(store: Store) -> dict[str, bytes]:
    """Everything that a store holds."""
    return {entry.path: store.read(entry.path) for entry in store.list()}
