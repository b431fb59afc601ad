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

from artrec.releases import Draft, Release, StageRuns, publish
from artrec.stages import neighbors
from artrec.stages.neighbors import maintained
from tests.brute_force import distance, pools_by_force
from tests.nights import draft_rows, opened, settings_of
from tests.stages.test_neighbors import Catalog, Rows, fill, scattered
from tests.stages.test_neighbors_approximate import crowd
from tests.vectors.test_join import spread

K, SLACK = 4, 2
PUBLISHED = ("neighbors", "neighbors_nested")
Found = tuple[dict[str, Rows], StageRuns]


def one_night(spark: SparkSession, root: Path, name: str, catalog: Catalog, *more: str) -> Found:
    """The tables of one night and its record; the release is published."""
    rules = (f"neighbors.k={K}", f"neighbors.slack={SLACK}", *more)
    settings = settings_of(f"store.root={root}", *rules)
    draft = opened(settings, name)
    draft.hold(name)
    fill(draft, catalog)
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


def rebuilt(spark: SparkSession, root: Path, catalog: Catalog, *more: str) -> dict[str, Rows]:
    """What a store without a release makes of it."""
    found, result = one_night(spark, root, "only", catalog, *more)
    assert "maintained" not in result.notes
    return found


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


def law(pool: Rows, catalog: Catalog) -> None:
    """Each pool holds all that is nearer than its radius, and the first k."""
    whole = pools_by_force(catalog.live, catalog.metric, len(catalog.live))
    assert [row["vector_no"] for row in pool] == sorted(catalog.live)
    for row in pool:
        everybody = whole[row["vector_no"]]
        order = list(zip(everybody["distances"], everybody["others"], strict=True))
        reach = (row["radius"], row["radius_no"])
        within = [other for far, other in order if (far, other) <= reach]
        assert row["others"] == within
        assert len(within) >= min(K, len(order))


BLOCKS = ("neighbors.block_rows=7",)


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot"])
def test_nights_of_changes_leave_the_tables_of_a_whole_join(
    spark: SparkSession, tmp_path: Path, metric: str
) -> None:
    first = scattered(80, 110, metric)
    second = changed(first, 1)
    third = changed(second, 2)
    found = nights(spark, tmp_path / "root", [first, second, third], *BLOCKS)
    for _, result in found[1:]:
        assert result.notes["maintained"]["added"] >= 5
        assert result.notes["maintained"]["gone"] >= 8
    for n, (catalog, (tables, result)) in enumerate(zip((second, third), found[1:], strict=True)):
        anew = rebuilt(spark, tmp_path / f"anew-{n}", catalog, *BLOCKS)
        assert {name: tables[name] for name in PUBLISHED} == {
            name: anew[name] for name in PUBLISHED
        }
        law(tables["neighbor_pool"], catalog)
        assert result.notes["exact"]


def test_lists_whose_neighbors_all_left_are_joined_anew(
    spark: SparkSession, tmp_path: Path
) -> None:
    first = crowd(spread(90, 3), "euclidean")
    pools = pools_by_force(first.live, "euclidean", K + SLACK)
    asked = min(first.live)
    second = without(first, set(pools[asked]["others"]))
    (_, (tables, result)) = nights(spark, tmp_path / "root", [first, second], *BLOCKS)
    facts = result.notes["maintained"]
    assert (facts["added"], facts["gone"]) == (0, K + SLACK)
    assert 1 <= facts["recomputed"] < 40
    assert facts["products"] == facts["recomputed"] * len(second.live)
    anew = rebuilt(spark, tmp_path / "anew", second)
    assert [tables[name] for name in PUBLISHED] == [anew[name] for name in PUBLISHED]
    law(tables["neighbor_pool"], second)


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


def test_other_names_alone_multiply_nothing_and_leave_the_pool_where_it_is(
    spark: SparkSession, tmp_path: Path
) -> None:
    first, root = scattered(40, 60), tmp_path / "root"
    names = sorted(first.images)
    images = {f"renamed-{n}": first.images[name] for n, name in enumerate(names)}
    second = replace(first, images=images)
    ((_, before), (tables, result)) = nights(spark, root, [first, second])
    assert result.tables["neighbor_pool"] == before.tables["neighbor_pool"]
    assert result.tables["neighbors"] != before.tables["neighbors"]
    assert result.counters["products"] == 0
    assert result.notes["maintained"]["since"] == "night-0"
    anew = rebuilt(spark, tmp_path / "anew", second)
    assert tables == anew


@pytest.mark.parametrize("rule", ["neighbors.k=3", "neighbors.slack=1"])
def test_other_rules_join_anew(spark: SparkSession, tmp_path: Path, rule: str) -> None:
    catalog = scattered(40, 60)
    root = tmp_path / "root"
    one_night(spark, root, "one", catalog)
    tables, result = one_night(spark, root, "two", changed(catalog, 1), rule)
    assert "maintained" not in result.notes
    assert result.counters["products"] == result.counters["vectors"] ** 2
    only = rebuilt(spark, tmp_path / "anew", changed(catalog, 1), rule)
    assert tables == only


def test_a_night_that_changes_too_much_joins_anew(spark: SparkSession, tmp_path: Path) -> None:
    first, second = scattered(30, 40), scattered(35, 40)
    (_, (tables, result)) = nights(spark, tmp_path / "root", [first, second])
    assert "maintained" not in result.notes
    assert tables == rebuilt(spark, tmp_path / "anew", second)


def test_a_share_of_nothing_always_joins_anew(spark: SparkSession, tmp_path: Path) -> None:
    first = scattered(40, 60)
    second = without(first, {min(first.live)})
    never = "neighbors.rebuild_share=0"
    (_, (tables, result)) = nights(spark, tmp_path / "root", [first, second], never)
    assert "maintained" not in result.notes
    assert tables == rebuilt(spark, tmp_path / "anew", second)


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

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(place, "reached", reached)
        yield


def test_a_night_that_was_killed_before_and_behind_its_pool_ends_at_the_same_rows(
    spark: SparkSession, tmp_path: Path
) -> None:
    first, root = scattered(60, 80), tmp_path / "root"
    second = changed(first, 3)
    one_night(spark, root, "one", first)
    for place, point in ((maintained, "neighbors.met"), (neighbors, "neighbors.pool")):
        with killed_at(place, point):
            one_night(spark, root, "two", second)
    tables, result = one_night(spark, root, "two", second)
    assert result.notes["maintained"]["since"] == "one"
    assert result.counters["products"] == result.notes["maintained"]["products"] > 0
    anew = rebuilt(spark, tmp_path / "anew", second)
    assert [tables[name] for name in PUBLISHED] == [anew[name] for name in PUBLISHED]


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
