"""Time joins beside what people would otherwise take, in one process and one run.

    OPENBLAS_NUM_THREADS=1 python -m tests.bench.knn_peers --data hard --archive paintings.zip

Needs scikit-learn, faiss-cpu, hnswlib and pynndescent, which are no dependencies; those that are
not installed are left out. Everyone lists the k nearest of each vector by cosine, with one thread;
seconds are of the processor and count everything from the vectors to the lists, graphs and training
among it. ``ratio`` is by the product of all pairs, measured before and after. Where a peer has a
dial (cells asked, candidates held), the least of its steps whose recall on a sample reaches
``--recall`` is taken, and looking for it is not counted. Recall is that of 1,000 random rows by
distance: what is as near as the true k-th counts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artrec.vectors import Block, join, self_join
from artrec.vectors.approximate import approximate_self_join
from tests.bench.approximate import floor
from tests.bench.join import blas, processor
from tests.bench.vectors import add_options, dimension, made

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Lists = Callable[[], Ints]
STEPS = (2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)


class Truth:
    """How far the k-th nearest of some rows is."""

    def __init__(self, unit: Floats, k: int, rows: int = 1000) -> None:
        self.unit, self.k = unit, k
        self.rows = np.sort(np.random.default_rng(7).permutation(len(unit))[:rows])
        numbers = np.arange(len(unit), dtype=np.int64)
        block = Block(numbers, unit)
        pools = join(Block(numbers[self.rows], unit[self.rows]), [block], k=k, metric="cosine")
        self.kth = pools.distances[:, k - 1]

    def recall(self, lists: Ints) -> float:
        """Of ``lists`` [1000, k] of the rows, themselves left out, -1 where nobody is."""
        found = 0
        for row, kth, ids in zip(self.rows, self.kth, lists, strict=True):
            others = np.unique(ids[(ids >= 0) & (ids != row)])
            far = 1 - self.unit[others] @ self.unit[row]
            found += min(self.k, int((far <= kth + 1e-6).sum()))
        return found / (self.k * len(self.rows))


def without_self(ids: Ints, k: int) -> Ints:
    """Lists [n, k] from lists [n, k + 1] that mention the row itself, mostly."""
    own = ids == np.arange(len(ids))[:, None]
    own[~own.any(axis=1), -1] = True
    return ids[~own].reshape(len(ids), k)


def ours(unit: Floats, k: int, target: float | None) -> Ints:
    block = Block(np.arange(len(unit), dtype=np.int64), unit)
    if target is None:
        return self_join(block, k=k, metric="cosine").others
    return approximate_self_join(block, k=k, metric="cosine", target=target).pools.others


def sklearn_brute(unit: Floats, k: int) -> Ints:
    neighbors = importlib.import_module("sklearn.neighbors")
    found = neighbors.NearestNeighbors(n_neighbors=k + 1, algorithm="brute", metric="euclidean")
    ids: Ints = found.fit(unit).kneighbors(unit, return_distance=False)
    return without_self(ids, k)


def faiss_knn(unit: Floats, k: int) -> Ints:
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(1)
    return without_self(faiss.knn(unit, unit, k + 1, metric=faiss.METRIC_INNER_PRODUCT)[1], k)


def ivf(unit: Floats, k: int, truth: Truth, target: float) -> tuple[str, Ints, float]:
    """Inverted lists of about sqrt(n) cells."""
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(1)
    start = time.process_time()
    cells = int(np.sqrt(len(unit)))
    index = faiss.index_factory(unit.shape[1], f"IVF{cells},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(unit)
    index.add(unit)
    building = time.process_time() - start

    def asked(rows: Floats, step: int) -> Ints:
        index.nprobe = step
        found: Ints = index.search(rows, k + 1)[1]
        return found

    return dialled(f"IVF{cells}", unit, k, truth, target, building, asked)


def hnsw(unit: Floats, k: int, truth: Truth, target: float) -> tuple[str, Ints, float]:
    """A graph of 16 links, built with 100 candidates."""
    hnswlib = importlib.import_module("hnswlib")
    start = time.process_time()
    index = hnswlib.Index(space="ip", dim=unit.shape[1])
    index.init_index(max_elements=len(unit), ef_construction=100, M=16)
    index.set_num_threads(1)
    index.add_items(unit)
    building = time.process_time() - start

    def asked(rows: Floats, step: int) -> Ints:
        index.set_ef(max(k + 1, 4 * step))
        labels: Ints = index.knn_query(rows, k=k + 1, num_threads=1)[0].astype(np.int64)
        return labels

    return dialled("HNSW16", unit, k, truth, target, building, asked)


def dialled(
    name: str,
    unit: Floats,
    k: int,
    truth: Truth,
    target: float,
    building: float,
    asked: Callable[[Floats, int], Ints],
) -> tuple[str, Ints, float]:
    step = STEPS[-1]
    for step in STEPS:
        if truth.recall(asked(unit[truth.rows], step)) >= target:
            break
    start = time.process_time()
    ids = asked(unit, step)
    return f"{name}, step {step}", ids, building + time.process_time() - start


def descent(unit: Floats, k: int) -> Ints:
    pynndescent = importlib.import_module("pynndescent")
    graph = pynndescent.NNDescent(
        unit, metric="cosine", n_neighbors=k + 1, n_jobs=1, random_state=1
    )
    ids: Ints = graph.neighbor_graph[0].astype(np.int64)
    return without_self(ids, k)


def installed(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def timed(work: Lists) -> tuple[Ints, float]:
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def contestants(
    unit: Floats, k: int, truth: Truth, targets: list[float], only: list[str]
) -> Iterator[tuple[str, Ints, float]]:
    def wanted(name: str, package: str = "numpy") -> bool:
        return (not only or name in only) and installed(package)

    if wanted("exact"):
        yield "exact", *timed(lambda: ours(unit, k, None))
    for target in targets:
        if wanted("approximate"):
            yield f"approximate, target {target}", *timed(lambda t=target: ours(unit, k, t))  # type: ignore[misc]
    if wanted("faiss.knn", "faiss"):
        yield "faiss.knn", *timed(lambda: faiss_knn(unit, k))
    if wanted("scikit-learn", "sklearn"):
        yield "scikit-learn, brute", *timed(lambda: sklearn_brute(unit, k))
    for target in targets:
        if wanted("ivf", "faiss"):
            yield ivf(unit, k, truth, target)
        if wanted("hnsw", "hnswlib"):
            yield hnsw(unit, k, truth, target)
    if wanted("pynndescent", "pynndescent"):
        descent(unit[:2000], k)  # compiles
        yield "pynndescent", *timed(lambda: descent(unit, k))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_options(parser)
    parser.add_argument("--vectors", type=Path, help="an .npy of float32 [n, d] instead")
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--recall", type=float, nargs="*", default=[0.98])
    parser.add_argument("--only", nargs="*", default=[], help="exact, approximate, faiss.knn, …")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.vectors:
        vectors = np.load(options.vectors)
        options.n, options.dim = vectors.shape
        options.data = options.vectors.stem
    else:
        vectors = made(options.data, options.n, options.dim, options.archive, options.to)
    unit = np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    truth = Truth(unit, options.k)
    floors, found = [floor(unit)], []
    for name, lists, spent in contestants(unit, options.k, truth, options.recall, options.only):
        floors.append(floor(unit))
        recall = truth.recall(lists[truth.rows])
        found.append({"name": name, "seconds": round(spent, 1), "recall": round(recall, 4)})
        print(json.dumps(found[-1]), flush=True)
    for each, (before, after) in zip(found, pairwise(floors), strict=True):
        each["ratio"] = round(2 * each["seconds"] / (before + after), 3)
    result = {
        "bench": "knn_peers",
        **{name: getattr(options, name) for name in ("n", "dim", "data", "k", "recall")},
        "intrinsic_dimension": round(dimension(unit), 1),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "os": platform.system()},
        "blas": blas(),
        "floors": [round(each, 2) for each in floors],
        "found": found,
    }
    text = json.dumps(result, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
