"""index: Annoy shards of the distinct vectors, for look-ups.

Shards are ranges of ``vector_no``, which the vectors' table is sorted by: a task reads the row
groups of its own shard and no others, so nothing is shuffled and the whole is read once, whatever
the number of shards. The whole of a shard's memory is in its task; ``index.shard_rows`` bounds it.
Shards of the last release are kept as long as little has changed since they were built.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from artrec import log
from artrec.config import Settings
from artrec.digests import key_hashes, name_of
from artrec.errors import GateRefused
from artrec.failpoints import reached
from artrec.index import (
    ANNOY_METRICS,
    Recipe,
    Sidecar,
    Target,
    Tuning,
    build_shard,
    prove_shard,
    shard_count,
    shard_ranges,
    tune,
)
from artrec.releases import (
    Artifact,
    Draft,
    Run,
    RunRef,
    StageRuns,
    begin_run,
    digest_of,
    find_run,
    receipts_of,
    record_run,
    upload_artifact,
    versions,
    write_artifact,
)
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.blocks import numbers_between, vector_blocks
from artrec.stages.frames import Attempt, TaskReport, add_counters, run_tasks
from artrec.stages.index.keeping import SIDE_TABLES, Kept, kept_shards, masks_forgotten
from artrec.stages.progress import Watch
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table

__all__ = ["RESULT_VERSION", "run"]

RESULT_VERSION = RESULT_VERSIONS["index"]


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Build one Annoy file for each shard of tonight's vectors, unless they are there already, or
    the last release's go on with what has changed since.
    """
    begun = time.monotonic()
    store, rules, embed = draft.store, settings.index, draft.need("embed").notes
    refs = draft.need("catalog").tables["live_vectors"]
    vectors = digest_of(store, refs, "live_vectors", ("embedding",))
    shards = shard_count(vectors["rows"], rules.shard_rows, rules.shards)
    inputs = {
        "vectors": vectors,
        "shards": shards,
        "trees": rules.trees,
        "seed": rules.seed,
        "tuned": None if rules.trees and rules.search_k else [rules.recall, rules.memory],
        **{key: embed[key] for key in ("encoder", "metric", "dim")},
    }
    # how look-ups search is part of a release, but no reason to build its shards anew
    digest = name_of({"version": RESULT_VERSION, "search_k": rules.search_k, **inputs})
    known = draft.known("index", digest)
    if known is not None and not masks_forgotten(draft, known):
        return draft.record(known)
    draft.begin_work()
    run = begin_run("index", RESULT_VERSION, inputs, {})
    found, kept = find_run(store, run.stage, run.run_id), None
    if found is None:
        kept = kept_shards(spark, settings, draft, inputs)
        found = kept.main if kept else _write(spark, settings, draft, run, begun)
    reached("index.run")
    if kept is None:
        _tell(inputs, found.notes["tuning"], rules.search_k)
    record = _record(found, kept, digest, begun, rules.search_k)
    log.get(stage="index").info("done", run=found.run_id, **record.counters)
    return draft.record(record)


def _record(main: Run, kept: Kept | None, digest: str, begun: float, search_k: int) -> StageRuns:
    """The shards, and where they were kept what has changed since."""
    notes = _notes(main.inputs, main.notes["tuning"], search_k)
    tables, counters = {"shard_items": [RunRef.of(main)]}, main.counters
    if kept is not None:
        ref = RunRef.of(kept.side)
        tables |= {name: [ref] for name in SIDE_TABLES}
        counters = {"shards_kept": main.counters["shards"], **kept.side.counters}
        notes |= {"side": kept.notes}
    return StageRuns(
        stage="index",
        inputs=digest,
        tables=tables,
        counters=counters,
        seconds=time.monotonic() - begun,
        notes=notes,
    )


