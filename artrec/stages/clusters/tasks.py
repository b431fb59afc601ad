"""Tasks that make clusters: they fit centers, put vectors to them, and tell what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artrec.evaluation.clusters import (
    SAMPLE,
    SEEN,
    Clusters,
    Tally,
    fit_clusters,
    placed,
    silhouettes,
)
from artrec.schemas import TABLES
from artrec.stages.blocks import block_of, rows_between
from artrec.stages.frames import Attempt, TaskReport, add_counters
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, open_file, read_range, read_table
from artrec.vectors.distance import Floats, Ints
from artrec.vectors.screen import reciprocal_power

__all__ = ["CENTERS", "CLUSTERS", "Ground", "alone", "assign", "files_of", "fit", "tell"]

CLUSTERS, CENTERS = "clusters", "cluster_centers"


@dataclass(frozen=True)
class Ground:
    """What all tasks stand on; ``known`` are the last release's rows, by the same centers."""

    store: Store
    folder: str
    live: tuple[Receipt, ...]
    names: tuple[Receipt, ...]
    encoder: str
    metric: str
    count: int
    kept: tuple[Receipt, ...] = ()
    known: tuple[Receipt, ...] = ()
    fresh: tuple[Receipt, ...] = ()


def files_of(reports: Sequence[TaskReport], table: str) -> tuple[Receipt, ...]:
    """The files of a table that tasks wrote."""
    return tuple(r for report in reports for r in report.receipts if r.table == table)


def alone(ground: Ground, attempt: Attempt) -> TaskReport:
    """All there is to do where the vectors are one file, or none."""
    reports = [] if ground.kept else [fit(ground, attempt)]
    centers = files_of(reports, CENTERS) or ground.kept
    reports += [assign(ground, centers, attempt)] if ground.live else []
    clusters = files_of(reports, CLUSTERS)
    told = tell(ground, centers, clusters, attempt)
    counters = add_counters(report.counters for report in reports)
    receipts = [*clusters, *told.receipts]
    return TaskReport(receipts=receipts, counters=counters, notes=told.notes)


def fit(ground: Ground, attempt: Attempt) -> TaskReport:
    """Centers, of the vectors with the smallest numbers: they begin with a hash, so any will do."""
    sample = _first(ground, SAMPLE)
    found = fit_clusters(sample, ground.count, ground.metric)
    rows = [_center(number, center, {}) for number, center in enumerate(found.centers.tolist(), 1)]
    apart = replace(ground, folder=f"{ground.folder}/fitted")  # no run has them
    return TaskReport(receipts=_centers(apart, attempt.stem, rows))


def _first(ground: Ground, count: int) -> Floats:
    if not sum(receipt.rows for receipt in ground.live):
        return np.zeros((0, 1), np.float32)
    columns = ["vector_no", "embedding"]
    return block_of(rows_between(ground.store, ground.live, 0, count, columns)).vectors


def _center(number: int, center: list[float], more: dict[str, Any]) -> dict[str, Any]:
    nothing: dict[str, Any] = {
        "images": 0,
        "vectors": 0,
        "inertia": 0.0,
        "silhouette": None,
        "nearest": [],
    }
    return {"cluster": number, **nothing, **more, "center": center}


def _centers(ground: Ground, stem: str, rows: list[dict[str, Any]]) -> list[Receipt]:
    table = TABLES[CENTERS]
    with TableWriter(ground.store, ground.folder, table, stem, even_empty=True) as writer:
        if rows:
            writer.write(pa.RecordBatch.from_pylist(rows, schema=table.columns))
    return writer.receipts


def _read_centers(ground: Ground, kept: Sequence[Receipt]) -> Clusters:
    rows = [row for batch in read_table(ground.store, kept) for row in batch.to_pylist()]
    centers = np.array([row["center"] for row in rows], np.float32)
    return Clusters(centers.reshape(len(rows), -1 if rows else 1), ground.metric)


def assign(ground: Ground, kept: tuple[Receipt, ...], attempt: Attempt) -> TaskReport:
    """The rows of the images whose vectors are in one file."""
    clusters, counted = _read_centers(ground, kept), 0
    fresh = _vectors(ground)
    looked, table = 0, TABLES[CLUSTERS]
    with TableWriter(ground.store, ground.folder, table, attempt.stem) as writer:
        file = open_file(ground.store, ground.live[attempt.index])
        for group in range(file.metadata.num_row_groups):
            numbers = np.asarray(file.read_row_group(group, columns=["vector_no"])[0], np.int64)
            if not len(numbers):
                continue
            of, apart = _known(ground, numbers)
            new = np.flatnonzero(of == 0)
            if len(new):
                vectors = _found(fresh, numbers[new])
                if vectors is None:
                    rows = file.read_row_group(group, columns=["vector_no", "embedding"])
                    vectors = block_of(rows).vectors[new]
                of[new], apart[new] = clusters.assign(vectors)
                looked += len(new)
            for batch in _named(ground, numbers, of, apart):
                writer.write(batch)
                counted += batch.num_rows
    counters = {"clustered": counted, "cluster_vectors": looked}
    return TaskReport(receipts=writer.receipts, counters=counters)


