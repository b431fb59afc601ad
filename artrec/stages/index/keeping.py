"""Keeping the shards of the last release: what came since they were built, and what is gone.

Both are always found against the shards themselves, so nights add up, and a night that goes back to
an earlier state finds what that one had. A task compares the numbers of one shard, which are
sorted, with those that the catalog has in its range, and writes what differs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec import log
from artrec.config import IndexSettings, Settings
from artrec.digests import key_hashes
from artrec.errors import GateRefused
from artrec.failpoints import reached
from artrec.index import SIDE_BYTES, shard_count, shard_ranges
from artrec.releases import (
    Draft,
    Run,
    RunRef,
    StageRuns,
    begin_run,
    find_run,
    ledger_of,
    receipts_of,
    record_run,
    run_id,
)
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.blocks import numbers_between, vector_blocks
from artrec.stages.frames import Attempt, TaskReport, add_counters, run_tasks
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table
from artrec.vectors.distance import Ints

__all__ = ["Kept", "SIDE_TABLES", "kept_shards", "masks_forgotten"]

SIDE_TABLES = ("side_vectors", "masked_items")

_VERSION = RESULT_VERSIONS["index"]


@dataclass(frozen=True)
class Kept:
    """Shards that were built for an earlier release, and the run of what has changed since."""

    main: Run
    side: Run

    @property
    def notes(self) -> dict[str, int]:
        return {"vectors": self.side.counters["items"], "masked": self.side.counters["masked"]}


def kept_shards(
    spark: SparkSession, settings: Settings, draft: Draft, inputs: Mapping[str, Any]
) -> Kept | None:
    """The shards of the last release, where they go on: ``inputs`` are those of new ones.

    None where there are none, where they were made in another way, or where too much has changed.
    """
    begun, rules = time.monotonic(), settings.index
    main = _main_run(draft, inputs, rules)
    if main is None or _holds_forgotten(draft, main):
        return None
    run = begin_run("index", _VERSION, {"main": main.run_id, "vectors": inputs["vectors"]}, {})
    side = find_run(draft.store, run.stage, run.run_id)
    if side is None:
        side, why = _compared(spark, draft, main, run, inputs, rules, begun)
    else:
        why = _too_much(side.counters, inputs, main, rules)
    say, facts = log.get(stage="index"), {key: side.counters[key] for key in ("items", "masked")}
    if why is not None:
        say.info(f"shards are built anew: {why}", main=main.run_id, **facts)
        return None
    say.info("shards are kept", main=main.run_id, **facts)
    return Kept(main, side)


def _main_run(draft: Draft, inputs: Mapping[str, Any], rules: IndexSettings) -> Run | None:
    """The run of the last release's shards, where tonight's would be made in the same way.

    Its inputs say so: all but the vectors, and the number of shards that these settings would
    have made of those.
    """
    release = draft.base.release
    stage = release.stages.get("index") if release else None
    refs: Sequence[RunRef] = stage.tables.get("shard_items", []) if stage else []
    main = find_run(draft.store, refs[0].stage, refs[0].run_id) if refs else None
    if main is None or main.run_id != run_id("index", _VERSION, main.inputs, {}):
        return None
    vectors = main.inputs["vectors"]
    shards = shard_count(vectors["rows"], rules.shard_rows, rules.shards)
    same = {**inputs, "vectors": vectors, "shards": shards} == main.inputs
    return main if same and vectors["rows"] else None


def masks_forgotten(draft: Draft, known: StageRuns) -> bool:
    """Whether an index of the very vectors of tonight has an item that was taken down when it was
    gone already. It is asked only of one that was made before the ledger's last entry.
    """
    base = draft.base.release
    before = ledger_of(base.stages["embed"].notes) if base else ""
    if draft.ledger.name == before:
        return False
    masked = receipts_of(draft.store, known.tables.get("masked_items", []), "masked_items")
    return _is_forgotten(draft, masked)


def _holds_forgotten(draft: Draft, main: Run) -> bool:
    """Whether a vector that was taken down is an item: masked it would still lie in the file."""
    held = _is_forgotten(draft, main.receipts("shard_items"))
    if held:
        log.get(stage="index").info("shards are built anew: they hold what was forgotten")
    return held


def _is_forgotten(draft: Draft, files: Sequence[Receipt]) -> bool:
    """Whether any row is of a vector that was taken down."""
    numbers = np.array(sorted(draft.ledger.vector_numbers()), np.int64)
    if not len(numbers):
        return False
    batches = read_table(draft.store, files, ["vector_no"])
    return any(np.isin(np.asarray(each.column("vector_no")), numbers).any() for each in batches)


def _too_much(
    counters: Mapping[str, int], inputs: Mapping[str, Any], main: Run, rules: IndexSettings
) -> str | None:
    """Why shards are to be built anew after so many changes; None where they go on."""
    side, masked, rows = counters["items"], counters["masked"], inputs["vectors"]["rows"]
    if side + masked > _most(rules, rows):
        return f"{side + masked} changes are more than index.rebuild_share, {rules.rebuild_share:g}"
    if side > rules.side_rows:
        return f"{side} vectors are more than index.side_rows, {rules.side_rows}"
    tuning = main.notes["tuning"]
    held = side * (4 * int(inputs["dim"]) + SIDE_BYTES)
    if tuning and tuning["memory"] and tuning["bytes"] + held > tuning["memory"]:
        return f"a side shard of {held} bytes does not fit into index.memory too"
    return None


def _most(rules: IndexSettings, rows: int) -> int:
    return int(rules.rebuild_share * rows)


def _compared(
    spark: SparkSession,
    draft: Draft,
    main: Run,
    run: Run,
    inputs: Mapping[str, Any],
    rules: IndexSettings,
    begun: float,
) -> tuple[Run, str | None]:
    """What came and what is gone, as a run; it is not recorded where it is no use, for a reason."""
    store, shards = draft.store, int(main.inputs["shards"])
    live = receipts_of(store, draft.need("catalog").tables["live_vectors"], "live_vectors")
    describe(spark, f"index: {shards} shards kept, {inputs['vectors']['rows']} vectors compared")
    metadata = {key: str(inputs[key]) for key in ("encoder", "metric", "dim")}
    given = _Given(
        store=store,
        live=tuple(live),
        items=tuple(main.receipts("shard_items")),
        shards=shards,
        most=_most(rules, inputs["vectors"]["rows"]),
        metadata=metadata,
        folder=run.folder(draft.attempt),
    )
    reports = run_tasks(spark, shards, partial(_compare_shard, given))
    reached("index.shards")
    counters = add_counters(report.counters for report in reports)
    why = _too_much(counters, inputs, main, rules)
    if why is not None:
        return run.done({}, begun, counters), why
    tables = {name: _tables(given, reports, name) for name in SIDE_TABLES}
    done = run.done(tables, begun, counters)
    _check(store, main, done, inputs)
    if not _same_vectors(main, done, inputs):
        return done, "vectors are others under the same numbers"
    return record_run(store, done), None


def _same_vectors(main: Run, side: Run, inputs: Mapping[str, Any]) -> bool:
    """Whether shards and side shard hold the catalog's vectors, as far as their digests can tell:
    of masked ones there is none.
    """
    if side.counters["masked"]:
        return True
    came = side.digest("side_vectors", ("embedding",))["embedding"]
    both = int(main.inputs["vectors"]["embedding"]) + came
    return bool(both % (1 << 64) == inputs["vectors"]["embedding"])


@dataclass(frozen=True)
class _Given:
    """What the tasks share: the catalog's vectors, the shards' items, where to write."""

    store: Store
    live: tuple[Receipt, ...]
    items: tuple[Receipt, ...]
    shards: int
    most: int
    metadata: Mapping[str, str]
    folder: str


def _tables(given: _Given, reports: Sequence[TaskReport], name: str) -> list[Receipt]:
    found = [r for report in reports for r in report.receipts if r.table == name]
    if found:
        return found
    with _writer(given, name, "none", even_empty=True) as writer:  # readers want a file
        pass
    return writer.receipts


def _writer(given: _Given, name: str, stem: str, even_empty: bool = False) -> TableWriter:
    table = TABLES[name]
    folder, facts = given.folder, dict(given.metadata)
    return TableWriter(given.store, folder, table, stem, facts, even_empty=even_empty)


def _compare_shard(given: _Given, attempt: Attempt) -> TaskReport:
    """One task: the numbers of a shard against those that the catalog has in its range.

    Where these alone are too many changes nothing is written: the shards are built anew then.
    """
    between = shard_ranges(given.shards)[attempt.index]
    live = numbers_between(given.store, given.live, *between)
    items = _numbers_of(given, attempt.index)
    came = np.setdiff1d(live, items, assume_unique=True)
    gone = np.flatnonzero(~np.isin(items, live, assume_unique=True))
    counters = {"items": len(came), "masked": len(gone)}
    if len(came) + len(gone) > given.most:
        return TaskReport(counters=counters)
    receipts: list[Receipt] = []
    if len(gone):
        with _writer(given, "masked_items", attempt.stem) as writer:
            writer.write(_masked(attempt.index, gone, items))
        receipts += writer.receipts
    if len(came):
        with _writer(given, "side_vectors", attempt.stem) as writer:
            for block in vector_blocks(given.store, given.live, between):
                mine = np.isin(block.numbers, came, assume_unique=True)
                writer.write(_rows(block.numbers[mine], block.vectors[mine]))
        receipts += writer.receipts
    return TaskReport(receipts=receipts, counters=counters)


def _numbers_of(given: _Given, shard: int) -> Ints:
    """The vector_no of each item of a shard; ascending, as they were put in."""
    parts = [np.zeros(0, np.int64)]
    own = [each for each in given.items if each.rows and each.first[0] == shard]
    for batch in read_table(given.store, own, ["vector_no"]):
        parts.append(np.asarray(batch.column("vector_no"), np.int64))
    return np.concatenate(parts)


def _masked(shard: int, items: Ints, numbers: Ints) -> pa.RecordBatch:
    columns = {
        "shard": np.full(len(items), shard, np.int32),
        "item": items.astype(np.int32),
        "vector_no": numbers[items],
    }
    return pa.RecordBatch.from_pydict(columns, schema=TABLES["masked_items"].columns)


def _rows(numbers: Ints, vectors: Any) -> pa.RecordBatch:
    kind = TABLES["side_vectors"].columns
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * vectors.shape[1]
    lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)))
    arrays = [pa.array(numbers), lists.cast(kind.field("embedding").type)]
    return pa.RecordBatch.from_arrays(arrays, schema=kind)


def _check(store: Store, main: Run, side: Run, inputs: Mapping[str, Any]) -> None:
    """Refuse shards that with their changes do not hold each vector once, by the digests."""
    had, live, came = main.inputs["vectors"], inputs["vectors"], side.digest("side_vectors", ())
    gone = {"rows": 0, "": 0}
    for batch in read_table(store, side.receipts("masked_items"), ["vector_no"]):
        gone["rows"] += batch.num_rows
        gone[""] += int(key_hashes(batch, TABLES["live_vectors"]).sum(dtype=np.uint64))
    rows, keys = (had[name] - gone[name] + came[name] for name in ("rows", ""))
    if (rows, keys % (1 << 64)) != (live["rows"], live[""]):
        raise GateRefused(
            f"gate shards: found {rows} vectors in the kept shards and beside them, expected each "
            f"of the {live['rows']} of the catalog once; their digests differ"
        )
