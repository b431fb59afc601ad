"""Between Spark and the Store: tasks that return reports, tables as DataFrames and back.

Only the DataFrame API is used, so the same code runs on Spark Connect. Bytes of pictures never
pass through the JVM: tasks read and write them through the Store.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, Field
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from artrec.releases import Artifact, Draft, RunRef, receipts_of
from artrec.schemas import TABLES, Table
from artrec.stages.progress import Marks
from artrec.stages.session import places_at_once
from artrec.stages.workers import light
from artrec.storage import Store
from artrec.tables import FILE_BYTES, Receipt, TableWriter, open_file

__all__ = [
    "Attempt",
    "TaskReport",
    "add_counters",
    "frame_of",
    "parallelism",
    "read_frame",
    "reported",
    "run_tasks",
    "stage_frame",
    "write_frame",
    "write_sorted",
]

READ_BYTES = 64 << 20  # of Parquet that one task of read_frame takes


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one task. ``number`` counts earlier failures of the same task."""

    index: int
    number: int
    id: int

    @property
    def stem(self) -> str:
        """A file name's beginning that no other attempt of this application uses."""
        return f"{self.index:05d}-{self.id:06d}"

    @classmethod
    def current(cls, index: int | None = None) -> Attempt:
        context = TaskContext.get()
        assert context is not None, "called outside a task"
        place = context.partitionId() if index is None else index
        return cls(place, context.attemptNumber(), context.taskAttemptId())


class TaskReport(BaseModel):
    """What a task did: the files it wrote and what it counted (time and memory are added).

    ``notes`` are for what is neither, such as a mean; they must not grow with the data.
    """

    receipts: list[Receipt] = Field(default_factory=list)
    artifacts: list[Artifact] = Field(default_factory=list)
    counters: dict[str, int] = Field(default_factory=dict)
    notes: dict[str, Any] = Field(default_factory=dict)


