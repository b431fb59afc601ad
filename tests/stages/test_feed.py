"""The change feed of a night: applied to the last release's tables it gives this one's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyspark.sql import SparkSession

from artrec.releases import Draft, StageRuns, publish, receipts_of
from artrec.schemas import TABLES
from artrec.stages.feed import kinds, make_feeds
from artrec.storage import open_store
from artrec.tables import read_table
from tests.commands.small_store import stage_runs, write_run
from tests.feeds import Rows, applied_images, applied_lists
from tests.nights import ADDED, CHANGED, PREFIX, REMOVED, RENAMED, TRUNCATED, Night
from tests.releases.protocol import release as made_of


def notes_of(made: Night, table: str) -> dict[str, object]:
    found: dict[str, object] = made.document["stages"]["evaluate"]["notes"]["changes"][table]
    return found


def test_the_feed_makes_the_last_releases_lists_this_ones(
    release: Night, next_release: Night
) -> None:
    feed = next_release.rows("neighbor_changes")
    keys = [(row["query_id"], row["neighbor_id"]) for row in feed]
    assert keys == sorted(set(keys))
    assert applied_lists(release.rows("neighbors"), feed) == next_release.rows("neighbors")
    lists = len(next_release.rows("neighbors_nested", ["query_id"]))
    assert len(feed) < 5 * lists  # far fewer than all
    counts = notes_of(next_release, "neighbor_changes")
    assert counts["from"] == "first"
    for word in ("insert", "delete", "update"):
        assert counts[word] == sum(row["change"] == word for row in feed)
    query = feed[0]["query_id"]
    assert {row["query_id"] for row in feed} >= {RENAMED[1], *REMOVED, RENAMED[0]}, query
    gone = [row for row in feed if row["query_id"] in REMOVED]
    assert [row["change"] for row in gone] == ["delete"] * 10


def test_the_feed_makes_the_last_releases_catalog_this_ones(
    release: Night, next_release: Night
) -> None:
    feed = next_release.rows("catalog_changes")
    after = [
        {key: value for key, value in row.items() if key != "entry"}
        for row in next_release.rows("catalog")
    ]
    assert applied_images(release.rows("catalog"), feed) == after


def test_what_became_of_images_is_told_and_counted(release: Night, next_release: Night) -> None:
    feed = {row["image_id"]: row for row in next_release.rows("catalog_changes")}
    told = {name: (row["change"], row["kind"], row["other_id"]) for name, row in feed.items()}
    more = [f"{PREFIX}1889/vincent_room.jpg", f"{PREFIX}1889/vincent_stars-1889.jpg"]
    more.append(f"{PREFIX}1890/paul_copy.jpg")
    assert told == {
        **{name: ("insert", "new", None) for name, _ in ADDED},
        **dict.fromkeys(REMOVED, ("delete", "gone", None)),
        RENAMED[0]: ("delete", "moved", RENAMED[1]),
        RENAMED[1]: ("insert", "moved", RENAMED[0]),
        CHANGED: ("update", "changed", None),
        TRUNCATED: ("insert", "healed", None),
        **dict.fromkeys(more, ("update", "relabelled", None)),
    }
    assert (feed[CHANGED]["picture"], feed[CHANGED]["labels"]) == (True, False)
    assert (feed[more[0]]["picture"], feed[more[0]]["labels"]) == (False, True)
    assert feed[more[0]]["genre"] == "1889"
    assert notes_of(next_release, "catalog_changes") == {
        **{"from": "first", "insert": 5, "delete": 3, "update": 4, "unchanged": 24},
        **{"new": 3, "changed": 1, "gone": 2, "moved": 1, "doubled": 0, "relabelled": 3},
        **{"healed": 1, "rejected": 0},
    }


def test_a_first_release_has_an_empty_feed_from_nothing(release: Night) -> None:
    for table in ("catalog_changes", "neighbor_changes"):
        assert release.rows(table) == []
        assert notes_of(release, table) == {"from": None}


def test_the_sql_that_is_printed_applies_the_feed(release: Night, next_release: Night) -> None:
    readme = (Path(__file__).parents[2] / "jobs/README.md").read_text(encoding="utf-8")
    (sql,) = (each for each in readme.split("```") if each.startswith("sql\nWITH stay AS"))
    con = duckdb.connect()
    views = (next_release.root / "releases/second.sql").read_text(encoding="utf-8")
    con.execute(views)
    con.execute("CREATE VIEW feed AS SELECT * FROM neighbor_changes")
    files = [str(file) for file in release.files("neighbors")]
    con.execute(f"CREATE VIEW old AS SELECT * FROM read_parquet({files})")
    expected = con.sql("SELECT * FROM neighbors ORDER BY query_id, rank").fetchall()
    assert con.sql(sql.removeprefix("sql\n")).fetchall() == expected


def image(name: str, content: int, style: str = "x") -> dict[str, Any]:
    facts = {"image_id": name, "source": "main", "entry": ord(name[0]) * 10 + len(name)}
    picture = {"content_sha256": bytes([content] * 32), "vector_no": content, "width": 4}
    rest = {"height": 3, "format": "JPEG", "bytes": 9, "style": style}
    history = {"first_release": "one", "changed_release": "one"}
    return {**dict.fromkeys(TABLES["catalog"].columns.names), **facts, **picture, **rest, **history}


def reject(name: str) -> dict[str, Any]:
    facts = {"source": "main", "entry": ord(name[0]) * 10, "image_id": name, "stage": "ingest"}
    rest = {"reason": "truncated", "detail": "", "content_sha256": None, "bytes": 1}
    return {**facts, **rest, "first_release": "one", "attempts": 1}


def lists(table: str, **found: list[str]) -> dict[str, Rows]:
    """Tables of lists, each entry at its rank as its distance."""
    rows = [
        {"query_id": query, "ids": ids, "distances": [float(n) for n in range(1, len(ids) + 1)]}
        for query, ids in found.items()
    ]
    return {table: [], f"{table}_nested": rows}


def recorded(
    draft: Draft, catalog: Rows, rejects: Rows, ruled: dict[str, Rows]
) -> dict[str, StageRuns]:
    """The stages that a feed looks at, of literal rows."""
    draft.hold(repr(catalog))
    tables: dict[str, dict[str, Rows]] = {
        "catalog": {"catalog": catalog, "rejects": rejects},
        "neighbors": lists("neighbors", s=["b"]) | ruled,
    }
    return {
        stage: draft.record(stage_runs(stage, write_run(draft.store, stage, rows, draft.attempt)))
        for stage, rows in tables.items()
    }


BEFORE = [image(*each) for each in (
    ("a", 1), ("b", 2), ("c", 3), ("d", 4), ("r", 5), ("s", 6), ("u", 7), ("w", 8),
)]  # fmt: skip
AFTER = [image(*each) for each in (
    ("a moved", 1), ("b", 2), ("b again", 2), ("h", 9), ("n", 10), ("r", 5, "y"), ("s", 6),
    ("u", 11), ("v", 7), ("w 1", 8), ("w 2", 8),
)]  # fmt: skip


@pytest.mark.parametrize("alone", [0, kinds.ALONE], ids=["by Spark", "by one task"])
def test_an_image_that_came_or_went_is_told_by_its_content(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: int
) -> None:
    monkeypatch.setattr(kinds, "ALONE", alone)
    store = open_store(str(tmp_path))
    first = Draft.begin(store, "one")
    before = lists("neighbors_x", a=["b"], b=["c", "d"], d=["b", "a", "c"])
    stages = recorded(first, BEFORE, [reject("h")], before)
    publish(store, made_of("one", first.base).model_copy(update={"stages": stages}), first.base)
    draft = Draft.begin(store, "two")
    after = lists("neighbors_x", b=["c", "d"], d=["n", "a"]) | lists("neighbors_y", b=["c"])
    recorded(draft, AFTER, [reject("c")], after)
    feeds = make_feeds(spark, draft)

    def told(table: str) -> Rows:
        files = receipts_of(store, feeds.tables[table], table)
        return [row for batch in read_table(store, files) for row in batch.to_pylist()]

    rows = told("catalog_changes")
    assert [(r["image_id"], r["change"], r["kind"], r["other_id"]) for r in rows] == [
        ("a", "delete", "moved", "a moved"),
        ("a moved", "insert", "moved", "a"),
        ("b again", "insert", "doubled", "b"),
        ("c", "delete", "rejected", None),
        ("d", "delete", "gone", None),
        ("h", "insert", "healed", None),
        ("n", "insert", "new", None),
        ("r", "update", "relabelled", None),
        ("u", "update", "changed", "v"),  # its picture moved, and it has another
        ("v", "insert", "moved", "u"),
        ("w", "delete", "moved", "w 1"),
        ("w 1", "insert", "moved", "w"),
        ("w 2", "insert", "doubled", "w"),
    ]
    assert feeds.notes["catalog_changes"] == {
        **{"from": "one", "insert": 7, "delete": 4, "update": 2, "unchanged": 2},
        **{"new": 1, "changed": 1, "gone": 1, "moved": 3, "doubled": 2, "relabelled": 1},
        **{"healed": 1, "rejected": 1},
    }
    assert [tuple(row.values()) for row in told("neighbors_x_changes")] == [
        ("a", "b", "delete", None, 1, 1.0),
        ("d", "b", "delete", None, 1, 1.0),
        ("d", "c", "delete", None, 3, 3.0),
        ("d", "n", "insert", 1, None, 1.0),
    ]
    assert (told("neighbor_changes"), told("neighbors_y_changes")) == ([], [])
    assert feeds.notes["neighbors_y_changes"] == {"from": None}
    assert feeds.notes["neighbor_changes"]["lists"] == 1
    assert make_feeds(spark, draft).tables == feeds.tables  # found again
