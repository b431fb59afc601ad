"""What a lookup costs: building shards, opening them, and asking them, tuned and by a scan.

    OPENBLAS_NUM_THREADS=1 python -m tests.bench.lookup --n 81446 --dim 128 --json OUT
    OPENBLAS_NUM_THREADS=1 python -m tests.bench.lookup --root STORE --shards 8 --json OUT
    OPENBLAS_NUM_THREADS=1 python -m tests.bench.lookup --vectors FILE.npy --sweep

The vectors are those of a store's current release, of a file, or a clustered mixture (see join.py)
of ``n``. ``queries`` of them are left out of the index and asked for, one by one; truth is a brute
force. Trees and search_k are tuned for ``recall``; ``--sweep`` asks with other depths, too.

Recall counts by distance. Times in milliseconds are (p50, p99), on the clock and, as ``cpu``, of
the processor, which is what an idle machine would take for the queries: one thread runs them.
``open`` hashes every file, with four threads; ``first`` is the first query of an index that was
just opened, ``query`` one of many.
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

from artrec.index import (
    CANDIDATES,
    Recipe,
    ShardSet,
    Target,
    Tuning,
    shard_ranges,
    tune,
)
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
    index: Made, queries: Vectors, farthest: Vectors, k: int, search_k: int, scans: bool
) -> dict[str, Any]:
    """Each query alone, by an index that is open."""
    shards = index.opened(search_k, scans)
    lists: list[TopK] = []

    def ask(query: Vectors) -> None:
        lists.append(shards.search(query[None], k))

    ask(queries[0])
    lists.clear()
    times = [timed(partial(ask, query)) for query in queries]
    within = [(each.distances[0] <= far).sum() for each, far in zip(lists, farthest, strict=True)]
    return {"recall": round(float(np.mean(within)) / k, 4)} | summary(times)


def cold(index: Made, queries: Vectors, k: int, scans: bool) -> dict[str, Any]:
    opens, firsts = [], []
    for query in queries[:OPENINGS]:
        holder: list[ShardSet] = []
        opens.append(timed(lambda holder=holder: holder.append(index.opened(0, scans))))
        firsts.append(timed(lambda holder=holder, query=query: holder[0].search(query[None], k)))
    return {"open_ms": summary(opens), "first_ms": summary(firsts)}


def tuned(scratch: Path, block: Block, options: argparse.Namespace) -> Tuning:
    low, high = shard_ranges(options.shards)[0]
    mine = (block.numbers >= low) & (block.numbers <= high)
    part = Block(block.numbers[mine], block.vectors[mine])
    recipe = Recipe(options.metric, block.vectors.shape[1], options.trees, 1)
    target = Target(options.recall, len(block.numbers), options.shards, trees=options.trees)
    return tune(scratch, part.numbers, lambda: [part], recipe, target)


def given(options: argparse.Namespace) -> tuple[Numbers, Vectors]:
    if options.root:
        return of_release(options.root)
    if options.vectors:
        vectors = np.load(options.vectors)
        random = np.random.default_rng(options.seed)
        numbers = random.integers(0, 2**63 - 1, len(vectors), dtype=np.int64)
        return np.sort(numbers), vectors
    return synthetic(options.n, options.dim, options.seed)


def measured(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    numbers, vectors = given(options)
    random = np.random.default_rng(options.seed)
    out = np.sort(random.choice(len(numbers), options.queries, replace=False))
    kept = np.delete(np.arange(len(numbers)), out)
    queries, block = Block(numbers[out], vectors[out]), Block(numbers[kept], vectors[kept])
    k, metric = options.k, options.metric
    truth = join(queries, [block], k=k, metric=metric, self_join=False)
    farthest = truth.distances[:, k - 1]
    scratch.mkdir()
    ways, makes = list[Tuning](), list[Made]()
    tuning_time = timed(lambda: ways.append(tuned(scratch, block, options)))
    (way,) = ways
    recipe: dict[str, Any] = {"shards": options.shards, "metric": metric, "trees": way.trees}
    place = (scratch / "store", block.numbers, block.vectors)
    build = timed(lambda: makes.append(made(*place, **recipe, tuning=way)))
    (index,) = makes
    usual = CANDIDATES * max(k, 10) * way.trees
    depths = [usual // 20, usual // 10, usual // 4, usual // 2, usual, 2 * usual]
    bytes_of = sum(file.bytes for file in index.files if file.path.endswith(".annoy"))
    return {
        "vectors": len(block.numbers),
        "dim": block.vectors.shape[1],
        "tuning": way.model_dump(exclude={"tried"}),
        "seconds": {
            name: {"clock": round(times[0] / 1e3, 2), "cpu": round(times[1] / 1e3, 2)}
            for name, times in (("tuning", tuning_time), ("build", build))
        },
        "annoy_bytes": bytes_of,
        "bytes_beside_raw": round(bytes_of / block.vectors.nbytes, 3),
        **{
            name: cold(index, queries.vectors, k, scans)
            | {"query_ms": asked(index, queries.vectors, farthest, k, 0, scans)}
            for name, scans in (("asked", False), ("scanned", True))
        },
        "sweep": [
            {"search_k": depth} | asked(index, queries.vectors, farthest, k, depth, False)
            for depth in (depths if options.sweep else [])
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", help="a store, for the vectors of its current release")
    parser.add_argument("--vectors", type=Path, help="an .npy file")
    parser.add_argument("--n", type=int, default=81_446)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--trees", type=int, default=0, help="0: tuned")
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--metric", default="cosine")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = ("shards", "recall", "queries", "k", "metric", "seed")
    with tempfile.TemporaryDirectory() as scratch:
        result = {
            "bench": "lookup",
            "data": "release" if options.root else str(options.vectors or "mixture"),
            **{name: getattr(options, name) for name in names},
            "machine": {
                "processor": processor(),
                "cores": os.cpu_count(),
                "os": platform.system(),
                "load": os.getloadavg()[0],
            },
            "python": platform.python_version(),
            "annoy": version("annoy"),
            **measured(options, Path(scratch, "bench")),
        }
    text = json.dumps(result, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
