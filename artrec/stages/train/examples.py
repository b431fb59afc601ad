"""The examples of a training: pictures as the network sees them, with labels and split.

Tasks read the pictures through the Store, by place; a last task merges what they wrote into one
table in the order of the hash, so that it does not depend on how the work was cut. Beside it lie
the hand-made encoder's vectors of the held-out examples, for the comparison.
"""

from __future__ import annotations

import heapq
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec import log
from artrec.config import Settings
from artrec.encoders import Preprocess, load_builtin
from artrec.encoders.contest import altered
from artrec.errors import NotFound
from artrec.releases import (
    Draft,
    Run,
    begin_run,
    digest_of,
    find_run,
    receipts_of,
    record_run,
)
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.decoding import Pixels, decoder
from artrec.stages.forgetting import judged_under
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    add_counters,
    parallelism,
    run_tasks,
    stage_frame,
    write_sorted,
)
from artrec.stages.places import first_places, place_units, placed_pictures
from artrec.stages.rejects import Rejected
from artrec.stages.rules import MEMBER_KEY, TAIL_BITS, ingest_rules
from artrec.stages.slices import SliceSpec, ever_appended, join_units
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table

__all__ = ["examples_begun", "examples_run"]

ROW_BYTES = 150  # of a pending row, about: only to choose the number of files
PART_BYTES = 32 << 20  # of PNGs that a task gathers, sorts and writes
PART_GROUP_BYTES = 256 << 10  # a merge holds one row group of each part
WAYS = 256  # parts that one merge reads
GROUP_BYTES = 1 << 20  # small row groups are what a reader can shuffle
MERGED_ROWS = 64

Row = dict[str, Any]


def examples_begun(settings: Settings, draft: Draft, wanted: Preprocess) -> Run:
    """The run of the examples, by name; nothing is looked up but what the stages recorded."""
    store, rules = draft.store, settings.train
    inventory, ingest = draft.need("inventory"), draft.need("ingest")
    labels = ("style", "artist")
    inputs = {
        "members": digest_of(store, inventory.tables["members"], "members", MEMBER_KEY),
        "labels": digest_of(store, inventory.tables["labels"], "labels", labels),
        "ingested": ever_appended(store, ingest, "ingested", ("content_sha256", "reason")),
        "rules": ingest_rules(settings.ingest),
        **draft.ledger.inputs,
    }
    chosen = {
        "preprocess": wanted.model_dump(mode="json"),
        "max_pictures": rules.max_pictures,
        "held_out": rules.held_out,
    }
    return begin_run("train", RESULT_VERSIONS["train"], inputs, chosen)


def examples_run(spark: SparkSession, settings: Settings, draft: Draft, wanted: Preprocess) -> Run:
    """The tables examples and held_out_vectors of the pictures of tonight, or of the release."""
    begun = time.monotonic()
    store, run = draft.store, examples_begun(settings, draft, wanted)
    found = find_run(store, run.stage, run.run_id)
    if found is not None:
        return found
    pictures = receipts_of(store, draft.need("ingest").tables["pictures"], "pictures")
    folder, table = run.folder(draft.attempt), TABLES["pending_examples"]
    size = settings.train.max_pictures * ROW_BYTES
    chosen = _chosen(spark, settings, draft).persist()
    pending = write_sorted(_split(chosen, settings.train.held_out), store, folder, table, size)
    chosen.unpersist()
    units = list(place_units(store, pending, pictures))
    slices = join_units(units, settings.embed.slice_bytes, parallelism(spark))
    work = partial(_slice, store, pending, pictures, settings, wanted, slices, folder)
    reports = run_tasks(spark, len(slices), work)
    written = [receipt for report in reports for receipt in report.receipts]
    parts = [receipt for receipt in written if receipt.table == "examples"]
    merged, spare = _merged(spark, store, parts, folder)
    counters = add_counters(report.counters for report in reports)
    tables = {
        "pending_examples": pending,
        "examples": merged,
        "held_out_vectors": [each for each in written if each.table == "held_out_vectors"],
    }
    recorded = record_run(store, run.done(tables, begun, counters))
    for each in spare:
        with suppress(NotFound):
            store.delete(each.path)
    log.get(stage="train").info("examples", run=recorded.run_id, **recorded.counters)
    return recorded


