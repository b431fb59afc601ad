"""Time the approximate self-join against the bare float32 product of all pairs, in one process.

    OPENBLAS_NUM_THREADS=1 python -m tests.bench.approximate --n 81446 --dim 128 --data easy

``floor_seconds`` is the product of all pairs, one-sided, in the join's tiles: of a sample of the
rows, before and after each join; ``ratio`` is the join, planning and truth included, by their mean.
Seconds are of the processor. Without ``--plans`` the join plans itself for each of ``--targets``;
a plan is the cells of each step, 0 a refinement: ``--plans 8,0 16`` makes two joins. ``--exact``
joins exactly, too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artrec.vectors import METRICS, Block, self_join
from artrec.vectors.approximate import Approximate, approximate_self_join
from tests.bench.join import blas, processor
from tests.bench.vectors import add_options, dimension, made

_SLABS, _ROWS, _COLUMNS = 8, 512, 8192


def floor(vectors: NDArray[np.float32]) -> float:
    """Seconds of the product of all pairs, by a few slabs of rows."""
    buffer = np.empty((_ROWS, _COLUMNS), dtype=np.float32)
    rows, start = 0, time.process_time()
    for first in range(0, len(vectors), max(_ROWS, len(vectors) // _SLABS)):
        left = vectors[first : first + _ROWS]
        rows += len(left)
        for at in range(0, len(vectors), _COLUMNS):
            right = vectors[at : at + _COLUMNS]
            np.matmul(left, right.T, out=buffer[: len(left), : len(right)])
    return (time.process_time() - start) * len(vectors) / rows


def said(found: Approximate, around: float) -> dict[str, Any]:
    return {
        "plan": found.plan,
        "ratio": round(found.seconds / around, 3),
        "planning_ratio": round(found.planning / around, 3),
        "recall": {
            name: {key: round(share, 4) for key, share in value.items()}
            if isinstance(value, dict)
            else round(value, 4)
            for name, value in asdict(found.recall).items()
        },
        "products": round(found.products / max(1, found.exact_products), 4),
        "exact_seconds_expected": round(found.exact_seconds, 1),
        "steps": [
            {
                "probes": step.probes,
                "recall": round(step.recall, 4),
                "low": round(step.low, 4),
                "ratio": round(step.seconds / around, 4),
                "ns_per_product": round(1e9 * step.seconds / max(1, step.products), 2),
            }
            for step in found.steps
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_options(parser)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--metric", choices=METRICS, default="cosine")
    parser.add_argument("--targets", type=float, nargs="*", default=[0.95, 0.98])
    parser.add_argument("--plans", nargs="*", default=[])
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    vectors = made(options.data, options.n, options.dim, options.archive, options.to)
    block = Block(np.arange(len(vectors), dtype=np.int64), vectors)
    asked: dict[str, Any] = {"k": options.k, "metric": options.metric}
    works: list[dict[str, Any]] = [
        {"plan": tuple(int(step) for step in plan.split(","))} for plan in options.plans
    ]
    works += [] if works else [{"target": target} for target in options.targets]
    few = Block(block.numbers[:4096], vectors[:4096])
    approximate_self_join(few, **asked, plan=(4, 8, 0))  # imports what is imported late
    before, joins, floors = floor(vectors), [], []
    for work in works:
        found = approximate_self_join(block, **asked, **work)
        floors.append(before)
        before = floor(vectors)
        floors.append(before)
        joins.append({**work, **said(found, sum(floors[-2:]) / 2)})
    exact: float | None = None
    if options.exact:
        start = time.process_time()
        self_join(block, **asked)
        exact = (time.process_time() - start) / ((before + floor(vectors)) / 2)
    result = {
        "bench": "approximate",
        **{name: getattr(options, name) for name in ("n", "dim", "data", "k", "metric")},
        "intrinsic_dimension": round(dimension(vectors), 1),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "os": platform.system()},
        "numpy": np.__version__,
        "blas": blas(),
        "threads": {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")},
        "floor_seconds": round(sum(floors) / len(floors), 2),
        "joins": joins,
        "exact_ratio": exact and round(exact, 3),
    }
    text = json.dumps(result, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
