"""neighbors, night after night: tables that were kept up to date are those of a whole join."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.releases import Draft, Release, StageRuns, publish
from artrec.stages import neighbors
from artrec.stages.neighbors import maintained
from tests.brute_force import brute_force, distance, pools_by_force
from tests.nights import draft_rows, opened, settings_of
from tests.stages.test_neighbors import (
    Catalog,
    Rows,
    fill,
    flat_lists,
    nested_lists,
    scattered,
    without_empty,
)
from tests.stages.test_neighbors_approximate import crowd
from tests.vectors.test_join import spread

K, SLACK = 4, 2
Found = tuple[dict[str, Rows], StageRuns]


def begun(root: Path, name: str, catalog: Catalog, *more: str) -> tuple[Settings, Draft]:
    """A night of which the stages before are done."""
    rules = (f"neighbors.k={K}", f"neighbors.slack={SLACK}", *more)
    settings = settings_of(f"store.root={root}", *rules)
    draft = opened(settings, name)
    draft.hold(name)
    fill(draft, catalog)
    return settings, draft


def one_night(spark: SparkSession, root: Path, name: str, catalog: Catalog, *more: str) -> Found:
    """The tables of one night and its record; the release is published."""
    settings, draft = begun(root, name, catalog, *more)
    result = neighbors.run(spark, settings, draft)
    release(draft, catalog, result)
    return {table: draft_rows(root, name, "neighbors", table) for table in result.tables}, result


def release(draft: Draft, catalog: Catalog, result: StageRuns) -> None:
    stages = {stage: draft.need(stage) for stage in ("catalog", "embed")}
    made = Release(
        release_id=draft.release_id,
        previous=draft.base.release_id,
        inputs=draft.release_id,
        created=datetime.now(UTC),
        settings={},
        versions={},
        encoder=draft.need("embed").notes["encoder"],
        metric=catalog.metric,
        dim=len(next(iter(catalog.vectors.values()))),
        k=result.notes["k"],
        stages=stages | {"neighbors": result},
        gates=[],
        counts={},
    )
    publish(draft.store, made, draft.base)


def nights(spark: SparkSession, root: Path, catalogs: Sequence[Catalog], *more: str) -> list[Found]:
    return [
        one_night(spark, root, f"night-{n}", catalog, *more) for n, catalog in enumerate(catalogs)
    ]


def check(found: dict[str, Rows], catalog: Catalog, k: int = K) -> None:
    """The published rows are those of a rebuild, and each pool holds all within its radius."""
    expected = brute_force(catalog.images, catalog.vectors, catalog.metric, k)
    assert flat_lists(found["neighbors"]) == without_empty(expected)
    assert nested_lists(found["neighbors_nested"]) == expected
    whole = pools_by_force(catalog.live, catalog.metric, len(catalog.live))
    assert [row["vector_no"] for row in found["neighbor_pool"]] == sorted(catalog.live)
    for row in found["neighbor_pool"]:
        everybody = whole[row["vector_no"]]
        order = list(zip(everybody["distances"], everybody["others"], strict=True))
        reach = (row["radius"], row["radius_no"])
        within = [(far, other) for far, other in order if (far, other) <= reach]
        assert list(zip(row["distances"], row["others"], strict=True)) == within
        assert len(within) >= min(k, len(order))


def without(catalog: Catalog, numbers: set[int]) -> Catalog:
    images = {name: number for name, number in catalog.images.items() if number not in numbers}
    return replace(catalog, images=images)


def with_more(catalog: Catalog, others: Catalog, count: int) -> Catalog:
    """Images of ``others``, under other names, and their vectors."""
    names = list(others.images)[:count]
    images = {f"new-{name}": others.images[name] for name in names}
    vectors = {number: others.vectors[number] for number in images.values()}
    return replace(catalog, images=catalog.images | images, vectors=catalog.vectors | vectors)


def changed(catalog: Catalog, seed: int) -> Catalog:
    """Some images are gone, some new, some have another picture, and some another name."""
    random = np.random.default_rng(seed)
    numbers = sorted(set(catalog.images.values()))
    gone = {numbers[at] for at in random.permutation(len(numbers))[:8]}
    new = with_more(without(catalog, gone), scattered(9 + seed, 12 + seed, catalog.metric), 9)
    names = sorted(new.images)
    images = dict(new.images)
    images["another name.jpg"] = images.pop(names[3])
    images[names[5]] = images[names[7]]
    return replace(new, images=images)


BLOCKS = ("neighbors.block_rows=7",)


def renamed(catalog: Catalog) -> Catalog:
    images = {f"renamed-{name}": number for name, number in catalog.images.items()}
    return replace(catalog, images=images)


long = pytest.mark.long


@pytest.mark.parametrize(
    "metric", ["cosine", pytest.param("euclidean", marks=long), pytest.param("dot", marks=long)]
)
def test_nights_of_changes_and_of_other_names_leave_the_tables_of_a_whole_join(
    spark: SparkSession, tmp_path: Path, metric: str
) -> None:
    first = scattered(80, 110, metric)
    second = changed(first, 1)
    catalogs = [first, second, renamed(second), changed(second, 2)]
    found = nights(spark, tmp_path / "root", catalogs, *BLOCKS)
    for catalog, (tables, result) in zip(catalogs, found, strict=True):
        check(tables, catalog)
        assert result.notes["exact"]
    facts: list[dict[str, Any]] = [result.notes.get("maintained", {}) for _, result in found]
    assert facts[0] == {}
    for n in (1, 3):
        old, new = set(catalogs[n - 1].live), set(catalogs[n].live)
        assert (facts[n]["since"], facts[n]["gone"]) == (f"night-{n - 1}", len(old - new))
        assert facts[n]["added"] == len(new - old) >= 5
    nothing = {"added": 0, "gone": 0, "recomputed": 0, "products": 0, "whole_products": 0}
    assert facts[2] == {"since": "night-1", **nothing}
    runs = [result.tables for _, result in found]
    assert runs[2]["neighbor_pool"] == runs[1]["neighbor_pool"]
    assert runs[2]["neighbors"] != runs[1]["neighbors"]
    assert found[2][1].counters["products"] == 0


def test_lists_whose_neighbors_all_left_are_joined_anew(
    spark: SparkSession, tmp_path: Path
) -> None:
    first = crowd(spread(90, 3), "euclidean")
    pools = pools_by_force(first.live, "euclidean", K + SLACK)
    second = without(first, set(pools[min(first.live)]["others"]))
    (_, (tables, result)) = nights(spark, tmp_path / "root", [first, second], *BLOCKS)
    facts = result.notes["maintained"]
    assert (facts["added"], facts["gone"]) == (0, K + SLACK)
    left = {number: set(row["others"]) & set(second.live) for number, row in pools.items()}
    lacking = [number for number in second.live if len(left[number]) < K]
    assert facts["recomputed"] == len(lacking) > 0
    assert facts["products"] == len(lacking) * len(second.live)
    check(tables, second)


def line(**places: float) -> Catalog:
    """Images on a line; the name of each is the number of its vector."""
    numbers = {name: int(name[1:]) for name in places}
    vectors = {numbers[name]: [place] for name, place in places.items()}
    return Catalog(numbers, vectors, "euclidean")


def test_products_of_a_tiny_night_are_those_counted_by_hand(
    spark: SparkSession, tmp_path: Path
) -> None:
    first = line(n1=0.0, n2=1.0, n3=10.0, n4=11.0)
    second = line(n1=0.0, n3=10.0, n4=11.0, n9=0.5)
    more = ("neighbors.k=1", "neighbors.slack=1", "neighbors.rebuild_share=1")
    (whole, kept) = nights(spark, tmp_path / "root", [first, second], *more)
    assert whole[1].counters["products"] == 16
    facts = kept[1].notes["maintained"]
    # four that bound the new one's list, three that stay, and itself
    expected = {"since": "night-0", "added": 1, "gone": 1, "recomputed": 0, "products": 8}
    assert facts == {**expected, "whole_products": 16}
    assert kept[1].counters["products"] == 8
    lists = {row["query_id"]: row["ids"] for row in kept[0]["neighbors_nested"]}
    assert lists == {"n1": ["n9"], "n3": ["n4"], "n4": ["n3"], "n9": ["n1"]}


@long
@pytest.mark.parametrize(("rule", "k"), [("neighbors.k=3", 3), ("neighbors.slack=1", K)])
def test_other_rules_join_anew(spark: SparkSession, tmp_path: Path, rule: str, k: int) -> None:
    catalog, root = scattered(40, 60), tmp_path / "root"
    one_night(spark, root, "one", catalog)
    tables, result = one_night(spark, root, "two", changed(catalog, 1), rule)
    assert "maintained" not in result.notes
    assert result.counters["products"] == result.counters["vectors"] ** 2
    check(tables, changed(catalog, 1), k)


@long
def test_a_night_that_changes_too_much_joins_anew(spark: SparkSession, tmp_path: Path) -> None:
    catalogs = [scattered(30, 40), scattered(35, 40)]
    (_, (tables, result)) = nights(spark, tmp_path / "root", catalogs)
    assert "maintained" not in result.notes
    check(tables, catalogs[1])


@long
def test_lists_that_lose_more_than_was_foreseen_are_all_joined_anew(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Many are near a few that leave: the lists of nearly all have to be made again."""
    first = scattered(60, 60, "euclidean")
    pools = pools_by_force(first.live, "euclidean", K + SLACK)
    listed = [other for row in pools.values() for other in row["others"]]
    hubs = sorted(first.live, key=listed.count)[-12:]
    second = without(first, set(hubs))
    more = ("neighbors.rebuild_share=0.3", *BLOCKS)
    (_, (tables, result)) = nights(spark, tmp_path / "root", [first, second], *more)
    assert list((tmp_path / "root").rglob("neighbor_lacking/*.parquet"))
    assert "maintained" not in result.notes
    check(tables, second)