def run_tasks(
    spark: SparkSession,
    count: int,
    work: Callable[[Attempt], TaskReport],
    marks: Marks | None = None,
) -> list[TaskReport]:
    """Call ``work`` once for each index below ``count`` on the executors; reports in that order.

    ``work`` travels by pickle: it must not hold clients, encoders or secrets. Of several attempts
    at one task (retries, speculation) exactly one report comes back. With ``marks`` each leaves
    word when it is done.
    """
    if not count:
        return []

    @light
    def body(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                report = reported(work, Attempt.current(index))
                if marks is not None:
                    marks.leave(index, report.counters)
                yield _one_column("report", [report.model_dump_json()])

    rows = spark.range(0, count, 1, count).mapInArrow(body, "report string").collect()
    return [TaskReport.model_validate_json(row.report) for row in rows]


def reported(
    work: Callable[[Attempt], TaskReport], attempt: Attempt, begun: float | None = None
) -> TaskReport:
    """The report of ``work``, with the time since it was ``begun`` and the peak of the process."""
    begun = time.monotonic() if begun is None else begun
    report = work(attempt)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counters = report.counters | {
        "worker_peak_bytes": peak * (1 if sys.platform == "darwin" else 1024),
        "task_milliseconds": int(1000 * (time.monotonic() - begun)),
    }
    return report.model_copy(update={"counters": counters})


def read_frame(
    spark: SparkSession,
    store: Store,
    receipts: Sequence[Receipt],
    table: Table,
    columns: Sequence[str] | None = None,
    located: bool = False,
) -> DataFrame:
    """A table, or some columns of it, as a DataFrame.

    With ``located`` each row also has its place: ``file`` (path in the Store) and ``row_group``.
    """
    wanted = list(columns or table.columns.names)
    schema = _spark_schema(table, wanted, located)
    if not receipts:
        return spark.createDataFrame([], schema)
    parts = _parts(receipts)

    @light
    def body(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                for receipt in parts[index]:
                    yield from _read(store, receipt, wanted, located)

    return spark.range(0, len(parts), 1, len(parts)).mapInArrow(body, schema)


def frame_of(
    spark: SparkSession,
    store: Store,
    refs: Iterable[RunRef],
    table: str,
    columns: Sequence[str] | None = None,
    located: bool = False,
) -> DataFrame:
    """``read_frame`` of a table by its name, over several runs."""
    receipts = receipts_of(store, refs, table)
    return read_frame(spark, store, receipts, TABLES[table], columns, located)


def stage_frame(
    spark: SparkSession,
    draft: Draft,
    stage: str,
    table: str,
    columns: Sequence[str] | None = None,
    located: bool = False,
) -> DataFrame:
    """``read_frame`` of a table as a stage of this draft recorded it."""
    refs = draft.need(stage).tables[table]
    return frame_of(spark, draft.store, refs, table, columns, located)


def _read(
    store: Store, receipt: Receipt, columns: list[str], located: bool
) -> Iterator[pa.RecordBatch]:
    file = open_file(store, receipt)
    for group in range(file.metadata.num_row_groups):
        for batch in file.read_row_group(group, columns=columns).to_batches(10_000):
            arrays = [batch.column(name) for name in columns]
            names = list(columns)
            if located:
                arrays += [
                    pa.array([receipt.path] * batch.num_rows, pa.string()),
                    pa.array([group] * batch.num_rows, pa.int32()),
                ]
                names += ["file", "row_group"]
            yield pa.RecordBatch.from_arrays(arrays, names=names)


def _parts(receipts: Sequence[Receipt]) -> list[list[Receipt]]:
    """Files in order, together up to READ_BYTES a task."""
    parts: list[list[Receipt]] = []
    size = READ_BYTES
    for receipt in receipts:
        if size + receipt.bytes > READ_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(receipt)
        size += receipt.bytes
    return parts


def _spark_schema(table: Table, columns: Sequence[str], located: bool) -> StructType:
    """All columns nullable: joins make them so anyway, and writers check."""
    fields = [table.columns.field(name).with_nullable(True) for name in columns]
    if located:
        fields += [pa.field("file", pa.string()), pa.field("row_group", pa.int32())]
    return from_arrow_schema(pa.schema(fields))


def write_frame(
    frame: DataFrame,
    store: Store,
    folder: str,
    table: Table,
    metadata: dict[str, str] | None = None,
) -> list[Receipt]:
    """Write each partition of ``frame`` as files of ``table``; receipts in order of partitions."""

    @light
    def body(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        stem = Attempt.current().stem
        with TableWriter(store, folder, table, stem, metadata) as writer:
            for batch in batches:
                writer.write(batch)
        yield _one_column("receipt", [r.model_dump_json() for r in writer.receipts])

    frame = frame.select(*table.columns.names)
    rows = frame.mapInArrow(body, "receipt string").collect()
    receipts = [Receipt.model_validate_json(row.receipt) for row in rows]
    if not receipts:
        with TableWriter(store, folder, table, "none", metadata, even_empty=True) as writer:
            pass
        return writer.receipts
    return sorted(receipts, key=lambda r: (r.first, r.path))


def write_sorted(
    frame: DataFrame,
    store: Store,
    folder: str,
    table: Table,
    estimated_bytes: int,
    metadata: dict[str, str] | None = None,
) -> list[Receipt]:
    """Write ``frame`` in the table's order, as files of about FILE_BYTES."""
    parts = max(1, -(-estimated_bytes // FILE_BYTES))
    ranged = frame.repartition(1) if parts == 1 else frame.repartitionByRange(parts, *table.sort)
    return write_frame(ranged.sortWithinPartitions(*table.sort), store, folder, table, metadata)


def add_counters(counters: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counters add up; of ``*_peak_bytes`` the largest counts."""
    total: dict[str, int] = {}
    for each in counters:
        for name, value in each.items():
            old = total.get(name, 0)
            total[name] = max(old, value) if name.endswith("_peak_bytes") else old + value
    return total


@cache
def parallelism(spark: SparkSession) -> int:
    """Tasks that run at once, as Spark itself would cut a range."""
    told = places_at_once(spark)
    if told is not None:
        return told
    places = spark.range(0, 1 << 14).select(F.spark_partition_id().alias("place"))
    last = places.agg(F.max("place").alias("last")).first()
    return int(last.last) + 1 if last is not None else 1


def _one_column(name: str, values: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, pa.string())], names=[name])
