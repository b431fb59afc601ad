"""embed: pictures become vectors; each content is encoded once, ever, for each encoder.

``encode_udf`` is for anyone's DataFrame with a column of picture bytes. The stage itself sends its
tasks references (file, row group) and reads the pictures inside the worker: bytes that pass
through the JVM cost more than the encoder of a small picture.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import ArrayType, FloatType

from artrec import log, picture
from artrec.config import Settings
from artrec.digests import name_of
from artrec.encoders import BUILTIN, Encoder, load_builtin, load_encoder
from artrec.errors import ConfigError
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    Run,
    StageRuns,
    digest_of,
    find_run,
    receipts_of,
    record_run,
    run_id,
    versions,
)
from artrec.schemas import TABLES
from artrec.stages.frames import Attempt, TaskReport, parallelism, read_frame, write_sorted
from artrec.stages.ingest import picture_limits, picture_recipe
from artrec.stages.rejects import Rejected
from artrec.stages.slices import SliceSpec, appended, cut_segments, run_segments
from artrec.storage import Store, open_store
from artrec.tables import Receipt, TableWriter, open_file, read_range, read_table

__all__ = ["RESULT_VERSION", "encode_pictures", "encode_udf", "run", "vector_no"]

RESULT_VERSION = 1
ROW_BYTES = 120

Vector = np.ndarray[Any, np.dtype[np.float32]]


def vector_no(content_sha256: bytes) -> int:
    """The number of a content's vector: the first 63 bits of its hash."""
    return int.from_bytes(content_sha256[:8], "big") >> 1


def encode_udf(encoder_id: str = "handmade", root: str | None = None, batch: int = 32) -> Any:
    """A pandas UDF from a column of picture bytes to ``array<float>``; null for what is no picture.

    ``root`` is the store that holds the encoder, where it is not a built-in one. The encoder is
    loaded once for each Python worker, whatever the number of tasks and batches.
    """
    limits = picture.Limits()

    def encode(columns: Iterator[pd.Series]) -> Iterator[pd.Series]:
        encoder = worker_encoder(encoder_id, root)
        for column in columns:
            found = encode_pictures(encoder, column, limits, batch)
            yield pd.Series([None if isinstance(v, Rejected) else v for v in found], dtype=object)

    return pandas_udf(encode, ArrayType(FloatType()))  # type: ignore[call-overload]


@cache
def worker_encoder(encoder_id: str, root: str | None) -> Encoder:
    """The encoder of this process, built in or in the store at ``root``; loaded once."""
    if encoder_id in BUILTIN:
        return load_builtin(encoder_id)
    if root is None:
        raise ConfigError(f"encoder {encoder_id} is not built in; name the store that holds it")
    return load_encoder(open_store(root), encoder_id)


def encode_pictures(
    encoder: Encoder, pictures: Iterable[bytes | None], limits: picture.Limits, batch: int
) -> Iterator[Vector | Rejected]:
    """For each picture its vector, float32 [dim], or the reason why it has none; in order."""
    waiting: list[np.ndarray[Any, Any] | Rejected] = []
    for data in pictures:
        waiting.append(_decoded(encoder, data, limits))
        if len(waiting) == batch:
            yield from _encoded(encoder, waiting)
            waiting = []
    yield from _encoded(encoder, waiting)


def _decoded(
    encoder: Encoder, data: bytes | None, limits: picture.Limits
) -> np.ndarray[Any, Any] | Rejected:
    if data is None:
        return Rejected("empty", "null instead of bytes")
    wanted = encoder.preprocess
    try:
        return picture.decode(data, limits, wanted.size, wanted.fit, wanted.filter)
    except picture.PictureError as error:
        return Rejected(error.reason, error.detail)


def _encoded(
    encoder: Encoder, waiting: Sequence[np.ndarray[Any, Any] | Rejected]
) -> Iterator[Vector | Rejected]:
    pixels = [each for each in waiting if not isinstance(each, Rejected)]
    vectors = iter(encoder.encode(np.stack(pixels)) if pixels else ())
    for each in waiting:
        yield each if isinstance(each, Rejected) else _checked(next(vectors), encoder.metric)


def _checked(vector: Vector, metric: str) -> Vector | Rejected:
    if not np.isfinite(vector).all():
        return Rejected("non_finite_vector", f"{int((~np.isfinite(vector)).sum())} numbers")
    if metric == "cosine" and not vector.any():
        return Rejected("zero_vector", "it has no direction, so no cosine")
    return vector