@long
def test_a_share_of_nothing_always_joins_anew(spark: SparkSession, tmp_path: Path) -> None:
    first = scattered(40, 60)
    second = without(first, {min(first.live)})
    never = "neighbors.rebuild_share=0"
    (_, (tables, result)) = nights(spark, tmp_path / "root", [first, second], never)
    assert "maintained" not in result.notes
    check(tables, second)


@long
def test_another_encoder_joins_anew(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, root = scattered(40, 60), tmp_path / "root"
    one_night(spark, root, "one", catalog)
    need = Draft.need

    def of_another(draft: Draft, stage: str) -> StageRuns:
        found = need(draft, stage)
        other = {**found.notes, "encoder": "other-1"}
        return found.model_copy(update={"notes": other}) if stage == "embed" else found

    monkeypatch.setattr(Draft, "need", of_another)
    _, result = one_night(spark, root, "two", changed(catalog, 1))
    assert "maintained" not in result.notes


class Killed(Exception):
    pass


@contextmanager
def killed_at(place: ModuleType, point: str) -> Iterator[None]:
    """What is run in here ends at a point, as a driver does that is killed there."""

    def reached(name: str) -> None:
        if name == point:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, "reached", reached)
        with pytest.raises(Killed):
            yield


@long
def test_a_night_that_was_killed_before_and_behind_its_pool_ends_at_the_same_rows(
    spark: SparkSession, tmp_path: Path
) -> None:
    first, root = scattered(60, 80), tmp_path / "root"
    second = changed(first, 3)
    one_night(spark, root, "one", first)
    settings, draft = begun(root, "two", second)
    for place, point in ((maintained, "neighbors.met"), (neighbors, "neighbors.pool")):
        with killed_at(place, point):
            neighbors.run(spark, settings, draft)
    result = neighbors.run(spark, settings, draft)
    assert result.notes["maintained"]["since"] == "one"
    assert result.counters["products"] == result.notes["maintained"]["products"] > 0
    check({table: draft_rows(root, "two", "neighbors", table) for table in result.tables}, second)


