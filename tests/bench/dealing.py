"""Shards dealt by hash, all asked, beside shards of k-means cells, of which the nearest are asked.

    OPENBLAS_NUM_THREADS=1 python -m tests.bench.dealing --data crops --archive paintings.zip \\
        --json OUT

``queries`` vectors are left out of the index and asked for, one by one; truth is a brute force.
*crops* are answers of the hand-made encoder to crops of the pictures of a zip; easy and hard are
those of vectors.py. Of each way of dealing, number of shards asked and search_k, the recall@10 and
@50 by distance, the candidates that Annoy was told to examine in all, and milliseconds of the
processor for a query, its exact distances included.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import time
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from annoy import AnnoyIndex
from numpy.typing import NDArray
from PIL import Image

from artrec.encoders import load_builtin
from artrec.vectors import Block, exact, join
from artrec.vectors.cells import fit_cells, nearest_cells
from tests.bench.join import processor
from tests.bench.scale import SIDE
from tests.bench.vectors import made

CUTS = (10, 50)
DEPTHS = (250, 500, 1000, 2000, 4000, 8000, 16000, 32000)

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def crops(n: int, archive: Path, seed: int = 0) -> Floats:
    """Vectors [n, 154] of crops; pictures take turns."""
    random, encoder = np.random.default_rng(seed), load_builtin("handmade")
    size = encoder.preprocess.size
    with zipfile.ZipFile(archive) as opened:
        names = [n for n in sorted(opened.namelist()) if n.lower().endswith((".jpg", ".jpeg"))]
        pictures = [Image.open(io.BytesIO(opened.read(name))).convert("RGB") for name in names]
    found = []
    for first in range(0, n, 256):
        batch = []
        for number in range(first, min(n, first + 256)):
            picture = pictures[number % len(pictures)]
            side = int(random.integers(SIDE, min(picture.size) + 1))
            left, top = (int(random.integers(0, length - side + 1)) for length in picture.size)
            part = picture.resize((size[1], size[0]), box=(left, top, left + side, top + side))
            batch.append(np.asarray(part))
        found.append(encoder.encode(np.stack(batch)))
    return np.concatenate(found)


def dealt(points: Floats, shards: int, by_cells: bool) -> tuple[Ints, Floats | None]:
    """The shard of each vector, and the centers where there are any."""
    if not by_cells:
        return np.random.default_rng(1).integers(0, shards, len(points)), None
    sample = np.random.default_rng(2).permutation(len(points))[: 500 * shards]
    centers = fit_cells(points[np.sort(sample)], shards)
    return nearest_cells(centers, points, 1)[:, 0], centers


def built(vectors: Floats, of: Ints, shards: int, trees: int) -> list[tuple[Any, Ints]]:
    found = []
    for shard in range(shards):
        items = np.flatnonzero(of == shard)
        index = AnnoyIndex(vectors.shape[1], "angular")
        index.set_seed(1)
        for place, row in enumerate(items):
            index.add_item(place, vectors[row])
        index.build(trees, n_jobs=1)
        found.append((index, items))
    return found


def ask(
    vectors: Floats, shards: list[tuple[Any, Ints]], query: Floats, which: Any, depth: int
) -> Floats:
    """Distances of the nearest, as many as the largest cut, ascending."""
    rows = []
    for shard in which:
        index, items = shards[shard]
        rows.append(items[index.get_nns_by_vector(query, 2 * max(CUTS) + 16, depth)])
    near = np.concatenate(rows)
    return np.sort(exact("cosine", np.broadcast_to(query, (len(near), len(query))), vectors[near]))


def measured(options: argparse.Namespace, vectors: Floats) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    out = np.sort(random.choice(len(vectors), options.queries, replace=False))
    kept = np.delete(vectors, out, axis=0)
    queries = vectors[out]
    names = np.arange(len(kept))
    truth = join(
        Block(np.arange(len(queries)), queries),
        [Block(names, kept)],
        k=max(CUTS),
        metric="cosine",
        self_join=False,
    ).distances
    points = kept / np.linalg.norm(kept, axis=1, keepdims=True)
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    rows = []
    for by_cells, shards in [
        *((False, count) for count in options.hash),
        *((True, count) for count in options.cells),
    ]:
        of, centers = dealt(points, shards, by_cells)
        index = built(kept, of, shards, options.trees)
        probes = [shards] if centers is None else [p for p in (1, 2, 4, 8, 16, 32) if p <= shards]
        for asked in probes:
            for depth in DEPTHS:
                begun = time.process_time()
                if centers is None:
                    which = np.tile(np.arange(shards), (len(unit), 1))
                else:
                    which = nearest_cells(centers, unit, asked)
                lists = [
                    ask(kept, index, query, own, depth)
                    for query, own in zip(queries, which.tolist(), strict=True)
                ]
                spent = time.process_time() - begun
                recall = {
                    f"recall@{k}": round(
                        float(
                            np.mean(
                                [
                                    min(k, int((each <= far).sum())) / k
                                    for each, far in zip(lists, truth[:, k - 1], strict=True)
                                ]
                            )
                        ),
                        4,
                    )
                    for k in CUTS
                }
                rows.append(
                    {
                        "deal": "cells" if by_cells else "hash",
                        "shards": shards,
                        "asked": asked,
                        "search_k": depth,
                        "candidates": asked * depth,
                        **recall,
                        "ms": round(1e3 * spent / len(queries), 3),
                    }
                )
                if recall[f"recall@{max(CUTS)}"] > 0.998:
                    break
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", choices=("crops", "easy", "hard"), default="crops")
    parser.add_argument("--archive", type=Path)
    parser.add_argument("--n", type=int, default=81446)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--trees", type=int, default=20)
    parser.add_argument("--hash", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--cells", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--to", type=Path, help="an .npy file that keeps the vectors")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.data != "crops":
        vectors = made(options.data, options.n, options.dim, options.archive, options.to)
    elif options.to and options.to.exists():
        vectors = np.load(options.to)
    else:
        vectors = crops(options.n, options.archive)
        if options.to:
            np.save(options.to, vectors)
    result = {
        "bench": "dealing",
        **{name: getattr(options, name) for name in ("data", "queries", "trees")},
        "vectors": list(vectors.shape),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "os": platform.system()},
        "annoy": version("annoy"),
        "asked": measured(options, vectors),
    }
    text = json.dumps(result, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
