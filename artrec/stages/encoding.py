"""Encoding pictures in a Python worker: one inner code for the stage and for ``encode_udf``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import ArrayType, FloatType

from artrec import picture
from artrec.config import EmbedSettings
from artrec.encoders import (
    BUILTIN,
    Encoder,
    builtin_files,
    encoder_named,
    load_builtin,
)
from artrec.encoders.device import (
    Fitting,
    Movable,
    Precision,
    choose_device,
    cuda_count,
    place,
)
from artrec.errors import ConditionFailed, ConfigError
from artrec.releases import Release, StageRuns
from artrec.schemas import TABLES
from artrec.stages.decoding import Decode, Pixels, decode_here
from artrec.stages.rejects import Rejected
from artrec.stages.rules import vector_no
from artrec.storage import Store, open_store

__all__ = [
    "Vector",
    "batch_of",
    "checked",
    "encode_pictures",
    "encode_udf",
    "keep_encoder",
    "task_gpus",
    "vector_rows",
    "worker_encoder",
]

Vector = np.ndarray[Any, np.dtype[np.float32]]


def encode_udf(
    encoder_id: str = "handmade",
    root: str | None = None,
    batch: int = 32,
    how: EmbedSettings | None = None,
) -> Any:
    """A pandas UDF from a column of picture bytes to ``array<float>``; null for what is no picture.

    ``root`` is the store that holds the encoder, where it is not a built-in one. The encoder is
    loaded once for each Python worker, whatever the number of tasks and batches. ``how`` says more
    than ``batch``, on which device it runs among others; by default that is the task's GPU, where
    Spark has given it one.
    """
    import pandas as pd  # a quarter of a second, which stages that use Arrow alone are spared

    store = open_store(root) if root else None
    wanted = how or EmbedSettings(batch=batch)

    def encode(columns: Iterator[pd.Series]) -> Iterator[pd.Series]:
        encoder = worker_encoder(encoder_id, store, wanted)
        decode = partial(decode_here, encoder.preprocess, picture.Limits())
        for column in columns:
            found = encode_pictures(encoder, column, decode, batch_of(encoder, wanted))
            yield pd.Series([None if isinstance(v, Rejected) else v for v in found], dtype=object)

    kind = Iterator[pd.Series]  # evaluated here: the module does not know the name
    encode.__annotations__ = {"columns": kind, "return": kind}
    return pandas_udf(encode, ArrayType(FloatType()))  # type: ignore[call-overload]


def worker_encoder(
    encoder_id: str, store: Store | None, how: EmbedSettings | None = None
) -> Encoder:
    """The encoder of this process, built in or in ``store``; loaded once for each device.

    It is on the GPU of this task where Spark has given it one; without ``how``, on the processor.
    """
    encoder = _loaded(encoder_id, store)
    if how is None or not isinstance(encoder, Movable):
        return encoder
    addresses, task = task_gpus()
    device = choose_device(how.device, addresses, task, cuda_count)
    if device == "cpu" and how.precision == "float32":
        return encoder
    return _placed(encoder_id, store, device, how.precision, how.gpu_batch)


def task_gpus() -> tuple[tuple[str, ...], int]:
    """The addresses of the GPUs that Spark has given this task, and the number of its partition."""
    task = TaskContext.get()
    if task is None:
        return (), 0
    found = task.resources().get("gpu")
    return tuple(found.addresses) if found else (), task.partitionId()


def batch_of(encoder: Encoder, how: EmbedSettings) -> int:
    """Pictures to give the encoder at once."""
    return encoder.most if isinstance(encoder, Fitting) else how.batch


@cache
def _placed(
    encoder_id: str, store: Store | None, device: str, precision: Precision, most: int
) -> Encoder:
    fresh = _loaded.__wrapped__(encoder_id, store)  # another than the processor's
    return place(fresh, device, precision, most)


@cache
def _loaded(encoder_id: str, store: Store | None) -> Encoder:
    if store is not None:
        return encoder_named(store, encoder_id)
    if encoder_id not in BUILTIN:
        raise ConfigError(f"encoder {encoder_id} is not built in; name the store that holds it")
    return load_builtin(encoder_id)


def keep_encoder(
    store: Store, wanted: str, current: Release | None, trained: StageRuns | None = None
) -> Encoder:
    """The encoder of a night, with its files in the store so that a release can name it.

    Where the settings name none it is the current release's: a night never changes its own
    encoder. On an empty store it is the one that ``trained`` names, else the hand-made one.
    """
    named = current.stages["embed"] if current else trained
    name = wanted or (str(named.notes["encoder_id"]) if named else BUILTIN[0])
    encoder = worker_encoder(name, store)
    if name in BUILTIN:
        for file, data in builtin_files(name).items():
            with suppress(ConditionFailed):
                store.write(f"encoders/{encoder.id}/{file}", data)
    return encoder


def encode_pictures(
    encoder: Encoder, pictures: Iterable[bytes | None], decode: Decode, batch: int
) -> Iterator[Vector | Rejected]:
    """For each picture its vector, float32 [dim], or the reason why it has none; in order."""
    waiting: list[Pixels | Rejected] = []
    for data in pictures:
        waiting.append(Rejected("empty", "null instead of bytes") if data is None else decode(data))
        if len(waiting) == batch:
            yield from _encoded(encoder, waiting)
            waiting = []
    yield from _encoded(encoder, waiting)


def vector_rows(
    keys: list[bytes], found: Sequence[Vector | Rejected], encoder_id: str
) -> pa.RecordBatch:
    """Rows of the table ``vectors``: of each key its vector, or why it has none."""
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


def _encoded(encoder: Encoder, waiting: Sequence[Pixels | Rejected]) -> Iterator[Vector | Rejected]:
    pixels = [each for each in waiting if not isinstance(each, Rejected)]
    vectors = iter(encoder.encode(np.stack(pixels)) if pixels else ())
    for each in waiting:
        yield each if isinstance(each, Rejected) else checked(next(vectors), encoder.metric)


def checked(vector: Vector, metric: str) -> Vector | Rejected:
    """The vector, or why it can be no neighbor by that metric."""
    if not np.isfinite(vector).all():
        return Rejected("non_finite_vector", f"{int((~np.isfinite(vector)).sum())} numbers")
    if metric == "cosine" and not vector.any():
        return Rejected("zero_vector", "it has no direction, so no cosine")
    return vector
