"""Tables under rules, through the stage, against plain loops over images."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from artrec.commands.export import export
from artrec.config.ruling import RuleTable
from artrec.errors import ArtrecError
from artrec.releases.verify import verify
from artrec.schemas import TABLES, rule_tables
from artrec.stages import neighbors
from artrec.stages.evaluate.counting import ruled_counts
from artrec.stages.neighbors import atonce, ruled
from artrec.stages.neighbors.ruled import dealing, naming
from artrec.stages.neighbors.ruled.names import Images
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.stages.session import Options, execute
from artrec.storage import open_store
from artrec.tables import TableWriter
from artrec.vectors import METRICS
from artrec.vectors.rules import FREE, SHORTAGES, Lists
from artrec.vectors.topk import NOBODY
from tests.brute_force import EVERYBODY, Vectors, distance
from tests.nights import Night, draft_rows, night, opened, put, settings_of

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
    spark: SparkSession,
    root: Path,
    catalog: Catalog,
    rules: dict[str, Rule],
    *more: str,
    gone: int | None = None,
) -> dict[str, Rows]:
    """The tables that neighbors makes of a catalog, of which one vector may be gone."""
    asked = [line for name, rule in rules.items() for line in rule.settings(name)]
    settings = settings_of(f"store.root={root}", "neighbors.k=3", *asked, *more)
    draft = opened(settings, "one")
    draft.hold("literal")
    live = [{"vector_no": n, "embedding": v} for n, v in sorted(catalog.vectors.items())]
    live = [row for row in live if row["vector_no"] != gone]
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


def test_short_lists_are_written_with_the_sum_of_what_is_explained(tmp_path: Path) -> None:
    lists = Lists.empty(4, 3)
    lists.ids[1, :1] = lists.ids[2, :2] = 7
    lists.ids[3] = 7
    reasons = np.array([SHORTAGES.index(r) for r in ("no_label", "unexplained", "few_left", "")])
    batch = pa.RecordBatch.from_pydict({"image_id": ["a", "b", "c", "d"]})
    store, table = open_store(str(tmp_path)), rule_tables("x")["neighbors_x_short"]
    with TableWriter(store, "runs/x", table, "all") as writer:
        counters = naming._write_short(batch, lists, reasons, writer, 3)
    assert counters == {
        **{"short_no_label": 1, "short_unexplained": 1, "short_few_left": 1},
        "explained": 3 + 1,
    }


def test_rows_are_listed_together_as_far_as_their_candidates_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Entity 0 is one image, entity 1 has 6; a list of 3 looks at 4 of them at most."""
    owners = np.array([0, 1, 1, 1, 1, 1, 1])
    everybody = np.arange(7)
    nobody = np.zeros(7, np.bool_)
    names = pa.array([f"{n}" for n in everybody], pa.large_string())
    images = Images(names, everybody, owners, everybody, np.full(7, FREE, np.int32), nobody)
    pools = [[0, 1]] * 3 + [[1, 1, 1]] + [[0]] * 4 + [[]]
    columns = ("entity", "own", "place", "others", "distances")
    rows = [(0, 0.0, 6, others, [0.5] * len(others)) for others in pools]
    schema = pa.schema([("entity", pa.int64()), ("own", pa.float32()), ("place", pa.int64())])
    schema = schema.append(pa.field("others", pa.list_(pa.int64())))
    schema = schema.append(pa.field("distances", pa.list_(pa.float32())))
    batch = pa.RecordBatch.from_pylist([dict(zip(columns, r, strict=True)) for r in rows], schema)
    asked = Asked("x", RuleTable(never=("genre",)), 3, 2)
    (whole,) = naming._slices(images, batch, asked)
    assert whole.num_rows == 9
    monkeypatch.setattr("artrec.stages.neighbors.naming.ENTRIES", 10)
    slices = list(naming._slices(images, batch, asked))
    # 5 candidates in each of the first three rows, 12 in the next, one in each of four
    assert [some.column("others").to_pylist() for some in slices] == [
        *([[0, 1]], [[0, 1], [0, 1]], [[1, 1, 1]], [[0], [0], [0], [0], []])
    ]
    together = naming._listed(images, batch, asked)
    apart = [naming._listed(images, some, asked) for some in slices]
    assert np.array_equal(np.concatenate([each.ids for each in apart]), together.ids)
    assert together.ids[4].tolist() == [0, NOBODY, NOBODY]
    assert list(naming._slices(images, batch.slice(0, 0), asked)) == []


