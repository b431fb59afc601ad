"""migrate: stores of older table versions are read, or brought up without a file overwritten."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artrec.commands.lookup import lookup
from artrec.errors import StoreFormatError
from artrec.releases import list_releases, read_base, read_release, rollback, table_receipts
from artrec.releases.migrate import plan_migration
from artrec.releases.verify import verify
from artrec.schemas import TABLES
from artrec.storage import open_store
from artrec.tables import read_range, read_table
from tests.commands.conftest import Call, artrec
from tests.commands.small_store import PAINTINGS, publish_paintings
from tests.golden.older import downgrade, raised_from, without
from tests.releases.protocol import tree

__all__ = ["artrec"]

OLD = without("catalog", "license")
"""The catalog of version 0 had no licenses."""


def licensed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Version 1: what was there before is of unknown license."""
    nothing = pa.nulls(batch.num_rows, pa.string())
    at = TABLES["catalog"].columns.get_field_index("license")
    names = [*batch.schema.names[:at], "license", *batch.schema.names[at:]]
    return pa.RecordBatch.from_arrays([*batch.columns[:at], nothing, *batch.columns[at:]], names)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store whose catalog is of version 0."""
    root = tmp_path / "root"
    publish_paintings(root, "first", change=_license)
    downgrade(root, "catalog", OLD)
    return root


def _license(rows: dict[str, list[dict[str, Any]]]) -> None:
    for row in rows["catalog"]:
        row["license"] = "lost on the way back"


def declare(patch: pytest.MonkeyPatch, on_reading: bool) -> None:
    """This artrec reads version 1, and knows the way from 0."""
    table = raised_from("catalog", OLD, licensed, on_reading=on_reading)
    patch.setitem(TABLES, "catalog", table)


def catalog(root: Path, name: str | None = None) -> list[dict[str, Any]]:
    store = open_store(str(root))
    receipts = table_receipts(store, read_release(store, name), "catalog")
    return [row for batch in read_table(store, receipts) for row in batch.to_pylist()]


def test_an_older_table_without_a_way_is_refused(root: Path) -> None:
    with pytest.raises(StoreFormatError, match=r"version 0, from which .* no way to version 1"):
        catalog(root)
    store = open_store(str(root))
    with pytest.raises(StoreFormatError, match="no way to version 1"):
        plan_migration(store, read_release(store, None))


def test_an_older_table_is_read_as_todays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, on_reading=True)
    rows = catalog(root)
    assert [row["image_id"] for row in rows] == sorted(p.image_id for p in PAINTINGS)
    assert {row["license"] for row in rows} == {None}
    assert list(rows[0]) == TABLES["catalog"].columns.names

    store, some = open_store(str(root)), PAINTINGS[2]
    receipts = table_receipts(store, read_release(store, None), "catalog")
    columns = ["license", "artist"]
    (found,) = read_range(store, receipts, (some.image_id,), (some.image_id,), columns)
    expected = {"license": None, "artist": some.artist, "image_id": some.image_id}
    assert found.to_pylist() == [expected]


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_an_older_table_is_exported_as_todays(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artrec: Call, form: str
) -> None:
    declare(monkeypatch, on_reading=True)
    out = tmp_path / "out"
    asked = ("export", "catalog", str(out), "--format", form, "--root", str(root))
    assert artrec(*asked).code == 0
    if form == "parquet":
        found = pq.read_table(out / "catalog-00000.parquet").to_pylist()
    else:
        lines = (out / "catalog-00000.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
    assert [row["license"] for row in found] == [None] * 14


def test_an_older_table_that_is_not_read_is_refused_with_the_command(
    root: Path, monkeypatch: pytest.MonkeyPatch, artrec: Call
) -> None:
    declare(monkeypatch, on_reading=False)
    called = artrec("lookup", PAINTINGS[0].image_id, "--root", str(root))
    assert called.code == 3
    assert (
        "holds table catalog version 0, this artrec reads version 1: artrec migrate" in called.err
    )


def test_migrating_is_told_first_and_then_done(
    root: Path, monkeypatch: pytest.MonkeyPatch, artrec: Call
) -> None:
    declare(monkeypatch, on_reading=False)
    before = tree(open_store(str(root)))
    called = artrec("migrate", "--root", str(root), "--json")
    assert called.code == 0
    told = json.loads(called.out)
    (table,) = told.pop("tables")
    assert table.pop("bytes") == Path(_catalog_file(root)).stat().st_size
    assert told == {"of": "first", "release": None, "open_drafts": []}
    assert table == {
        "table": "catalog", "version": 0, "today": 1, "files": 1, "rows": 14,
        "needed": True, "written": True,
    }  # fmt: skip
    assert "--yes writes these tables" in artrec("migrate", "--root", str(root)).out
    assert tree(open_store(str(root))) == before

    called = artrec("migrate", "--root", str(root), "--yes")
    assert called.code == 0
    assert "release first.migrated is current, of first; artrec rollback goes back" in called.out

    store = open_store(str(root))
    after = tree(store)
    assert {path: after[path] for path in before if path != "CURRENT.json"} == {
        path: data for path, data in before.items() if path != "CURRENT.json"
    }
    release = read_release(store, None)
    assert (release.release_id, release.previous) == ("first.migrated", "first")
    assert release.migrated == {"catalog": (0,)}
    rows = catalog(root)
    assert len(rows) == 14
    assert {row["license"] for row in rows} == {None}
    counts, faults = verify(store, "first.migrated")
    assert (counts["stored"], faults) == (14, [])
    shown = artrec("lookup", PAINTINGS[0].image_id, "-k", "1", "--root", str(root))
    assert shown.code == 0

    # other tables are those of before, of other runs too
    old = read_release(store, "first")
    assert release.refs("neighbors") == old.refs("neighbors")
    assert release.refs("catalog") != old.refs("catalog")
    kept = [r.path for r in table_receipts(store, release, "embeddings")]
    assert kept == [r.path for r in table_receipts(store, old, "embeddings")]

    again = artrec("migrate", "--root", str(root), "--yes")
    assert "nothing to migrate: release first.migrated is of today's form" in again.out


def test_views_of_a_migrated_release_have_todays_columns(
    root: Path, monkeypatch: pytest.MonkeyPatch, artrec: Call
) -> None:
    declare(monkeypatch, on_reading=False)
    assert artrec("migrate", "--root", str(root), "--yes").code == 0
    connection = duckdb.connect()
    connection.execute((root / "releases/first.migrated.sql").read_text())
    found = connection.sql("SELECT count(*), count(license) FROM catalog").fetchall()
    assert found == [(14, 0)]


def test_what_is_read_as_it_is_is_written_again_only_if_asked(
    root: Path, monkeypatch: pytest.MonkeyPatch, artrec: Call
) -> None:
    declare(monkeypatch, on_reading=True)
    called = artrec("migrate", "--root", str(root), "--yes")
    assert "these are read as they are; --all writes them again all the same" in called.out
    assert list_releases(open_store(str(root))) == ["first"]
    called = artrec("migrate", "--root", str(root), "--all", "--yes")
    assert "release first.migrated is current" in called.out
    metadata = pq.read_schema(_catalog_file(root)).metadata
    assert metadata[b"artrec.version"] == b"1"


def _catalog_file(root: Path) -> str:
    store = open_store(str(root))
    (receipt,) = table_receipts(store, read_release(store, None), "catalog")
    return store.path_url(receipt.path)


def test_one_goes_back_from_a_migration_and_migrates_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, artrec: Call
) -> None:
    declare(monkeypatch, on_reading=False)
    assert artrec("migrate", "--root", str(root), "--yes").code == 0
    store = open_store(str(root))
    rollback(store)
    with pytest.raises(StoreFormatError, match="artrec migrate"):
        catalog(root)
    runs = [path for path in tree(store) if path.endswith("run.json")]
    assert artrec("migrate", "--root", str(root), "--yes").code == 0
    assert [path for path in tree(store) if path.endswith("run.json")] == runs
    assert read_base(store).release_id == "first.migrated"
    assert len(catalog(root)) == 14


def test_metadata_of_files_is_carried_over(
    root: Path, monkeypatch: pytest.MonkeyPatch, artrec: Call
) -> None:
    declare(monkeypatch, on_reading=False)
    file = Path(_catalog_file(root))
    rows = pq.ParquetFile(file).read()
    said = rows.schema.metadata | {b"artrec.encoder": b"line-1", b"others": b"x"}
    pq.write_table(rows.replace_schema_metadata(said), file)
    _refit(root, file)
    assert artrec("migrate", "--root", str(root), "--yes").code == 0
    metadata = pq.read_schema(_catalog_file(root)).metadata
    assert metadata[b"artrec.encoder"] == b"line-1"
    assert b"others" not in metadata


def _refit(root: Path, file: Path) -> None:
    """Make the receipt of a file that was written by hand fit it."""
    for path in root.glob("runs/catalog/*/run.json"):
        run = json.loads(path.read_bytes())
        for receipt in run["tables"]["catalog"]:
            receipt["bytes"] = file.stat().st_size
        path.write_text(json.dumps(run))


KILLED = """
import sys
from pathlib import Path
import pytest
from artrec.cli import main
from tests.releases.test_migrate import declare
declare(pytest.MonkeyPatch(), on_reading=False)
main()
"""


@pytest.mark.parametrize("point", ["migrate.run", "publish.release", "publish.views"])
def test_a_migration_that_is_killed_is_gone_on_with(
    root: Path, monkeypatch: pytest.MonkeyPatch, artrec: Call, point: str
) -> None:
    command = [sys.executable, "-c", KILLED, "migrate", "--root", str(root), "--yes"]
    more = {"ARTREC_FAILPOINT": point, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(command, env=os.environ | more, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    store = open_store(str(root))
    assert read_base(store).release_id == "first"
    written = {path for path in tree(store) if path.startswith("runs/")}
    declare(monkeypatch, on_reading=False)
    assert artrec("migrate", "--root", str(root), "--yes").code == 0
    assert {path for path in tree(store) if path.startswith("runs/")} == written
    assert list_releases(store) == ["first", "first.migrated"]
    assert verify(store, "first.migrated")[1] == []


def test_a_table_of_a_newer_artrec_is_not_migrated(root: Path, artrec: Call) -> None:
    for path in root.glob("runs/catalog/*/run.json"):
        run = json.loads(path.read_bytes())
        for receipt in run["tables"]["catalog"]:
            receipt["version"] = 9
        path.write_text(json.dumps(run))
    called = artrec("migrate", "--root", str(root), "--yes")
    assert called.code == 3
    assert "holds table catalog version 9; this artrec reads up to version 1" in called.err


def test_an_empty_store_is_not_begun_by_migrating(tmp_path: Path, artrec: Call) -> None:
    called = artrec("migrate", "--root", str(tmp_path / "no"), "--yes")
    assert called.code == 2
    assert not (tmp_path / "no").exists()


def test_lookups_read_older_tables_as_they_are(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    declare(monkeypatch, on_reading=True)
    publish_paintings(tmp_path / "today", "first")
    stores = [open_store(str(place)) for place in (root, tmp_path / "today")]
    for painting in PAINTINGS[:3]:
        ours, theirs = (lookup(store, painting.image_id, 3) for store in stores)
        assert ours == theirs
