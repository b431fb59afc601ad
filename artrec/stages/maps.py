"""Maps of some images, for people to look at: a part of evaluate with a run of its own.

They show the images of the table ``coordinates``, by their principal axes in three dimensions (an
encoder's own numbers, where it has two or three) and, if that is asked for, by t-SNE.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.evaluation.maps import SEED, check_tsne, codes_or_axes, tsne
from artrec.releases import Draft, Run, begin_run, digest_of, find_run, receipts_of, record_run
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.blocks import vector_blocks
from artrec.stages.clusters import CLUSTERS
from artrec.stages.frames import Attempt, TaskReport, run_tasks
from artrec.stages.rules import vector_no
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table
from artrec.vectors.distance import Floats, Ints

__all__ = ["MAPS", "make_maps"]

VERSION = 1
"""Raised when the same vectors give other rows than before."""

MAPS = "maps"


@dataclass(frozen=True)
class _Ground:
    store: Store
    folder: str
    live: tuple[Receipt, ...]
    images: tuple[Receipt, ...]
    clusters: tuple[Receipt, ...]
    tsne: bool


def make_maps(
    spark: SparkSession, settings: Settings, draft: Draft, evaluated: Run, clusters: Run
) -> Run:
    """The run of maps, of the images of ``evaluated`` with their ``clusters``."""
    wanted = settings.evaluate.tsne
    if wanted:
        check_tsne()
    store, live = draft.store, draft.need("catalog").tables["live_vectors"]
    inputs = {
        "maps": VERSION,
        "images": evaluated.digest("coordinates", ("content_sha256",)),
        "vectors": digest_of(store, live, "live_vectors", ("embedding",)),
        "clusters": clusters.digest(CLUSTERS, ("cluster",)),
        "tsne": SEED if wanted else None,
    }
    run = begin_run("evaluate", RESULT_VERSIONS["evaluate"], inputs, {})
    found = find_run(store, run.stage, run.run_id)
    if found is not None:
        return found
    begun = time.monotonic()
    describe(spark, "evaluate: maps")
    ground = _Ground(
        store=store,
        folder=run.folder(draft.attempt),
        live=tuple(receipts_of(store, live, "live_vectors")),
        images=tuple(evaluated.receipts("coordinates")),
        clusters=tuple(clusters.receipts(CLUSTERS)),
        tsne=wanted,
    )
    (report,) = run_tasks(spark, 1, partial(_draw, ground))
    tables = {MAPS: report.receipts}
    return record_run(store, run.done(tables, begun, report.counters, report.notes))


def _draw(ground: _Ground, attempt: Attempt) -> TaskReport:
    """One task: all maps of the images, which the settings bound."""
    ids, numbers = _images(ground)
    wanted = np.unique(numbers)
    vectors = _vectors(ground, wanted)
    clusters = _clusters(ground, wanted)
    of = np.searchsorted(wanted, numbers)
    found = list(_maps(vectors[of], ground.tsne) if len(ids) else ())
    table = TABLES[MAPS]
    with TableWriter(ground.store, ground.folder, table, attempt.stem, even_empty=True) as writer:
        for name, places in sorted(found, key=lambda each: each[0]):
            depth = [None] * len(ids) if places.shape[1] < 3 else places[:, 2]
            columns = [
                pa.array([name] * len(ids)),
                ids,
                *(pa.array(places[:, axis]) for axis in (0, 1)),
                pa.array(depth, pa.float32()),
                pa.array(clusters[of], pa.int32(), mask=clusters[of] == 0),
            ]
            writer.write(pa.RecordBatch.from_arrays(columns, names=table.columns.names))
    return TaskReport(receipts=writer.receipts, notes={"maps": [name for name, _ in found]})


def _maps(vectors: Floats, also_tsne: bool) -> Iterator[tuple[str, Floats]]:
    yield codes_or_axes(vectors)
    places = tsne(vectors) if also_tsne else None
    if places is not None:
        yield "tsne", places


def _images(ground: _Ground) -> tuple[pa.Array, Ints]:
    """The images by their ids, ascending, and the numbers of their vectors."""
    ids, numbers = [pa.array([], pa.string())], list[int]()
    for batch in read_table(ground.store, ground.images, ["image_id", "content_sha256"]):
        ids.append(batch["image_id"])
        numbers += [vector_no(content) for content in batch["content_sha256"].to_pylist()]
    return pa.concat_arrays(ids), np.array(numbers, np.int64)


def _vectors(ground: _Ground, wanted: Ints) -> Floats:
    parts: Sequence[Floats] = [
        block.vectors[np.isin(block.numbers, wanted)]
        for block in vector_blocks(ground.store, ground.live if len(wanted) else ())
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


def _clusters(ground: _Ground, wanted: Ints) -> Ints:
    """Of each number its cluster; 0 where there are none."""
    found = np.zeros(len(wanted), np.int64)
    for batch in read_table(ground.store, ground.clusters, ["vector_no", "cluster"]):
        numbers = np.asarray(batch["vector_no"], np.int64)
        places = np.minimum(np.searchsorted(wanted, numbers), max(0, len(wanted) - 1))
        same = wanted[places] == numbers if len(wanted) else np.zeros(len(numbers), np.bool_)
        found[places[same]] = np.asarray(batch["cluster"])[same]
    return found
