"""Near-duplicate groups: of pairs of near contents one task makes groups, and names their images.

It takes at most PAIRS pairs, those with the fewest bits apart: what does not fit is left out, and a
warning says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec import log
from artrec.config import Settings
from artrec.evaluation.copies import TWIN_BITS, Links, fewest, starred
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
from artrec.stages.evaluate.together import Work
from artrec.stages.frames import Attempt, TaskReport, run_tasks
from artrec.stages.rules import picture_recipe
from artrec.tables import Receipt, TableWriter, read_table
from artrec.vectors.distance import Ints

__all__ = ["group_counts", "grouping", "near_copies"]

ALONE = 100_000  # contents of which one task finds the pairs too
PAIRS = 5_000_000  # that one task makes groups of: 200 MB, three times that as it sorts them


def near_copies(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    folder: str,
    scale: float | None,
    twins: Sequence[Receipt],
) -> tuple[list[Receipt], dict[str, int]]:
    """The table near_duplicates, and counts of its groups: by a job of their own."""
    near, work = grouping(spark, settings, draft, folder, scale, twins)
    (report,) = run_tasks(spark, 1, work)
    return report.receipts, group_counts(near, report)


def grouping(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    folder: str,
    scale: float | None,
    twins: Sequence[Receipt],
) -> tuple[Near, Work]:
    """The one task that makes groups; pairs that it cannot find by itself are found first.

    ``scale`` is the distance of two random vectors, None where distances do not tell; ``twins`` are
    the files of the table duplicates.
    """
    near = _near(settings, draft, folder, scale)
    pairs = None
    if sum(receipt.rows for receipt in near.live) > ALONE:
        pairs = tuple(near_pairs(spark, draft, near))
    return near, partial(_group, near, pairs, tuple(twins), PAIRS)


def group_counts(near: Near, report: TaskReport) -> dict[str, int]:
    """What the task counted, and of how many bits the pairs are."""
    counts = {name: report.notes[name] for name in ("groups", "images", "largest")}
    return counts | {"bits": _told(near, report.notes["bits"])}


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
        k=settings.neighbors.k,
        recipe=picture_recipe(settings.ingest),
        bits=rules.near_bits,
        distance=-math.inf if scale is None else rules.near_distance * scale,
        own=None if scale is None else 0.0,
    )


def _told(near: Near, bits: int) -> int:
    """The bits of which all near pairs were taken; a warning where they are fewer than wanted."""
    if bits >= max(near.bits, TWIN_BITS):
        return near.bits
    what = (
        f"those of at most {bits} bits are taken" if bits >= 0 else "exact copies alone are taken"
    )
    log.get(stage="evaluate").warning(
        f"too many near pairs for groups by evaluate.near_bits: {what}",
        near_bits=near.bits,
        pairs_at_most=PAIRS,
    )
    return min(bits, near.bits)


def _group(
    near: Near, pairs: Receipts | None, twins: Receipts, most: int, attempt: Attempt
) -> TaskReport:
    """The one task that makes groups; it holds the pairs, and the images of groups."""
    found = found_links(near) if pairs is None else _links(near, pairs)
    links, taken = fewest(found, max(near.bits, TWIN_BITS), most)
    stars = starred(links)
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
    counts = {"groups": len(sizes), "images": len(group), "largest": int(sizes.max(initial=0))}
    return TaskReport(receipts=writer.receipts, notes=counts | {"bits": taken})


def _links(near: Near, pairs: Receipts) -> Iterator[Links]:
    """The pairs that tasks found; one that two files list stands there twice."""
    for batch in read_table(near.store, pairs):
        one, other, bits = (np.asarray(batch.column(n), np.int64) for n in ("one", "other", "bits"))
        distance = batch.column("distance").to_numpy(zero_copy_only=False)
        yield Links(one, other, bits, distance.astype(np.float32))


def _images(near: Near, numbers: Ints) -> pa.Table:
    """The images of some contents, in the order of the catalog."""
    names = ["image_id", "content_sha256", "vector_no"]
    schema = pa.schema([TABLES["catalog"].columns.field(name) for name in names])
    found = []
    for batch in read_table(near.store, near.catalog, names):
        mine = np.isin(np.asarray(batch.column("vector_no")), numbers)
        found.append(batch.filter(pa.array(mine)).select(names))
    return pa.Table.from_batches(found, schema).combine_chunks()
