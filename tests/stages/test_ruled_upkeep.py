"""Tables under rules, night after night: those kept up to date are those of loops over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from artrec.releases import Draft, StageRuns
from artrec.stages import neighbors
from artrec.vectors import METRICS
from tests.nights import draft_rows, opened, put, settings_of
from tests.stages.test_maintained import release
from tests.stages.test_ruled import (
    RULES,
    Catalog,
    Image,
    Rows,
    Rule,
    catalog_rows,
    check,
    content,
    scattered,
    some,
)

ALWAYS = ("neighbors.slack=4", "neighbors.rebuild_share=1")


def filled(draft: Draft, catalog: Catalog) -> None:
    """The stages before, of the vectors that the catalog names."""
    used = {image.number for image in catalog.images.values()}
    live = [{"vector_no": n, "embedding": catalog.vectors[n]} for n in sorted(used)]
    put(draft, "catalog", {"catalog": catalog_rows(catalog), "live_vectors": live})
    vectors = [
        {"content_sha256": content(n), "encoder": "mine-1", "vector_no": n}
        | {"embedding": catalog.vectors[n], "reason": None, "detail": None}
        for n in sorted(used)
    ]
    notes = {"encoder": "mine-1", "metric": catalog.metric, "dim": 3}
    put(draft, "embed", {"vectors": vectors}, **notes)


def one_night(
    spark: SparkSession, root: Path, name: str, catalog: Catalog, rules: dict[str, Rule], *more: str
) -> tuple[dict[str, Rows], StageRuns]:
    """The tables of one night and its record; the release is published."""
    asked = [line for rule, each in rules.items() for line in each.settings(rule)]
    settings = settings_of(f"store.root={root}", "neighbors.k=3", *asked, *ALWAYS, *more)
    draft = opened(settings, name)
    draft.hold(name)
    filled(draft, catalog)
    result = neighbors.run(spark, settings, draft)
    release(draft, catalog, result)  # type: ignore[arg-type]
    return {table: draft_rows(root, name, "neighbors", table) for table in result.tables}, result


def changed(catalog: Catalog, seed: int, more: int = 8, fewer: int = 6, others: int = 5) -> Catalog:
    """Some images gone, some under other labels, some new; of these half of a known content."""
    random = np.random.default_rng(seed)
    names = random.permutation(sorted(catalog.images)).tolist()
    images = {name: catalog.images[name] for name in names[fewer:]}
    for name in names[fewer : fewer + others]:
        labels = {**images[name].labels, "artist": f"artist {random.integers(6)}", "style": None}
        images[name] = Image(images[name].number, labels)
    vectors = dict(catalog.vectors)
    fresh = (random.permutation(2**20)[:more] + 2**21).tolist()
    for place, number in enumerate(fresh):
        if place % 2:
            vectors[number] = random.integers(1, 5, 3).astype(float).tolist()
        else:
            number = names[-1 - place] and images[names[-1 - place]].number
        labels = {
            "style": f"style {random.integers(3)}",
            "artist": f"artist {random.integers(6)}",
            "genre": f"genre {random.integers(2)}",
            "extra.shop": str(random.integers(2)),
        }
        images[f"{place:03d}-{seed}.jpg"] = Image(number, labels)
    return replace(catalog, images=images, vectors=vectors)


def kept(result: StageRuns, name: str) -> dict[str, Any]:
    """What was done for a table; it was kept up to date."""
    found: dict[str, Any] = result.notes["tables"][name]["maintained"]
    return found


def through(
    spark: SparkSession, root: Path, catalogs: Sequence[Catalog], rules: dict[str, Rule], *more: str
) -> list[StageRuns]:
    """Nights, each checked by loops over its images."""
    results = []
    for n, catalog in enumerate(catalogs):
        found, result = one_night(spark, root, f"night-{n}", catalog, rules, *more)
        for name, rule in rules.items():
            check(found, catalog, name, rule)
        results.append(result)
    return results


def history(catalog: Catalog, nights: int) -> list[Catalog]:
    found = [catalog]
    for n in range(nights):
        found.append(changed(found[-1], n))
    return found


def test_a_night_of_additions_deletions_and_relabels_gives_what_loops_give(
    spark: SparkSession, tmp_path: Path
) -> None:
    catalogs = history(scattered(70, 100), 1)
    _, second = through(spark, tmp_path, catalogs, some("of_all"))
    facts = kept(second, "of_all")
    assert facts["since"] == "night-0"
    assert min(facts[each] for each in ("added", "gone", "relabelled", "products")) > 0


@pytest.mark.long
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_kept_for_three_nights(
    spark: SparkSession, tmp_path: Path, name: str, metric: str
) -> None:
    catalogs = history(scattered(70, 110, metric), 3)
    results = through(spark, tmp_path, catalogs, some(name), "neighbors.block_rows=17")
    assert all("maintained" in each.notes["tables"][name] for each in results[1:])


@pytest.mark.long
def test_a_table_kept_up_to_date_bears_the_name_of_one_joined_anew(
    spark: SparkSession, tmp_path: Path
) -> None:
    first, second = history(scattered(40, 60), 1)
    rules = some("others")
    one_night(spark, tmp_path / "a", "night-0", first, rules)
    found, upkept = one_night(spark, tmp_path / "a", "night-1", second, rules)
    alone, anew = one_night(spark, tmp_path / "b", "night-1", second, rules)
    assert kept(upkept, "others")["recomputed"] >= 0
    assert "maintained" not in anew.notes["tables"]["others"]
    for part in ("", "_nested", "_short"):
        table = f"neighbors_others{part}"
        assert found[table] == alone[table]
        names = [[ref.run_id for ref in each.tables[table]] for each in (upkept, anew)]
        assert names[0] == names[1]


@pytest.mark.long
def test_too_many_changes_and_another_rule_are_joined_anew(
    spark: SparkSession, tmp_path: Path
) -> None:
    first, second = history(scattered(30, 40), 1)
    one_night(spark, tmp_path, "night-0", first, some("others"))
    rules = {"others": replace(RULES["others"], never=["genre"])}
    found, result = one_night(spark, tmp_path, "night-1", second, rules)
    check(found, second, "others", rules["others"])
    assert "maintained" not in result.notes["tables"]["others"]
    third = changed(second, 7)
    few = ("neighbors.rebuild_share=0.01",)
    found, result = one_night(spark, tmp_path, "night-2", third, rules, *few)
    check(found, third, "others", rules["others"])
    assert "maintained" not in result.notes["tables"]["others"]
