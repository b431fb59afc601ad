"""What has changed since the shards were built: vectors are scanned beside them, items masked.

Both are tables of one run, which names the run of the shards: small, written anew each night, and
listed with their hashes like everything that look-ups open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from artrec.index.files import cache_folder, compare, local_file, numbers_in, values
from artrec.index.mapped import Scan
from artrec.index.sidecar import Sidecar
from artrec.storage import Store
from artrec.storage.parquet import opened
from artrec.tables import Receipt
from artrec.vectors import TopK
from artrec.vectors.distance import Floats, Ints

__all__ = ["Changes", "Live", "SIDE_BYTES", "Side", "live_items", "open_side"]

SIDE_BYTES = 24
"""Beside its numbers a vector of a side shard takes its number, its length and a copy's share."""

Live = NDArray[np.bool_]


@dataclass(frozen=True)
class Changes:
    """The files of what came (table side_vectors) and of what is gone (masked_items)."""

    side: tuple[Receipt, ...] = ()
    masked: tuple[Receipt, ...] = ()


@dataclass(frozen=True, eq=False)
class Side:
    """Vectors that no shard has: ``numbers`` int64 [n], ascending, and ``vectors`` [n, d]."""

    numbers: Ints
    vectors: Floats
    metric: str

    def scan(self, queries: Floats, k: int) -> TopK:
        """The exact lists [n, k] of ``queries`` [n, d]."""
        return self._scan.search(queries, k)

    def vector(self, number: int) -> Floats | None:
        """The vector of that number, float32 [d]; None if it is not here."""
        place = int(np.searchsorted(self.numbers, number))
        if place == len(self.numbers) or self.numbers[place] != number:
            return None
        found: Floats = self.vectors[place]
        return found

    @cached_property
    def _scan(self) -> Scan:
        return Scan(self.vectors, self.numbers, self.metric)


def open_side(
    store: Store,
    files: Sequence[Receipt],
    encoder: str,
    metric: str,
    dim: int,
    cache: Path | None = None,
) -> Side:
    """The side shard, from its files in their order; they are mapped while they are read.

    Raises StoreFormatError, with found and expected, for whatever does not fit.
    """
    numbers, vectors = [np.zeros(0, np.int64)], [np.zeros((0, dim), np.float32)]
    for file in files:
        path = local_file(store, file, cache or cache_folder())
        with opened(path, memory_map=True) as side:
            said = side.schema_arrow.metadata or {}
            due = {"encoder": encoder, "metric": metric, "dim": dim}
            found = {name: said.get(f"artrec.{name}".encode(), b"").decode() for name in due}
            compare(str(path), {name: (found[name], str(due[name])) for name in due})
            rows = side.read(["vector_no", "embedding"])
        numbers.append(values(rows.column("vector_no"), np.int64))
        flat = pa.chunked_array(
            [c.flatten() for c in rows.column("embedding").chunks], pa.float32()
        )
        vectors.append(values(flat, np.float32).reshape(-1, dim))
        compare(str(path), {"rows": (rows.num_rows, file.rows)})
    return Side(np.concatenate(numbers), np.concatenate(vectors), metric)


def live_items(
    store: Store, sidecar: Sidecar, numbers: Ints, masked: Sequence[Receipt]
) -> Live | None:
    """Which items of a shard still count, bool [n]; None where all do.

    Raises StoreFormatError where a masked item is not of the vector that was to be masked.
    """
    live = np.ones(len(numbers), np.bool_)
    shard = sidecar.shard
    own = (
        file for file in masked if file.rows and _place(file.first) <= shard <= _place(file.last)
    )
    for file in own:
        for shards, items, gone in numbers_in(store, file, ["shard", "item", "vector_no"]):
            mine = shards == shard
            _mask(f"{store.url}/{file.path}", live, numbers, items[mine], gone[mine])
    return None if live.all() else live


def _mask(where: str, live: Live, numbers: Ints, items: Any, gone: Ints) -> None:
    beyond = items[items >= len(numbers)]
    if len(beyond):
        compare(where, {"item": (int(beyond[0]), f"one of {len(numbers)}")})
    for other in np.flatnonzero(numbers[items] != gone)[:1]:
        found, due = int(gone[other]), int(numbers[items[other]])
        compare(where, {f"vector_no of item {items[other]}": (found, due)})
    live[items] = False


def _place(key: tuple[str | int, ...]) -> int:
    return int(key[0])
