"""Lists of numbers become lists of images, in tasks that hold the names of the whole catalog.

Names take about 80 bytes for each image. Where that is too much, Spark joins them
(:func:`artrec.stages.neighbors.lists.named_lists`), which costs a row for each entry. As many rows
are named together as have about a million candidates, of 70 bytes each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from artrec.schemas import TABLES
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table
from artrec.vectors.distance import Floats, Ints
from artrec.vectors.topk import orderable

__all__ = ["Names", "cut", "names_of", "write_lists"]

ENTRIES = 1 << 20  # candidates of rows that are named together


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """``image_ids`` [n] of a catalog in the order (vector_no, image_id), and each one's number."""

    image_ids: pa.Array
    numbers: Ints

    @classmethod
    def of(cls, image_ids: pa.Array, numbers: Ints) -> Names:
        """From rows in the order of image_id."""
        order = np.argsort(numbers, kind="stable")
        return cls(image_ids.take(pa.array(order)), numbers[order])

    def places(self, numbers: Ints) -> tuple[Ints, Ints]:
        """The first place of each number, and how many names it has."""
        first = np.searchsorted(self.numbers, numbers)
        return first, np.searchsorted(self.numbers, numbers, side="right") - first


@cache
def names_of(store: Store, catalog: tuple[str, ...]) -> Names:
    """The names of a catalog, by its receipts as JSON; read once for each Python worker."""
    files = [Receipt.model_validate_json(each) for each in catalog]
    rows = pa.Table.from_batches(list(read_table(store, files, ["image_id", "vector_no"])))
    image_ids = rows.column("image_id").combine_chunks()
    if isinstance(image_ids, pa.ChunkedArray):  # beyond 2 GB of text
        image_ids = image_ids.cast(pa.large_string()).combine_chunks()
    return Names.of(image_ids, np.asarray(rows.column("vector_no"), np.int64))


def write_lists(
    names: Names,
    batches: Iterator[pa.RecordBatch],
    k: int,
    nested: TableWriter,
    flat: TableWriter,
) -> None:
    """Both tables of lists, from rows image_id, vector_no, own, others, distances.

    ``own`` is the distance of a vector from itself. The first k images by (distance, vector_no,
    image_id) are listed, the image itself left out; rows are written in the order they come in.
    """
    for batch in _slices(batches, k):
        rows, distances, places = _entries(names, batch, k)
        counts = np.bincount(rows, minlength=batch.num_rows)
        offsets = np.append(0, np.cumsum(counts)).astype(np.int32)
        ids = names.image_ids.take(pa.array(places)).cast(pa.string())
        own = batch.column(0)
        far = pa.array(distances)
        columns = [own, *(pa.ListArray.from_arrays(offsets, each) for each in (ids, far))]
        nested.write(_batch("neighbors_nested", columns))
        ranks = pa.array((np.arange(len(rows)) - offsets[rows] + 1).astype(np.int32))
        flat.write(_batch("neighbors", [own.take(pa.array(rows)), ranks, ids, far]))


def _slices(batches: Iterator[pa.RecordBatch], k: int) -> Iterator[pa.RecordBatch]:
    """The rows in runs of about ENTRIES candidates: entries of pools, or the images behind them."""
    for batch in batches:
        entries = np.asarray(batch.column("others").value_lengths(), np.int64)
        yield from cut(batch, np.maximum(entries, 2 * (k + 1)))


def cut(batch: pa.RecordBatch, sizes: Ints) -> Iterator[pa.RecordBatch]:
    """Runs of rows of ``sizes`` [n], each of ENTRIES and less than one row more."""
    if not batch.num_rows:
        return
    runs = np.cumsum(sizes) // ENTRIES
    starts = np.flatnonzero(np.diff(runs, prepend=-1)).tolist()
    for first, end in zip(starts, [*starts[1:], batch.num_rows], strict=True):
        yield batch.slice(first, end - first)


def _batch(table: str, columns: Sequence[Any]) -> pa.RecordBatch:
    schema = TABLES[table].columns
    arrays = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _entries(names: Names, batch: pa.RecordBatch, k: int) -> tuple[Ints, Floats, Ints]:
    """Row, distance and place among the names of each entry, by row and rank."""
    own_numbers = np.asarray(batch.column("vector_no"), np.int64)
    others, far = batch.column("others"), batch.column("distances")
    rows = np.repeat(np.arange(batch.num_rows), np.asarray(others.value_lengths()))
    numbers = np.asarray(others.flatten(), np.int64)
    distances = np.asarray(far.flatten(), np.float32)
    _, own_counts = names.places(own_numbers)
    several = np.flatnonzero(own_counts > 1)
    if len(several):  # the other names of their own content
        own = np.asarray(batch.column("own"), np.float32)
        rows = np.concatenate((rows, several))
        numbers = np.concatenate((numbers, own_numbers[several]))
        distances = np.concatenate((distances, own[several]))
        order = np.lexsort((numbers, orderable(distances), rows))
        rows, numbers, distances = rows[order], numbers[order], distances[order]
    first, counts = names.places(numbers)
    counts = np.minimum(counts, k + 1)  # more could not be published
    before = np.cumsum(counts) - counts
    kept = before - before[np.searchsorted(rows, rows)] <= k  # nor what comes behind so many
    rows, distances, first, counts = rows[kept], distances[kept], first[kept], counts[kept]
    entry = np.repeat(np.arange(len(rows)), counts)
    places = first[entry] + np.arange(len(entry)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows, distances = rows[entry], distances[entry]
    if len(several):
        kept = ~_itself(names, batch.column(0), own_numbers, rows, places)
        rows, distances, places = rows[kept], distances[kept], places[kept]
    nth = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = nth < k
    return rows[kept], distances[kept], places[kept]


def _itself(names: Names, image_ids: pa.Array, own: Ints, rows: Ints, places: Ints) -> Any:
    """Which entries are the image that asks."""
    found = np.zeros(len(rows), dtype=np.bool_)
    suspects = np.flatnonzero(names.numbers[places] == own[rows])
    listed = names.image_ids.take(pa.array(places[suspects])).to_pylist()
    asking = image_ids.take(pa.array(rows[suspects])).to_pylist()
    found[suspects] = [one == other for one, other in zip(listed, asking, strict=True)]
    return found
