"""What the published lists say about themselves: who is in none, and who is listed back.

Of small tables one task counts it all; else Spark does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.releases import Draft, receipts_of
from artrec.schemas import TABLES
from artrec.stages.evaluate.scores import Row, row
from artrec.stages.frames import Attempt, TaskReport, stage_frame, write_sorted
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table
from artrec.vectors.distance import Ints

__all__ = ["HUBS", "Lists", "count_lists", "list_rows", "lists_of", "look_at_lists"]

HUBS = 100

PAIRS = 5_000_000
"""Entries of which it is counted how many are mutual; of a longer table as large a sample."""

_NAMES = ["image_id", "content_sha256", "style", "artist", "title"]
_LISTS = ["query_id", "ids", "distances"]


@dataclass(frozen=True)
class Lists:
    """Where the images lie, and their lists."""

    store: Store
    folder: str
    catalog: tuple[Receipt, ...]
    nested: tuple[Receipt, ...]


def lists_of(draft: Draft, folder: str) -> Lists:
    """Where the images and the lists of a draft stand."""

    def receipts(stage: str, table: str) -> tuple[Receipt, ...]:
        return tuple(receipts_of(draft.store, draft.need(stage).tables[table], table))

    nested = receipts("neighbors", "neighbors_nested")
    return Lists(draft.store, folder, receipts("catalog", "catalog"), nested)


def list_rows(counts: Mapping[str, int], encoder: str) -> Iterator[Row]:
    """Rows of the table evaluation; ``queries`` are what the share is of, images or entries.

    - ``orphans``: the share of images that stand in no list.
    - ``hubness``: the skewness of the number of lists in which an image stands (Radovanovic,
      Nanopoulos and Ivanovic, JMLR 11, 2010): 0 where they are spread evenly about their mean.
    - ``twins``: the share of images whose nearest is at distance 0 or less.
    - ``mutual``: the share of entries whose opposite is an entry too.

    ``counts`` has images, orphans, twins, entries, mutual, and of the lists of each image the sums
    of their number, its square and its cube: whole numbers, which are the same in any order.
    """
    images, entries = counts["images"], counts["entries"]
    if not images:
        return
    yield row(encoder, "orphans", counts["orphans"] / images, images, pool="catalog")
    spread = images * counts["squares"] - counts["lists"] ** 2
    if spread:  # there is none where all are listed alike
        third = images**2 * counts["cubes"] - 3 * images * counts["lists"] * counts["squares"]
        skewness = (third + 2 * counts["lists"] ** 3) / spread**1.5
        yield row(encoder, "hubness", skewness, images, pool="catalog")
    yield row(encoder, "twins", counts["twins"] / images, images, pool="catalog")
    if entries:
        yield row(encoder, "mutual", counts["mutual"] / entries, entries, pool="catalog")


def look_at_lists(lists: Lists, attempt: Attempt) -> TaskReport:
    """One task: the table hubs of a small catalog, and the counts in its notes."""
    schema = pa.schema([TABLES["catalog"].columns.field(name) for name in _NAMES])
    images = pa.Table.from_batches(read_table(lists.store, lists.catalog, _NAMES), schema)
    seen = _Seen(images.column("image_id").combine_chunks())
    for batch in read_table(lists.store, lists.nested, _LISTS):
        seen.add(batch)
    table, hubs = TABLES["hubs"], _hubs(images, seen.lists)
    with TableWriter(lists.store, lists.folder, table, attempt.stem, even_empty=True) as writer:
        for batch in hubs.select(table.columns.names).combine_chunks().to_batches():
            writer.write(batch)
    return TaskReport(receipts=writer.receipts, notes=seen.counts())


@dataclass(eq=False)
class _Seen:
    """In how many lists each image stands, and which of them list each other."""

    names: pa.Array
    twins: int = 0
    entries: int = 0
    pairs: list[Ints] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lists = np.zeros(len(self.names), np.int64)

    def add(self, batch: pa.RecordBatch) -> None:
        ids, lengths = batch.column("ids"), np.asarray(batch.column("ids").value_lengths())
        far = np.asarray(batch.column("distances").flatten(), np.float32)
        firsts = (np.cumsum(lengths) - lengths)[lengths > 0]
        self.twins += int(np.count_nonzero(far[firsts] <= 0))
        self.entries += int(lengths.sum())
        one = np.repeat(self._places(batch.column("query_id")), lengths)
        other = self._places(ids.flatten())
        known = (one >= 0) & (other >= 0)
        self.lists += np.bincount(other[other >= 0], minlength=len(self.lists))
        low, high = np.minimum(one, other)[known], np.maximum(one, other)[known]
        self.pairs.append(low * len(self.lists) + high)

    def _places(self, ids: pa.Array) -> Ints:
        return np.asarray(pc.index_in(ids, self.names).fill_null(-1), np.int64)

    def counts(self) -> dict[str, int]:
        met = np.unique(np.concatenate([np.zeros(0, np.int64), *self.pairs]), return_counts=True)[1]
        numbers = self.lists.tolist()  # cubes may be beyond 64 bits
        return {
            "images": len(numbers),
            "orphans": numbers.count(0),
            **{"lists": sum(numbers), "squares": sum(n**2 for n in numbers)},
            "cubes": sum(n**3 for n in numbers),
            "twins": self.twins,
            "entries": self.entries,
            "mutual": 2 * int(np.count_nonzero(met == 2)),
        }


def _hubs(images: pa.Table, lists: Ints) -> pa.Table:
    """The images that stand in the most lists; they are in the order of their names."""
    most = np.argsort(-lists, kind="stable")[:HUBS]
    own = np.sort(most[lists[most] > 0])
    return images.take(pa.array(own)).append_column("lists", pa.array(lists[own]))


def count_lists(
    spark: SparkSession, draft: Draft, folder: str
) -> tuple[list[Receipt], dict[str, int]]:
    """The same of tables of any size, and the table duplicates."""
    listed = _listed(spark, draft).persist()
    files = []
    for name, frame in (
        ("hubs", _hub_images(spark, draft, listed)),
        ("duplicates", _duplicate_images(spark, draft)),
    ):
        files += write_sorted(frame, draft.store, folder, TABLES[name], 0)
    counts = _list_counts(spark, draft, listed) | _mutual(spark, draft)
    listed.unpersist()
    return files, counts


def _listed(spark: SparkSession, draft: Draft) -> DataFrame:
    """Each image that is in a list: ``image_id``, in how many ``lists``, and in how many of them it
    is the nearest at distance 0 or less: ``twins``.
    """
    entries = stage_frame(
        spark, draft, "neighbors", "neighbors", ["neighbor_id", "rank", "distance"]
    )
    twin = (F.col("rank") == 1) & (F.col("distance") <= 0)
    return entries.groupBy(F.col("neighbor_id").alias("image_id")).agg(
        F.count("*").alias("lists"), F.sum(twin.cast("long")).alias("twins")
    )


def _hub_images(spark: SparkSession, draft: Draft, listed: DataFrame) -> DataFrame:
    most = listed.select("image_id", "lists").orderBy(F.desc("lists"), "image_id").limit(HUBS)
    return stage_frame(spark, draft, "catalog", "catalog", _NAMES).join(most, "image_id")


def _duplicate_images(spark: SparkSession, draft: Draft) -> DataFrame:
    images = stage_frame(spark, draft, "catalog", "catalog", ["content_sha256", "image_id"])
    several = images.groupBy("content_sha256").count().filter("count > 1").select("content_sha256")
    return images.join(several, "content_sha256", "left_semi")


def _list_counts(spark: SparkSession, draft: Draft, listed: DataFrame) -> dict[str, int]:
    images = stage_frame(spark, draft, "catalog", "catalog", ["image_id"])
    every = images.join(listed, "image_id", "left").fillna(0, ["lists", "twins"])
    lists = F.col("lists").cast("decimal(12,0)")
    found: Any = every.agg(
        F.count("*").alias("images"),
        F.count_if(F.col("lists") == 0).alias("orphans"),
        F.sum(lists).alias("lists"),
        F.sum(lists * lists).alias("squares"),
        F.sum(lists * lists * lists).alias("cubes"),
        F.sum("twins").alias("twins"),
    ).first()
    return {name: int(value or 0) for name, value in found.asDict().items()}


def _mutual(spark: SparkSession, draft: Draft) -> dict[str, int]:
    """``entries`` that were looked at, and how many of them have their opposite among them."""
    total = draft.need("neighbors").rows("neighbors")
    entries = stage_frame(spark, draft, "neighbors", "neighbors", ["query_id", "neighbor_id"])
    pairs = entries.select(
        F.least("query_id", "neighbor_id").alias("one"),
        F.greatest("query_id", "neighbor_id").alias("other"),
    )
    if total > PAIRS:
        pairs = pairs.filter(F.pmod(F.xxhash64("one", "other"), F.lit(-(-total // PAIRS))) == 0)
    met = pairs.groupBy("one", "other").agg(F.count("*").alias("n"))
    found: Any = met.agg(
        F.sum("n").alias("entries"),
        F.sum(F.when(F.col("n") == 2, 2).otherwise(0)).alias("mutual"),
    ).first()
    return {name: int(found[name] or 0) for name in ("entries", "mutual")}
