"""Nearest neighbors among vectors: distances, lists, searchers and joins, exact and approximate.

Only numpy is needed. Set one BLAS thread for each process that joins (``OPENBLAS_NUM_THREADS=1``):
a BLAS that threads inside one product is slower than processes side by side.
"""

from __future__ import annotations

from artrec.vectors.approximate import Approximate, approximate_self_join
from artrec.vectors.distance import METRICS, check_vectors, exact
from artrec.vectors.join import Block, Pools, Tiling, join
from artrec.vectors.layout import Layout, plan_layout, sample_rows
from artrec.vectors.pairs import Entries, Side, meet
from artrec.vectors.selfjoin import Laid, self_join
from artrec.vectors.topk import BruteForce, Searcher, TopK, merge
from artrec.vectors.update import refreshed, short_rows, update

__all__ = [
    "Approximate",
    "Block",
    "BruteForce",
    "Entries",
    "Laid",
    "Layout",
    "METRICS",
    "Pools",
    "Searcher",
    "Side",
    "Tiling",
    "TopK",
    "approximate_self_join",
    "check_vectors",
    "exact",
    "join",
    "meet",
    "merge",
    "plan_layout",
    "refreshed",
    "sample_rows",
    "self_join",
    "short_rows",
    "update",
]
