"""What a lookup costs: building shards, opening them, and asking them; with the recall of each ask.

    OPENBLAS_NUM_THREADS=1 python -m tests.bench.lookup --root STORE --shards 8 --json OUT
    OPENBLAS_NUM_THREADS=1 python -m tests.bench.lookup --n 100000 --shards 8 --json OUT

The vectors are those of a store's current release, or a clustered mixture (see join.py) of ``n``.
``queries`` of them are left out of the index and asked for, one by one; truth is a brute force.
Recall counts by distance. Times in milliseconds are (p50, p99), on the clock and, as ``cpu``, of
the processor, which is what an idle machine would take for the queries: one thread runs them.
Opening hashes every file, with four threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artrec.index import CANDIDATES
from artrec.releases import current_release, table_receipts
from artrec.storage import open_store
from artrec.tables import read_table
from artrec.vectors import Block, TopK, join
from tests.bench.join import mixture, processor
from tests.index.makers import Made, made

OPENINGS = 20

Numbers = NDArray[np.int64]
Vectors = NDArray[np.float32]


def of_release(root: str) -> tuple[Numbers, Vectors]:
    store = open_store(root)
    receipts = table_receipts(store, current_release(store), "live_vectors")
    batches = list(read_table(store, receipts))
    numbers = np.concatenate([np.asarray(batch.column("vector_no")) for batch in batches])
    values = np.concatenate([np.asarray(batch.column("embedding").flatten()) for batch in batches])
    return numbers, values.reshape(len(numbers), -1)


def synthetic(n: int, dim: int, seed: int) -> tuple[Numbers, Vectors]:
    random = np.random.default_rng(seed)
    numbers = np.unique(random.integers(0, 2**63 - 1, n, dtype=np.int64))
    return numbers, mixture(len(numbers), dim, seed)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - cpu)


def summary(times: list[tuple[float, float]]) -> dict[str, list[float]]:
    columns = zip(("clock", "cpu"), zip(*times, strict=True), strict=True)
    return {
        name: [round(float(np.quantile(values, q)), 2) for q in (0.5, 0.99)]
        for name, values in columns
    }


def asked(
    index: Made, queries: Vectors, farthest: Vectors, k: int, search_k: int
) -> dict[str, Any]:
    """Each query alone, by an index that is open."""
    shards = index.opened(search_k)
    lists: list[TopK] = []

    def ask(query: Vectors) -> None:
        lists.append(shards.search(query[None], k))

    times = [timed(partial(ask, query)) for query in queries]
    within = [(each.distances[0] <= far).sum() for each, far in zip(lists, farthest, strict=True)]
    return {"search_k": search_k, "recall": round(float(np.mean(within)) / k, 4)} | summary(times)


def measured(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    given = of_release(options.root) if options.root else None
    numbers, vectors = given or synthetic(options.n, options.dim, options.seed)
    random = np.random.default_rng(options.seed)
    out = np.sort(random.choice(len(numbers), options.queries, replace=False))
    kept = np.delete(np.arange(len(numbers)), out)
    queries, block = Block(numbers[out], vectors[out]), Block(numbers[kept], vectors[kept])
    k, metric = options.k, options.metric
    truth = join(queries, [block], k=k, metric=metric, self_join=False)
    holder: list[Made] = []
    recipe = {"shards": options.shards, "metric": metric, "trees": options.trees}
    build = timed(lambda: holder.append(made(scratch, block.numbers, block.vectors, **recipe)))
    index = holder[0]
    once = [
        timed(lambda query=query: index.opened(0).search(query[None], k))
        for query in queries.vectors[:OPENINGS]
    ]
    default = CANDIDATES * max(k, 10) * options.trees
    depths = sorted(
        {default // 20, default // 10, default // 4, default // 2, default, 2 * default}
    )
    farthest = truth.distances[:, k - 1]
    bytes_of = sum(file.bytes for file in index.files if file.path.endswith(".annoy"))
    return {
        "vectors": len(block.numbers),
        "dim": block.vectors.shape[1],
        "build_seconds": {"clock": round(build[0] / 1e3, 2), "cpu": round(build[1] / 1e3, 2)},
        "annoy_bytes": bytes_of,
        "bytes_beside_raw": round(bytes_of / block.vectors.nbytes, 3),
        "open_and_query_ms": summary(once),
        "query_ms": [asked(index, queries.vectors, farthest, k, depth) for depth in depths],
        "default_search_k": default,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", help="a store, for the vectors of its current release")
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=154)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--trees", type=int, default=20)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--metric", default="cosine")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = ("shards", "trees", "queries", "k", "metric", "seed")
    with tempfile.TemporaryDirectory() as scratch:
        result = {
            "bench": "lookup",
            "data": "release" if options.root else "mixture",
            **{name: getattr(options, name) for name in names},
            "machine": {
                "processor": processor(),
                "cores": os.cpu_count(),
                "os": platform.system(),
                "load": os.getloadavg()[0],
            },
            "python": platform.python_version(),
            "annoy": version("annoy"),
            **measured(options, Path(scratch, "store")),
        }
    text = json.dumps(result, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
