"""From pools of entities to lists of images: three tables, and why a list is short.

The rule holds between images: at most m of a value counts images, not vectors. A pool of ``size``
entities is enough. Each entity before an image in the order (distance, entity) has its first image
before it in the order of images, and of a value at least as many images count as entities do: so an
entity that is not among the first k taken has no image among the first k.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.releases import Draft
from artrec.schemas import Table, rule_tables
from artrec.stages.frames import Attempt, TaskReport, parallelism, read_frame
from artrec.stages.neighbors import lists
from artrec.stages.neighbors.laying import Scratch
from artrec.stages.neighbors.naming import cut
from artrec.stages.neighbors.ruled.entities import IDENTITY, placed_images
from artrec.stages.neighbors.ruled.local import mapped_vectors
from artrec.stages.neighbors.ruled.names import Images, images_of
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.stages.workers import light
from artrec.tables import Receipt, TableWriter
from artrec.vectors.distance import Floats, Ints
from artrec.vectors.rules import SHORTAGES, Lists, mmr, take
from artrec.vectors.topk import NOBODY

__all__ = ["Naming", "write_lists"]


@dataclass(frozen=True)
class Naming:
    """What the tasks know that name lists."""

    scratch: Scratch
    asked: Asked
    images: tuple[str, ...]
    live: tuple[Receipt, ...]

    def tables(self) -> list[Table]:
        """The lists flat and nested, and those that are short."""
        named, own = rule_tables(self.asked.name), f"neighbors_{self.asked.name}"
        return [named[own], named[f"{own}_nested"], named[f"{own}_short"]]


def write_lists(
    spark: SparkSession,
    draft: Draft,
    naming: Naming,
    images: Sequence[Receipt],
    pool: Sequence[Receipt],
) -> tuple[dict[str, list[Receipt]], dict[str, int]]:
    """The three tables of lists by their names, and counters."""
    rows = _asking(spark, draft, naming, images, pool)
    tables = naming.tables()

    @light
    def named(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        report = _name(naming, tables, iter(batches), Attempt.current())
        yield pa.RecordBatch.from_pydict({"report": [report.model_dump_json()]})

    found = rows.mapInArrow(named, "report string").collect()
    reports = [TaskReport.model_validate_json(row.report) for row in found]
    receipts = [receipt for report in reports for receipt in report.receipts]
    counters = Counter[str]()
    for report in reports:
        counters.update(report.counters)
    return {t.name: lists.files_in_order(receipts, t.name) for t in tables}, dict(counters)


def _asking(
    spark: SparkSession,
    draft: Draft,
    naming: Naming,
    images: Sequence[Receipt],
    pool: Sequence[Receipt],
) -> DataFrame:
    """Images in order, each with its place, and with the pool of its entity."""
    scratch, asked = naming.scratch, naming.asked
    columns = [*IDENTITY, "image_id"]
    asking = placed_images(spark, scratch, images, columns)
    table = rule_tables(asked.name)[f"neighbors_{asked.name}_pool"]
    wanted = [*IDENTITY, "entity", "permitted", "nowhere", "others", "distances", "radius"]
    rows = asking.join(read_frame(spark, scratch.store, pool, table, wanted), IDENTITY)
    own = F.lit(0.0).cast("float").alias("own")
    if scratch.metric == "dot":
        rows, own = rows.join(lists.own_distances(spark, draft), "vector_no"), F.col("own")
    facts = ["permitted", "nowhere", "radius", "others", "distances"]
    rows = rows.select("image_id", "place", "entity", own, *facts)
    count = sum(receipt.rows for receipt in images)
    parts = max(1, min(count // lists.TASK_ROWS, parallelism(spark)), count // lists.FILE_ROWS)
    ranged = rows.repartition(1) if parts == 1 else rows.repartitionByRange(parts, "image_id")
    return ranged.sortWithinPartitions("image_id")


def _name(
    naming: Naming, tables: Sequence[Table], batches: Iterator[pa.RecordBatch], attempt: Attempt
) -> TaskReport:
    scratch, asked = naming.scratch, naming.asked
    empty = attempt.index == 0  # readers that name files want at least one
    writers = [
        TableWriter(
            scratch.store, scratch.folder, t, attempt.stem, scratch.metadata, even_empty=empty
        )
        for t in tables
    ]
    counters = Counter[str]()
    flat, nested, short = writers
    with flat, nested, short:
        for whole in batches:
            images = images_of(scratch.store, naming.images, asked.to_json())
            for batch in _slices(images, whole, asked):
                found = _listed(images, batch, asked)
                reasons = _reasons(batch, found, asked)
                if asked.table.re_ranks:
                    found = _re_ranked(naming, images, found)
                _write(images, batch, found, flat, nested)
                counters.update(_write_short(batch, found, reasons, short, asked.k))
                counters.update(lists=batch.num_rows, rows=int(found.counts.sum()))
    receipts = [receipt for writer in writers for receipt in writer.receipts]
    return TaskReport(receipts=receipts, counters=dict(counters))


def _slices(images: Images, batch: pa.RecordBatch, asked: Asked) -> Iterator[pa.RecordBatch]:
    """The rows in runs of about a million candidates, of about 130 bytes: first of pools' entries,
    then of images.
    """
    for some in cut(batch, np.asarray(batch.column("others").value_lengths(), np.int64)):
        rows, entities, _ = _candidates(images, some)
        _, counts = _spans(images, entities, asked)
        yield from cut(some, np.bincount(rows, counts, some.num_rows).astype(np.int64))


def _candidates(images: Images, batch: pa.RecordBatch) -> tuple[Ints, Ints, Floats]:
    """Rows, entities and distances of all that may stand in lists: pools, and own entities."""
    own = np.asarray(batch.column("entity"), np.int64)
    others, far = batch.column("others"), batch.column("distances")
    rows = np.repeat(np.arange(batch.num_rows), np.asarray(others.value_lengths()))
    entities = np.asarray(others.flatten(), np.int64)
    distances = np.asarray(far.flatten(), np.float32)
    social = np.flatnonzero(images.sociable[own])
    itself = np.asarray(batch.column("own"), np.float32)
    return (
        np.concatenate((rows, social)),
        np.concatenate((entities, own[social])),
        np.concatenate((distances, itself[social])),
    )


def _spans(images: Images, entities: Ints, asked: Asked) -> tuple[Ints, Ints]:
    """Where images of entities begin, and how many of each could stand in one list."""
    first, counts = images.spans(entities)
    return first, np.minimum(counts, 1 if asked.rule.collapse else asked.listed + 1)


def _listed(images: Images, batch: pa.RecordBatch, asked: Asked) -> Lists:
    """The lists that the rule takes of each row's candidates; their ids are places of images."""
    rows, entities, distances = _candidates(images, batch)
    first, counts = _spans(images, entities, asked)
    entry = np.repeat(np.arange(len(rows)), counts)
    nth = np.arange(len(entry)) - np.repeat(np.cumsum(counts) - counts, counts)
    places = images.members[first[entry] + nth]
    rows, distances = rows[entry], distances[entry]
    kept = places != np.asarray(batch.column("place"), np.int64)[rows]
    rows, distances, places = rows[kept], distances[kept], places[kept]
    values = images.values[places]
    return take(rows, distances, places, values, batch.num_rows, asked.listed, asked.rule.most)


