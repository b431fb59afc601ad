"""neighbors: the published lists against a brute force written here, and the law of the pool."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from artrec.planning import joins
from artrec.planning.joins import cut_pairs, deal_pairs, pairs_between
from artrec.releases import Draft, Run, begin_run
from artrec.schemas import TABLES
from artrec.stages import neighbors
from artrec.stages.neighbors import atonce, lists, onesided, parts
from artrec.stages.neighbors.parts import Parts
from artrec.tables import TableWriter
from artrec.vectors import METRICS
from tests.brute_force import EVERYBODY, Vectors, brute_force, distance, pools_by_force
from tests.nights import SLACK, K, Night, draft_rows, opened, put, settings_of

Rows = list[dict[str, Any]]


def flat_lists(rows: Rows) -> dict[str, list[tuple[str, float]]]:
    lists: dict[str, list[tuple[str, float]]] = {}
    for row in rows:
        entries = lists.setdefault(row["query_id"], [])
        assert row["rank"] == len(entries) + 1
        entries.append((row["neighbor_id"], row["distance"]))
    return lists


def nested_lists(rows: Rows) -> dict[str, list[tuple[str, float]]]:
    return {row["query_id"]: list(zip(row["ids"], row["distances"], strict=True)) for row in rows}


def without_empty(lists: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: each for name, each in lists.items() if each}


# The published release.


def images_of(night: Night) -> tuple[dict[str, int], Vectors]:
    numbers = {row["image_id"]: row["vector_no"] for row in night.rows("catalog")}
    vectors = {numbers[row["image_id"]]: row["embedding"] for row in night.rows("embeddings")}
    return numbers, vectors


@pytest.mark.parametrize("which", ["release", "next_release"])
def test_the_published_table_is_the_brute_force(which: str, request: pytest.FixtureRequest) -> None:
    night: Night = request.getfixturevalue(which)
    images, vectors = images_of(night)
    assert len(vectors) < len(images)  # some stand under several names
    expected = brute_force(images, vectors, "cosine", K)
    assert flat_lists(night.rows("neighbors")) == expected
    assert nested_lists(night.rows("neighbors_nested")) == expected


def test_tables_are_in_their_order_and_name_what_made_them(release: Night) -> None:
    import pyarrow.parquet as pq

    flat = [(row["query_id"], row["rank"]) for row in release.rows("neighbors")]
    assert flat == sorted(flat)
    nested = [row["query_id"] for row in release.rows("neighbors_nested")]
    assert nested == sorted(nested)
    metadata = pq.read_schema(release.files("neighbors")[0]).metadata
    expected = {"k": str(K), "metric": "cosine", "dim": "154", "encoder": "handmade-"}
    for name, value in expected.items():
        assert metadata[f"artrec.{name}".encode()].decode().startswith(value)


def test_every_image_is_among_the_names_of_its_vector(next_release: Night) -> None:
    names = [(row["vector_no"], row["image_id"]) for row in next_release.rows("vector_images")]
    images, _ = images_of(next_release)
    assert names == sorted((number, name) for name, number in images.items())


def test_live_vectors_are_the_catalogs_each_once(next_release: Night) -> None:
    _, vectors = images_of(next_release)
    live = next_release.rows("live_vectors")
    assert [row["vector_no"] for row in live] == sorted(vectors)
    assert {row["vector_no"]: row["embedding"] for row in live} == vectors
    assert len(live) < len(next_release.rows("vectors", ["vector_no"]))


def test_the_pool_holds_all_that_is_nearer_than_its_radius(release: Night) -> None:
    pool = {row["vector_no"]: row for row in release.rows("neighbor_pool")}
    _, vectors = images_of(release)
    assert pool == pools_by_force(vectors, "cosine", K + SLACK)
    assert all(math.isfinite(row["radius"]) for row in pool.values())


def test_the_counters_say_how_much_was_compared(release: Night) -> None:
    counters = release.document["stages"]["neighbors"]["counters"]
    live = len(release.rows("live_vectors", ["vector_no"]))
    assert (counters["vectors"], counters["pairs"]) == (live, live * live)
    assert counters["products"] == live * live


# Literal catalogs.


@dataclass(frozen=True)
class Catalog:
    """Images by name with the numbers of their vectors, and vectors of which some are not live."""

    images: dict[str, int]
    vectors: Vectors
    metric: str = "cosine"

    @property
    def live(self) -> Vectors:
        return {number: self.vectors[number] for number in set(self.images.values())}


def content(number: int) -> bytes:
    return (2 * number).to_bytes(8, "big") + bytes(24)


def catalog_rows(catalog: Catalog) -> Rows:
    given = {"source": "a", "width": 1, "height": 1, "format": "PNG", "bytes": 1}
    history = {"first_release": "one", "changed_release": "one"}
    empty = dict.fromkeys(TABLES["catalog"].columns.names)
    return [
        {**empty, **given, **history, "image_id": name, "entry": entry}
        | {"content_sha256": content(number), "vector_no": number}
        for entry, (name, number) in enumerate(sorted(catalog.images.items()))
    ]


def vector_rows(catalog: Catalog) -> Rows:
    dim = len(next(iter(catalog.vectors.values())))
    rows: Rows = [
        {"content_sha256": content(number), "encoder": encoder, "vector_no": number}
        | {"embedding": vector, "reason": None, "detail": None}
        for number, own in catalog.vectors.items()
        for encoder, vector in (("other-1", [1.0] * dim), ("mine-1", own))
    ]
    zero = {"content_sha256": content(999), "encoder": "mine-1", "vector_no": 999}
    return [*rows, {**zero, "embedding": None, "reason": "zero_vector", "detail": "no direction"}]


def joined(
    spark: SparkSession, root: Path, catalog: Catalog, k: int, slack: int, *more: str
) -> dict[str, Rows]:
    """The tables that neighbors makes of a catalog."""
    rules = (f"neighbors.k={k}", f"neighbors.slack={slack}")
    settings = settings_of(f"store.root={root}", *rules, *more)
    draft = opened(settings, "one")
    draft.hold("literal")
    fill(draft, catalog)
    result = neighbors.run(spark, settings, draft)
    return {table: draft_rows(root, "one", "neighbors", table) for table in result.tables}


def fill(draft: Draft, catalog: Catalog) -> None:
    """Let the stages before have made a catalog."""
    dim = len(next(iter(catalog.vectors.values())))
    live = [{"vector_no": n, "embedding": v} for n, v in sorted(catalog.live.items())]
    put(draft, "catalog", {"catalog": catalog_rows(catalog), "live_vectors": live})
    notes = {"encoder": "mine-1", "metric": catalog.metric, "dim": dim}
    put(draft, "embed", {"vectors": vector_rows(catalog)}, **notes)


def scattered(n: int, names: int, metric: str = "cosine") -> Catalog:
    """``n`` vectors of small whole numbers, so that many tie, under ``names`` names in all."""
    random = np.random.default_rng(n)
    numbers = (random.permutation(2**20)[: n + 2] + 5).tolist()
    vectors: NDArray[np.float64] = random.integers(1, 4, (n + 2, 4)).astype(np.float64)
    owners = [*range(n), *random.integers(0, n, names - n).tolist()]
    labels = [f"{label:03d}.jpg" for label in random.permutation(names)]
    images = {label: numbers[owner] for label, owner in zip(labels, owners, strict=True)}
    return Catalog(images, dict(zip(numbers, vectors.tolist(), strict=True)), metric)


def check(found: dict[str, Rows], catalog: Catalog, k: int, slack: int) -> None:
    expected = brute_force(catalog.images, catalog.vectors, catalog.metric, k)
    assert flat_lists(found["neighbors"]) == without_empty(expected)
    assert nested_lists(found["neighbors_nested"]) == expected
    pools = pools_by_force(catalog.live, catalog.metric, k + slack)
    assert {row["vector_no"]: row for row in found["neighbor_pool"]} == pools


@pytest.mark.parametrize("metric", METRICS)
def test_ties_are_ordered_by_number_and_then_by_name(
    spark: SparkSession, tmp_path: Path, metric: str
) -> None:
    catalog = scattered(40, 60, metric)
    found = joined(spark, tmp_path / "root", catalog, 4, 2)
    check(found, catalog, 4, 2)
    ties = [
        (one["query_id"], one["distance"]) == (two["query_id"], two["distance"])
        for one, two in zip(found["neighbors"], found["neighbors"][1:], strict=False)
    ]
    assert sum(ties) > 40


def test_the_blocks_of_the_join_change_nothing(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = scattered(40, 60)
    whole = joined(spark, tmp_path / "whole", catalog, 4, 2)
    monkeypatch.setattr(onesided, "LEAST_BLOCK", 1)
    blocks = joined(spark, tmp_path / "blocks", catalog, 4, 2, "neighbors.block_rows=7")
    assert blocks == whole
    files = {
        name: len(list((tmp_path / name).rglob("neighbor_pool/*.parquet")))
        for name in ("whole", "blocks")
    }
    assert files == {"whole": 1, "blocks": 6}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [13, 1000])
def test_a_join_that_multiplies_each_pair_once_gives_the_same_tables(
    spark: SparkSession, tmp_path: Path, metric: str, rows: int
) -> None:
    catalog = scattered(120, 160, metric)
    root = tmp_path / "root"
    more = ("neighbors.pairs_from=1", f"neighbors.block_rows={rows}")
    found = joined(spark, root, catalog, 4, 2, *more)
    check(found, catalog, 4, 2)
    blocks = {path.name.split("-")[1] for path in root.rglob("neighbor_layout/block-*.parquet")}
    assert len(blocks) in ({1} if rows == 1000 else range(6, 11))
    numbers = [row["vector_no"] for row in found["neighbor_pool"]]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_names_that_no_task_can_hold_make_the_same_lists(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    catalog = scattered(40, 60, metric)
    in_tasks = joined(spark, tmp_path / "tasks", catalog, 4, 2)
    monkeypatch.setattr(atonce, "BYTES", 0)
    pools_by_spark = joined(spark, tmp_path / "pools", catalog, 4, 2)
    monkeypatch.setattr(lists, "IN_MEMORY", 0)
    by_spark = joined(spark, tmp_path / "spark", catalog, 4, 2)
    assert by_spark == pools_by_spark == in_tasks
    check(in_tasks, catalog, 4, 2)


def test_images_are_named_by_several_tasks_in_one_order(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = scattered(40, 60)
    monkeypatch.setattr(lists, "TASK_ROWS", 20)
    root = tmp_path / "root"
    found = joined(spark, root, catalog, 4, 2)
    check(found, catalog, 4, 2)
    assert len(list(root.rglob("neighbors/*.parquet"))) == 2
    order = [(row["query_id"], row["rank"]) for row in found["neighbors"]]
    assert order == sorted(order)


@given(st.integers(1, 40), st.integers(1, 10**7), st.integers(1, 64))
def test_each_pair_of_blocks_meets_in_one_task(blocks: int, rows: int, cores: int) -> None:
    segments = cut_pairs(blocks, rows, cores)
    tasks = [each for cut in segments for each in deal_pairs(blocks, rows, cores, *cut)]
    met = [pair for low, high in tasks for pair in pairs_between(blocks, low, high)]
    assert met == [(i, j) for i in range(blocks) for j in range(i + 1, blocks)]
    assert tasks == [(0, 0)] or all(low < high for low, high in tasks)


def test_tasks_of_a_join_shorten_towards_its_end_and_take_no_longer_than_an_hour() -> None:
    tasks = deal_pairs(8, 8 * 16_384, 2, 0, 28)
    assert [high - low for low, high in tasks] == [7, 5, 4, 3, 2, *([1] * 7)]
    many = [high - low for low, high in deal_pairs(62, 62 * 16_384, 100, 0, 1891)]
    assert many[0] == 9
    assert many == sorted(many, reverse=True)
    assert many[-200:] == [1] * 200
    huge = deal_pairs(40, 40 * 262_144, 2, 0, 780)
    assert max(high - low for low, high in huge) * 262_144**2 <= 1.5 * (1 << 38)


def test_a_long_join_is_cut_into_segments_of_some_minutes() -> None:
    assert cut_pairs(8, 81_446, 2) == [(0, 28)]
    assert cut_pairs(1, 5, 2) == [(0, 0)]
    assert cut_pairs(62, 1_000_000, 2) == [(0, 472), (472, 945), (945, 1418), (1418, 1891)]
    assert len(cut_pairs(6104, 100_000_000, 400)) == 16


@pytest.mark.parametrize("metric", METRICS)
def test_a_join_in_segments_makes_the_same_lists_and_goes_on_where_it_was_killed(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    """Killed behind each part in turn; what is done is not done again."""
    catalog, root = scattered(60, 90, metric), tmp_path / "root"
    rules = ("neighbors.pairs_from=1", "neighbors.block_rows=9", "neighbors.k=4")
    settings = settings_of(f"store.root={root}", *rules, "neighbors.slack=2")
    monkeypatch.setattr(joins, "SEGMENT", 200)  # products for each core: of the 1,800 in all
    known: list[set[str]] = [set()]

    class Killed(Exception):
        pass

    def kill_behind_what_is_new(point: str) -> None:
        made = {path.parent.name for path in root.rglob("run.json")}
        if point == "neighbors.part" and made != known[-1]:
            known.append(made)
            raise Killed

    monkeypatch.setattr(parts, "reached", kill_behind_what_is_new)
    draft = opened(settings, "one")
    draft.hold("literal")
    fill(draft, catalog)
    for _ in range(20):
        with suppress(Killed):
            result = neighbors.run(spark, settings, draft)
            break
    assert len(known) >= 4
    found = {table: draft_rows(root, "one", "neighbors", table) for table in result.tables}
    check(found, catalog, 4, 2)
    laid = [path.name.split("-")[1] for path in root.rglob("neighbor_layout/block-*.parquet")]
    assert len(laid) == len(set(laid))


def test_a_part_is_gone_on_with_only_behind_the_files_that_it_was_made_behind(
    tmp_path: Path,
) -> None:
    """Lists name rows by their places, and another attempt's layout may order them otherwise."""
    draft = opened(settings_of(f"store.root={tmp_path}"), "one")
    join = Parts(draft, begin_run("neighbors", 1, {}, {}))
    made: list[str] = []

    def work(part: Run, begun: float) -> Run:
        made.append(part.run_id)
        with TableWriter(
            draft.store, f"x/{len(made)}", TABLES["neighbor_first"], "f", even_empty=True
        ) as writer:
            pass
        return part.done({"neighbor_first": writer.receipts}, begun)

    one, other = (join.kept(name, work) for name in ("blocks", "other blocks"))
    first = join.kept("pairs", work, one)
    assert join.kept("pairs", work, one) == first
    assert join.kept("pairs", work, other).run_id != first.run_id
    assert len(made) == len(set(made)) == 4


