"""Time the exact joins against the bare float32 product of the same shape, in one process.

    OPENBLAS_NUM_THREADS=1 python tests/bench/join.py --n 81446 --dim 128 --rounds 3 --json OUT

``self_join`` computes each product once, ``join`` twice, once for each side.

``floor_seconds`` is the product alone, in tiles of the join's size into one buffer. It is measured
before and after each join, and a round's ratio is the join divided by their mean, so that both meet
the same machine; ``ratio`` is the median of the rounds. Seconds are
medians too, of the processor: with one BLAS thread that is the time on an idle machine. The data
are a clustered mixture whose neighborhoods are neither trivial nor hopeless.

Where faiss is installed (it is no dependency), ``faiss_ratio`` is the join divided by
``faiss.knn`` of the same vectors, of length 1, by inner product, on one thread, in the same rounds:
it gives the same lists but for float32 rounding, without the pool's exact order.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artrec.vectors import METRICS, Block, Tiling, join, self_join

JOINS: dict[str, Callable[..., Any]] = {
    "self_join": self_join,
    "join": lambda block, **options: join(block, [block], **options),
}


def mixture(n: int, dim: int, seed: int) -> NDArray[np.float32]:
    """Vectors [n, dim] about n / 200 centers, with a spread of 28 directions and a little noise."""
    return clustered(n, dim, seed)[0]


def clustered(n: int, dim: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The mixture, and of each vector the center that it lies about."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((min(28, dim), dim))
    centers = rng.standard_normal((max(1, n // 200), len(directions)))
    of = rng.integers(0, len(centers), n)
    inner = centers[of] + 0.7 * rng.standard_normal((n, len(directions)))
    spread = inner @ directions + 0.1 * rng.standard_normal((n, dim))
    return np.asarray(spread, dtype=np.float32), of


def product(vectors: NDArray[np.float32], tiling: Tiling) -> None:
    """The products of all pairs, tile by tile, each forgotten at once."""
    buffer = np.empty(tiling.rows * tiling.columns, dtype=np.float32)
    for first in range(0, len(vectors), tiling.rows):
        left = vectors[first : first + tiling.rows]
        for start in range(0, len(vectors), tiling.columns):
            right = vectors[start : start + tiling.columns]
            out = buffer[: len(left) * len(right)].reshape(len(left), len(right))
            np.matmul(left, right.T, out=out)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def rival(vectors: NDArray[np.float32], k: int) -> Callable[[], object] | None:
    """``faiss.knn`` on one thread, or None where faiss is not installed."""
    try:
        faiss = importlib.import_module("faiss")
    except ImportError:
        return None
    faiss.omp_set_num_threads(1)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    metric = faiss.METRIC_INNER_PRODUCT
    return lambda: faiss.knn(unit, unit, k + 1, metric=metric)


def blas() -> Any:
    """What does the product: threads and kernel where threadpoolctl can be asked."""
    try:
        return importlib.import_module("threadpoolctl").threadpool_info()
    except ImportError:
        built: Any = np.show_config(mode="dicts")
        return built.get("Build Dependencies", {}).get("blas", {}).get("openblas configuration")


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=16384)
    parser.add_argument("--dim", type=int, default=154)
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--metric", choices=METRICS, default="cosine")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--join", choices=JOINS, default="self_join")
    parser.add_argument("--vectors", type=Path, help="an .npy of float32 [n, d] instead")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.vectors:
        vectors = np.load(options.vectors)
        options.n, options.dim = vectors.shape
    else:
        vectors = mixture(options.n, options.dim, options.seed)
    work = JOINS[options.join]
    block = Block(np.arange(options.n, dtype=np.int64), vectors)
    floors, joins, rivals = [seconds(lambda: product(vectors, Tiling()))], [], []
    faiss = rival(vectors, options.k)
    for _ in range(options.rounds):
        joins.append(seconds(lambda: work(block, k=options.k, metric=options.metric)))
        floors.append(seconds(lambda: product(vectors, Tiling())))
        if faiss is not None:
            rivals.append(seconds(faiss))
    around = pairwise(floors)
    ratios = sorted(2 * whole / sum(pair) for whole, pair in zip(joins, around, strict=True))
    floor, whole = median(floors), median(joins)
    result = {
        "bench": options.join,
        "vectors": options.vectors and options.vectors.name,
        **{name: getattr(options, name) for name in ("n", "dim", "k", "metric", "rounds", "seed")},
        "machine": {"processor": processor(), "cores": os.cpu_count(), "os": platform.system()},
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": blas(),
        "threads": {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")},
        "floor_seconds": round(floor, 4),
        "floor_gflops": round(2e-9 * options.n**2 * options.dim / floor, 1),
        "seconds": round(whole, 4),
        "ratio": round(median(ratios), 3),
        "faiss_ratio": rivals
        and round(median(a / b for a, b in zip(joins, rivals, strict=True)), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }
    text = json.dumps(result, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
