"""What tasks of a join find, on its way through the shuffle: many entries in one row, by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from artrec.stages.frames import Attempt, TaskReport, reported
from artrec.stages.workers import light
from artrec.vectors import Entries

__all__ = [
    "ENTRY",
    "Merge",
    "SHUFFLED",
    "batch_of",
    "enter",
    "in_rows",
    "merge_by_block",
    "packed",
    "told",
]

PACKED = 4096  # entries in one row of the shuffle
ENTRY = np.dtype([("row", "<i4"), ("distance", "<f4"), ("other", "<i8")])

SHUFFLED = "block int, packed binary"
"""The rows of the shuffle."""
REPORTS = -1  # the block under which reports travel

Merge = Callable[[int, Iterable[bytes], Attempt], TaskReport]
"""What is done with all that was found for a block."""


def packed(block: int, entries: Entries, compact: bool = True) -> Iterator[pa.RecordBatch]:
    """The nearest of each row, packed; at least one row of the shuffle.

    Without ``compact`` they go as they were found, to be chosen from at their end.
    """
    if compact:
        entries.compact()
    rows, distances, others = entries.flat()
    found = np.empty(len(rows), ENTRY)
    found["row"], found["distance"], found["other"] = rows, distances, others
    return in_rows(block, found)


def in_rows(block: int, found: NDArray[Any]) -> Iterator[pa.RecordBatch]:
    """``found`` in rows of PACKED entries; at least one row."""
    for at in range(0, max(1, len(found)), 64 * PACKED):
        some = found[at : at + 64 * PACKED]
        starts = range(0, max(1, len(some)), PACKED)
        yield batch_of(block, [some[n : n + PACKED].tobytes() for n in starts])


def batch_of(block: int, parts: list[bytes]) -> pa.RecordBatch:
    """Rows of the shuffle, all for one block."""
    columns = [pa.array([block] * len(parts), pa.int32()), pa.array(parts, pa.binary())]
    return pa.RecordBatch.from_arrays(columns, names=["block", "packed"])


def told(report: TaskReport) -> pa.RecordBatch:
    """A report that goes through the shuffle beside what was found."""
    return batch_of(REPORTS, [report.model_dump_json().encode()])


def enter(entries: Entries, found: NDArray[Any]) -> int:
    """Enter ``found``, an array of ENTRY; how many they are."""
    entries.add(found["row"].astype(np.int64), found["distance"].copy(), found["other"].copy())
    if entries.crowded:
        entries.compact()
    return len(found)


def merge_by_block(found: DataFrame, blocks: int, merge: Merge) -> list[TaskReport]:
    """The reports of ``merge``, a task for each block that rows of ``found`` are for; and those
    that were told.
    """

    @light
    def merged(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        attempt = Attempt.current()
        for block, rows in groupby(_rows(batches), lambda row: row[0]):
            parts = (row[1] for row in rows)
            if block == REPORTS:
                texts = [part.decode() for part in parts]
            else:
                texts = [reported(partial(merge, block, parts), attempt).model_dump_json()]
            yield pa.RecordBatch.from_pydict({"report": texts})

    ordered = found.repartition(blocks, "block").sortWithinPartitions("block")
    rows = ordered.mapInArrow(merged, "report string").collect()
    return [TaskReport.model_validate_json(row.report) for row in rows]


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, bytes]]:
    for batch in batches:
        yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)
