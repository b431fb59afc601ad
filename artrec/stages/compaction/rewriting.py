"""Writing live rows anew: by place where they are bulky, through Spark where they are not.

Spark only tells which rows live where. Tasks read the row groups through the Store and write the
live rows of each, one row group in memory; a killed driver loses the open segment, as elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.failpoints import reached
from artrec.releases import Draft, Run, RunRef, StageRuns, begin_run, find_run, record_run
from artrec.schemas import TABLES
from artrec.stages.compaction import choosing
from artrec.stages.compaction.choosing import Segment
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    parallelism,
    read_frame,
    write_frame,
    write_sorted,
)
from artrec.stages.places import PICTURE_GROUP, place_units
from artrec.stages.rules import MEMBER_KEY
from artrec.stages.slices import SliceSpec, cut_segments, run_segments
from artrec.storage import Store
from artrec.storage.ahead import Read, read_ahead
from artrec.tables import FILE_BYTES, GROUP_BYTES, Receipt, TableWriter, open_file, read_range

if TYPE_CHECKING:
    from artrec.stages.compaction import Living

__all__ = ["metadata_of", "rewritten"]

ROW_BYTES = 120  # of a row that tells a place, about: only to choose the number of files
BY_PLACE = ("pictures", "vectors")
GROUPS = {"pictures": PICTURE_GROUP}


def rewritten(
    spark: SparkSession,
    draft: Draft,
    stage: StageRuns,
    living: Living,
    live: Mapping[str, DataFrame],
    chosen: Sequence[Segment],
) -> list[Run]:
    """The live rows of the chosen segments as new runs."""
    made: list[Run] = []
    names = [each.run.run_id for each in chosen]
    for table, frame in live.items():
        old = [receipt for each in chosen for receipt in each.run.receipts(table)]
        if not old:
            continue
        inputs = {"compacted": names, "table": table, **living.facts}
        run = begin_run(stage.stage, living.version, inputs, {})
        kept = frame.filter(F.col("file").isin([receipt.path for receipt in old]))
        write = _by_place if table in BY_PLACE else _through_spark
        made += write(spark, draft, run, table, living, kept, old)
    return made


def _through_spark(
    spark: SparkSession,
    draft: Draft,
    run: Run,
    table: str,
    living: Living,
    kept: DataFrame,
    old: Sequence[Receipt],
) -> list[Run]:
    """Small rows: they are what Spark has in hand anyway, so they are joined and written."""
    found = find_run(draft.store, run.stage, run.run_id)
    if found is not None:
        return [found]
    begun, store, kind = time.monotonic(), draft.store, TABLES[table]
    key = [*kind.key, "file", "row_group"]
    whole = read_frame(spark, store, old, kind, located=True)
    rows = whole.join(kept.select(*key).distinct(), key, "left_semi")
    parts = -(-sum(receipt.bytes for receipt in old) // FILE_BYTES)
    ordered = rows.repartition(max(1, parts)).sortWithinPartitions(*MEMBER_KEY)
    written = write_frame(ordered, store, run.folder(draft.attempt), kind)
    return [record_run(store, run.done({table: written}, begun))]


def _by_place(
    spark: SparkSession,
    draft: Draft,
    run: Run,
    table: str,
    living: Living,
    kept: DataFrame,
    old: Sequence[Receipt],
) -> list[Run]:
    store = draft.store
    pending = find_run(store, run.stage, run.run_id)
    if pending is None:
        begun = time.monotonic()
        places = kept.select("content_sha256", "file", "row_group")
        folder, kind = run.folder(draft.attempt), TABLES["pending_pictures"]
        rows = sum(receipt.rows for receipt in old)
        written = write_sorted(places, store, folder, kind, rows * ROW_BYTES)
        units = _whole_files(place_units(store, written, old))
        size = max(
            living.segment_bytes, choosing.SMALL
        )  # of small ones there are too many as it is
        cut = cut_segments(units, living.slice_bytes, size, parallelism(spark))
        notes = {"cut": cut.model_dump(mode="json")}
        done = run.done({"pending_pictures": written}, begun, notes=notes)
        pending = record_run(store, done)
    reached(f"{run.stage}.compacting")
    draft.plan(f"{run.stage}.compaction", RunRef.of(pending))
    listed = pending.receipts("pending_pictures")
    work = partial(_rewrite_slice, store, listed, old, table, living.kept[table])
    return run_segments(spark, draft, run.stage, living.version, pending, work, ("kept",))


def _whole_files(units: Iterable[SliceSpec]) -> Iterator[SliceSpec]:
    """Units together until they fill a file: what was many small ones shall not be so again."""
    held: SliceSpec | None = None
    for unit in units:
        if held is not None:
            items, size = held.items + unit.items, held.bytes + unit.bytes
            unit = SliceSpec(low=held.low, high=unit.high, items=items, bytes=size)
        held = unit
        if held.bytes >= FILE_BYTES:
            yield held
            held = None
    if held is not None:
        yield held


def _rewrite_slice(
    store: Store,
    pending: Sequence[Receipt],
    files: Sequence[Receipt],
    table: str,
    values: Sequence[str],
    spec: SliceSpec,
    folder: str,
    attempt: Attempt,
) -> TaskReport:
    """One task: the live rows of the row groups of a slice, in files of the same metadata."""
    wanted: dict[tuple[str, int], list[bytes]] = {}
    for batch in read_range(store, pending, spec.low, spec.high):
        for row in batch.to_pylist():
            wanted.setdefault((row["file"], row["row_group"]), []).append(row["content_sha256"])
    places, kind, group = sorted(wanted), TABLES[table], GROUPS.get(table, GROUP_BYTES)
    receipts = {receipt.path: receipt for receipt in files}
    reads = (Read(partial(_group, store, receipts[file], n), group) for file, n in places)
    groups = read_ahead(reads, at_once=1, ahead_bytes=group)
    writers: dict[tuple[tuple[str, str], ...], TableWriter] = {}
    kept = 0
    with ExitStack() as stack:
        for place, rows in zip(places, groups, strict=True):
            about = metadata_of(rows.schema)
            if about not in writers:
                stem = f"{attempt.stem}-{len(writers)}"
                writer = TableWriter(store, folder, kind, stem, dict(about), group_bytes=group)
                writers[about] = stack.enter_context(writer)
            live = _live(rows, kind.key[1], wanted[place], values)
            kept += live.num_rows
            for batch in live.to_batches():
                writers[about].write(batch)
    found = [receipt for writer in writers.values() for receipt in writer.receipts]
    return TaskReport(receipts=found, counters={"kept": kept})


def _group(store: Store, receipt: Receipt, number: int) -> pa.Table:
    return open_file(store, receipt).read_row_group(number)


def metadata_of(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    """What a file says of its rows beside table and version, such as the encoder of vectors."""
    found = {k.decode(): v.decode() for k, v in (schema.metadata or {}).items()}
    own = ("artrec.table", "artrec.version")
    names = sorted(name for name in found if name.startswith("artrec.") and name not in own)
    return tuple((name.removeprefix("artrec."), found[name]) for name in names)


def _live(
    rows: pa.Table, column: str, contents: Sequence[bytes], values: Sequence[str]
) -> pa.Table:
    mine = pc.is_in(rows.column("content_sha256"), pa.array(contents, pa.binary()))
    return rows.filter(pc.and_(mine, pc.is_in(rows.column(column), pa.array(values))))
