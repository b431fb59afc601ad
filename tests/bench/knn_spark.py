"""Time the neighbors stage beside the Spark programs that people write for the same table.

    python -m tests.bench.knn_spark --n 81446 --dim 512 --rounds 2

Both sides start from the same vectors in Parquet, in one warm Spark, and end with neighbors, a row
for each entry, as Parquet; they take turns. *broadcast* broadcasts the matrix of all vectors, and
an iterator UDF multiplies each batch of queries with it and keeps the k largest. *cross join* has
Spark make all pairs, takes the dot product in SQL, and keeps k by a window: it is run on
``--pairs`` vectors only, and its hours for all are by the square.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

from artrec.stages.session import start_spark
from artrec.vectors.distance import Floats
from tests.bench.join import blas, mixture, processor
from tests.bench.neighbors import joined

ENTRY = "query_id long, rank int, neighbor_id long, distance float"
BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"


def written(vectors: Floats, path: Path) -> None:
    """A file of id and embedding, in row groups that tasks can share."""
    offsets = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]
    lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)))
    table = pa.table({"id": np.arange(len(vectors)), "embedding": lists})
    pq.write_table(table, path, row_group_size=4096)


def broadcast(spark: SparkSession, source: Path, out: str, k: int) -> None:
    """The matrix in every worker, a product for each batch of queries."""
    frame = spark.read.parquet(str(source))
    rows = frame.toPandas()
    matrix = np.stack(rows["embedding"].to_list()).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    shared = spark.sparkContext.broadcast((rows["id"].to_numpy(), matrix))

    def nearest(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        ids, all_vectors = shared.value
        for batch in batches:
            own = batch["id"].to_numpy()
            unit = np.stack(batch["embedding"].to_list()).astype(np.float32)
            unit /= np.linalg.norm(unit, axis=1, keepdims=True)
            far = 1 - unit @ all_vectors.T
            far[own[:, None] == ids] = np.inf
            some = np.argpartition(far, k, axis=1)[:, :k]
            near = np.take_along_axis(far, some, axis=1)
            order = np.argsort(near, axis=1)
            found = {
                "query_id": np.repeat(own, k),
                "rank": np.tile(np.arange(1, k + 1), len(own)),
                "neighbor_id": ids[np.take_along_axis(some, order, axis=1)].ravel(),
                "distance": np.take_along_axis(near, order, axis=1).ravel(),
            }
            yield pd.DataFrame(found)

    spark.conf.set(BATCH_ROWS, 1000)
    tasks = 4 * (os.cpu_count() or 1)
    frame.repartition(tasks).mapInPandas(nearest, ENTRY).write.parquet(out)
    spark.conf.unset(BATCH_ROWS)


def cross_join(spark: SparkSession, source: Path, out: str, k: int) -> None:
    """All pairs as rows."""
    frame = spark.read.parquet(str(source)).repartition(4 * (os.cpu_count() or 1))
    left = frame.select(F.col("id").alias("query_id"), F.col("embedding").alias("a"))
    right = frame.select(F.col("id").alias("neighbor_id"), F.col("embedding").alias("b"))

    def dot(one: str, other: str) -> Any:
        products = F.zip_with(one, other, lambda x, y: x * y)
        return F.aggregate(products, F.lit(0.0), lambda total, x: total + x)

    pairs = left.crossJoin(right).where("query_id != neighbor_id")
    far = 1 - dot("a", "b") / F.sqrt(dot("a", "a") * dot("b", "b"))
    ranked = pairs.select("query_id", "neighbor_id", far.alias("distance")).withColumn(
        "rank", F.row_number().over(Window.partitionBy("query_id").orderBy("distance"))
    )
    ranked.where(F.col("rank") <= k).write.parquet(out)


def seconds(spark: SparkSession, program: Any, vectors: Floats, k: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "vectors.parquet")
        written(vectors, source)
        begun = time.perf_counter()
        program(spark, source, f"{folder}/out", k)
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=81_446)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--vectors", type=Path, help="an .npy of float32 [n, d] instead")
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    vectors = np.load(given.vectors) if given.vectors else mixture(given.n, given.dim, 0)
    given.metric, given.set = "cosine", [f"neighbors.k={given.k}"]
    spark = start_spark("bench")
    joined(spark, mixture(34_000, 16, 1), given)
    seconds(spark, broadcast, vectors[:2000], given.k)
    stage, program = [], []
    for _ in range(given.rounds):
        stage.append(joined(spark, vectors, given)["seconds"])
        program.append(seconds(spark, broadcast, vectors, given.k))
    few = vectors[: given.pairs]
    crossed = seconds(spark, cross_join, few, given.k)
    spark.stop()
    result = {
        "bench": "knn_spark",
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "os": platform.system(),
            "load": os.getloadavg(),
        },
        "blas": blas(),
        **{"n": len(vectors), "dim": vectors.shape[1], "k": given.k},
        "stage_seconds": [round(each, 1) for each in stage],
        "broadcast_seconds": [round(each, 1) for each in program],
        "broadcast_ratios": [round(b / a, 2) for a, b in zip(stage, program, strict=True)],
        "cross_join": {
            "vectors": len(few),
            "seconds": round(crossed, 1),
            "hours_for_all": round(crossed * (len(vectors) / len(few)) ** 2 / 3600, 1),
        },
    }
    text = json.dumps(result, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
