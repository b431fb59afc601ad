"""Nearest neighbors among vectors, exactly: distances, lists, searchers and the join.

Only numpy is needed. Set one BLAS thread for each process that joins (``OPENBLAS_NUM_THREADS=1``):
a BLAS that threads inside one product is slower than processes side by side.
"""

from __future__ import annotations

from artrec.vectors.distance import METRICS, check_vectors, exact
from artrec.vectors.join import Block, Pools, Tiling, join
from artrec.vectors.topk import BruteForce, Searcher, TopK, merge

__all__ = [
    "Block",
    "BruteForce",
    "METRICS",
    "Pools",
    "Searcher",
    "Tiling",
    "TopK",
    "check_vectors",
    "exact",
    "join",
    "merge",
]
