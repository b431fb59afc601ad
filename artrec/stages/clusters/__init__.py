"""Clusters of all vectors, for people to look at: a part of evaluate with a run of its own.

Centers are fitted once, on a bounded sample, and kept from night to night while the catalog is
about as large: so a cluster keeps its number, and a night puts only its new vectors to a center.
Tasks go over the files of the vectors; the names of their images lie in the same order.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from artrec import log
from artrec.config import Settings
from artrec.errors import ArtrecError
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    Run,
    begin_run,
    digest_of,
    find_run,
    read_runs,
    receipts_of,
    record_run,
)
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.clusters.tasks import (
    CENTERS,
    CLUSTERS,
    Ground,
    alone,
    assign,
    files_of,
    fit,
    tell,
)
from artrec.stages.frames import TaskReport, add_counters, run_tasks
from artrec.stages.session import describe
from artrec.tables import Receipt, TableWriter

__all__ = ["CENTERS", "CLUSTERS", "make_clusters"]

VERSION = 1
"""Raised when the same vectors give other rows than before."""

GROWN = 1.5  # times, by which a catalog grows or shrinks before centers are fitted anew
FRESH = 32 << 20  # bytes of new vectors that each task looks through at most


def make_clusters(spark: SparkSession, settings: Settings, draft: Draft, sound: bool) -> Run:
    """The run of clusters and cluster_centers; without rows where vectors are not ``sound``."""
    before = _before(settings, draft)
    run = _begun(settings, draft, before, sound)
    same = ("vectors", "names", "sound")
    if before and all(before.inputs[name] == run.inputs[name] for name in same):
        run = before
    found = find_run(draft.store, run.stage, run.run_id)
    if found is None:
        describe(spark, "evaluate: clusters")
        found = _write(spark, settings, draft, run, before, sound)
    reached("evaluate.clusters")
    log.get(stage="evaluate").info("clusters", **found.notes)
    return found


def _before(settings: Settings, draft: Draft) -> Run | None:
    """The last release's clusters, if their centers are good for tonight's vectors."""
    release = draft.base.release
    found = read_runs(draft.store, release.refs(CENTERS)) if release else []
    if not found or not found[0].notes["clusters"]:
        return None
    (before,) = found
    known, now = before.inputs, _rules(settings, draft)
    vectors = draft.need("catalog").rows("live_vectors")
    fitted, count = before.notes["fitted"], before.notes["clusters"]
    as_large = fitted / GROWN <= vectors <= fitted * GROWN
    full = count == settings.evaluate.clusters or vectors <= fitted
    same = all(known.get(name) == value for name, value in now.items())
    return before if same and as_large and full else None


def _rules(settings: Settings, draft: Draft) -> dict[str, Any]:
    embed = draft.need("embed").notes
    return {
        "clusters": VERSION,
        "encoder": embed["encoder"],
        "metric": embed["metric"],
        "wanted": settings.evaluate.clusters,
    }


def _begun(settings: Settings, draft: Draft, before: Run | None, sound: bool) -> Run:
    catalog, store = draft.need("catalog").tables, draft.store
    inputs = _rules(settings, draft) | {
        "vectors": digest_of(store, catalog["live_vectors"], "live_vectors", ("embedding",)),
        "names": digest_of(store, catalog["vector_images"], "vector_images", ()),
        "sound": sound,
        "centers": (before.inputs["centers"] or before.run_id) if before else None,
    }
    return begin_run("evaluate", RESULT_VERSIONS["evaluate"], inputs, {})


def _write(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    run: Run,
    before: Run | None,
    sound: bool,
) -> Run:
    begun = time.monotonic()
    ground = _ground(settings, draft, run.folder(draft.attempt), before, sound)
    if len(ground.live) > 1:
        reports = _reports(spark, ground)
    else:  # a job of Spark's costs more than such a task
        reports = run_tasks(spark, 1, partial(alone, ground))
    counters = add_counters(report.counters for report in reports)
    images = draft.need("catalog").rows("vector_images")
    if sound and counters.get("clustered", 0) != images:
        raise ArtrecError(
            f"{counters.get('clustered', 0)} images are in a cluster, the catalog has {images}; "
            "artrec releases verify says whether the release before is whole"
        )
    clusters = list(files_of(reports, CLUSTERS)) or _nothing(ground, CLUSTERS)
    tables = {CLUSTERS: clusters, CENTERS: list(files_of(reports[-1:], CENTERS))}
    notes = reports[-1].notes | {
        "fitted": before.notes["fitted"] if before else draft.need("catalog").rows("live_vectors"),
    }
    return record_run(draft.store, run.done(tables, begun, counters, notes))


def _reports(spark: SparkSession, ground: Ground) -> list[TaskReport]:
    """Of one task after the other, but for those over files; the last one tells of all."""
    reports = [] if ground.kept else run_tasks(spark, 1, partial(fit, ground))
    centers = files_of(reports, CENTERS) or ground.kept
    reports += run_tasks(spark, len(ground.live), partial(assign, ground, centers))
    clusters = files_of(reports, CLUSTERS)
    return [*reports, *run_tasks(spark, 1, partial(tell, ground, centers, clusters))]


def _ground(
    settings: Settings, draft: Draft, folder: str, before: Run | None, sound: bool
) -> Ground:
    store, embed = draft.store, draft.need("embed")
    catalog = draft.need("catalog").tables
    live, names = (
        tuple(receipts_of(store, catalog[name], name)) for name in ("live_vectors", "vector_images")
    )
    return Ground(
        store=store,
        folder=folder,
        live=live if sound else (),
        names=names,
        encoder=str(embed.notes["encoder"]),
        metric=str(embed.notes["metric"]),
        count=settings.evaluate.clusters,
        kept=tuple(before.receipts(CENTERS)) if before else (),
        known=tuple(before.receipts(CLUSTERS)) if before else (),
        fresh=_fresh(draft) if before else (),
    )


def _fresh(draft: Draft) -> tuple[Receipt, ...]:
    """The vectors that came since the last release, where they are few."""
    release = draft.base.release
    before = {ref.run_id for ref in release.refs("vectors")} if release else set()
    refs = [ref for ref in draft.need("embed").tables["vectors"] if ref.run_id not in before]
    found = tuple(receipts_of(draft.store, refs, "vectors"))
    return found if sum(receipt.bytes for receipt in found) <= FRESH else ()


def _nothing(ground: Ground, table: str) -> list[Receipt]:
    with TableWriter(ground.store, ground.folder, TABLES[table], "none", even_empty=True) as writer:
        pass
    return writer.receipts