@long
def test_an_approximate_table_takes_what_is_new_and_says_that_it_is_approximate(
    spark: SparkSession, tmp_path: Path
) -> None:
    first = crowd(spread(300, 6))
    others = crowd(spread(330, 6)[300:])
    gone = set(sorted(first.live)[:9])
    second = with_more(without(first, gone), others, 10)
    more = ("neighbors.method=approximate", "neighbors.recall=0.8", "neighbors.rebuild_share=1")
    (_, (tables, result)) = nights(spark, tmp_path / "root", [first, second], *more)
    facts: dict[str, Any] = result.notes["maintained"]
    assert (facts["added"], facts["gone"]) == (10, 9)
    assert (result.notes["exact"], result.notes["target"]) == (False, 0.8)
    pool = {row["vector_no"]: row for row in tables["neighbor_pool"]}
    assert sorted(pool) == sorted(second.live)
    assert {(row["radius"], row["radius_no"]) for row in pool.values()} == {(-np.inf, 0)}
    true = pools_by_force(second.live, "cosine", K)
    hits = 0
    for number, row in pool.items():
        own = second.live[number]
        assert len(row["others"]) >= K
        assert not gone & set(row["others"])
        assert row["distances"] == sorted(row["distances"])
        for far, other in zip(row["distances"], row["others"], strict=True):
            assert far == distance("cosine", own, second.live[other])
        hits += len(set(row["others"][:K]) & set(true[number]["others"]))
        if number in others.live:
            assert row["others"][:K] == true[number]["others"]
    assert hits / K / len(pool) >= 0.8
