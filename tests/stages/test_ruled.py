"""Tables under rules, through the stage, against plain loops over images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from artrec.schemas import TABLES
from artrec.stages import neighbors
from artrec.stages.neighbors.ruled import dealing
from tests.brute_force import Vectors, distance
from tests.nights import draft_rows, opened, put, settings_of

Rows = list[dict[str, Any]]
Labels = dict[str, str | None]


@dataclass(frozen=True)
class Image:
    """A row of the catalog: its vector's number, and labels, those of ``extra`` as extra.KEY."""

    number: int
    labels: Labels


@dataclass(frozen=True)
class Catalog:
    """Images by name, and the vectors behind their numbers."""

    images: dict[str, Image]
    vectors: Vectors
    metric: str = "cosine"


@dataclass(frozen=True)
class Rule:
    """What a table asks for, as the settings write it."""

    k: int
    within: list[str] = field(default_factory=list)
    never: list[str] = field(default_factory=list)
    at_most: dict[str, int] = field(default_factory=dict)
    collapse: bool = False
    only: dict[str, str] = field(default_factory=dict)
    diversity: float = 1.0
    candidates: int = 0

    def settings(self, name: str) -> list[str]:
        return [
            f"neighbors.tables.{name}.{key}={value}".replace("'", "")
            for key, value in vars(self).items()
            if value
        ]


def scattered(n: int, names: int, metric: str = "cosine") -> Catalog:
    """``n`` contents under ``names`` names. Vectors are small whole numbers, so that many are equal
    or tie; of the labels one in six is missing, and the names of a content may differ in them.
    """
    random = np.random.default_rng(n)
    numbers = (random.permutation(2**20)[:n] + 5).tolist()
    vectors = random.integers(1, 5, (n, 3)).astype(float).tolist()
    owners = [*range(n), *random.integers(0, n, names - n).tolist()]
    images = {}
    for place, owner in zip(random.permutation(names).tolist(), owners, strict=True):
        labels: Labels = {
            "style": f"style {random.integers(3)}",
            "artist": f"artist {random.integers(6)}",
            "genre": f"genre {random.integers(2)}",
            "extra.shop": str(random.integers(2)),
        }
        known = {k: v if random.random() > 1 / 6 else None for k, v in labels.items()}
        images[f"{place:03d}.jpg"] = Image(numbers[owner], known)
    return Catalog(images, dict(zip(numbers, vectors, strict=True)), metric)


def by_force(catalog: Catalog, rule: Rule) -> tuple[dict[str, list[tuple[str, float]]], Rows]:
    """The list of each image, and which are short and why: one candidate after the other."""
    far = {
        (p, q): distance(catalog.metric, catalog.vectors[p], catalog.vectors[q])
        for p in catalog.vectors
        for q in catalog.vectors
    }
    lists: dict[str, list[tuple[str, float]]] = {}
    short: Rows = []
    for query, own in sorted(catalog.images.items()):
        permitted, taken = 0, []
        copies = {tuple(catalog.vectors[own.number])}
        of_value = Counter[str]()
        order = sorted(
            (far[own.number, other.number], other.number, name)
            for name, other in catalog.images.items()
            if name != query
        )
        for apart, number, name in order:
            other = catalog.images[name].labels
            if any(other[column] != value for column, value in rule.only.items()):
                continue
            mine = own.labels
            if any(mine[c] is None or mine[c] != other[c] for c in rule.within):
                continue
            if any(mine[c] is not None and mine[c] == other[c] for c in rule.never):
                continue
            permitted += 1
            vector = tuple(catalog.vectors[number])
            if rule.collapse and vector in copies:
                continue
            copies.add(vector)
            if rule.at_most:
                ((column, most),) = rule.at_most.items()
                value = other[column]
                if value is not None:
                    of_value[value] += 1
                    if of_value[value] > most:
                        continue
            taken.append((name, apart))
        lists[query] = taken[: rule.candidates or rule.k]
        if len(taken) < rule.k:
            nowhere = any(own.labels[column] is None for column in rule.within)
            few = "few_candidates" if permitted < rule.k else "few_left"
            reason = "no_label" if nowhere else few
            short.append({"query_id": query, "listed": len(taken), "reason": reason})
    return lists, short


