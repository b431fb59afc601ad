"""The new pool in order: of each range what stays, and in between what is new or was made anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.errors import ArtrecError
from artrec.schemas import TABLES
from artrec.stages.frames import Attempt, TaskReport, parallelism, run_tasks
from artrec.stages.neighbors.laying import Scratch
from artrec.stages.neighbors.maintained.finding import Changes, Range
from artrec.stages.neighbors.maintained.meeting import Met
from artrec.stages.session import describe
from artrec.tables import FILE_BYTES, Receipt, read_range, read_table

__all__ = ["merge"]


@dataclass(frozen=True)
class _Work:
    """What the tasks know: files of what stays, by ranges, of what goes between, and their cuts."""

    scratch: Scratch
    numbers: list[Range]
    staying: list[list[Receipt]]
    between: list[Receipt]
    cuts: list[Range]


def merge(
    spark: SparkSession, scratch: Scratch, changes: Changes, met: Met, again: list[Receipt]
) -> list[TaskReport]:
    """Reports with the files of the pool, in its order; ``again`` are those of lists made anew."""
    between = [*met.added, *again]
    if not sum(file.rows for file in between):
        kept = [file for files in met.staying for file in files]
        return [TaskReport(receipts=_checked(scratch, kept))]
    ranges = len(met.staying)
    size = sum(file.bytes for files in met.staying for file in files)
    tasks = min(ranges, max(parallelism(spark), size // FILE_BYTES))
    cuts = [(n * ranges // tasks, (n + 1) * ranges // tasks) for n in range(tasks)]
    describe(spark, "neighbors: pools in order")
    work = _Work(scratch, changes.numbers, met.staying, between, cuts)
    reports = run_tasks(spark, tasks, partial(_merge, work))
    _checked(scratch, [file for report in reports for file in report.receipts])
    return reports


def _checked(scratch: Scratch, files: list[Receipt]) -> list[Receipt]:
    found = sum(file.rows for file in files)
    if found != scratch.rows:
        raise ArtrecError(
            f"the neighbor table that was kept up to date has lists of {found} vectors, and there "
            f"are {scratch.rows}; --set neighbors.rebuild_share=0 joins all anew"
        )
    return files


def _merge(work: _Work, attempt: Attempt) -> TaskReport:
    with work.scratch.writer("neighbor_pool", f"pool-{attempt.stem}") as writer:
        for index in range(*work.cuts[attempt.index]):
            rows = _ordered(work, index)
            for batch in rows.to_batches():
                writer.write(batch)
    return TaskReport(receipts=writer.receipts)


def _ordered(work: _Work, index: int) -> pa.Table:
    """The pools of a range."""
    store, (low, high) = work.scratch.store, work.numbers[index]
    columns: Sequence[str] = TABLES["neighbor_pool"].columns.names
    batches = [
        *read_table(store, work.staying[index], columns),
        *read_range(store, work.between, (low,), (high,), columns),
    ]
    schema = TABLES["neighbor_pool"].columns
    parts = [pa.Table.from_batches([batch]).cast(schema) for batch in batches]
    rows = pa.concat_tables([schema.empty_table(), *parts])
    order = np.argsort(np.asarray(rows.column("vector_no"), np.int64))
    return rows.take(pa.array(order))
