"""Tasks of evaluation that search: they stream all vectors past some queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from artrec.evaluation import VARIANTS, Scan
from artrec.evaluation.floors import FLOOR_METRIC, FLOORS, centered
from artrec.evaluation.retrieval import CUTS
from artrec.schemas import TABLES
from artrec.stages.evaluate.ground import (
    LABELS,
    Ground,
    all_images,
    chosen_rows,
    first_rows,
    images_of,
    vectors_of,
)
from artrec.stages.frames import Attempt, TaskReport
from artrec.stages.rules import is_held_out
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table
from artrec.vectors import Block, TopK
from artrec.vectors.topk import NOBODY

__all__ = ["scan_block", "scan_sample", "scan_within"]


def scan_block(ground: Ground, attempt: Attempt) -> TaskReport:
    """Some queries against the whole catalog."""
    low = attempt.index * ground.block
    rows = first_rows(chosen_rows(ground), ground.queries).slice(low, ground.block)
    scan = Scan(images_of(rows, vectors_of(ground, rows)), ground.metric, max(*CUTS, ground.k))
    for images in all_images(ground):
        scan.add(images)
    return _report(ground, attempt, scan, rows, ground.encoder, "catalog")


def scan_sample(ground: Ground, floors: tuple[Receipt, ...], attempt: Attempt) -> TaskReport:
    """The encoder, or one of the floors, within the sample alone."""
    rows = first_rows(chosen_rows(ground), ground.sample, "sample_place")
    encoder, metric = (ground.encoder, *FLOORS)[attempt.index], ground.metric
    if encoder == ground.encoder:
        block = vectors_of(ground, rows)
    else:
        block, metric = _floor_block(ground.store, floors, encoder), FLOOR_METRIC
    return scan_within(ground, attempt, rows, block, encoder, metric)


def scan_within(
    ground: Ground, attempt: Attempt, rows: pa.Table, block: Block, encoder: str, metric: str
) -> TaskReport:
    """Images among themselves, and those that a training holds out against those that it sees."""
    held = is_held_out(rows.column("content_sha256"), ground.held_out)
    pools = {"sample": (rows, rows), "held_out": (rows.filter(held), rows.filter(~held))}
    receipts = []
    for pool, (asking, others) in pools.items():
        if not (len(asking) and len(others)):
            continue
        places = np.asarray(asking.column("place"), np.int64)
        asked = asking.take(pa.array(np.sort(np.argsort(places)[: ground.queries])))
        scan = Scan(images_of(asked, block), metric, max(CUTS))
        scan.add(images_of(others, block))
        receipts += _report(ground, attempt, scan, asked, encoder, pool).receipts
    return TaskReport(receipts=receipts)


def _floor_block(store: Store, floors: Sequence[Receipt], name: str) -> Block:
    rows = pa.Table.from_batches(list(read_table(store, floors, ["vector_no", name])))
    rows = rows.sort_by("vector_no")
    values = np.asarray(rows.column(name).combine_chunks().flatten(), np.float32)
    numbers = np.asarray(rows.column("vector_no"), np.int64)
    return Block(numbers, centered(values.reshape(len(numbers), -1)))


def _report(
    ground: Ground, attempt: Attempt, scan: Scan, rows: pa.Table, encoder: str, pool: str
) -> TaskReport:
    table = TABLES["retrieval"]
    stem = f"{pool}-{attempt.stem}"
    with TableWriter(ground.store, ground.folder, table, stem, even_empty=True) as writer:
        for variant, codes in VARIANTS.items():
            for label in LABELS:
                if label not in codes:  # such a list cannot hold a hit
                    writer.write(_answers(scan, rows, encoder, pool, variant, label))
    receipts = list(writer.receipts)
    if pool == "catalog":
        receipts += _write_lists(ground, attempt, scan.lists["all"], rows)
    return TaskReport(receipts=receipts)


def _answers(
    scan: Scan, rows: pa.Table, encoder: str, pool: str, variant: str, label: str
) -> pa.RecordBatch:
    """The queries that have a label, and can find it."""
    relevant = scan.relevant[variant, label]
    asked = np.flatnonzero(relevant)
    hits = scan.hits(variant, label)[asked][:, : max(CUTS)]
    at, ranks = np.nonzero(hits)
    offsets = np.searchsorted(at, np.arange(len(asked) + 1)).astype(np.int32)
    taken = pa.array(asked)
    columns: dict[str, Any] = {
        **{"encoder": [encoder] * len(asked), "pool": [pool] * len(asked)},
        **{"label": [label] * len(asked), "variant": [variant] * len(asked)},
        "image_id": rows.column("image_id").take(taken).combine_chunks(),
        "group": rows.column(label).take(taken).combine_chunks(),
        "candidates": scan.candidates[variant][asked],
        "relevant": relevant[asked],
        "hits": pa.ListArray.from_arrays(offsets, pa.array(ranks + 1, pa.int32())),
    }
    return _batch("retrieval", columns)


def _batch(table: str, columns: dict[str, Any]) -> pa.RecordBatch:
    schema = TABLES[table].columns
    arrays = [pa.array(columns[c.name]).cast(c.type) for c in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _write_lists(ground: Ground, attempt: Attempt, lists: TopK, rows: pa.Table) -> list[Receipt]:
    """The lists of all images under their names, as long as the published ones."""
    ids, distances = lists.ids[:, : ground.k], lists.distances[:, : ground.k]
    listed = ids != NOBODY
    offsets = np.append(0, np.cumsum(listed.sum(axis=1))).astype(np.int32)
    wanted, place = np.unique(ids[listed], return_inverse=True)
    names = _names(ground, wanted).take(pa.array(place))
    columns = {
        "query_id": rows.column("image_id").combine_chunks(),
        "ids": pa.ListArray.from_arrays(offsets, names),
        "distances": pa.ListArray.from_arrays(offsets, pa.array(distances[listed])),
    }
    table = TABLES["exact_lists"]
    with TableWriter(ground.store, ground.folder, table, attempt.stem, even_empty=True) as writer:
        writer.write(_batch("exact_lists", columns))
    return writer.receipts


def _names(ground: Ground, places: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Array:
    """The image_ids at these places, ascending, of the whole catalog."""
    found, at = [pa.array([], pa.string())], 0
    for batch in read_table(ground.store, ground.evaluated, ["image_id"]):
        low, high = np.searchsorted(places, [at, at + batch.num_rows])
        found.append(batch.column(0).take(pa.array(places[low:high] - at)))
        at += batch.num_rows
    return pa.concat_arrays(found)
