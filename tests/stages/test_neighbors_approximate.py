"""neighbors, approximately: lists may miss a neighbor, say so, and never say a wrong distance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from artrec.releases import StageRuns
from artrec.stages import neighbors
from tests.brute_force import distance, pools_by_force
from tests.nights import draft_rows, opened, put, settings_of
from tests.stages.test_neighbors import Catalog, catalog_rows, vector_rows
from tests.vectors.test_approximate import bunches

Rows = list[dict[str, Any]]
APPROXIMATE = "neighbors.method=approximate"


def crowd(n: int) -> Catalog:
    """``n`` vectors in bunches, each under a name of its own."""
    numbers = (np.random.default_rng(n).permutation(2**20)[:n] + 1).tolist()
    vectors = dict(zip(numbers, bunches(n, 6).tolist(), strict=True))
    return Catalog({f"{number:07d}.jpg": number for number in numbers}, vectors)


def joined(
    spark: SparkSession, root: Path, catalog: Catalog, k: int, slack: int, *more: str
) -> tuple[dict[str, Rows], StageRuns]:
    rules = (f"neighbors.k={k}", f"neighbors.slack={slack}")
    settings = settings_of(f"store.root={root}", *rules, *more)
    draft = opened(settings, "one")
    draft.hold("literal")
    dim = len(next(iter(catalog.vectors.values())))
    live = [{"vector_no": n, "embedding": v} for n, v in sorted(catalog.live.items())]
    put(draft, "catalog", {"catalog": catalog_rows(catalog), "live_vectors": live})
    notes = {"encoder": "mine-1", "metric": catalog.metric, "dim": dim}
    put(draft, "embed", {"vectors": vector_rows(catalog)}, **notes)
    result = neighbors.run(spark, settings, draft)
    return {table: draft_rows(root, "one", "neighbors", table) for table in result.tables}, result


def test_distances_are_right_and_the_recall_is_what_is_said(
    spark: SparkSession, tmp_path: Path
) -> None:
    catalog = crowd(700)
    found, result = joined(
        spark,
        tmp_path / "root",
        catalog,
        10,
        4,
        APPROXIMATE,
        "neighbors.block_rows=150",
        "neighbors.recall=0.8",
    )
    true = pools_by_force(catalog.live, "cosine", 10)
    hits = 0
    for row in found["neighbor_pool"]:
        own = catalog.vectors[row["vector_no"]]
        listed = list(zip(row["distances"], row["others"], strict=True))
        assert listed == sorted(listed)
        for far, other in listed:
            assert far == distance("cosine", own, catalog.vectors[other])
        last = true[row["vector_no"]]["distances"][9]
        hits += sum(far <= last for far in row["distances"][:10])
    print(result.notes, hits / 7000)
    assert 0.8 <= hits / 7000 < 1
