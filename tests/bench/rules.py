"""Time the joins under rules against the self-join without one, in one process.

    OPENBLAS_NUM_THREADS=1 python -m tests.bench.rules --n 40000 --dim 128 --k 50 --json OUT

The data are the mixture of ``join.py``. Labels are made up so that it is hard for a rule: an artist
is a cluster, so those who are near are those who are not allowed; styles are 25 clusters each.
Seconds are of the processor: with one BLAS thread that is the time on an idle machine. A ratio is a
ruled join divided by the self-join of its own round; given are medians.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from artrec.vectors import METRICS, Block, self_join
from artrec.vectors.rules import Entities, Rule, ruled_join
from tests.bench.join import blas, clustered, processor, seconds

STYLE, ARTIST = 0, 1
RULES = {
    "no condition": Rule(),
    "never the same artist": Rule(never=(ARTIST,)),
    "at most 2 per artist": Rule(at_most=(2, ARTIST)),
    "at most 2 per style": Rule(at_most=(2, STYLE)),
    "within a style": Rule(within=(STYLE,)),
    "copies once": Rule(collapse=True),
    "flagged, one in 4": Rule(flagged=True),
    "never the same artist, at most 2 per style": Rule(never=(ARTIST,), at_most=(2, STYLE)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=40_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--metric", choices=METRICS, default="cosine")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    vectors, of = clustered(options.n, options.dim, options.seed)
    numbers = np.arange(options.n, dtype=np.int64)
    labels = np.column_stack((of // 25, of)).astype(np.int32)
    entities = Entities(numbers, vectors, labels, numbers % 4 == 0)
    block, how = Block(numbers, vectors), {"k": options.k, "metric": options.metric}

    def ruled(name: str) -> Callable[[], object]:
        return lambda: ruled_join(entities, RULES[name], **how)

    plain: list[float] = []
    found: dict[str, list[float]] = {name: [] for name in options.rules}
    for _ in range(options.rounds):
        plain.append(seconds(lambda: self_join(block, **how)))
        for name, times in found.items():
            times.append(seconds(ruled(name)))
    result = {
        "bench": "rules",
        **{name: getattr(options, name) for name in ("n", "dim", "k", "metric", "rounds", "seed")},
        "artists": len(np.unique(labels[:, ARTIST])),
        "styles": len(np.unique(labels[:, STYLE])),
        "machine": {"processor": processor(), "cores": os.cpu_count()},
        "numpy": np.__version__,
        "blas": blas(),
        "threads": {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")},
        "self_join_seconds": round(median(plain), 3),
        "rules": {
            name: {
                "seconds": round(median(times), 3),
                "ratio": round(median(a / b for a, b in zip(times, plain, strict=True)), 3),
            }
            for name, times in found.items()
        },
    }
    text = json.dumps(result, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
