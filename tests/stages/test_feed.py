"""The change feed of a night: applied to the last release's tables it gives this one's."""

from __future__ import annotations

from pathlib import Path

import duckdb

from tests.feeds import applied_images, applied_lists
from tests.nights import ADDED, CHANGED, PREFIX, REMOVED, RENAMED, TRUNCATED, Night


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
