"""The vectors of a catalog that fit into one task: gathered by content, written in order.

They do not pass through the JVM: a vector there is a row of boxed numbers, shuffled and sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from artrec.errors import StoreFormatError
from artrec.releases import Draft, receipts_of
from artrec.schemas import TABLES
from artrec.stages.atonce import Places, array_of, codes_of, few, firsts, whole, write_whole
from artrec.stages.frames import Attempt, TaskReport
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table

__all__ = ["Gathering", "gathered"]

BYTES = 256 << 20  # of vectors that a task holds
ROWS = 10_000  # written at once
Matrix = NDArray[np.float32]


def gathered(
    draft: Draft, catalog: Sequence[Receipt], folder: str, metadata: Mapping[str, str]
) -> Gathering | None:
    """What tasks need that gather the vectors of a catalog; None where that is too much for one."""
    embed = draft.need("embed")
    vectors, dim = receipts_of(draft.store, embed.tables["vectors"], "vectors"), embed.notes["dim"]
    size = sum(receipt.rows for receipt in catalog) * 4 * int(dim)
    if size > BYTES or not few(catalog, vectors):
        return None
    encoder = embed.notes["encoder"]
    return Gathering(draft.store, catalog, vectors, encoder, int(dim), folder, metadata)


@dataclass(frozen=True)
class Gathering:
    """A catalog and the vectors that its images are among, as files; and where to write."""

    store: Store
    catalog: Sequence[Receipt]
    vectors: Sequence[Receipt]
    encoder: str
    dim: int
    folder: str
    metadata: Mapping[str, str]

    def embeddings(self, attempt: Attempt) -> TaskReport:
        """One task: the table embeddings, in the catalog's order."""
        images = self._images("image_id", "content_sha256")
        contents = images.column("content_sha256")
        first = firsts(contents)
        matrix = self._matrix(contents.take(pa.array(first)))
        codes = codes_of(contents)
        place = np.empty(len(first), np.int64)
        place[codes[first]] = np.arange(len(first))
        return self._written("embeddings", attempt, images.column("image_id"), matrix, place[codes])

    def live(self, attempt: Attempt) -> TaskReport:
        """One task: live_vectors and vector_images."""
        images = self._images("image_id", "content_sha256", "vector_no")
        rows = images.select(TABLES["vector_images"].columns.names)
        rows = rows.sort_by([("vector_no", "ascending"), ("image_id", "ascending")])
        with self._writer("vector_images", attempt, {}) as writer:
            write_whole(writer, rows)
        numbers = np.asarray(images.column("vector_no"), np.int64)
        distinct, first = np.unique(numbers, return_index=True)
        matrix = self._matrix(images.column("content_sha256").take(pa.array(first)))
        every, keys = np.arange(len(distinct)), pa.array(distinct)
        made = self._written("live_vectors", attempt, keys, matrix, every)
        return TaskReport(receipts=[*made.receipts, *writer.receipts])

    def _images(self, *columns: str) -> pa.Table:
        return whole(self.store, self.catalog, "catalog", columns)

    def _writer(self, table: str, attempt: Attempt, facts: Mapping[str, str]) -> TableWriter:
        form = TABLES[table]
        return TableWriter(
            self.store, self.folder, form, attempt.stem, dict(facts), even_empty=True
        )

    def _matrix(self, contents: pa.ChunkedArray) -> Matrix:
        """The vectors [n, dim] of distinct contents, in their order."""
        matrix = np.zeros((len(contents), self.dim), np.float32)
        found = np.zeros(len(contents), np.bool_)
        among = array_of(contents)
        for rows in self._vectors():
            at = pc.index_in(rows.column("content_sha256"), value_set=among)
            mine = pc.is_valid(at)
            places = np.asarray(at.filter(mine), np.int64)
            values = rows.column("embedding").filter(mine).flatten()
            matrix[places] = np.asarray(values, np.float32).reshape(-1, self.dim)
            found[places] = True
        if not found.all():
            raise StoreFormatError(
                f"{self.store.url}: {int((~found).sum())} images of the catalog have no vector"
            )
        return matrix

    def _vectors(self) -> Iterator[pa.RecordBatch]:
        """What the encoder made a vector of."""
        columns = ["content_sha256", "encoder", "embedding"]
        for batch in read_table(self.store, self.vectors, columns):
            mine = pc.equal(batch.column("encoder"), self.encoder)
            yield batch.filter(pc.and_(mine, pc.is_valid(batch.column("embedding"))))

    def _written(
        self, table: str, attempt: Attempt, keys: Any, matrix: Matrix, places: Places
    ) -> TaskReport:
        """Rows (key, vector), some at once: the key is the table's first column."""
        schema = TABLES[table].columns
        with self._writer(table, attempt, self.metadata) as writer:
            for low in range(0, len(places), ROWS):
                mine = matrix[places[low : low + ROWS]]
                offsets = np.arange(len(mine) + 1, dtype=np.int32) * self.dim
                lists = pa.ListArray.from_arrays(offsets, pa.array(mine.reshape(-1)))
                arrays = [array_of(keys.slice(low, ROWS)), lists.cast(schema.field(1).type)]
                writer.write(pa.RecordBatch.from_arrays(arrays, names=schema.names))
        return TaskReport(receipts=writer.receipts)
