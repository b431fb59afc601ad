"""artrec export: a folder that holds the rows of one release, and nothing else."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artrec.commands import export as exporting
from artrec.commands.export import export
from artrec.commands.files import files_of
from artrec.errors import StoreFormatError
from artrec.releases import Draft, publish
from artrec.storage import open_store
from tests.commands.conftest import Call
from tests.commands.small_store import (
    PAINTINGS,
    publish_paintings,
    record_paintings,
    release_of,
    stage_runs,
    write_run,
)

WHOLE = ["catalog", "rejects", "embeddings", "neighbors", "neighbors_nested"]


def stored(root: Path, table: str) -> pa.Table:
    return pa.concat_tables(pq.read_table(f) for f in files_of(open_store(str(root)), table))


@pytest.mark.parametrize("table", WHOLE)
def test_a_folder_of_parquet_is_the_table(
    artrec: Call, finished: Path, tmp_path: Path, table: str
) -> None:
    called = artrec("export", table, str(tmp_path / "out"), "--root", str(finished))
    assert (called.code, called.err) == (0, "")
    rows = stored(finished, table)
    assert called.out == (
        f"{len(rows)} rows of {table}, release 2026-01-02: 1 files in {tmp_path / 'out'}\n"
    )
    found = duckdb.connect().sql(f"SELECT * FROM '{tmp_path}/out/*.parquet'").fetchall()
    assert found == [tuple(row.values()) for row in rows.to_pylist()]


def test_lines_of_json_hold_lists_as_lists(artrec: Call, finished: Path, tmp_path: Path) -> None:
    to = tmp_path / "out"
    called = artrec("export", "neighbors_nested", str(to), "--format", "jsonl",
                    "--root", str(finished), "--json")  # fmt: skip
    account = json.loads(called.out)
    assert account == {
        "release": "2026-01-02",
        "table": "neighbors_nested",
        "format": "jsonl",
        "rows": 14,
        "files": ["neighbors_nested-00000.jsonl"],
    }
    assert json.loads((to / "_export.json").read_bytes()) == account
    lines = (to / "neighbors_nested-00000.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == stored(finished, "neighbors_nested").to_pylist()


def test_csv_holds_lists_as_json_and_hashes_as_hexadecimal(finished: Path, tmp_path: Path) -> None:
    store = open_store(str(finished))
    export(store, "neighbors_nested", open_store(str(tmp_path / "nested")), "csv")
    with open(tmp_path / "nested/neighbors_nested-00000.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = stored(finished, "neighbors_nested").to_pylist()
    assert [row["query_id"] for row in rows] == [row["query_id"] for row in expected]
    assert [json.loads(row["ids"]) for row in rows] == [row["ids"] for row in expected]
    export(store, "catalog", open_store(str(tmp_path / "catalog")), "csv")
    with open(tmp_path / "catalog/catalog-00000.csv", newline="", encoding="utf-8") as file:
        hashes = {row["image_id"]: row["content_sha256"] for row in csv.DictReader(file)}
    assert hashes == {each.image_id: each.sha256.hex() for each in PAINTINGS}


def test_long_tables_are_cut_into_files_of_text(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "ROWS", 1)
    store = open_store(str(finished))
    account = export(store, "neighbors", open_store(str(tmp_path / "out")), "jsonl")
    lines = [
        json.loads(line)
        for name in account["files"]
        for line in (tmp_path / "out" / name).read_text(encoding="utf-8").splitlines()
    ]
    assert lines == stored(finished, "neighbors").to_pylist()


def test_of_vectors_that_are_kept_for_all_nights_only_the_live_ones_are_exported(
    tmp_path: Path,
) -> None:
    store = open_store(str(tmp_path / "store"))
    draft = Draft.begin(store, "one")
    counts = record_paintings(draft, PAINTINGS)
    live = [vector(each.sha256) for each in PAINTINGS]
    gone, other, twice = vector(bytes(32)), vector(PAINTINGS[0].sha256, "another"), live[3]
    rows = [gone, other, *live, twice]
    runs = stage_runs("embed", write_run(store, "embed", {"vectors": rows}, draft.attempt))
    draft.record(runs)
    release = release_of(draft, 10, counts)
    stages = {**release.stages, "embed": runs}
    publish(store, release.model_copy(update={"stages": stages}), draft.base)
    account = export(store, "vectors", open_store(str(tmp_path / "out")))
    found = pq.read_table(tmp_path / "out" / account["files"][0]).to_pylist()
    assert len(stored(tmp_path / "store", "vectors")) == 17
    assert account["rows"] == 14
    assert sorted(found, key=str) == sorted(live, key=str)


def vector(sha256: bytes, encoder: str = "line-1") -> dict[str, object]:
    number = int.from_bytes(sha256[:8], "big") >> 1
    return {"content_sha256": sha256, "encoder": encoder, "vector_no": number,
            "embedding": [1.0], "reason": None, "detail": None}  # fmt: skip


def test_a_file_that_is_not_what_was_written_is_not_exported(tmp_path: Path) -> None:
    root = tmp_path / "store"
    store = publish_paintings(root, "one")
    file = Path(files_of(store, "neighbors")[0])
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)
    with pytest.raises(StoreFormatError, match=r"its receipt [0-9a-f]{64}"):
        export(store, "neighbors", open_store(str(tmp_path / "out")))
    assert not list((tmp_path / "out").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("nothing", "out"), "has no table nothing; it has: "),
        (("neighbours", "out"), "has no table neighbours (did you mean neighbors?); it has: "),
        (
            ("shards", "out"),
            "shards are files of release 2026-01-02 and no table: artrec files shards prints",
        ),
        (("catalog", "out", "--format", "xml"), "no format xml; there are: parquet, csv, jsonl"),
        (("pictures", "out", "--format", "csv"), "pictures are bytes: export them as parquet"),
        (("ingested", "out"), "ingested is kept for all nights together"),
        (("catalog", "full"), "is not empty (here.txt is there): name a new folder"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    artrec: Call, finished: Path, tmp_path: Path, call: tuple[str, ...], message: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "here.txt").write_text("mine")
    called = artrec("export", call[0], str(tmp_path / call[1]), *call[2:], "--root", str(finished))
    assert called.code == 2
    assert message in called.err
    assert not (tmp_path / "out").exists()
