"""A source that lost its members stops the night before any work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from artrec.releases import read_release
from artrec.stages.session import Options, execute
from artrec.stages.sources import members_by_source
from artrec.storage import open_store
from tests.nights import FIRST, MORE, Night, night, tree
from tests.pictures import write_folder, write_zip


def copied(release: Night, place: Path) -> tuple[str, ...]:
    """A copy of the store, and of the folder that is its source ``more``."""
    shutil.copytree(release.root, place / "root")
    write_folder(place / "more", MORE)
    kept = [each for each in release.assignments[:-1] if not each.startswith("sources.more.url")]
    return (*kept, f"sources.more.url={place / 'more'}")


def asked(place: Path, *assignments: str, **more: Any) -> Options:
    given = (*assignments, f"store.root={place / 'root'}")
    return Options(assignments=given, release="refused", verbosity="quiet", **more)


def refusal(place: Path, capsys: pytest.CaptureFixture[str], *assignments: str) -> str:
    """What a night says that is refused: nothing but its draft is written, in three files."""
    before = tree(place / "root")
    assert execute("nightly", asked(place, *assignments)) == 5
    after = tree(place / "root")
    assert {name: after[name] for name in before} == before
    names = ("draft.json", "gates.json", "outcome.json")
    draft = {"drafts/refused", *(f"drafts/refused/{name}" for name in names)}
    assert after.keys() - before.keys() == draft
    outcome = json.loads((place / "root/drafts/refused/outcome.json").read_bytes())
    assert (outcome["status"], outcome["exit_code"], outcome["current"]) == ("failed", 5, "first")
    (gate,) = json.loads((place / "root/drafts/refused/gates.json").read_bytes())["gates"]
    assert (gate["gate"], gate["passed"]) == ("sources", False)
    return capsys.readouterr().err


def test_an_emptied_folder_stops_the_night_before_any_work(
    spark: SparkSession, release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assignments = copied(release, tmp_path)
    shutil.rmtree(tmp_path / "more")
    said = refusal(tmp_path, capsys, *assignments)
    assert "gate sources: found 0 members in more, expected at least 4 in more, which had 4" in said
    assert "--set gates.override.sources=REASON goes on" in said


def test_a_source_that_lost_more_than_its_share_stops_the_night_and_so_does_its_plan(
    spark: SparkSession, release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assignments = copied(release, tmp_path)
    few = write_zip(tmp_path / "few.zip", FIRST[:20])
    given = (*assignments, f"sources.main.url={few}")
    before = tree(tmp_path / "root")
    assert execute("nightly", asked(tmp_path, *given, dry_run=True)) == 5
    assert tree(tmp_path / "root") == before
    capsys.readouterr()
    said = refusal(tmp_path, capsys, *given)
    assert "found 19 members in main, expected at least 31 in main, which had 38" in said


def test_a_source_that_is_no_longer_in_the_settings_counts_as_empty(
    spark: SparkSession, release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assignments = [each for each in copied(release, tmp_path) if not each.startswith("sources.mo")]
    assert "found 0 members in more" in refusal(tmp_path, capsys, *assignments)


def test_with_a_reason_the_night_goes_on_without_the_source(
    spark: SparkSession, release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assignments = copied(release, tmp_path)
    shutil.rmtree(tmp_path / "more")
    refusal(tmp_path, capsys, *assignments)
    given = (*assignments, "gates.override.sources=sold", "gates.shrinkage=1")
    made = night(tmp_path / "root", "refused", *given)
    gate = made.document["gates"][0]
    assert (gate["gate"], gate["passed"], gate["overridden"]) == ("sources", False, "sold")
    assert made.document["stages"]["inventory"]["notes"]["sources"] == {"main": 38, "more": 0}
    assert {row["source"] for row in made.rows("catalog", ["source"])} == {"main"}


def test_members_of_a_release_that_has_no_note_of_them_are_counted(release: Night) -> None:
    store = open_store(str(release.root))
    found = read_release(store, "first")
    assert members_by_source(store, found) == {"main": 38, "more": 4}
    found.stages["inventory"].notes.pop("sources")
    assert members_by_source(store, found) == {"main": 38, "more": 4}
