"""The pictures of a query: listed, judged, decoded and encoded as those of the release were."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.archive import Archive, Content, Member
from artrec.config import Settings
from artrec.encoders import Encoder
from artrec.schemas import TABLES
from artrec.stages.decoding import Decode, decoder
from artrec.stages.encoding import Vector, batch_of, encode_pictures, worker_encoder
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    parallelism,
    read_frame,
    run_tasks,
    write_sorted,
)
from artrec.stages.judging import Judge, Rows
from artrec.stages.listing import as_member, list_sources, pinned_archives
from artrec.stages.query.place import SCRATCH
from artrec.stages.rejects import Rejected
from artrec.stages.rules import vector_no
from artrec.stages.session import describe
from artrec.stages.slices import SliceSpec, join_units, member_units, unit_bytes
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_range
from artrec.vectors.topk import NOBODY

__all__ = ["Encoded", "encode_source"]

ROW_BYTES = 200  # of a member in a pending table, about: only to choose the number of files


@dataclass(frozen=True)
class Encoded:
    """What was listed, and what became of it: files of query_encoded.

    ``names`` has entry and query_id of what has its name in the listing.
    """

    listed: int
    receipts: list[Receipt]
    names: DataFrame | None = None


@dataclass(frozen=True)
class _Task:
    """What the tasks know; travels to them. ``root`` is the store that has the encoder."""

    root: Store
    out: Store
    pending: Sequence[Receipt]
    archives: dict[str, Archive]
    settings: Settings
    encoder_id: str
    slices: Sequence[SliceSpec]


def encode_source(
    spark: SparkSession, settings: Settings, root: Store, out: Store, encoder_id: str
) -> Encoded:
    """Encode the members of the only source of ``settings``, whose ingest is the release's."""
    with list_sources(settings) as listing:
        members = listing.upload(out, f"{SCRATCH}/listing")["members"]
        listed, size = listing.counters["listed"], listing.counters["listed_bytes"]
        archives = pinned_archives(settings, listing.pins)
    table, cores = TABLES["pending_members"], parallelism(spark)
    columns = [name for name in table.columns.names if name != "slice"]
    unit = unit_bytes(size, settings.ingest.slice_bytes, cores)
    frame = read_frame(spark, out, members, TABLES["members"], columns).withColumn(
        "slice", F.floor(F.col("offset") / F.lit(unit)).cast("long")
    )
    describe(spark, f"query: a listing of {listed} members")
    pending = write_sorted(frame, out, SCRATCH, table, listed * ROW_BYTES)
    units = list(member_units(out, pending))
    slices = join_units(units, settings.ingest.slice_bytes, cores, apart=True)
    task = _Task(root, out, pending, archives, settings, encoder_id, slices)
    describe(spark, f"query: {listed} members in {len(slices)} slices")
    reports = run_tasks(spark, len(slices), partial(_encode_slice, task))
    names = read_frame(spark, out, members, TABLES["members"], ["entry", "image_id"])
    return Encoded(
        listed=listed,
        receipts=[receipt for report in reports for receipt in report.receipts],
        names=names.withColumnRenamed("image_id", "query_id"),
    )


def _encode_slice(task: _Task, attempt: Attempt) -> TaskReport:
    spec, rules = task.slices[attempt.index], task.settings.ingest
    how, in_child = task.settings.embed, attempt.number > 0
    encoder = worker_encoder(task.encoder_id, task.root, how)
    members = [
        as_member(row)
        for batch in read_range(task.out, task.pending, spec.low, spec.high)
        for row in batch.to_pylist()
    ]
    contents = task.archives[str(spec.low[0])].read(members)
    with (
        TableWriter(task.out, SCRATCH, TABLES["query_encoded"], attempt.stem) as writer,
        Judge(rules, in_child) as judge,
        decoder(encoder.preprocess, rules, in_child) as decode,
    ):
        rows = Rows("query_encoded", writer)
        for row in _rows(contents, judge, encoder, decode, batch_of(encoder, how)):
            rows.add(row)
        rows.flush()
    return TaskReport(receipts=writer.receipts)


def _rows(
    contents: Iterable[Content], judge: Judge, encoder: Encoder, decode: Decode, batch: int
) -> Iterator[dict[str, Any]]:
    """A row for each member; of pictures no more than a batch waits to be encoded together."""
    waiting: deque[tuple[Member, bytes]] = deque()
    refused: list[dict[str, Any]] = []

    def pictures() -> Iterator[bytes]:
        for content in contents:
            found = judge.examine(content)
            if isinstance(found, Rejected):
                refused.append(_row(content.member, found))
            else:
                waiting.append((content.member, found.sha256))
                yield found.data

    for vector in encode_pictures(encoder, pictures(), decode, batch):
        member, sha256 = waiting.popleft()
        yield _row(member, vector, vector_no(sha256))
        yield from refused
        refused.clear()
    yield from refused


def _row(member: Member, found: Vector | Rejected, own: int = NOBODY) -> dict[str, Any]:
    reject = found if isinstance(found, Rejected) else None
    return {
        "entry": member.entry,
        "query_id": None,
        "set_id": None,
        "own": own,
        "reason": reject and reject.reason,
        "detail": reject and reject.detail,
        "embedding": None if reject else found,
    }
