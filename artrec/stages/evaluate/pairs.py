"""Pairs of near contents, found where they lie: in lists, and by their hashes alone.

Tasks hold the hashes of the whole catalog, 16 bytes each; where that is too much, Spark joins them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.evaluation.copies import (
    CROWD,
    KEYS,
    TELLING,
    TWIN_BITS,
    Hashes,
    Links,
    hash_links,
    key_mask,
    listed_links,
)
from artrec.releases import Draft
from artrec.schemas import TABLES, Table
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    parallelism,
    read_frame,
    run_tasks,
    stage_frame,
    write_sorted,
)
from artrec.stages.places import first_places
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table
from artrec.vectors.distance import Ints

__all__ = [
    "Near",
    "Receipts",
    "batch_of",
    "concatenated",
    "found_links",
    "near_pairs",
    "numbers_of",
]

IN_MEMORY = 5_000_000  # contents whose hashes a task holds: 80 MB, and twice that as it reads them
PAIR_BYTES = 24  # of a row of near_pairs, about: only for the number of files
POOL = ["vector_no", "others", "distances"]

Receipts = tuple[Receipt, ...]


@dataclass(frozen=True)
class Near:
    """What tasks know: where the tables lie, and what is near."""

    store: Store
    folder: str
    catalog: Receipts
    live: Receipts
    pictures: Receipts
    pool: Receipts
    k: int
    """How many entries of a list count: beyond, pools depend on the nights before."""
    recipe: str
    bits: int
    distance: float
    own: float | None
    """The distance of a content from itself; None where it is not 0."""


def near_pairs(spark: SparkSession, draft: Draft, near: Near) -> list[Receipt]:
    """Files of the table near_pairs; tasks may have found a pair that two files list twice."""
    table, contents = TABLES["near_pairs"], sum(receipt.rows for receipt in near.live)
    if contents > IN_MEMORY:
        hashes = _hash_frame(spark, draft, near.recipe).persist()
        frame = _joined(spark, near, hashes)
        written = write_sorted(frame, near.store, near.folder, table, contents * PAIR_BYTES)
        hashes.unpersist()
        return written
    parts = min(len(near.pool), 2 * parallelism(spark))
    reports = run_tasks(spark, parts + 1, partial(_find, near, parts))
    return [receipt for report in reports for receipt in report.receipts]


def found_links(near: Near) -> Iterator[Links]:
    """All near pairs of a small catalog, in parts that may have some in common."""
    hashes = _hashes_of(near)
    yield from hash_links(hashes)
    for batch in read_table(near.store, near.pool, POOL):
        yield _listed(near, hashes, batch)


def _find(near: Near, parts: int, attempt: Attempt) -> TaskReport:
    """One task: near pairs in the lists of some files, or, the last one, by their hashes alone."""
    hashes = _hashes_of(near)
    table = TABLES["near_pairs"]
    with TableWriter(near.store, near.folder, table, attempt.stem) as writer:
        if attempt.index == parts:
            for links in hash_links(hashes):
                writer.write(_pair_rows(links))
        else:
            for batch in read_table(near.store, near.pool[attempt.index :: parts], POOL):
                writer.write(_pair_rows(_listed(near, hashes, batch)))
    return TaskReport(receipts=writer.receipts)


def _hashes_of(near: Near) -> Hashes:
    live, pictures = (
        tuple(receipt.model_dump_json() for receipt in each) for each in (near.live, near.pictures)
    )
    return _hashes(near.store, live, pictures, near.recipe)


@lru_cache(maxsize=1)
def _hashes(store: Store, live: tuple[str, ...], pictures: tuple[str, ...], recipe: str) -> Hashes:
    """The hashes of the live contents, by receipts as JSON; read once for each Python worker."""
    alive, stored = (
        [Receipt.model_validate_json(text) for text in each] for each in (live, pictures)
    )
    wanted = concatenated(
        np.asarray(batch.column(0)) for batch in read_table(store, alive, ["vector_no"])
    )
    numbers, phashes = [], []
    for batch in read_table(store, stored, ["content_sha256", "recipe", "phash"]):
        kept = batch.filter(pc.equal(batch.column("recipe"), recipe))
        numbers.append(numbers_of(kept.column("content_sha256")))
        phashes.append(np.asarray(kept.column("phash"), np.int64))
    every = concatenated(numbers)
    mine = np.flatnonzero(np.isin(every, wanted))
    return Hashes.telling(every[mine], concatenated(phashes)[mine])


def numbers_of(contents: pa.Array) -> Ints:
    """``rules.vector_no`` of many."""
    heads = b"".join(content[:8] for content in contents.to_pylist())
    return (np.frombuffer(heads, ">u8") >> np.uint64(1)).astype(np.int64)


def concatenated(parts: Iterable[Any]) -> Ints:
    """One array of numbers, empty where there is none."""
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _listed(near: Near, hashes: Hashes, batch: pa.RecordBatch) -> Links:
    others, distances = batch.column("others"), batch.column("distances")
    lengths = np.asarray(others.value_lengths(), np.int64)
    rows = np.repeat(np.arange(batch.num_rows), lengths)
    first = np.arange(len(rows)) - (np.cumsum(lengths) - lengths)[rows] < near.k
    return listed_links(
        hashes,
        np.asarray(batch.column("vector_no"), np.int64)[rows[first]],
        np.asarray(others.flatten(), np.int64)[first],
        np.asarray(distances.flatten(), np.float32)[first],
        near.bits,
        near.distance,
    )


def _pair_rows(links: Links) -> pa.RecordBatch:
    names = ("one", "other", "bits", "distance")
    return batch_of(TABLES["near_pairs"], {name: getattr(links, name) for name in names})


def _hash_frame(spark: SparkSession, draft: Draft, recipe: str) -> DataFrame:
    """vector_no and phash of the live contents whose hash tells something."""
    contents = stage_frame(spark, draft, "catalog", "catalog", ["content_sha256", "vector_no"])
    pictures = first_places(spark, draft, recipe, "phash")
    hashes = contents.distinct().join(pictures, "content_sha256").select("vector_no", "phash")
    return hashes.filter(F.bit_count("phash").between(*TELLING))


def _joined(spark: SparkSession, near: Near, hashes: DataFrame) -> DataFrame:
    """The same pairs, each once, where no task can hold all hashes."""
    pool = read_frame(spark, near.store, near.pool, TABLES["neighbor_pool"], POOL)
    entries = F.filter(
        F.slice(F.arrays_zip("others", "distances"), 1, near.k),
        lambda e: e["distances"] <= F.lit(near.distance),
    )
    listed = pool.select("vector_no", F.explode(entries).alias("entry")).select(
        F.col("vector_no").alias("one"),
        F.col("entry.others").alias("other"),
        F.col("entry.distances").alias("distance"),
    )
    for end in ("one", "other"):
        listed = listed.join(_ended(hashes, end), end)
    alone = _by_keys(hashes).withColumn("distance", F.lit(None).cast("float"))
    bits = F.bit_count(F.col("one_hash").bitwiseXOR(F.col("other_hash")))
    found = [
        each.withColumn("bits", bits).filter(F.col("bits") <= most)
        for each, most in ((listed, near.bits), (alone, TWIN_BITS))
    ]
    both = reduce(DataFrame.unionByName, found)
    return both.groupBy(
        F.least("one", "other").alias("one"), F.greatest("one", "other").alias("other")
    ).agg(F.min("bits").alias("bits"), F.min("distance").alias("distance"))


def _ended(hashes: DataFrame, end: str) -> DataFrame:
    return hashes.select(F.col("vector_no").alias(end), F.col("phash").alias(f"{end}_hash"))


def _by_keys(hashes: DataFrame) -> DataFrame:
    """Pairs with a key in common, but for keys that more than CROWD contents have."""
    keys = F.array(
        *(
            F.struct(F.lit(n).alias("n"), F.col("phash").bitwiseAND(F.lit(mask)).alias("bits"))
            for n, mask in enumerate(map(key_mask, KEYS))
        )
    )
    keyed = hashes.withColumn("key", F.explode(keys))
    sizes = keyed.groupBy("key").count().filter((F.col("count") > 1) & (F.col("count") <= CROWD))
    kept = keyed.join(sizes.select("key"), "key")
    one, other = (
        kept.select("key", F.col("vector_no").alias(end), F.col("phash").alias(f"{end}_hash"))
        for end in ("one", "other")
    )
    return one.join(other, "key").filter("one < other").drop("key")


def batch_of(table: Table, columns: dict[str, Any]) -> pa.RecordBatch:
    """Columns as a table wants them; NaN is null."""
    arrays = []
    for field in table.columns:
        found = columns[field.name]
        array = pa.array(found, from_pandas=True) if isinstance(found, np.ndarray) else found
        whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        arrays.append(whole.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=table.columns)