def _split(chosen: DataFrame, share: float) -> DataFrame:
    """With the side of each picture, which is the same in every training.

    The last bits of the hash decide it, as the first ones decide the choice. Of two pictures or
    more one at least is held out.
    """
    last = F.substring(F.hex("content_sha256"), 65 - TAIL_BITS // 4, TAIL_BITS // 4)
    tail = F.conv(last, 16, 10).cast("long")
    first = chosen.agg(F.count("*").alias("count"), F.min(tail).alias("least")).first()
    held = tail < int(share * 2**TAIL_BITS)
    if first is not None and first["count"] > 1:
        held = held | (tail == first.least)
    return chosen.withColumn("split", F.when(held, F.lit("held_out")).otherwise(F.lit("train")))


def _chosen(spark: SparkSession, settings: Settings, draft: Draft) -> DataFrame:
    """The pictures with the smallest hashes among the live ones, with place and labels."""
    rules = ingest_rules(settings.ingest)
    frame = partial(stage_frame, spark, draft)
    places = first_places(spark, draft, rules["recipe"])
    known = [*MEMBER_KEY, "recipe", "decoder", "content_sha256", "reason"]
    judged = judged_under(spark, frame("ingest", "ingested", known), rules, draft.ledger)
    live = judged.filter("reason is null").select(*MEMBER_KEY, "content_sha256")
    members = frame("inventory", "members", [*MEMBER_KEY, "entry"])
    labels = frame("inventory", "labels", ["source", "entry", "style", "artist"])
    named = (
        members.join(live, list(MEMBER_KEY))
        .join(labels, ["source", "entry"], "left")
        .groupBy("content_sha256")
        .agg(*(_first_known(name) for name in ("style", "artist")))
        .select("content_sha256", "style.style", "artist.artist")
    )
    joined = places.join(named, "content_sha256")
    return joined.orderBy("content_sha256").limit(settings.train.max_pictures)


def _first_known(label: str) -> Any:
    """The label of a content's first member that has one."""
    known = F.when(F.col(label).isNotNull(), F.struct("source", "entry", label))
    return F.min(known).alias(label)


def _slice(
    store: Store,
    pending: Sequence[Receipt],
    pictures: Sequence[Receipt],
    settings: Settings,
    wanted: Preprocess,
    slices: Sequence[SliceSpec],
    folder: str,
    attempt: Attempt,
) -> TaskReport:
    """One task: the pictures of a slice as examples, in parts that are each in order of the hash.

    The hand-made encoder sees the stored picture by its own preprocess, not the small example.
    """
    parts = _Parts(store, f"{folder}/parts", attempt.stem)
    counters = {"examples": 0, "held_out": 0, "unreadable": 0}
    plain, in_child = load_builtin("handmade"), attempt.number > 0
    table = TABLES["held_out_vectors"]
    with (
        decoder(wanted, settings.ingest, in_child) as decode,
        decoder(plain.preprocess, settings.ingest, in_child) as decode_plain,
        TableWriter(store, folder, table, attempt.stem, {"encoder": plain.id}) as vectors,
    ):
        for rows, data in placed_pictures(store, pending, pictures, slices[attempt.index]):
            for row, each in zip(rows, data, strict=True):
                held = row["split"] == "held_out"
                small, large = decode(each), decode_plain(each) if held else None
                if isinstance(small, Rejected) or isinstance(large, Rejected):
                    counters["unreadable"] += 1
                    continue
                counters["examples"] += 1
                parts.add(row | {"picture": _png(small)})
                if large is not None:
                    counters["held_out"] += 1
                    both = np.concatenate([large[None], altered(large[None])])
                    vectors.write(_vectors(row["content_sha256"], plain.encode(both)))
        parts.flush()
    return TaskReport(receipts=[*parts.receipts, *vectors.receipts], counters=counters)


class _Parts:
    """Examples on their way into files, each sorted, of about PART_BYTES."""

    def __init__(self, store: Store, folder: str, stem: str) -> None:
        self.receipts: list[Receipt] = []
        self._store, self._folder, self._stem = store, folder, stem
        self._rows: list[Row] = []
        self._bytes = 0

    def add(self, row: Row) -> None:
        self._rows.append(row)
        self._bytes += len(row["picture"])
        if self._bytes >= PART_BYTES:
            self.flush()

    def flush(self) -> None:
        stem, table = f"{self._stem}-{len(self.receipts):05d}", TABLES["examples"]
        with TableWriter(
            self._store, self._folder, table, stem, group_bytes=PART_GROUP_BYTES
        ) as writer:
            _write(writer, iter(sorted(self._rows, key=itemgetter("content_sha256"))))
        self.receipts += writer.receipts
        self._rows, self._bytes = [], 0


def _merged(
    spark: SparkSession, store: Store, parts: Sequence[Receipt], folder: str
) -> tuple[list[Receipt], list[Receipt]]:
    """The files of the one table, and those that it was made from, which nobody needs any more."""
    spare, runs = list(parts), [[part] for part in parts]
    while len(runs) > WAYS:
        groups = [runs[start : start + WAYS] for start in range(0, len(runs), WAYS)]
        work = partial(_merge, store, groups, f"{folder}/parts", PART_GROUP_BYTES)
        runs = [report.receipts for report in run_tasks(spark, len(groups), work)]
        spare += [receipt for run in runs for receipt in run]
    (last,) = run_tasks(spark, 1, partial(_merge, store, [runs], folder, GROUP_BYTES))
    return last.receipts, spare


def _merge(
    store: Store,
    groups: Sequence[Sequence[Sequence[Receipt]]],
    folder: str,
    group_bytes: int,
    attempt: Attempt,
) -> TaskReport:
    """One task: the sorted runs of a group as one; memory is a row group for each run."""

    def rows(run: Sequence[Receipt]) -> Iterator[Row]:
        for batch in read_table(store, run):
            yield from batch.to_pylist()

    merged = heapq.merge(*map(rows, groups[attempt.index]), key=itemgetter("content_sha256"))
    table = TABLES["examples"]
    with TableWriter(
        store, folder, table, attempt.stem, group_bytes=group_bytes, even_empty=True
    ) as writer:
        _write(writer, merged)
    return TaskReport(receipts=writer.receipts)


def _write(writer: TableWriter, rows: Iterator[Row]) -> None:
    schema = TABLES["examples"].columns
    while some := list(islice(rows, MERGED_ROWS)):
        writer.write(pa.RecordBatch.from_pylist(some, schema=schema))


def _vectors(key: bytes, both: np.ndarray[Any, np.dtype[np.float32]]) -> pa.RecordBatch:
    schema = TABLES["held_out_vectors"].columns
    row = {"content_sha256": key, "embedding": both[0], "copy_embedding": both[1]}
    return pa.RecordBatch.from_pylist([row], schema=schema)


def _png(pixels: Pixels) -> bytes:
    """Without loss: what the network is trained on is what it will see."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
