"""Near-duplicate groups: of pairs of near contents one task makes groups, and names their images.

It takes at most PAIRS pairs, those with the fewest bits apart: what does not fit is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.evaluation.copies import Links, starred
from artrec.releases import Draft, receipts_of
from artrec.schemas import TABLES
from artrec.stages.evaluate.pairs import (
    Near,
    Receipts,
    batch_of,
    concatenated,
    found_links,
    near_pairs,
    numbers_of,
)
from artrec.stages.frames import Attempt, TaskReport, read_frame, run_tasks
from artrec.stages.rules import picture_recipe
from artrec.tables import Receipt, TableWriter, read_table
from artrec.vectors.distance import Ints

__all__ = ["near_copies"]

ALONE = 100_000  # contents of which one task finds the pairs too
PAIRS = 5_000_000  # that one task makes groups of: 200 MB


def near_copies(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    folder: str,
    scale: float | None,
    twins: Sequence[Receipt],
) -> tuple[list[Receipt], dict[str, int]]:
    """The table near_duplicates, and counts of its groups.

    ``scale`` is the distance of two random vectors, None where distances do not tell; ``twins`` are
    the files of the table duplicates.
    """
    near = _near(settings, draft, folder, scale)
    pairs = None
    if sum(receipt.rows for receipt in near.live) > ALONE:
        pairs = tuple(near_pairs(spark, draft, near))
        near = replace(near, bits=_bits_that_fit(spark, near, pairs))
    (report,) = run_tasks(spark, 1, partial(_group, near, pairs, tuple(twins)))
    counts = {name: report.counters[name] for name in ("groups", "images", "largest")}
    return report.receipts, counts | {"bits": near.bits}


def _near(settings: Settings, draft: Draft, folder: str, scale: float | None) -> Near:
    def receipts(stage: str, table: str) -> Receipts:
        return tuple(receipts_of(draft.store, draft.need(stage).tables[table], table))

    rules = settings.evaluate
    return Near(
        store=draft.store,
        folder=folder,
        catalog=receipts("catalog", "catalog"),
        live=receipts("catalog", "live_vectors"),
        pictures=receipts("ingest", "pictures"),
        pool=receipts("neighbors", "neighbor_pool"),
        recipe=picture_recipe(settings.ingest),
        bits=rules.near_bits,
        distance=-math.inf if scale is None else rules.near_distance * scale,
        own=None if scale is None else 0.0,
    )


def _bits_that_fit(spark: SparkSession, near: Near, pairs: Sequence[Receipt]) -> int:
    """near.bits, or less, where there are more than PAIRS pairs."""
    if sum(receipt.rows for receipt in pairs) <= PAIRS:
        return near.bits
    frame = read_frame(spark, near.store, pairs, TABLES["near_pairs"], ["bits"])
    counted = {row.bits: row["count"] for row in frame.groupBy("bits").count().collect()}
    fitting, total = -1, 0
    for bits in range(near.bits + 1):
        total += counted.get(bits, 0)
        if total > PAIRS:
            break
        fitting = bits
    return fitting


def _group(near: Near, pairs: Receipts | None, twins: Receipts, attempt: Attempt) -> TaskReport:
    """The one task that makes groups; it holds the pairs, and the images of groups."""
    stars = starred(found_links(near) if pairs is None else _links(near, pairs))
    twin = [numbers_of(b.column(0)) for b in read_table(near.store, twins, ["content_sha256"])]
    rows = _images(near, np.unique(concatenated([stars.contents, stars.middles, *twin])))
    numbers = np.asarray(rows.column("vector_no"), np.int64)
    middles, bits, distances = stars.of(numbers, math.nan if near.own is None else near.own)
    unique, first = np.unique(numbers, return_index=True)
    group = first[np.searchsorted(unique, middles)]  # the row of the middle's first name
    order = np.argsort(group, kind="stable")  # rows are in the order of image_id
    columns = {
        "group_id": rows.column("image_id").take(pa.array(group[order])),
        "image_id": rows.column("image_id").take(pa.array(order)),
        "content_sha256": rows.column("content_sha256").take(pa.array(order)),
        "bits": bits[order],
        "distance": distances[order],
    }
    table, stem = TABLES["near_duplicates"], attempt.stem
    with TableWriter(near.store, near.folder, table, stem, even_empty=True) as writer:
        writer.write(batch_of(table, columns))
    sizes = np.unique(group, return_counts=True)[1]
    counters = {"groups": len(sizes), "images": len(group), "largest": int(sizes.max(initial=0))}
    return TaskReport(receipts=writer.receipts, counters=counters)


def _links(near: Near, pairs: Receipts) -> Links:
    """The pairs that are no further apart than ``near.bits``."""
    parts = []
    for batch in read_table(near.store, pairs):
        kept = batch.filter(pc.less_equal(batch.column("bits"), near.bits))
        one, other, bits = (np.asarray(kept.column(n), np.int64) for n in ("one", "other", "bits"))
        distance = kept.column("distance").to_numpy(zero_copy_only=False)
        parts.append(Links(one, other, bits, distance.astype(np.float32)))
    return Links.together(parts)


def _images(near: Near, numbers: Ints) -> pa.Table:
    """The images of some contents, in the order of the catalog."""
    names = ["image_id", "content_sha256", "vector_no"]
    schema = pa.schema([TABLES["catalog"].columns.field(name) for name in names])
    found = []
    for batch in read_table(near.store, near.catalog, names):
        mine = np.isin(np.asarray(batch.column("vector_no")), numbers)
        found.append(batch.filter(pa.array(mine)).select(names))
    return pa.Table.from_batches(found, schema).combine_chunks()
