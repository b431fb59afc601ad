"""The distinct vectors of a catalog, as blocks of numbers and vectors, and their pools as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from artrec.schemas import TABLES
from artrec.storage import Store
from artrec.tables import Receipt, read_range, read_table
from artrec.vectors import Block, Pools

__all__ = ["block_of", "pool_rows", "vector_blocks"]

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


def block_of(rows: pa.Table) -> Block:
    """Rows with the columns vector_no and embedding, at least one."""
    values = np.asarray(rows.column("embedding").combine_chunks().flatten(), np.float32)
    numbers = np.asarray(rows.column("vector_no"), np.int64)
    return Block(numbers=numbers, vectors=values.reshape(len(numbers), -1))


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
