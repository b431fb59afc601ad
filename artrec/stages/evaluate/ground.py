"""What evaluation's tasks stand on: all vectors and images as streams, the chosen ones whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.evaluation import Images
from artrec.schemas import TABLES
from artrec.stages.blocks import vector_blocks
from artrec.stages.workers import light
from artrec.storage import Store
from artrec.tables import Receipt, read_table
from artrec.vectors import Block

__all__ = [
    "Ground",
    "LABELS",
    "all_images",
    "chosen_rows",
    "distinct_vectors",
    "first_rows",
    "images_of",
    "vector_hashes",
    "vectors_of",
]

LABELS = ("style", "artist")
CODES = ("image", "style", "artist", "phash", "name")

_COLUMNS = ["vector_no", *(f"{name}_code" for name in CODES)]


@dataclass(frozen=True)
class Ground:
    """What all tasks of one evaluation stand on."""

    store: Store
    folder: str
    live: tuple[Receipt, ...]
    evaluated: tuple[Receipt, ...]
    chosen: tuple[Receipt, ...]
    encoder: str
    metric: str
    k: int
    queries: int
    sample: int
    map_points: int
    block: int
    held_out: float


def all_images(ground: Ground) -> Iterator[Images]:
    """The whole catalog in its order, one row group of vectors at a time."""
    batches = read_table(ground.store, ground.evaluated, _COLUMNS)
    waiting = _codes_table([])
    for block in vector_blocks(ground.store, ground.live):
        last = block.numbers[-1]
        parts = [waiting]
        while not parts[-1].num_rows or parts[-1].column("vector_no")[-1].as_py() <= last:
            batch = next(batches, None)
            if batch is None:
                break
            parts.append(_codes_table([batch]))
        rows = pa.concat_tables(parts)
        numbers = np.asarray(rows.column("vector_no"), np.int64)
        count = int(np.searchsorted(numbers, last, side="right"))
        yield images_of(rows.slice(0, count), block)
        waiting = rows.slice(count)


def _codes_table(batches: list[pa.RecordBatch]) -> pa.Table:
    columns = TABLES["evaluated_images"].columns
    return pa.Table.from_batches(batches, pa.schema([columns.field(name) for name in _COLUMNS]))


def images_of(rows: pa.Table, block: Block) -> Images:
    """Images of ``rows``, in the order of their vectors, which ``block`` holds."""
    numbers = np.asarray(rows.column("vector_no"), np.int64)
    codes = {name: np.asarray(rows.column(f"{name}_code"), np.int64) for name in CODES}
    codes["content"] = numbers + 1  # 0 is the code of nothing
    return Images(block.vectors, np.searchsorted(block.numbers, numbers), codes)


def chosen_rows(ground: Ground) -> pa.Table:
    """The images that are asked about, at most evaluate.queries, sample and map_points of them."""
    return pa.Table.from_batches(
        list(read_table(ground.store, ground.chosen)), TABLES["chosen_images"].columns
    )


def first_rows(rows: pa.Table, count: int, place: str = "place") -> pa.Table:
    """The first ``count`` in an order of the chosen images; they stay in the table's."""
    places = np.asarray(rows.column(place).fill_null(2**31 - 1), np.int64)
    return rows.take(pa.array(np.flatnonzero(places < count)))


def vectors_of(ground: Ground, rows: pa.Table) -> Block:
    """The distinct vectors behind some images."""
    wanted = np.unique(np.asarray(rows.column("vector_no"), np.int64))
    numbers, vectors = [np.zeros(0, np.int64)], []
    for block in vector_blocks(ground.store, ground.live):
        mine = np.isin(block.numbers, wanted)
        numbers.append(block.numbers[mine])
        vectors.append(block.vectors[mine])
    found = vectors or [np.zeros((0, 1), np.float32)]
    return Block(np.concatenate(numbers), np.concatenate(found))


def distinct_vectors(spark: SparkSession, store: Store, live: Sequence[Receipt]) -> int:
    """How many of the live vectors differ, by 64 bits of a hash of each."""
    if not live:
        return 0
    files = list(live)

    @light
    def body(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                for block in vector_blocks(store, [files[index]]):
                    hashes = pa.array(vector_hashes(block), pa.int64())
                    yield pa.RecordBatch.from_arrays([hashes], names=["hash"])

    frame = spark.range(0, len(files), 1, len(files)).mapInArrow(body, "hash long")
    return frame.distinct().count()


def vector_hashes(block: Block) -> list[int]:
    """A number for each vector; equal vectors have equal ones, whatever the sign of their zeros."""
    rows = block.vectors + np.float32(0.0)  # no -0.0
    digests = (hashlib.blake2b(each.tobytes(), digest_size=8).digest() for each in rows)
    return [int.from_bytes(each, "big", signed=True) for each in digests]
