"""Lists of images from pools that a task holds whole: the pools do not pass through the JVM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from artrec.config import Settings
from artrec.errors import StoreFormatError
from artrec.schemas import TABLES
from artrec.stages.atonce import array_of, whole
from artrec.stages.frames import Attempt, TaskReport
from artrec.stages.neighbors.naming import Names, write_lists
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter
from artrec.vectors.topk import NOBODY

__all__ = ["Pools", "fits"]

BYTES = 192 << 20  # of pools that a task holds
ENTRY = 12  # bytes of a number and a distance
ROWS = 10_000  # lists named at once


def fits(pool: Sequence[Receipt], settings: Settings) -> bool:
    """Whether one task may hold these pools."""
    rules = settings.neighbors
    return sum(receipt.rows for receipt in pool) * (rules.k + rules.slack) * ENTRY <= BYTES


@dataclass(frozen=True)
class Pools:
    """The pools of a catalog's vectors, as files, and how many ``parts`` its images make."""

    store: Store
    catalog: Sequence[Receipt]
    pool: Sequence[Receipt]
    k: int
    folder: str
    metadata: Mapping[str, str]
    parts: int

    def write(self, attempt: Attempt) -> TaskReport:
        """One task: the lists of a part of the images, in their order."""
        rows = whole(self.store, self.catalog, "catalog", ["image_id", "vector_no"])
        numbers = np.asarray(rows.column("vector_no"), np.int64)
        image_ids = array_of(rows.column("image_id"))
        low, high = (len(numbers) * n // self.parts for n in (attempt.index, attempt.index + 1))
        mine = pa.table({"image_id": image_ids, "vector_no": numbers}).slice(low, high - low)
        empty = attempt.index == 0  # readers that name files want at least one
        facts = dict(self.metadata)
        nested, flat = (
            TableWriter(
                self.store, self.folder, TABLES[name], attempt.stem, facts, even_empty=empty
            )
            for name in ("neighbors_nested", "neighbors")
        )
        with nested, flat:
            write_lists(Names.of(image_ids, numbers), self._lists(mine), self.k, nested, flat)
        return TaskReport(receipts=[*nested.receipts, *flat.receipts])

    def _lists(self, images: pa.Table) -> Iterator[pa.RecordBatch]:
        """Images with the lists of their vectors: image_id, vector_no, own, others, distances."""
        columns = ["vector_no", "others", "distances"]
        pools = whole(self.store, self.pool, "neighbor_pool", columns)
        known = np.asarray(pools.column("vector_no"), np.int64)
        numbers = np.asarray(images.column("vector_no"), np.int64)
        places = np.searchsorted(known, numbers)
        there = np.append(known, NOBODY)[places] == numbers
        if lost := int(np.count_nonzero(~there)):
            raise StoreFormatError(
                f"{self.store.url}: {lost} images of the catalog have no list in neighbor_pool"
            )
        for low in range(0, len(numbers), ROWS):
            some = pools.take(pa.array(places[low : low + ROWS]))
            ids = array_of(images.column("image_id").slice(low, ROWS))
            own = pa.array(np.zeros(len(ids), np.float32))
            lists = [array_of(some.column(name)) for name in columns]
            yield pa.RecordBatch.from_arrays(
                [ids, lists[0], own, *lists[1:]],
                names=["image_id", "vector_no", "own", *columns[1:]],
            )
