"""nightly: a whole night, in one application or stage by stage, once and again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from artrec.schemas import PUBLISHED
from artrec.stages import NAMES
from artrec.stages.session import Options, execute
from tests.nights import ADDED, CHANGED, REMOVED, RENAMED, TRUNCATED, Night, night, tree
from tests.pictures import write_zip


def options(*assignments: str, **more: Any) -> Options:
    return Options(assignments=assignments, verbosity="quiet", **more)


def copied(night: Night, root: Path) -> tuple[str, ...]:
    """A copy of the night's store, and the assignments that go on with it."""
    shutil.copytree(night.root, root)
    return (*night.assignments[:-1], f"store.root={root}")


def changes(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_a_second_night_without_change_writes_its_outcome_and_nothing_else(
    spark: SparkSession, release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    assignments = copied(release, root)
    before = tree(root)
    assert execute("nightly", options(*assignments, release="again", as_json=True)) == 0
    assert changes(before, tree(root)) == {"drafts/again", "drafts/again/outcome.json"}
    outcome = json.loads((root / "drafts/again/outcome.json").read_bytes())
    assert (outcome["status"], outcome["exit_code"]) == ("unchanged", 0)
    assert (outcome["message"], outcome["current"]) == ("unchanged", "first")
    account = json.loads(capsys.readouterr().out)
    assert (account["status"], account["release"]) == ("unchanged", "first")
    kept = {name: facts.get("kept_from") for name, facts in account["stages"].items()}
    assert kept == {name: "first" for name in NAMES if name not in ("inventory", "publish")} | {
        "inventory": None,
        "publish": None,
    }


def test_an_unchanged_night_tells_people_so_under_tonights_date(
    spark: SparkSession, release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    assignments = copied(release, root)
    before = tree(root)
    assert execute("nightly", options(*assignments)) == 0
    out = capsys.readouterr().out
    assert "Nothing has changed since release first: nothing was published" in out
    names = sorted(changes(before, tree(root)))
    assert len(names) == 2
    assert names[1] == f"{names[0]}/outcome.json"


def essence(document: dict[str, Any]) -> dict[str, Any]:
    """What a release is made of; run ids are digests of all that can change the rows."""
    stages = {
        name: (runs["inputs"], runs["tables"], runs["notes"])
        for name, runs in document["stages"].items()
    }
    names = ("inputs", "encoder", "metric", "dim", "k", "gates", "counts", "settings")
    facts = {name: document[name] for name in names}
    facts["settings"]["store"] = None
    return {"stages": stages, **facts}


def test_stages_one_by_one_make_the_release_that_nightly_makes(
    spark: SparkSession, release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    assignments = (*release.assignments[:-1], f"store.root={root}")
    assert execute(NAMES[0], options(*assignments, release="first", as_json=True)) == 0
    account = json.loads(capsys.readouterr().out)
    assert (account["status"], account["release"]) == ("done", "first")
    assert account["stages"]["inventory"]["listed"] == release.document["counts"]["listed"]
    for name in NAMES[1:-1]:
        assert execute(name, options(*assignments)) == 0
        assert f"{name} is done in draft first." in capsys.readouterr().out
        assert json.loads((root / "drafts/first/outcome.json").read_bytes())["exit_code"] == 0
    assert not (root / "CURRENT.json").exists()
    assert execute(NAMES[-1], options(*assignments)) == 0
    assert f"release first is current in {root}" in capsys.readouterr().out

    made = Night(root, "first", assignments, {})
    assert essence(made.document) == essence(release.document)
    for table in (*PUBLISHED, "members", "labels", "live_vectors", "neighbor_pool"):
        assert made.rows(table) == release.rows(table), table

    assert execute("ingest", options(*assignments)) == 0
    assert "no draft is open and nothing was done; first is current" in capsys.readouterr().out


def test_a_stage_before_its_time_says_what_has_to_run_first(
    spark: SparkSession, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assignments = (
        f"sources.main.url={sources / 'first.zip'}",
        f"store.root={tmp_path / 'root'}",
    )
    assert execute("ingest", options(*assignments)) == 2
    assert "no release has been published here" in capsys.readouterr().err
    assert not (tmp_path / "root").exists()
    assert execute("inventory", options(*assignments)) == 0
    assert execute("neighbors", options(*assignments)) == 2
    assert "run artrec catalog first" in capsys.readouterr().err
    assert execute("embed", options(*assignments, release="other")) == 2
    assert "no draft other is open; begin it with artrec inventory" in capsys.readouterr().err


def test_the_second_night_is_what_changed(release: Night, next_release: Night) -> None:
    """Stages record new runs beside the old ones, and its lists know the images of that night."""
    ids = {row["image_id"] for row in next_release.rows("catalog", ["image_id"])}
    assert {RENAMED[1], CHANGED, TRUNCATED, *(name for name, _ in ADDED)} <= ids
    assert not ids & {RENAMED[0], *REMOVED}
    lists = next_release.rows("neighbors_nested", ["query_id", "ids"])
    assert {row["query_id"] for row in lists} == ids
    assert {each for row in lists for each in row["ids"]} <= ids
    before = {row["image_id"]: row["embedding"] for row in release.rows("embeddings")}
    after = {row["image_id"]: row["embedding"] for row in next_release.rows("embeddings")}
    assert after[RENAMED[1]] == before[RENAMED[0]]
    assert after[CHANGED] != before[CHANGED]
    assert all(after[name] == before[name] for name in (ids & before.keys()) - {CHANGED})


def test_the_account_of_a_night_is_what_the_release_holds(next_release: Night) -> None:
    account, document = next_release.account, next_release.document
    assert (account["status"], account["release"]) == ("published", "second")
    assert list(account["stages"]) == list(NAMES)
    for name, runs in document["stages"].items():
        assert {key: account["stages"][name][key] for key in runs["counters"]} == runs["counters"]
    for name, count in document["counts"].items():
        assert account["stages"]["publish"][name] == count
    outcome = json.loads((next_release.root / "drafts/second/outcome.json").read_bytes())
    assert (outcome["exit_code"], outcome["message"]) == (0, "published")


def test_changed_rules_redo_what_depends_on_them_and_nothing_else(
    spark: SparkSession, release: Night, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    rules = ("neighbors.k=2", "catalog.embeddings=false")
    made = night(root, "fewer", *release.assignments[:-1], *rules)
    before, after = release.document["stages"], made.document["stages"]
    assert {name for name in after if after[name]["inputs"] != before[name]["inputs"]} == {
        "catalog",
        "neighbors",
    }
    assert made.account["stages"]["ingest"] == {"seconds": 0.0, "kept_from": "first"}
    assert made.account["stages"]["embed"] == {"seconds": 0.0, "kept_from": "first"}
    assert made.document["k"] == 2
    first = [row for row in release.rows("neighbors") if row["rank"] <= 2]
    assert made.rows("neighbors") == first
    assert made.rows("catalog") == release.rows("catalog")
    assert "embeddings" not in after["catalog"]["tables"]
    assert "VIEW embeddings" not in (root / "releases/fewer.sql").read_text()


def test_an_archive_without_a_single_picture_is_refused(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_zip(tmp_path / "a.zip", [("a.jpg", b"text"), ("b.jpg", b"")])
    root = tmp_path / "root"
    asked = options(f"sources.a.url={source}", f"store.root={root}", release="none")
    assert execute("nightly", asked) == 5
    assert "gate images: found 0 images, expected at least one" in capsys.readouterr().err
    assert not (root / "CURRENT.json").exists()
    assert json.loads((root / "drafts/none/outcome.json").read_bytes())["exit_code"] == 5