def _write(spark: SparkSession, settings: Settings, draft: Draft, run: Run, begun: float) -> Run:
    store, folder, facts = draft.store, run.folder(draft.attempt), run.inputs
    live = receipts_of(store, draft.need("catalog").tables["live_vectors"], "live_vectors")
    describe(spark, f"index: {facts['shards']} shards of {facts['vectors']['rows']} vectors")
    tuning = _tuned(spark, store, live, facts)
    facts = facts | {"trees": tuning.trees if tuning else facts["trees"]}
    work = partial(_shard, store, live, facts, tuning, folder)
    rows = facts["vectors"]["rows"]
    watch = Watch(draft, "index", rows, ("items",), unit="vectors", every=settings.log.every)
    with watch.watching() as marks:
        reports = run_tasks(spark, facts["shards"], work, marks)
    reached("index.shards")
    items = [receipt for report in reports for receipt in report.receipts]
    if not items:  # readers that name files want at least one
        with TableWriter(store, folder, TABLES["shard_items"], "none", even_empty=True) as writer:
            pass
        items = writer.receipts
    _check_items(store, items, facts["vectors"])
    counters = {"shards": 0, "items": 0, "bytes": 0}
    counters = add_counters([counters, *(report.counters for report in reports)])
    artifacts = {"shards": [each for report in reports for each in report.artifacts]}
    notes = {"tuning": tuning.model_dump() if tuning else None}
    done = run.done({"shard_items": items}, begun, counters, notes, artifacts=artifacts)
    return record_run(store, done)


def _notes(inputs: dict[str, Any], tuning: dict[str, Any] | None, search_k: int) -> dict[str, Any]:
    """What look-ups, evaluation and readers of a release want to know of the index."""
    notes = {key: inputs[key] for key in ("shards", "trees", "seed")} | {"search_k": search_k}
    if tuning is None:
        return notes | {"exact": False}
    found = {key: tuning[key] for key in ("search_k", "recall", "low", "k", "bytes")}
    exact = tuning["exact"] and not search_k
    return notes | {"trees": tuning["trees"], "exact": exact, "tuned": found}


def _tell(facts: dict[str, Any], tuning: dict[str, Any] | None, search_k: int) -> None:
    """Say where look-ups scan against all wishes, or take more memory than they may."""
    if tuning is None:
        return
    target, dim, say = _target(facts), facts["dim"], log.get(stage="index")
    if not target.choices(dim):
        why = "look-ups scan all vectors: shards with trees do not fit into index.memory"
        if search_k:
            why = "look-ups exceed index.memory: index.search_k is set, and trees do not fit"
        needed = target.bytes(dim, tuning["trees"])
        say.warning(why, memory=tuning["memory"], needed=needed)
    elif search_k or not tuning["exact"]:
        return
    elif tuning["tried"]:
        why = "look-ups scan all vectors: no trees that cost less reach index.recall"
        say.info(why, recall=target.recall, best=max(way["low"] for way in tuning["tried"]))
    elif target.is_beyond_trial and target.recall < 1:
        why = "look-ups scan all vectors: index.recall is more than random queries could show"
        say.info(why, recall=target.recall, queries=target.queries)


def _target(facts: dict[str, Any]) -> Target:
    recall, memory = facts["tuned"]
    return Target(recall, facts["vectors"]["rows"], facts["shards"], memory, facts["trees"])


def _tuned(
    spark: SparkSession, store: Store, live: Sequence[Receipt], facts: dict[str, Any]
) -> Tuning | None:
    """How shards are best asked, found on the first of them; None where the settings say it all.

    What was chosen stands in the run, which is found again: it is chosen once.
    """
    if facts["tuned"] is None:
        return None
    target = _target(facts)
    target.check(facts["dim"])
    known = target.scan(facts["dim"])
    if known is not None:
        return known
    describe(spark, f"index: tuned for a recall of {target.recall:g}")
    (report,) = run_tasks(spark, 1, partial(_tune, store, live, facts, target))
    return Tuning.model_validate(report.notes)


