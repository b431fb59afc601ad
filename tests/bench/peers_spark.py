"""The Spark programs that people write to embed pictures, for ``peers.py``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf
from pyspark.sql.types import ArrayType, ByteType, FloatType

from artrec.stages.embed import encode_udf
from tests.bench.peers_work import encoder_of, pixels_of

BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"


def run(spark: SparkSession, spec: dict[str, Any]) -> None:
    """Read pictures, add their embeddings, write both with Spark's own readers and writers."""
    variant, encoder = spec["variant"], (spec["root"], spec["encoder"])
    spark.conf.set(BATCH_ROWS, variant["batch"])
    frame = spark.read.parquet(*spec["files"]).select("content_sha256", "data")
    if variant["program"] == "one udf":
        frame = frame.withColumn("embedding", encode_udf(encoder[1], encoder[0])("data"))
    else:
        decode, encode = _two_udfs(encoder, variant["pixels"])
        frame = frame.withColumn("pixels", decode("data")).withColumn("embedding", encode("pixels"))
    frame.select("content_sha256", "embedding").write.parquet(spec["out"])
    spark.conf.unset(BATCH_ROWS)


def _two_udfs(encoder: Sequence[str], pixels: str) -> tuple[Any, Any]:
    """Bytes to pixels, and pixels to an embedding; Spark passes the pixels between them.

    The second is an iterator, so that it loads its model once: the form that Spark's own
    documentation has for it, and ``predict_batch_udf`` makes.
    """
    element, kind = (FloatType(), np.float32) if pixels == "float" else (ByteType(), np.int8)

    def decode(data: pd.Series) -> pd.Series:
        loaded = encoder_of(*encoder)
        return data.map(lambda each: pixels_of(loaded, each).ravel().astype(kind))

    def encode(columns: Iterator[pd.Series]) -> Iterator[pd.Series]:
        loaded = encoder_of(*encoder)
        for column in columns:
            stacked = np.stack(column.to_list()).astype(np.uint8)
            shaped = stacked.reshape(-1, *loaded.preprocess.size, 3)
            yield pd.Series(list(loaded.encode(shaped)), dtype=object)

    decode.__annotations__ = {"data": pd.Series, "return": pd.Series}
    encode.__annotations__ = {"columns": Iterator[pd.Series], "return": Iterator[pd.Series]}
    return (
        pandas_udf(decode, ArrayType(element)),  # type: ignore[call-overload]
        pandas_udf(encode, ArrayType(FloatType())),  # type: ignore[call-overload]
    )
