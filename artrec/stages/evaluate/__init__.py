"""evaluate: how good the lists are, beside floors and chance; and whether to publish them.

What is measured is a run, found again like every other. What the gates make of it is judged anew
each time and stands in the stage's record, as does what has changed since the release that is
current: other limits, or another release to compare with, measure nothing again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import SparkSession

from artrec import log
from artrec.config import GatesSettings, Settings
from artrec.digests import name_of
from artrec.errors import ConfigError
from artrec.evaluation import Cloud, Measured, figures, judge
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    GateResult,
    Run,
    RunRef,
    StageRuns,
    begin_run,
    digest_of,
    find_run,
)
from artrec.stages import RESULT_VERSIONS, rejects
from artrec.stages.clusters import make_clusters
from artrec.stages.evaluate.assessing import Assessment
from artrec.stages.evaluate.churn import churn
from artrec.stages.evaluate.counting import missing_shard_files, ruled_counts
from artrec.stages.evaluate.remembering import churn_counts, remembered
from artrec.stages.feed import make_feeds
from artrec.stages.frames import add_counters
from artrec.stages.maps import make_maps
from artrec.stages.rules import ingest_rules
from artrec.stages.sources import members_by_source

__all__ = ["RESULT_VERSION", "run"]

RESULT_VERSION = RESULT_VERSIONS["evaluate"]


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Measure the draft's lists, and judge the draft by the gates; publish obeys."""
    begun = time.monotonic()
    _check_reasons(settings.gates)
    inputs = _inputs(settings, draft)
    digest = name_of(inputs | {name: getattr(settings.evaluate, name) for name in _LOOKS})
    known, base = draft.known("evaluate", digest), draft.base.release
    if known is not None and draft.unchanged:
        return draft.record(known)
    draft.begin_work()
    begun_run = begin_run("evaluate", RESULT_VERSION, inputs, {})
    found = find_run(draft.store, begun_run.stage, begun_run.run_id)
    if found is None:
        found = Assessment(spark, settings, draft, begun_run, _before(draft)).measured(begun)
    reached("evaluate.run")
    looks = _looks(spark, settings, draft, found)
    feeds = make_feeds(spark, draft)
    moved = churn(draft, feeds.notes)
    measured = _measured(settings, draft, found, moved)
    gates = judge(measured, settings.gates)
    ref = RunRef.of(found)
    again = {"found_from": base.release_id} if base and ref in base.refs("evaluation") else {}
    log.get(stage="evaluate").info("done", run=found.run_id, **_refusals(gates))
    return draft.record(
        StageRuns(
            stage="evaluate",
            inputs=digest,
            tables={table: [RunRef.of(run)] for run in (found, *looks) for table in run.tables}
            | feeds.tables,
            counters=add_counters([*(run.counters for run in (found, *looks)), feeds.counters]),
            seconds=known.seconds if known is not None and not again else time.monotonic() - begun,
            notes={
                **again,
                "gates": [gate.model_dump(mode="json") for gate in gates],
                "counts": found.notes["counts"],
                "figures": _noted(measured),
                "changes": feeds.notes,
                "clusters": looks[0].notes,
                **({"churn": moved} if moved else {}),
            },
        )
    )


def _looks(spark: SparkSession, settings: Settings, draft: Draft, found: Run) -> tuple[Run, Run]:
    """What people look at: clusters, and maps that show them; each a run of its own."""
    counts = found.notes["counts"]
    sound = not counts["non_finite"] + counts["zero"]
    clusters = make_clusters(spark, settings, draft, sound)
    return clusters, make_maps(spark, settings, draft, found, clusters)


def _check_reasons(limits: GatesSettings) -> None:
    for reason in limits.reject_rates:
        if reason not in rejects.REASONS:
            known = ", ".join(sorted(rejects.REASONS))
            raise ConfigError(f"gates.reject_rates: no reason is called {reason}; known: {known}")


def _refusals(gates: Sequence[GateResult]) -> dict[str, list[str]]:
    return {"refused_by": [gate.gate for gate in gates if not gate.passed]}


def _inputs(settings: Settings, draft: Draft) -> dict[str, Any]:
    store, rules = draft.store, settings.evaluate
    catalog = ("source", "entry", "content_sha256", "vector_no", "style", "artist", "title")
    read = {
        ("inventory", "members"): (),
        ("catalog", "catalog"): catalog,
        ("catalog", "rejects"): ("reason",),
        ("catalog", "live_vectors"): ("embedding",),
        ("neighbors", "neighbors_nested"): ("ids", "distances"),
        ("neighbors", "neighbor_pool"): ("others", "distances"),
    }
    index = draft.stage("index")
    neighbors, embed = draft.need("neighbors").notes, draft.need("embed").notes
    return {
        "version": RESULT_VERSION,
        **{
            table: digest_of(store, draft.need(stage).tables[table], table, columns)
            for (stage, table), columns in read.items()
        },
        "index": _index(index) if index else None,
        "shard_files_missing": missing_shard_files(draft),  # until somebody puts them back
        "encoder": embed["encoder"],
        "metric": embed["metric"],
        "k": neighbors["k"],
        **({} if neighbors.get("exact", True) else {"exact": False}),
        "pictures": ingest_rules(settings.ingest),
        "rules": {name: getattr(rules, name) for name in _RULES},
        "held_out": settings.train.held_out,
    }


def _index(found: StageRuns) -> Any:
    """What its shards were made of; where they were kept, also which ones, and what has changed."""
    if "side_vectors" not in found.tables:
        return found.inputs
    return [found.inputs, *(ref.run_id for refs in found.tables.values() for ref in refs)]


_LOOKS = ("clusters", "tsne")
_RULES = ("queries", "sample", "map_points", "near_bits", "near_distance")


def _measured(
    settings: Settings, draft: Draft, found: Run, moved: Mapping[str, Any] | None
) -> Measured:
    notes, base = found.notes, draft.base.release
    lists = draft.need("neighbors").notes
    sources = draft.need("inventory").notes.get("sources")
    return Measured(
        counts=notes["counts"],
        sources=sources or {},
        sources_before=members_by_source(draft.store, base) if sources else {},
        ruled=ruled_counts(draft),
        index_recall=notes["index_recall"],
        table_recall=notes["table_recall"],
        exact=bool(lists.get("exact", True)),
        planned_recall=lists.get("target"),
        queries=found.counters["queries"],
        cloud=_cloud(found),
        stored_before=base.counts.get("stored") if base else None,
        cloud_before=_cloud(_before(draft)),
        churn=churn_counts(moved),
        past=remembered(settings, draft, settings.gates.memory),
    )


def _noted(measured: Measured) -> dict[str, float]:
    """What the nights to come compare theirs with; JSON has no infinity."""
    found = {name: each.value for name, each in figures(measured).items()}
    return {name: round(value, 6) for name, value in found.items() if math.isfinite(value)}


def _before(draft: Draft) -> Run | None:
    """What was measured of the last release; None where it was published before anything was."""
    refs = draft.base.release.refs("evaluation") if draft.base.release else []
    return find_run(draft.store, "evaluate", refs[0].run_id) if refs else None


def _cloud(run: Run | None) -> Cloud | None:
    found = run.notes.get("cloud") if run else None
    return Cloud.model_validate(found) if found else None