def catalog_rows(catalog: Catalog) -> Rows:
    given = {"source": "a", "width": 1, "height": 1, "format": "PNG", "bytes": 1}
    history = {"first_release": "one", "changed_release": "one"}
    rows: Rows = []
    for entry, (name, image) in enumerate(sorted(catalog.images.items())):
        plain = {k: v for k, v in image.labels.items() if not k.startswith("extra.")}
        extra = [
            (key.removeprefix("extra."), value)
            for key, value in image.labels.items()
            if key.startswith("extra.") and value is not None
        ]
        row = {**dict.fromkeys(TABLES["catalog"].columns.names), **given, **history, **plain}
        row |= {"image_id": name, "entry": entry, "vector_no": image.number, "extra": extra}
        rows.append(row | {"content_sha256": content(image.number)})
    return rows


def content(number: int) -> bytes:
    return (2 * number).to_bytes(8, "big") + bytes(24)


def made(
    spark: SparkSession, root: Path, catalog: Catalog, rules: dict[str, Rule], *more: str
) -> dict[str, Rows]:
    """The tables that neighbors makes of a catalog."""
    asked = [line for name, rule in rules.items() for line in rule.settings(name)]
    settings = settings_of(f"store.root={root}", "neighbors.k=3", *asked, *more)
    draft = opened(settings, "one")
    draft.hold("literal")
    live = [{"vector_no": n, "embedding": v} for n, v in sorted(catalog.vectors.items())]
    put(draft, "catalog", {"catalog": catalog_rows(catalog), "live_vectors": live})
    vectors = [
        {"content_sha256": content(number), "encoder": "mine-1", "vector_no": number}
        | {"embedding": vector, "reason": None, "detail": None}
        for number, vector in catalog.vectors.items()
    ]
    dim = len(next(iter(catalog.vectors.values())))
    notes = {"encoder": "mine-1", "metric": catalog.metric, "dim": dim}
    put(draft, "embed", {"vectors": vectors}, **notes)
    result = neighbors.run(spark, settings, draft)
    return {table: draft_rows(root, "one", "neighbors", table) for table in result.tables}


def flat_lists(rows: Rows) -> dict[str, list[tuple[str, float]]]:
    lists: dict[str, list[tuple[str, float]]] = {}
    for row in rows:
        entries = lists.setdefault(row["query_id"], [])
        assert row["rank"] == len(entries) + 1
        entries.append((row["neighbor_id"], row["distance"]))
    return lists


def check(found: dict[str, Rows], catalog: Catalog, name: str, rule: Rule) -> None:
    expected, short = by_force(catalog, rule)
    nested = {
        row["query_id"]: list(zip(row["ids"], row["distances"], strict=True))
        for row in found[f"neighbors_{name}_nested"]
    }
    assert list(nested) == sorted(catalog.images)
    assert nested == expected
    flat = flat_lists(found[f"neighbors_{name}"])
    assert flat == {query: entries for query, entries in expected.items() if entries}
    assert found[f"neighbors_{name}_short"] == short


RULES = {
    "in_style": Rule(5, within=["style"]),
    "others": Rule(4, never=["artist"]),
    "two_each": Rule(6, at_most={"artist": 2}),
    "once": Rule(4, collapse=True),
    "in_shop": Rule(4, only={"extra.shop": "1"}),
    "of_all": Rule(
        4,
        within=["style"],
        never=["artist", "genre"],
        at_most={"genre": 3},
        collapse=True,
        only={"extra.shop": "1"},
    ),
}


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_tables_are_what_loops_over_images_give(
    spark: SparkSession, tmp_path: Path, metric: str
) -> None:
    catalog = scattered(60, 90, metric)
    found = made(spark, tmp_path, catalog, RULES, "neighbors.slack=2")
    for name, rule in RULES.items():
        check(found, catalog, name, rule)


def test_groups_that_are_cut_to_blocks_give_the_same(spark: SparkSession, tmp_path: Path) -> None:
    catalog = scattered(60, 90)
    found = made(spark, tmp_path, catalog, RULES, "neighbors.slack=2", "neighbors.block_rows=7")
    for name, rule in RULES.items():
        check(found, catalog, name, rule)