def _reasons(batch: pa.RecordBatch, found: Lists, asked: Asked) -> Ints:
    """Of each list the place of its reason in SHORTAGES; 0 for one of ``k`` entries.

    Less than conditions permit stands only where copies are collapsed or values counted, and the
    pool was not cut.
    """
    k = asked.k
    nowhere = np.asarray(batch.column("nowhere").to_numpy(zero_copy_only=False), np.bool_)
    permitted = np.asarray(batch.column("permitted"), np.int64)
    whole = np.isposinf(np.asarray(batch.column("radius"), np.float32))
    shut_out = whole & bool(asked.table.collapse or asked.table.at_most)
    lost = (found.counts < np.minimum(k, permitted)) & ~shut_out
    reasons = [found.counts >= k, lost, nowhere, permitted < k]
    return np.select(reasons, [0, 4, 1, 2], 3).astype(np.int64)


def _re_ranked(naming: Naming, images: Images, found: Lists) -> Lists:
    """The ``k`` of each list that maximal marginal relevance takes, in its order."""
    asked, metric = naming.asked, naming.scratch.metric
    numbers, vectors = mapped_vectors(naming.scratch.store, naming.live)
    lists = Lists.empty(len(found.ids), asked.k)
    for row, count in enumerate(found.counts.tolist()):
        places = found.ids[row, :count]
        own = np.searchsorted(numbers, images.numbers[places])
        candidates: Floats = np.asarray(vectors[own])
        distances = found.distances[row, :count]
        order = mmr(distances, candidates, asked.table.diversity, asked.k, metric)
        lists.ids[row, : len(order)] = places[order]
        lists.distances[row, : len(order)] = distances[order]
    return lists


def _write(
    images: Images, batch: pa.RecordBatch, found: Lists, flat: TableWriter, nested: TableWriter
) -> None:
    own = batch.column("image_id")
    listed = found.ids != NOBODY
    rows, places = np.nonzero(listed)
    offsets = np.append(0, np.cumsum(found.counts)).astype(np.int32)
    ids = images.image_ids.take(pa.array(found.ids[listed])).cast(pa.string())
    far = pa.array(found.distances[listed])
    ranks = pa.array((places + 1).astype(np.int32))
    arrays = [own.take(pa.array(rows)), ranks, ids, far]
    flat.write(pa.RecordBatch.from_arrays(arrays, ["query_id", "rank", "neighbor_id", "distance"]))
    ragged = [pa.ListArray.from_arrays(offsets, each) for each in (ids, far)]
    nested.write(pa.RecordBatch.from_arrays([own, *ragged], ["query_id", "ids", "distances"]))


def _write_short(
    batch: pa.RecordBatch, found: Lists, reasons: Ints, short: TableWriter, k: int
) -> dict[str, int]:
    """The short lists, as rows; how many for each reason, and the entries that have one."""
    rows = np.flatnonzero(reasons)
    words = [SHORTAGES[reason] for reason in reasons[rows].tolist()]
    arrays = [
        batch.column("image_id").take(pa.array(rows)),
        pa.array(found.counts[rows].astype(np.int32)),
        pa.array(words, pa.string()),
    ]
    short.write(pa.RecordBatch.from_arrays(arrays, ["query_id", "listed", "reason"]))
    explained = (reasons > 0) & (reasons != SHORTAGES.index("unexplained"))
    missing = int((k - found.counts[explained]).sum())
    return {f"short_{word}": n for word, n in Counter(words).items()} | {"explained": missing}
