"""Nights on a store whose tables were of an older version and have been migrated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from artrec.commands import migrate
from artrec.schemas import TABLES
from artrec.stages.session import Options, execute
from tests.golden.older import downgrade, raised_from
from tests.nights import CHANGED, Night, night
from tests.releases.test_migrate import OLD, licensed


@pytest.fixture
def migrated(release: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first night's store with a catalog of version 0, and brought up again."""
    root = Path(shutil.copytree(release.root, tmp_path / "root"))
    downgrade(root, "catalog", OLD)
    table = raised_from("catalog", OLD, licensed, on_reading=False)
    monkeypatch.setitem(TABLES, "catalog", table)
    migrate.show(str(root), None, every=False, yes=True, json=True)
    return root


def test_a_night_on_a_migrated_store_has_nothing_to_do(
    spark: SparkSession, release: Night, migrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    given = (*release.assignments[:-1], f"store.root={migrated}")
    options = Options(assignments=given, release="again", as_json=True, verbosity="quiet")
    assert execute("nightly", options) == 0
    account = json.loads(capsys.readouterr().out)
    assert (account["status"], account["release"]) == ("unchanged", "first.migrated")


@pytest.mark.long
def test_a_night_on_a_migrated_store_goes_on_with_what_it_knows(
    spark: SparkSession, release: Night, next_release: Night, migrated: Path
) -> None:
    made = night(migrated, "second", *next_release.assignments[:-1])
    assert made.document["previous"] == "first.migrated"
    assert made.rows("catalog") == next_release.rows("catalog")
    assert made.rows("neighbors") == next_release.rows("neighbors")
    firsts = {row["image_id"]: row["first_release"] for row in made.rows("catalog")}
    assert firsts[CHANGED] == "first"
