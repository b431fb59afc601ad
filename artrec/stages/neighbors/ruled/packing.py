"""What blocks of a join under a rule find, on its way through the shuffle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from artrec.stages.neighbors.packing import in_rows
from artrec.vectors.rules import Lists, take
from artrec.vectors.rules.lists import Flat, joined

__all__ = ["merged_lists", "packed_lists"]

CROWD = 1 << 22  # entries that wait for a merge
ENTRY = np.dtype([("row", "<i4"), ("distance", "<f4"), ("other", "<i8"), ("value", "<i4")])


def packed_lists(block: int, lists: Lists) -> Iterator[pa.RecordBatch]:
    """All entries, packed; at least one row of the shuffle."""
    rows, distances, ids, values = lists.flat()
    found = np.empty(len(rows), ENTRY)
    found["row"], found["distance"], found["other"] = rows, distances, ids
    found["value"] = values
    return in_rows(block, found)


def merged_lists(
    packed: Iterable[bytes], n: int, width: int, most: int | None, first: Flat | None = None
) -> Lists:
    """The lists [n, width] of entries that come packed, and of ``first``."""
    waiting, held = [Lists.empty(n, width).flat() if first is None else first], 0
    for entries in packed:
        each = np.frombuffer(entries, ENTRY)
        columns = (each["row"].astype(np.int64), each["distance"], each["other"], each["value"])
        waiting.append(columns)
        held += len(each)
        if held > max(CROWD, 2 * width * n):
            waiting, held = [take(*joined(waiting), n, width, most).flat()], 0
    return take(*joined(waiting), n, width, most)
