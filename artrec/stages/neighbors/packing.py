"""What tasks of a join find, on its way through the shuffle: many entries in one row, by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from artrec.vectors import Entries

__all__ = ["ENTRY", "batch_of", "packed", "packed_rows"]

PACKED = 4096  # entries in one row of the shuffle
ENTRY = np.dtype([("row", "<i4"), ("distance", "<f4"), ("other", "<i8")])


def packed(block: int, entries: Entries, compact: bool = True) -> Iterator[pa.RecordBatch]:
    """The nearest of each row, in rows of PACKED entries; at least one row.

    Without ``compact`` they go as they were found, to be chosen from at their end.
    """
    if compact:
        entries.compact()
    rows, distances, others = entries.flat()
    found = np.empty(len(rows), ENTRY)
    found["row"], found["distance"], found["other"] = rows, distances, others
    parts = [found[at : at + PACKED].tobytes() for at in range(0, max(1, len(found)), PACKED)]
    for at in range(0, len(parts), 64):
        yield batch_of(block, parts[at : at + 64])


def batch_of(block: int, parts: list[bytes]) -> pa.RecordBatch:
    """Rows of the shuffle, all for one block."""
    columns = [pa.array([block] * len(parts), pa.int32()), pa.array(parts, pa.binary())]
    return pa.RecordBatch.from_arrays(columns, names=["block", "packed"])


def packed_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, bytes]]:
    """Block and packed entries of each row that has come through the shuffle."""
    for batch in batches:
        yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)