def _tune(
    store: Store, live: Sequence[Receipt], facts: dict[str, Any], target: Target, _: Attempt
) -> TaskReport:
    between = shard_ranges(facts["shards"])[0]
    numbers = numbers_between(store, live, *between)
    recipe = Recipe(facts["metric"], facts["dim"], facts["trees"], facts["seed"])
    blocks = partial(vector_blocks, store, live, between)
    with tempfile.TemporaryDirectory() as scratch:
        return TaskReport(notes=tune(Path(scratch), numbers, blocks, recipe, target).model_dump())


def _check_items(store: Store, items: Sequence[Receipt], vectors: dict[str, int]) -> None:
    """Refuse shards that do not hold each vector once: digests of what was written are compared.

    The numbers are read again, a column of 8 bytes for each, row group by row group.
    """
    rows = total = 0
    for batch in read_table(store, items, ["vector_no"]):
        rows += batch.num_rows
        total += int(key_hashes(batch, TABLES["live_vectors"]).sum(dtype=np.uint64))
    if (rows, total % (1 << 64)) != (vectors["rows"], vectors[""]):
        raise GateRefused(
            f"gate shards: found {rows} vectors in the shards, expected each of the "
            f"{vectors['rows']} of the catalog once; their digests differ"
        )


def _shard(
    store: Store,
    live: Sequence[Receipt],
    facts: dict[str, Any],
    tuning: Tuning | None,
    folder: str,
    attempt: Attempt,
) -> TaskReport:
    """One task: the shard of its index, built on a local disk, proved, and stored."""
    low, high = shard_ranges(facts["shards"])[attempt.index]
    numbers = numbers_between(store, live, low, high)
    if not len(numbers):
        return TaskReport()
    metadata = {key: str(facts[key]) for key in ("encoder", "metric", "dim")}
    table = TABLES["shard_items"]
    with TableWriter(store, folder, table, attempt.stem, metadata) as items:
        items.write(_items(attempt.index, numbers))
    recipe = Recipe(facts["metric"], facts["dim"], facts["trees"], facts["seed"])
    with tempfile.TemporaryDirectory() as scratch:
        local = Path(scratch, f"{attempt.stem}.annoy")
        probes = build_shard(local, numbers, vector_blocks(store, live, (low, high)), recipe)
        name = f"shard {attempt.index} of {facts['shards']}"
        prove_shard(local, name, len(numbers), recipe, probes)
        file = upload_artifact(store, local, f"{folder}/shards/{local.name}")
    sidecar = _sidecar(attempt.index, facts, tuning, file, items.receipts)
    beside = write_artifact(store, sidecar.to_bytes(), f"{folder}/shards/{attempt.stem}.json")
    counters = {"shards": 1, "items": len(numbers), "bytes": file.bytes}
    return TaskReport(receipts=items.receipts, artifacts=[file, beside], counters=counters)


def _sidecar(
    shard: int,
    facts: dict[str, Any],
    tuning: Tuning | None,
    file: Artifact,
    items: Sequence[Receipt],
) -> Sidecar:
    same = ("shards", "trees", "dim", "metric", "seed", "encoder")
    return Sidecar(
        shard=shard,
        file=file,
        item_files=[Artifact(**receipt.model_dump()) for receipt in items],
        items=sum(receipt.rows for receipt in items),
        annoy_metric=ANNOY_METRICS[facts["metric"]],
        versions={key: versions()[key] for key in ("annoy", "artrec")},
        tuning=tuning,
        **{key: facts[key] for key in same},
    )


def _items(shard: int, numbers: NDArray[np.int64]) -> pa.RecordBatch:
    columns = {
        "shard": np.full(len(numbers), shard, np.int32),
        "item": np.arange(len(numbers), dtype=np.int32),
        "vector_no": numbers,
    }
    return pa.RecordBatch.from_pydict(columns, schema=TABLES["shard_items"].columns)