def _known(ground: Ground, numbers: Ints) -> tuple[Ints, Floats]:
    """Clusters and distances of vectors as they were; 0 for those that nobody knows yet."""
    of, apart = np.zeros(len(numbers), np.int64), np.zeros(len(numbers), np.float32)
    low, high = (int(numbers[0]),), (int(numbers[-1]),)
    columns = ["vector_no", "cluster", "distance"]
    for batch in read_range(ground.store, ground.known, low, high, columns):
        mine = np.asarray(batch["vector_no"], np.int64)
        places = np.minimum(np.searchsorted(numbers, mine), len(numbers) - 1)
        same = numbers[places] == mine
        of[places[same]] = np.asarray(batch["cluster"])[same]
        apart[places[same]] = np.asarray(batch["distance"])[same]
    return of, apart


def _vectors(ground: Ground) -> tuple[Ints, Floats] | None:
    """The new vectors by their numbers, ascending."""
    columns = ["vector_no", "encoder", "embedding"]
    parts = []
    for batch in read_table(ground.store, ground.fresh, columns):
        mine = pc.equal(batch["encoder"], ground.encoder)
        rows = batch.filter(pc.and_(mine, pc.is_valid(batch["embedding"])))
        if rows.num_rows:
            parts.append(rows.select(["vector_no", "embedding"]))
    if not parts:
        return None
    rows = pa.Table.from_batches(parts)
    _, first = np.unique(np.asarray(rows["vector_no"], np.int64), return_index=True)
    block = block_of(rows.take(pa.array(first)))
    return block.numbers, block.vectors


def _found(fresh: tuple[Ints, Floats] | None, wanted: Ints) -> Floats | None:
    """The vectors of these numbers, if all of them are new ones."""
    if fresh is None:
        return None
    numbers, vectors = fresh
    places = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    return vectors[places] if (numbers[places] == wanted).all() else None


def _named(ground: Ground, numbers: Ints, of: Ints, apart: Floats) -> Iterator[pa.RecordBatch]:
    low, high = (int(numbers[0]),), (int(numbers[-1]),)
    for batch in read_range(ground.store, ground.names, low, high):
        places = np.searchsorted(numbers, np.asarray(batch["vector_no"], np.int64))
        arrays = [
            *(batch[name] for name in ("vector_no", "image_id")),
            pa.array(of[places], pa.int32()),
            pa.array(apart[places], pa.float32()),
        ]
        yield pa.RecordBatch.from_arrays(arrays, names=TABLES[CLUSTERS].columns.names)


def tell(
    ground: Ground, kept: tuple[Receipt, ...], files: tuple[Receipt, ...], attempt: Attempt
) -> TaskReport:
    """The centers with what stands of each cluster in the table of all."""
    clusters = _read_centers(ground, kept)
    longest = np.square(clusters.centers.astype(np.float64)).sum(axis=1).max(initial=0.0)
    tally = Tally(len(clusters.centers), reciprocal_power(math.sqrt(longest)))
    last = -1
    for batch in read_table(ground.store, files):
        numbers = np.asarray(batch["vector_no"], np.int64)
        if len(numbers):
            first = np.diff(numbers, prepend=last) != 0
            last = int(numbers[-1])
            of, apart = np.asarray(batch["cluster"], np.int64), np.asarray(batch["distance"])
            tally.add(of, apart, numbers, first, batch["image_id"])
    seen = placed(ground.metric, _first(ground, SEEN))
    of, _ = clusters.assign(seen) if len(seen) else (np.zeros(0, np.int64), None)
    found = silhouettes(seen, of)
    rows = []
    for n, center in enumerate(clusters.centers.tolist()):
        own = found[of == n + 1] if found is not None else ()
        more = {
            **{"images": int(tally.images[n]), "vectors": int(tally.vectors[n])},
            **{"inertia": tally.inertias[n], "nearest": [name for *_, name in tally.nearest[n]]},
            "silhouette": float(np.mean(own)) if len(own) else None,
        }
        rows.append(_center(n + 1, center, more))
    notes = {
        "clusters": len(rows),
        "wanted": ground.count,
        "inertia": math.fsum(tally.inertias),
        "silhouette": None if found is None else float(found.mean()),
        "silhouette_of": len(seen),
    }
    return TaskReport(receipts=_centers(ground, attempt.stem, rows), notes=notes)