def run(spark: SparkSession, settings: Settings, draft: Draft) -> StageRuns:
    """Encode the pictures that this encoder has not yet met."""
    begun = time.monotonic()
    store = draft.store
    ingest = draft.need("ingest")
    encoder = worker_encoder(settings.encoder.id, store.url)
    inputs = name_of(
        {
            "version": RESULT_VERSION,
            "ingested": digest_of(
                store, ingest.tables["ingested"], "ingested", ("content_sha256", "reason")
            ),
            "encoder": encoder.id,
            "recipe": picture_recipe(settings.ingest),
        }
    )
    known = draft.known("embed", inputs)
    if known is not None:
        return draft.record(known)
    draft.begin_work()
    base = draft.base.release.stages.get("embed") if draft.base.release else None
    before = base.tables if base else {}
    pending = _pending(spark, settings, draft, ingest, before, encoder)
    work = partial(
        _encode_slice,
        store,
        pending.receipts("pending_pictures"),
        receipts_of(store, ingest.tables["pictures"], "pictures"),
        settings,
        encoder.id,
    )
    runs = run_segments(spark, draft, "embed", RESULT_VERSION, pending, work)
    reached("embed.recorded")
    stage = appended("embed", inputs, before, pending, runs, ("vectors",), begun)
    notes = {"encoder": encoder.id, "metric": encoder.metric, "dim": encoder.dim}
    return draft.record(stage.model_copy(update={"notes": notes}))


def _pending(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    ingest: StageRuns,
    before: dict[str, Any],
    encoder: Encoder,
) -> Run:
    store = draft.store
    recipe = picture_recipe(settings.ingest)
    inputs = {
        "ingest": ingest.inputs,
        "pictures": digest_of(store, ingest.tables["pictures"], "pictures", ()),
        "vectors": digest_of(store, before.get("vectors", []), "vectors", ()),
    }
    rules = {"encoder": encoder.id, "recipe": recipe}
    name = run_id("embed", RESULT_VERSION, inputs, rules)
    found = find_run(store, "embed", name)
    if found is not None:
        return found
    begun = time.monotonic()
    pictures = receipts_of(store, ingest.tables["pictures"], "pictures")
    vectors = receipts_of(store, before.get("vectors", []), "vectors")
    frame = _unencoded(spark, store, pictures, vectors, encoder.id, recipe)
    folder = f"runs/embed/{name}/{draft.attempt}"
    rows = sum(receipt.rows for receipt in pictures)
    written = write_sorted(frame, store, folder, TABLES["pending_pictures"], rows * ROW_BYTES)
    reached("embed.pending")
    slices = _slices(store, written, pictures, settings.embed.slice_bytes, parallelism(spark))
    cut = cut_segments(slices, settings.embed.segment_bytes)
    log.get(stage="embed").info(
        "cut", pictures=cut.items, slices=len(slices), segments=len(cut.segments)
    )
    return record_run(
        store,
        Run(
            stage="embed",
            run_id=name,
            tables={"pending_pictures": written},
            inputs=inputs,
            settings=rules,
            versions=versions(),
            counters={},
            seconds=time.monotonic() - begun,
            notes={"cut": cut.model_dump(mode="json")},
        ),
    )


def _unencoded(
    spark: SparkSession,
    store: Store,
    pictures: Sequence[Receipt],
    vectors: Sequence[Receipt],
    encoder_id: str,
    recipe: str,
) -> DataFrame:
    """Each content once, at the first of its places."""
    frame = (
        read_frame(
            spark,
            store,
            pictures,
            TABLES["pictures"],
            ["content_sha256", "recipe"],
            located=True,
        )
        .filter(F.col("recipe") == recipe)
        .groupBy("content_sha256")
        .agg(F.min(F.struct("file", "row_group")).alias("place"))
        .select("content_sha256", "place.file", "place.row_group")
    )
    if not vectors:
        return frame
    done = read_frame(
        spark, store, vectors, TABLES["vectors"], ["content_sha256", "encoder"]
    ).filter(F.col("encoder") == encoder_id)
    return frame.join(done.select("content_sha256"), on="content_sha256", how="left_anti")


