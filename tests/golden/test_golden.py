"""Stores that were written once and kept: read, gone on with, and migrated by today's code."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from artrec.releases.verify import verify
from artrec.schemas import TABLES
from artrec.stages import RESULT_VERSIONS
from artrec.stages.session import Options, execute
from artrec.storage import open_store
from tests.commands.conftest import Call, artrec
from tests.golden.make import ASSIGNMENTS, NAME
from tests.nights import tree

__all__ = ["artrec"]

HERE = Path(__file__).parent
STORES = sorted(path for path in HERE.glob("v*") if path.is_dir())


@pytest.fixture(params=STORES, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with the archive, the store and what is expected of it."""
    with zipfile.ZipFile(request.param / "store.zip") as packed:
        packed.extractall(tmp_path / "store")
    for name in ("pictures.zip", "expected.json"):
        shutil.copy(request.param / name, tmp_path)
    return tmp_path


def expected(golden: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((golden / "expected.json").read_text(encoding="utf-8"))
    return found


def root(golden: Path) -> str:
    return str(golden / "store")


def test_there_is_one_and_it_is_small() -> None:
    assert STORES
    for folder in STORES:
        assert sum(path.stat().st_size for path in folder.iterdir()) < 300_000


def test_the_newest_is_of_today_s_tables() -> None:
    """A table that has another form now wants a golden store of it; see README.md here."""
    known = json.loads((STORES[-1] / "expected.json").read_text())["table_versions"]
    assert known == {name: TABLES[name].version for name in known}


def test_it_is_whole(golden: Path) -> None:
    counts, faults = verify(open_store(root(golden)), NAME)
    assert faults == []
    for name, value in expected(golden)["counts"].items():
        assert counts[name] == value


def test_each_image_is_looked_up(golden: Path, artrec: Call) -> None:
    lists = expected(golden)["rows"]["neighbors"]
    for image in expected(golden)["rows"]["catalog"]:
        called = artrec("lookup", image["image_id"], "-k", "3", "--root", root(golden), "--json")
        assert called.code == 0
        found = json.loads(called.out)["neighbors"]
        of_image = [row for row in lists if row["query_id"] == image["image_id"]]
        assert [(each["rank"], each["image_id"]) for each in found] == [
            (row["rank"], row["neighbor_id"]) for row in of_image
        ]


def test_its_tables_are_exported(golden: Path, artrec: Call) -> None:
    for table, rows in expected(golden)["rows"].items():
        out = golden / table
        called = artrec(
            *("export", table, str(out), "--format", "csv", "--root", root(golden), "--json")
        )
        assert called.code == 0
        found: list[dict[str, str]] = []
        for file in sorted(out.glob("*.csv")):
            with file.open(newline="", encoding="utf-8") as stream:
                found += csv.DictReader(stream)
        assert len(found) == len(rows)
        for row, wanted in zip(found, rows, strict=True):
            for name, value in wanted.items():
                text = row[name]
                if isinstance(value, float):
                    assert float(text) == pytest.approx(value, rel=1e-6)
                else:
                    assert text == ("" if value is None else str(value))


def test_it_is_migrated_to_today_s_form(golden: Path, artrec: Call) -> None:
    called = artrec("migrate", "--root", root(golden), "--all", "--yes", "--json")
    assert called.code == 0
    told = json.loads(called.out)
    assert (told["of"], bool(told["release"])) == (NAME, bool(told["tables"]))
    assert verify(open_store(root(golden)), told["release"] or NAME)[1] == []


def test_a_night_on_top_of_it_does_what_is_new_alone(
    spark: SparkSession,
    golden: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing, unless a stage has another result version now; pictures are not read again."""
    monkeypatch.chdir(golden)
    before = tree(golden / "store")
    given = (*ASSIGNMENTS, f"store.root={root(golden)}")
    options = Options(assignments=given, release="next", as_json=True, verbosity="quiet")
    assert execute("nightly", options) == 0
    account = json.loads(capsys.readouterr().out)
    assert account["stages"]["ingest"].get("read", 0) == 0
    if expected(golden)["result_versions"] == RESULT_VERSIONS:
        assert (account["status"], account["release"]) == ("unchanged", NAME)
        after = tree(golden / "store")
        changed = {path for path in after if after[path] != before.get(path)}
        assert changed == {"drafts/next", "drafts/next/outcome.json"}
    else:
        assert account["status"] == "published"