def one_row(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([columns])


@pytest.mark.parametrize(
    ("listed", "permitted", "nowhere", "radius", "capped", "reason"),
    [
        (3, 9, False, 0.5, False, ""),
        (2, 2, False, math.inf, False, "few_candidates"),
        (1, 2, False, math.inf, False, "unexplained"),
        (2, 3, False, math.inf, False, "unexplained"),
        (2, 3, False, math.inf, True, "few_left"),
        (1, 2, False, math.inf, True, "few_candidates"),
        (2, 3, False, 0.5, True, "unexplained"),  # the pool was cut, so there are others
        (0, 0, True, math.inf, False, "no_label"),
    ],
)
def test_only_a_cap_explains_a_list_of_less_than_conditions_permit(
    listed: int, permitted: int, nowhere: bool, radius: float, capped: bool, reason: str
) -> None:
    lists = Lists.empty(1, 3)
    lists.ids[0, :listed] = range(listed)
    batch = one_row(permitted=permitted, nowhere=nowhere, radius=radius)
    for condition in ({"collapse": True}, {"at_most": {"artist": 1}}) if capped else ({},):
        rule = RuleTable.model_validate({"never": ["genre"], **condition})
        (found,) = naming._reasons(batch, lists, Asked("x", rule, 3, 2))
        assert SHORTAGES[found] == reason


def test_entries_that_are_missing_without_a_reason_are_counted(tmp_path: Path) -> None:
    """Three lists of three: two entries are missing that nothing explains, and one that has a
    reason."""
    draft = opened(settings_of(f"store.root={tmp_path}"), "one")
    draft.hold("literal")
    listed = {"a": 3, "b": 1, "c": 2}
    flat = [
        {"query_id": query, "rank": rank, "neighbor_id": "x", "distance": 0.0}
        for query, count in listed.items()
        for rank in range(1, count + 1)
    ]
    nested = [
        {"query_id": query, "ids": ["x"] * count, "distances": [0.0] * count}
        for query, count in listed.items()
    ]
    tables = {"neighbors_x": flat, "neighbors_x_nested": nested, "neighbors_x_short": []}
    put(draft, "neighbors", tables, tables={"x": {"k": 3, "explained": 1}})
    for path in tmp_path.rglob("*.parquet"):
        path.unlink()  # the tables grow with the images: they are not read for it
    assert ruled_counts(draft) == {"x": {"lists": 3, "unexplained": 2}}


@pytest.mark.parametrize("block", [1000, pytest.param(13, marks=pytest.mark.long)])
def test_a_table_whose_join_has_lost_a_vector_is_not_recorded(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(atonce, "BYTES", 0)  # lists by Spark's join: the rule's are looked at first
    catalog = scattered(40, 50)
    asked = (f"neighbors.block_rows={block}", "neighbors.slack=2")
    entities = len({(i.number, i.labels["artist"]) for i in catalog.images.values()})
    gone = min(catalog.vectors)
    lost = len({i.labels["artist"] for i in catalog.images.values() if i.number == gone})
    said = f"neighbors_others: the join under the rule has {entities - lost} of {entities} entities"
    with pytest.raises(ArtrecError, match=re.escape(said)):
        made(spark, tmp_path, catalog, some("others"), *asked, gone=gone)
    assert not any("neighbors_others" in path.read_text() for path in tmp_path.rglob("run.json"))


def test_lists_made_in_one_task_say_which_images_have_no_pool(
    spark: SparkSession, tmp_path: Path
) -> None:
    catalog = scattered(40, 50)
    gone = min(catalog.vectors)
    images = sum(image.number == gone for image in catalog.images.values())
    said = f"{images} images of the catalog have no list in neighbor_pool"
    with pytest.raises(Exception, match=re.escape(said)):
        made(spark, tmp_path, catalog, some("others"), gone=gone)
    assert not any("neighbors_others" in path.read_text() for path in tmp_path.rglob("run.json"))


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
    "two_in_style": Rule(5, within=["style"], at_most={"artist": 2}, never=["genre"]),
    "two_once": Rule(5, at_most={"extra.shop": 2}, collapse=True),
    "nobody": Rule(3, only={"style": "no style"}),
}


SHOP = "extra.shop"


def some(*names: str) -> dict[str, Rule]:
    return {name: RULES[name] for name in names}


def checked(
    spark: SparkSession, root: Path, catalog: Catalog, rules: dict[str, Rule], *more: str
) -> None:
    found = made(spark, root, catalog, rules, "neighbors.slack=2", *more)
    for name, rule in rules.items():
        check(found, catalog, name, rule)


def test_tables_are_what_loops_over_images_give(spark: SparkSession, tmp_path: Path) -> None:
    checked(spark, tmp_path, scattered(60, 90), some("two_each", "of_all"))


def test_where_there_is_no_image_no_table_has_a_row(spark: SparkSession, tmp_path: Path) -> None:
    nobody = Catalog(images={}, vectors={5: [1.0, 2.0]})
    found = made(spark, tmp_path, nobody, some("two_once", "two_in_style"), gone=5)
    assert {table for table, rows in found.items() if rows} == set()
    assert {"neighbors", "neighbors_two_once", "neighbors_two_in_style_pool"} <= found.keys()


def test_groups_that_are_cut_to_blocks_give_the_same(spark: SparkSession, tmp_path: Path) -> None:
    rules = some("two_once", "two_in_style")
    checked(spark, tmp_path, scattered(50, 80, "dot"), rules, "neighbors.block_rows=13")
    parts = {path.name.split("-")[1] for path in tmp_path.rglob("ruled_rows/*.parquet")}
    assert len(parts) > 4


@pytest.mark.long
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("block", [9, 1000])
@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_kept_by_packs_and_by_blocks(
    spark: SparkSession, tmp_path: Path, name: str, block: int, metric: str
) -> None:
    catalog = scattered(70, 110, metric)
    checked(spark, tmp_path, catalog, some(name), f"neighbors.block_rows={block}")


@pytest.mark.long
def test_small_groups_share_packs_and_seldom_ones_are_cut(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dealing, "PACK_WORK", 200)
    rules = {"in_artist": Rule(4, within=["artist", "genre"]), **some("in_style")}
    checked(spark, tmp_path, scattered(80, 120), rules, "neighbors.block_rows=24")


def test_diversity_is_maximal_marginal_relevance_of_the_list_by_force(
    spark: SparkSession, tmp_path: Path
) -> None:
    catalog = scattered(40, 55, "euclidean")
    rule = Rule(4, at_most={"artist": 3}, diversity=0.4, candidates=9)
    found = made(spark, tmp_path, catalog, {"spread": rule})
    lists, short = by_force(catalog, rule)
    assert max(map(len, lists.values())) == 9
    expected = {query: re_ranked(catalog, entries, 4, 0.4) for query, entries in lists.items()}
    assert flat_lists(found["neighbors_spread"]) == expected
    assert any(entries != lists[query][:4] for query, entries in expected.items())
    assert found["neighbors_spread_short"] == short == []


def re_ranked(
    catalog: Catalog, entries: list[tuple[str, float]], k: int, relevance: float
) -> list[tuple[str, float]]:
    """By the definition: next is who is near the query and far from those taken."""

    def apart(one: str, other: str) -> float:
        a, b = (catalog.vectors[catalog.images[name].number] for name in (one, other))
        return distance(catalog.metric, a, b)

    left, taken = list(entries), [entries[0]]
    left.remove(entries[0])
    while left and len(taken) < k:
        gains = [
            (1 - relevance) * min(apart(name, each) for each, _ in taken) - relevance * far
            for name, far in left
        ]
        taken.append(left.pop(gains.index(max(gains))))
    return taken


def test_a_pool_says_how_far_it_is_complete(spark: SparkSession, tmp_path: Path) -> None:
    """Each row is what one image of those labels could have of all other vectors with labels; of a
    value two more than may stand, so twice as many entries, and the slack."""
    catalog = scattered(40, 60)
    rule = Rule(3, never=["artist", "genre"], at_most={"extra.shop": 2})
    found = made(spark, tmp_path, catalog, {"x": rule}, "neighbors.slack=2")
    pool = {row["entity"]: row for row in found["neighbors_x_pool"]}
    assert list(pool) == sorted(pool)
    places = sorted((image.number, name) for name, image in catalog.images.items())
    for entity, row in pool.items():
        number, name = places[entity]
        labels = {key: catalog.images[name].labels[key] for key in ("artist", "genre", SHOP)}
        assert (row["vector_no"], json.loads(row["labels"])) == (number, labels)
        order = []
        for other, each in pool.items():
            known = json.loads(each["labels"])
            if other != entity and may_meet(labels, known):
                far = distance("cosine", *(catalog.vectors[n] for n in (number, each["vector_no"])))
                order.append((far, other, known[SHOP]))
        taken, of_value = [], Counter[str]()
        for far, other, value in sorted(order, key=lambda entry: entry[:2]):
            of_value[value] += 1
            if value is None or of_value[value] <= 2 + 2:
                taken.append((other, far))
        allowed = [o for o, image in catalog.images.items() if may_meet(labels, image.labels)]
        assert row["permitted"] == len(set(allowed) - {name})
        listed = list(zip(row["others"], row["distances"], strict=True))
        assert listed == taken[: 2 * 3 + 2]
        end = (taken[7][1], taken[7][0]) if len(taken) > 8 else EVERYBODY
        assert (row["radius"], row["radius_entity"]) == end


def may_meet(mine: Labels, theirs: Labels) -> bool:
    return all(mine[c] is None or mine[c] != theirs[c] for c in ("artist", "genre"))


def test_the_order_of_columns_makes_no_other_run(tmp_path: Path) -> None:
    rules = (
        "within: [style, genre], never: [artist, title]",
        "within: [genre, style], never: [title, artist]",
        "within: [style, artist], never: [genre, title]",
    )
    names = [run_of(tmp_path / str(n), rule) for n, rule in enumerate(rules)]
    assert names[0] == names[1] != names[2]


def run_of(root: Path, rule: str) -> str:
    """The name of a table's run, on a catalog without rows."""
    settings = settings_of(f"store.root={root}", f"neighbors.tables.x={{{rule}}}")
    draft = opened(settings, "one")
    draft.hold("literal")
    put(draft, "catalog", {"catalog": [], "live_vectors": []})
    put(draft, "embed", {"vectors": []}, encoder="mine-1", metric="cosine", dim=3)
    return ruled.begun_runs(settings, draft)["x"].run_id


def test_another_table_makes_none_of_the_others_again(spark: SparkSession, tmp_path: Path) -> None:
    catalog, one = scattered(30, 40), some("others")
    made(spark, tmp_path / "one", catalog, one)
    shutil.copytree(tmp_path / "one/runs/neighbors", tmp_path / "two/runs/neighbors")
    before = set((tmp_path / "two" / "runs").rglob("neighbors_others*/*.parquet"))
    found = made(spark, tmp_path / "two", catalog, one | some("once"))
    assert set((tmp_path / "two" / "runs").rglob("neighbors_others*/*.parquet")) == before
    for name, rule in (one | some("once")).items():
        check(found, catalog, name, rule)


def test_one_single_image_has_an_empty_list_that_says_why(
    spark: SparkSession, tmp_path: Path
) -> None:
    catalog = Catalog({"alone": Image(5, {"style": None})}, {5: [1.0, 2.0]})
    found = made(spark, tmp_path, catalog, {"x": Rule(3, within=["style"])})
    assert found["neighbors_x_nested"] == [{"query_id": "alone", "ids": [], "distances": []}]
    assert found["neighbors_x"] == []
    assert found["neighbors_x_short"] == [{"query_id": "alone", "listed": 0, "reason": "no_label"}]
    (row,) = found["neighbors_x_pool"]
    assert (row["nowhere"], row["others"], row["radius"]) == (True, [], math.inf)


# The release.

TABLES_OF_A_NIGHT = (
    "neighbors.tables.in_style.within=[style]",
    "neighbors.tables.others={never: [artist], k: 2}",
)


@pytest.fixture(scope="module")
def with_tables(release: Night, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """The first night again, on a copy of its store, with two tables more."""
    root = tmp_path_factory.mktemp("ruled") / "root"
    shutil.copytree(release.root, root)
    return night(root, "ruled", *release.assignments[:-1], *TABLES_OF_A_NIGHT)


def test_a_release_has_the_tables_and_a_view_of_each(with_tables: Night) -> None:
    sql = (with_tables.root / "releases/ruled.sql").read_text()
    with duckdb.connect() as connection:
        connection.execute(sql)
        for name in ("in_style", "others"):
            for part in ("", "_nested", "_short"):
                table = f"neighbors_{name}{part}"
                (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
                assert count == (len(with_tables.rows(table)),)
        found = connection.execute(
            "SELECT count(*), count_if(q.style = o.style) FROM neighbors_in_style "
            "JOIN catalog q ON q.image_id = query_id JOIN catalog o ON o.image_id = neighbor_id"
        ).fetchall()
        reach = connection.execute(
            "SELECT query_id, listed, is_full, nearest, kth FROM neighbor_distances_in_style"
        ).fetchall()
        full = connection.execute(
            "SELECT any_value(listed) FROM neighbor_distances_others"
        ).fetchall()
    assert full == [(2,)]
    assert {row[0] for row in reach if not row[2]} == {
        row["query_id"] for row in with_tables.rows("neighbors_in_style_short")
    }
    assert sorted(reach) == sorted(
        (
            row["query_id"],
            len(row["ids"]),
            len(row["ids"]) == 5,
            min(row["distances"], default=None),
            max(row["distances"], default=None),
        )
        for row in with_tables.rows("neighbors_in_style_nested")
    )
    assert "neighbors_in_style_pool" not in sql
    assert found[0][0] == found[0][1] == len(with_tables.rows("neighbors_in_style")) > 50


def test_a_release_s_gates_report_and_account_know_the_tables(with_tables: Night) -> None:
    gates = {gate["gate"]: gate for gate in with_tables.document["gates"]}
    assert gates["lists"]["passed"]
    assert "2 tables under rules" in gates["lists"]["expected"]
    counts, faults = verify(open_store(str(with_tables.root)), "ruled")
    assert (faults, counts["lost"]) == ([], 0)
    pages = [json.loads(p.read_bytes()) for p in with_tables.root.glob("runs/report/*/*/data.json")]
    (page,) = [each for each in pages if each["release"] == "ruled"]
    shown = {table["name"]: table for table in page["ruled"]}
    assert shown["others"]["rule"] == "never the same artist"
    assert shown["others"]["k"] == 2
    short = with_tables.rows("neighbors_in_style_short")
    assert shown["in_style"]["reasons"] == Counter(row["reason"] for row in short)
    assert len(short) > 0
    account = with_tables.account["stages"]
    assert account["neighbors"]["short_lists"] == {"neighbors_in_style": len(short)}
    assert account["evaluate"]["found_from"] == "first"
    assert with_tables.document["plan"]["tables"].keys() == {
        "neighbors_in_style",
        "neighbors_others",
    }


def test_a_further_table_is_planned_alone(
    with_tables: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = ("plan.sample_seconds=0", "plan.cores=2")
    unchanged = dry_run(capsys, *with_tables.assignments, *rates)
    assert unchanged["stages"]["publish"]["releases"] == 0
    more = "neighbors.tables.two={at_most: {artist: 2}}"
    found = dry_run(capsys, *with_tables.assignments, more, *rates)
    assert found["stages"]["neighbors"] == {
        "lists to make at most": 0,
        "pairs to compare at most": 0,
        "tables under rules": 1,
    }
    assert found["stages"]["publish"]["releases"] == 1
    plan = found["plan"]
    assert (plan["tables"].keys(), plan["joins"]) == ({"neighbors_two"}, None)
    assert plan["stages"]["neighbors"]["tasks"] == plan["tables"]["neighbors_two"]["tasks"] > 0
    assert plan["stages"]["evaluate"]["seconds"] == 0 < plan["stages"]["report"]["seconds"]
    other = dry_run(capsys, *with_tables.assignments, "neighbors.k=4", *rates)
    assert other["stages"]["neighbors"]["tables under rules"] == 1  # the one without a k
    assert other["stages"]["neighbors"]["lists to make at most"] > 0
    assert other["plan"]["tables"].keys() == {"neighbors_in_style"}


def dry_run(capsys: pytest.CaptureFixture[str], *assignments: str) -> Any:
    capsys.readouterr()
    options = Options(assignments=assignments, verbosity="quiet", as_json=True, dry_run=True)
    assert execute("nightly", options) == 0
    return json.loads(capsys.readouterr().out)


def test_a_table_under_a_rule_is_exported(with_tables: Night, tmp_path: Path) -> None:
    account = export(
        open_store(str(with_tables.root)),
        "neighbors_others_nested",
        open_store(str(tmp_path)),
        "jsonl",
    )
    lines = (tmp_path / account["files"][0]).read_text().splitlines()
    assert [json.loads(line) for line in lines] == with_tables.rows("neighbors_others_nested")
