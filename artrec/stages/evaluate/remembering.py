"""What the last releases recorded of themselves, for the gates with memory: a few documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from artrec.config import Settings
from artrec.evaluation import Past
from artrec.releases import Draft, Release, StageRuns, releases_before

__all__ = ["churn_counts", "remembered"]


def churn_counts(moved: Mapping[str, Any] | None) -> dict[str, int] | None:
    """The counts of the lists beside the last release's, where they were compared."""
    if moved is None or "lists" not in moved:
        return None
    counts = {name: each for name, each in moved.items() if isinstance(each, int)}
    changed = moved.get("kinds", {}).get("changed", 0)
    return counts | {"changed_pictures": changed}


def remembered(settings: Settings, draft: Draft, count: int) -> list[Past]:
    """The last releases, the newest first, each with the figures that tonight's compare with."""
    tonight = _made(settings.model_dump(mode="json"), draft.stage)
    found = releases_before(draft.store, draft.base.release, count)
    return [_past(release, tonight) for release in found]


def _past(release: Release, tonight: dict[str, Any]) -> Past:
    made = _made(release.settings, release.stages.get)
    evaluate = release.stages.get("evaluate")
    known = {name: each for name, each in _figures(release, evaluate).items() if each is not None}
    return Past(
        release=release.release_id,
        figures={n: each for n, each in known.items() if made.get(n) == tonight.get(n)},
        overridden=frozenset(g.gate for g in release.gates if g.overridden is not None),
    )


def _figures(release: Release, evaluate: StageRuns | None) -> dict[str, float | None]:
    """As they were noted; before there were any, the reject rate by the counts."""
    listed = release.counts.get("listed", 0)
    rate = release.counts.get("rejected", 0) / listed if listed else None
    return {"reject_rate": rate} | (evaluate.notes.get("figures", {}) if evaluate else {})


def _made(settings: Mapping[str, Any], stage: Any) -> dict[str, Any]:
    """What each figure hangs on beside the pictures: releases that differ in it do not compare."""
    embed, index, lists = (stage(name) for name in ("embed", "index", "neighbors"))
    encoder = (embed.notes.get("encoder"), embed.notes.get("metric")) if embed else ()
    notes = lists.notes if lists else {}
    table = (*encoder, notes.get("k"), notes.get("exact", True), notes.get("target"))
    search = settings.get("index", {})
    asked = (*encoder, search.get("recall"), search.get("search_k"), search.get("trees"))
    scans = index.notes.get("exact", False) if index else None
    return {
        "drift": encoder,
        **dict.fromkeys(("churn", "first_churn", "table_recall"), table),
        "index_recall": (*asked, scans),
    }