def _slices(
    store: Store,
    pending: Sequence[Receipt],
    pictures: Sequence[Receipt],
    wanted: int,
    tasks: int,
) -> list[SliceSpec]:
    """Row groups in order, together up to ``wanted`` bytes a slice; finer where little is to do."""
    size_of = {r.path: r.bytes / r.rows for r in pictures if r.rows}
    counts: dict[tuple[str, int], int] = {}
    for batch in read_table(store, pending, ["file", "row_group"]):
        for place in zip(*(batch.column(i).to_pylist() for i in range(2)), strict=True):
            counts[place] = counts.get(place, 0) + 1
    total = sum(size_of[file] * count for (file, _), count in counts.items())
    limit = min(wanted, total / (2 * tasks))
    slices: list[SliceSpec] = []
    for place in sorted(counts):
        size = int(size_of[place[0]] * counts[place])
        if slices and slices[-1].bytes + size <= limit:
            last = slices[-1]
            grown = {"high": place, "items": last.items + counts[place], "bytes": last.bytes + size}
            slices[-1] = last.model_copy(update=grown)
        else:
            slices.append(SliceSpec(low=place, high=place, items=counts[place], bytes=size))
    return slices


def _encode_slice(
    store: Store,
    pending: Sequence[Receipt],
    pictures: Sequence[Receipt],
    settings: Settings,
    encoder_id: str,
    spec: SliceSpec,
    folder: str,
    attempt: Attempt,
) -> TaskReport:
    """One task: the pictures of a slice, read by row groups, encoded, and their vectors written."""
    encoder = worker_encoder(settings.encoder.id, store.url)
    if encoder.id != encoder_id:
        raise ConfigError(f"encoder {encoder_id} was asked for, the worker has {encoder.id}")
    limits = picture_limits(settings.ingest)
    counters = {"encoded": 0, "rejected": 0}
    metadata = {"encoder": encoder.id, "metric": encoder.metric, "dim": str(encoder.dim)}
    with TableWriter(store, folder, TABLES["vectors"], attempt.stem, metadata) as vectors:
        for keys, data in _row_groups(store, pending, pictures, spec):
            watched = _watched(data, keys, float(settings.ingest.decode_seconds))
            found = list(encode_pictures(encoder, watched, limits, settings.embed.batch))
            vectors.write(_vector_rows(keys, found, encoder.id))
            rejected = sum(isinstance(each, Rejected) for each in found)
            counters["rejected"] += rejected
            counters["encoded"] += len(found) - rejected
    return TaskReport(receipts=vectors.receipts, counters=counters)


def _row_groups(
    store: Store, pending: Sequence[Receipt], pictures: Sequence[Receipt], spec: SliceSpec
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """(hashes, bytes) of the wanted pictures of each row group in a slice."""
    wanted: dict[tuple[str, int], set[bytes]] = {}
    for batch in read_range(store, pending, spec.low, spec.high):
        for row in batch.to_pylist():
            place = (row["file"], row["row_group"])
            wanted.setdefault(place, set()).add(row["content_sha256"])
    receipts = {receipt.path: receipt for receipt in pictures}
    for file, row_group in sorted(wanted):
        left = wanted[file, row_group]
        opened = open_file(store, receipts[file])
        rows = opened.read_row_group(row_group, columns=["content_sha256", "data"])
        keys, data = [], []
        for key, value in zip(rows.column(0), rows.column(1), strict=True):
            if key.as_py() in left:
                left.discard(key.as_py())
                keys.append(key.as_py())
                data.append(value.as_py())
        yield keys, data


def _watched(data: list[bytes], keys: list[bytes], seconds: float) -> Iterator[bytes]:
    """Each picture, while the watchdog of its decoding runs."""
    for key, each in zip(keys, data, strict=True):
        with picture.watchdog(seconds, key.hex()):
            yield each


def _vector_rows(
    keys: list[bytes], found: Sequence[Vector | Rejected], encoder_id: str
) -> pa.RecordBatch:
    schema = TABLES["vectors"].columns
    rejects = [each if isinstance(each, Rejected) else None for each in found]
    columns = {
        "content_sha256": keys,
        "encoder": [encoder_id] * len(keys),
        "vector_no": [vector_no(key) for key in keys],
        "embedding": [None if isinstance(each, Rejected) else each for each in found],
        "reason": [each and each.reason for each in rejects],
        "detail": [each and each.detail for each in rejects],
    }
    arrays = [pa.array(columns[column.name], column.type) for column in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
