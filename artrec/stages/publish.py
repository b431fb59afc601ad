"""publish: what the gates said is obeyed, the release is written, and CURRENT is swapped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import SparkSession

from artrec import log
from artrec.config import FINAL_GATES, Settings
from artrec.errors import GateRefused, Superseded
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    GateReport,
    GateResult,
    Ledger,
    Release,
    StageRuns,
    ledger_of,
    publish,
    versions,
)
from artrec.stages import NAMES, ORDER

__all__ = ["run"]


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Publish what the stages recorded; nothing, where no stage recorded anything new.

    Raises GateRefused (the draft is kept, CURRENT untouched) and Superseded.
    """
    begun = time.monotonic()
    stages = {name: draft.need(name) for name in _recorded(draft)}
    result = StageRuns(stage="publish", inputs="", tables={})
    if draft.unchanged:
        notes = {"status": "unchanged", "release": draft.base.release_id}
        return result.model_copy(update={"notes": notes})
    counts: dict[str, int] = stages["evaluate"].notes["counts"]
    gates = [GateResult.model_validate(each) for each in stages["evaluate"].notes["gates"]]
    draft.keep_gates(GateReport(gates=gates, counts=counts))
    reached("publish.gates")
    _obey(gates, draft.release_id)
    _check_ledger(draft, stages["ingest"])
    embed = stages["embed"].notes
    release = Release(
        release_id=draft.release_id,
        previous=draft.base.release_id,
        inputs=draft.head.inputs if draft.head else "",
        created=datetime.now(UTC),
        settings=settings.model_dump(mode="json"),
        versions=versions(),
        encoder=embed["encoder"],
        metric=embed["metric"],
        dim=embed["dim"],
        k=stages["neighbors"].notes["k"],
        stages=stages,
        gates=gates,
        counts=counts,
        plan=draft.planned(),
    )
    published = publish(draft.store, release, draft.base, draft.confirm)
    reached("publish.current")
    log.get(stage="publish").info("published", release=published.release_id, **counts)
    notes = {"status": "published", "release": published.release_id, **_changes(stages)}
    seconds = time.monotonic() - begun
    return result.model_copy(update={"notes": notes, "counters": counts, "seconds": seconds})


def _changes(stages: Mapping[str, StageRuns]) -> dict[str, Any]:
    """What became of images and of entries of the lists, in few numbers."""
    churn = stages["evaluate"].notes.get("churn")
    if not churn:
        return {}
    entries = {word: churn[word] for word in ("insert", "delete", "update") if word in churn}
    told = {"from": churn["since"], "images": churn.get("kinds", {}), "entries": entries}
    return {"changes": told}


def _check_ledger(draft: Draft, ingest: StageRuns) -> None:
    """Superseded where a picture was forgotten since this draft judged its members."""
    if Ledger.read(draft.store).name != ledger_of(ingest.notes):
        raise Superseded(
            f"{draft.store.url}: artrec forget was called since draft {draft.release_id} was begun,"
            " whose tables may hold what was forgotten; run the night again, under another name "
            "where --release gave it one: it leaves that out, and finds the rest of the work done"
        )


def _recorded(draft: Draft) -> list[str]:
    """The stages of this release, in order; train only where one chose the encoder, once."""
    names = [name for name in ORDER if name in NAMES or draft.stage(name) is not None]
    return [name for name in names if name != "publish"]


def _obey(gates: list[GateResult], release_id: str) -> None:
    """Raise GateRefused for gates that refuse; warn of those that were overridden."""
    refused = [gate for gate in gates if gate.refuses]
    if refused:
        raise GateRefused(
            "; ".join(f"gate {g.gate}: found {g.found}, expected {g.expected}" for g in refused)
            + f". Release {release_id} is not published; its draft is kept, and artrec report "
            f"{release_id} --to DIR shows it. {_remedy(refused)}"
        )
    for gate in gates:
        if gate.overridden is not None:
            log.get(stage="publish").warning(
                "gate overridden", gate=gate.gate, found=gate.found, reason=gate.overridden
            )


def _remedy(refused: list[GateResult]) -> str:
    final = [gate.gate for gate in refused if gate.gate in FINAL_GATES]
    if final:
        return f"Find the cause: {', '.join(final)} cannot be overridden"
    options = " ".join(f"--set gates.override.{gate.gate}=REASON" for gate in refused)
    return f"If that is as it should be, the same command with {options} publishes it"
