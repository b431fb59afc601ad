"""The distinct vectors of a catalog, as blocks of numbers and vectors, and their pools as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from artrec.schemas import TABLES
from artrec.storage import Store
from artrec.tables import Receipt, open_file, read_range, read_table
from artrec.vectors import Block, Pools, TopK
from artrec.vectors.distance import Ints

__all__ = [
    "block_of",
    "numbers_between",
    "pool_rows",
    "pools_of",
    "rows_between",
    "vector_blocks",
    "vector_rows",
]

_COLUMNS = ["vector_no", "embedding"]


def vector_blocks(
    store: Store, live: Sequence[Receipt], between: tuple[int, int] | None = None
) -> Iterator[Block]:
    """The vectors of live_vectors in its order, no more than a row group at once.

    All of them, or those with numbers ``between`` two, both included.
    """
    if between is None:
        batches = read_table(store, live, _COLUMNS)
    else:
        low, high = between
        batches = read_range(store, live, (low,), (high,), _COLUMNS)
    for batch in batches:
        if batch.num_rows:
            yield block_of(pa.Table.from_batches([batch]))


def rows_between(
    store: Store, files: Sequence[Receipt], low: int, high: int, columns: Sequence[str]
) -> pa.Table:
    """Rows ``low`` to ``high``, at least one, of a table, counted over all its files.

    Row groups without any of them are not read.
    """
    parts, at = [], 0
    for receipt in files:
        if at >= high or at + receipt.rows <= low:
            at += receipt.rows
            continue
        file = open_file(store, receipt)
        for group in range(file.metadata.num_row_groups):
            after = at + file.metadata.row_group(group).num_rows
            start, stop = max(low, at), min(high, after)
            if start < stop:
                rows = file.read_row_group(group, columns=list(columns))
                parts.append(rows.slice(start - at, stop - start))
            at = after
    return pa.concat_tables(parts)


def numbers_between(store: Store, live: Sequence[Receipt], low: int, high: int) -> Ints:
    """The vector_no from ``low`` to ``high``, both included, ascending."""
    parts = [np.zeros(0, np.int64)]
    for batch in read_range(store, live, (low,), (high,), ["vector_no"]):
        parts.append(np.asarray(batch.column("vector_no"), np.int64))
    return np.concatenate(parts)


def block_of(rows: pa.Table) -> Block:
    """Rows with the columns vector_no and embedding, at least one."""
    values = np.asarray(rows.column("embedding").combine_chunks().flatten(), np.float32)
    numbers = np.asarray(rows.column("vector_no"), np.int64)
    return Block(numbers=numbers, vectors=values.reshape(len(numbers), -1))


def vector_rows(block: Block) -> pa.RecordBatch:
    """What :func:`block_of` makes a block of."""
    n, dim = block.vectors.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * dim)
    vectors = pa.ListArray.from_arrays(offsets, pa.array(block.vectors.reshape(-1)))
    return pa.RecordBatch.from_arrays([pa.array(block.numbers), vectors], names=_COLUMNS)


def pool_rows(pools: Pools) -> pa.RecordBatch:
    """Lists without their padding."""
    offsets, others, distances = pools.ragged()
    schema = TABLES["neighbor_pool"].columns
    columns = {
        "vector_no": pools.numbers,
        "radius": pools.radius,
        "radius_no": pools.radius_no,
        "others": pa.ListArray.from_arrays(offsets.astype(np.int32), pa.array(others)),
        "distances": pa.ListArray.from_arrays(offsets.astype(np.int32), pa.array(distances)),
    }
    arrays = [pa.array(columns[c.name]).cast(c.type) for c in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def pools_of(rows: pa.Table, size: int) -> Pools:
    """Pools of ``size`` from the rows of their table: what :func:`pool_rows` has made of them."""
    others, far = (rows.column(name).combine_chunks() for name in ("others", "distances"))
    counts = np.asarray(others.value_lengths(), np.int32)
    lists = TopK.empty(len(counts), size)
    entries = np.arange(size) < counts[:, None]
    lists.ids[entries] = np.asarray(others.flatten(), np.int64)
    lists.distances[entries] = np.asarray(far.flatten(), np.float32)
    return Pools(
        numbers=np.asarray(rows.column("vector_no"), np.int64),
        others=lists.ids,
        distances=lists.distances,
        counts=counts,
        radius=np.asarray(rows.column("radius"), np.float32),
        radius_no=np.asarray(rows.column("radius_no"), np.int64),
    )
