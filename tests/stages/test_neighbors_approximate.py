"""neighbors, approximately: lists may miss a neighbor, say so, and never say a wrong distance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import structlog
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from structlog.testing import capture_logs

from artrec.planning import joins
from artrec.releases import StageRuns
from artrec.stages import neighbors
from artrec.stages.neighbors import lists, method_inputs
from tests.brute_force import Vectors, distance, pools_by_force
from tests.nights import draft_rows, opened, put, settings_of
from tests.pictures import write_zip
from tests.stages.test_evaluate import GOOD, refused_then_published
from tests.stages.test_neighbors import (
    Catalog,
    catalog_rows,
    flat_lists,
    scattered,
    vector_rows,
)
from tests.vectors.test_approximate import bunches
from tests.vectors.test_join import spread

Rows = list[dict[str, Any]]
APPROXIMATE = "neighbors.method=approximate"
K, SLACK = 10, 4


def crowd(vectors: NDArray[np.float32], metric: str = "cosine") -> Catalog:
    """Each vector under a number and a name of its own."""
    n = len(vectors)
    numbers = (np.random.default_rng(n).permutation(2**20)[:n] + 1).tolist()
    named: Vectors = dict(zip(numbers, vectors.tolist(), strict=True))
    return Catalog({f"{number:07d}.jpg": number for number in numbers}, named, metric)


def joined(
    spark: SparkSession, root: Path, catalog: Catalog, *more: str
) -> tuple[dict[str, Rows], StageRuns]:
    """The tables that neighbors makes of a catalog, and its record."""
    rules = (f"neighbors.k={K}", f"neighbors.slack={SLACK}")
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


def recall(pool: Rows, catalog: Catalog) -> float:
    """The share of true neighbors; each listed one is checked on the way."""
    true = pools_by_force(catalog.live, catalog.metric, K)
    hits = 0
    for row in pool:
        own, last = catalog.vectors[row["vector_no"]], true[row["vector_no"]]["distances"][-1]
        listed = list(zip(row["distances"], row["others"], strict=True))
        assert listed == sorted(listed)
        assert len(listed) == len(set(row["others"])) <= K + SLACK
        for far, other in listed:
            assert far == distance(catalog.metric, own, catalog.vectors[other])
        hits += sum(far <= last for far, _ in listed[:K])
    return hits / K / len(pool)


@pytest.fixture
def dealt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """No catalog is so small that one task joins it alone."""
    monkeypatch.setattr(joins, "ALONE", 0)


@pytest.mark.usefixtures("dealt_out")
def test_lists_from_near_cells_have_right_distances_and_the_recall_that_is_said(
    spark: SparkSession, tmp_path: Path
) -> None:
    catalog, root = crowd(bunches(700, 6)), tmp_path / "root"
    found, result = joined(
        spark, root, catalog, APPROXIMATE, "neighbors.recall=0.8", "neighbors.block_rows=150"
    )
    notes, own = result.notes, recall(found["neighbor_pool"], catalog)
    assert (notes["exact"], notes["target"], notes["probes"]) == (False, 0.8, 0)
    assert 0.8 <= own < 1
    assert notes["recall"]["low"] - 0.01 <= own <= notes["recall"]["high"] + 0.01
    quarters = notes["recall"]["by_density"]
    assert quarters["densest quarter"] >= quarters["sparsest quarter"]
    first = {row["vector_no"]: row["others"] for row in found["neighbor_pool"]}
    for name, entries in flat_lists(found["neighbors"]).items():
        assert [int(other[:-4]) for other, _ in entries] == first[int(name[:-4])][:K]


def test_one_task_joins_a_catalog_that_it_holds_and_says_how(
    spark: SparkSession, tmp_path: Path
) -> None:
    catalog = crowd(spread(500, 8))
    structlog.reset_defaults()
    with capture_logs() as lines:
        found, result = joined(
            spark, tmp_path / "root", catalog, APPROXIMATE, "neighbors.recall=0.9"
        )
    warned = [line for line in lines if "compared more pairs" in line["event"]]
    assert [line["exact_products"] for line in warned] == [500 * 499 // 2]
    notes, own = result.notes, recall(found["neighbor_pool"], catalog)
    assert (notes["exact"], notes["target"]) == (False, 0.9)
    assert 0.9 <= own < 1
    assert notes["recall"]["rows"] == 500
    assert notes["products"] > 0
    assert {(row["radius"], row["radius_no"]) for row in found["neighbor_pool"]} == {(-np.inf, 0)}
    numbers = [row["vector_no"] for row in found["neighbor_pool"]]
    assert numbers == sorted(catalog.live)
    assert not list((tmp_path / "root").rglob("neighbor_layout"))


@pytest.mark.usefixtures("dealt_out")
def test_who_looks_further_finds_more_and_neither_blocks_nor_tasks_change_a_row(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = crowd(spread(500, 8), "euclidean")
    rules = (APPROXIMATE, "neighbors.recall=0.95")
    small = (*rules, "neighbors.block_rows=60")
    one, result = joined(spark, tmp_path / "small", catalog, *small)
    assert result.notes["probes"] > 0
    assert result.counters["shuffled"] > 0
    assert 0.95 <= recall(one["neighbor_pool"], catalog) < 1
    assert {(row["radius"], row["radius_no"]) for row in one["neighbor_pool"]} == {(-np.inf, 0)}
    monkeypatch.setattr("artrec.stages.neighbors.approximate.TASKS_EACH", 1)
    other, _ = joined(spark, tmp_path / "large", catalog, *rules, "neighbors.block_rows=200")
    assert other == one
    blocks = {path.name.split("-")[1] for path in (tmp_path / "small").rglob("block-*.parquet")}
    assert len(blocks) > 6


def test_the_exact_join_shuffles_no_more_than_three_entries_for_each_place_of_a_list(
    spark: SparkSession, tmp_path: Path
) -> None:
    catalog = crowd(bunches(700, 6))
    found, result = joined(
        spark, tmp_path / "root", catalog, "neighbors.pairs_from=1", "neighbors.block_rows=100"
    )
    assert len(list((tmp_path / "root").rglob("neighbor_layout/block-*.parquet"))) > 5
    assert 0 < result.counters["shuffled"] <= 3 * 700 * (K + SLACK)
    assert recall(found["neighbor_pool"], catalog) == 1


def test_auto_is_exact_up_to_so_many_vectors(spark: SparkSession, tmp_path: Path) -> None:
    catalog = scattered(40, 60)
    exact, one = joined(spark, tmp_path / "exact", catalog, "neighbors.exact_rows=40")
    near, other = joined(spark, tmp_path / "near", catalog, "neighbors.exact_rows=39")
    assert (one.notes["exact"], other.notes["exact"]) == (True, False)
    assert one.inputs != other.inputs
    for root, said in (("exact", b"true"), ("near", b"false")):
        file = next((tmp_path / root).glob("runs/neighbors/*/*/neighbor_pool/*.parquet"))
        assert pq.read_schema(file).metadata[b"artrec.exact"] == said
    assert exact["neighbors_nested"] == near["neighbors_nested"]  # so few that all cells are near


def test_a_run_of_the_exact_join_does_not_know_of_the_method() -> None:
    def inputs(rows: int, *given: str) -> dict[str, Any]:
        return method_inputs(settings_of(*given).neighbors, rows, 2000)

    assert inputs(100) == inputs(3_000_000, "neighbors.recall=0.9") == {}
    assert inputs(5_000_000, "neighbors.method=exact") == inputs(1, APPROXIMATE) == {}
    found = {"method": "approximate", "recall": 0.98, "asked": 2000}
    assert inputs(3_000_001) == inputs(2, APPROXIMATE) == found


@pytest.mark.long
def test_a_night_whose_lists_miss_too_much_is_refused(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last entry of each list is lost: of 3 entries, 2 are left."""
    named = lists.named_lists

    def shorter(catalog: DataFrame, pools: DataFrame, k: int, *more: object) -> DataFrame:
        cut = {name: F.slice(name, 1, k - 1) for name in ("ids", "distances")}
        return named(catalog, pools, k).withColumns(cut)

    monkeypatch.setattr(lists, "named_lists", shorter)
    monkeypatch.setattr(lists, "IN_MEMORY", 0)
    root, source = tmp_path / "root", write_zip(tmp_path / "a.zip", GOOD)
    message, made = refused_then_published(root, source, "table_recall", capsys, APPROXIMATE)
    assert "found recall not below 0.6667, expected at least 0.98 (neighbors.recall)" in message
    rows = [row for row in made.rows("evaluation") if row["measure"] == "table_recall"]
    found = {(row["label"], row["group"]): (row["value"], row["queries"]) for row in rows}
    assert found == {("", ""): (2 / 3, 8), ("style", "Baroque"): (2 / 3, 8)}
    assert made.document["stages"]["neighbors"]["notes"]["exact"] is False
    pages = [page.read_text() for page in (root / "runs/report").rglob("index.html")]
    assert pages
    assert all("The neighbor table is approximate" in page for page in pages)