def test_fewer_images_than_k_give_shorter_lists_and_no_padding(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Four images of three contents and k = 10: everybody is in every list."""
    catalog = Catalog(
        images={"a": 30, "b": 10, "b2": 10, "c": 20},
        vectors={10: [1.0, 0.0], 20: [0.0, 1.0], 30: [1.0, 1.0], 40: [1.0, 0.1]},
    )
    found = joined(spark, tmp_path / "root", catalog, 10, 0)
    half = float(np.float32(1 - 1 / math.sqrt(2)))
    assert flat_lists(found["neighbors"]) == {
        "a": [("b", half), ("b2", half), ("c", half)],
        "b": [("b2", 0.0), ("a", half), ("c", 1.0)],
        "b2": [("b", 0.0), ("a", half), ("c", 1.0)],
        "c": [("a", half), ("b", 1.0), ("b2", 1.0)],
    }
    check(found, catalog, 10, 0)
    radii = {(row["radius"], row["radius_no"]) for row in found["neighbor_pool"]}
    assert radii == {EVERYBODY}


def test_a_pool_of_exactly_everybody_has_no_end(spark: SparkSession, tmp_path: Path) -> None:
    catalog = Catalog(
        images={"a": 1, "b": 2, "c": 3},
        vectors={1: [1.0, 0.0], 2: [3.0, 4.0], 3: [0.0, 1.0]},
    )
    found = joined(spark, tmp_path / "root", catalog, 1, 1)
    assert {len(row["others"]) for row in found["neighbor_pool"]} == {2}
    assert {(row["radius"], row["radius_no"]) for row in found["neighbor_pool"]} == {EVERYBODY}
    check(found, catalog, 1, 1)


def test_one_single_image_has_an_empty_list(spark: SparkSession, tmp_path: Path) -> None:
    catalog = Catalog(images={"alone": 5}, vectors={5: [1.0, 2.0]})
    found = joined(spark, tmp_path / "root", catalog, 3, 2)
    assert found["neighbors_nested"] == [{"query_id": "alone", "ids": [], "distances": []}]
    assert found["neighbors"] == []
    assert found["neighbor_pool"] == [
        {"vector_no": 5, "radius": math.inf, "radius_no": 2**63 - 1, "others": [], "distances": []}
    ]


def test_one_content_under_many_names_fills_lists_by_name(
    spark: SparkSession, tmp_path: Path
) -> None:
    """More names than k + 1: those beyond cannot be in any list, but have one themselves."""
    catalog = Catalog(
        images={**{f"same-{n}": 7 for n in range(6)}, "other": 3},
        vectors={7: [2.0, 1.0], 3: [1.0, 2.0]},
    )
    found = joined(spark, tmp_path / "root", catalog, 2, 0)
    far = distance("cosine", [2.0, 1.0], [1.0, 2.0])
    lists = nested_lists(found["neighbors_nested"])
    assert lists["same-0"] == [("same-1", 0.0), ("same-2", 0.0)]
    assert lists["same-1"] == [("same-0", 0.0), ("same-2", 0.0)]
    assert lists["same-5"] == [("same-0", 0.0), ("same-1", 0.0)]
    assert lists["other"] == [("same-0", far), ("same-1", far)]
    check(found, catalog, 2, 0)


def test_equal_vectors_of_other_contents_stand_at_distance_zero(
    spark: SparkSession, tmp_path: Path
) -> None:
    catalog = Catalog(
        images={"z": 4, "y": 9, "x": 6, "w": 6},
        vectors={4: [0.3, 0.7], 9: [0.3, 0.7], 6: [0.3, 0.7]},
    )
    found = joined(spark, tmp_path / "root", catalog, 3, 2)
    lists = nested_lists(found["neighbors_nested"])
    assert lists["y"] == [("z", 0.0), ("w", 0.0), ("x", 0.0)]
    assert lists["z"] == [("w", 0.0), ("x", 0.0), ("y", 0.0)]
    assert lists["x"] == [("z", 0.0), ("w", 0.0), ("y", 0.0)]
