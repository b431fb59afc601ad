"""The outside count finds nothing in a good release, and finds each way of being wrong."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.conftest import Nights
from tests.faults.rig import NEW, REPOSITORY, copied
from tests.nights import Night
from tests.recount import recount

Row = dict[str, Any]


def test_a_release_of_a_zip_and_a_folder_counts_as_it_should(release: Night, sources: Path) -> None:
    count = recount(release.root, {"main": sources / "first.zip", "more": sources / "more"})
    assert count.differences == []
    assert (count.lost, count.double) == (0, 0)
    assert count.listed == count.stored + count.rejected > 40
    assert count.compared == count.stored


def _first_gone(rows: list[Row]) -> list[Row]:
    return rows[1:]


def _first_twice(rows: list[Row]) -> list[Row]:
    return [rows[0], *rows]


def _other_content(rows: list[Row]) -> list[Row]:
    rows[0]["content_sha256"] = rows[-1]["content_sha256"]
    return rows


def _other_bytes(rows: list[Row]) -> list[Row]:
    rows[0]["data"] = rows[0]["data"] + b"!"
    return rows


def _nearer(rows: list[Row]) -> list[Row]:
    rows[0]["distances"][0] = rows[0]["distances"][0] * 0.999
    return rows


def _entries_swapped(rows: list[Row]) -> list[Row]:
    rows[0]["distance"], rows[1]["distance"] = rows[1]["distance"], rows[0]["distance"]
    return rows


def _two_neighbors_swapped(rows: list[Row]) -> list[Row]:
    rows[1]["neighbor_id"], rows[2]["neighbor_id"] = rows[2]["neighbor_id"], rows[1]["neighbor_id"]
    return rows


def _turned(rows: list[Row]) -> list[Row]:
    rows[0]["embedding"] = rows[0]["embedding"][::-1]
    return rows


def _itself(rows: list[Row]) -> list[Row]:
    rows[0]["neighbor_id"] = rows[0]["query_id"]
    return rows


@pytest.mark.parametrize(
    ("table", "change", "words"),
    [
        ("catalog", _first_gone, "lost"),
        ("rejects", _first_gone, "lost"),
        ("catalog", _first_twice, "double"),
        ("catalog", _other_content, "sha256"),
        ("pictures", _other_bytes, "a picture's bytes"),
        ("pictures", _first_gone, "images without a picture"),
        ("members", _first_gone, "member ('main', 0)"),
        ("neighbors", _first_gone, "ranks"),
        ("neighbors", _two_neighbors_swapped, ": nested"),
        ("neighbors", _entries_swapped, "order"),
        ("neighbors", _itself, "lists itself"),
        ("neighbors_nested", _nearer, "distances of those listed"),
        ("neighbors_nested", _first_gone, "nested lists"),
        ("embeddings", _turned, "the nearest distances"),
        ("embeddings", _first_gone, "images with an embedding"),
    ],
)
def test_a_release_that_is_wrong_is_found_out_although_its_hashes_fit(
    nights: Nights, tmp_path: Path, table: str, change: Callable[[list[Row]], list[Row]], words: str
) -> None:
    root = copied(nights.clean, tmp_path / "store")
    _forge(root, table, change)
    found = recount(root, {"main": nights.new}).differences
    assert any(words in difference for difference in found), found
    assert not any(".parquet: bytes" in difference for difference in found)


def test_a_file_that_was_altered_is_found_by_its_hash(nights: Nights) -> None:
    root = nights.store("altered")
    file = next(root.glob("runs/catalog/*/*/catalog/*.parquet"))
    data = bytearray(file.read_bytes())
    data[10] ^= 1
    file.write_bytes(data)
    found = recount(root, {"main": nights.old}).differences
    assert any("sha256" in difference for difference in found)


def test_the_command_prints_one_line_and_returns_0_or_1(nights: Nights) -> None:
    script = str(REPOSITORY / "tests" / "recount.py")
    good, bad = (
        subprocess.run(
            [sys.executable, script, str(nights.clean), str(archive)],
            capture_output=True,
            text=True,
            check=False,
        )
        for archive in (nights.new, nights.old)
    )
    listed = len(NEW)
    line = f"listed {listed} / stored {listed - 1} / rejected 1 / lost 0 / double 0\n"
    assert (good.returncode, good.stdout) == (0, line), good.stderr
    assert bad.returncode == 1
    assert "DIFFERENCE" in bad.stdout


def _forge(root: Path, table: str, change: Callable[[list[Row]], list[Row]]) -> None:
    """Change one table of the current release; receipts, references and CURRENT are made to fit."""
    current = json.loads((root / "CURRENT.json").read_bytes())
    path = root / f"releases/{current['release']}.json"
    release = json.loads(path.read_bytes())
    refs = [r for s in release["stages"].values() for r in s["tables"].get(table, [])]
    rows = {}
    for ref in refs[-2:][:1]:  # the picture of the last segment stands in an earlier one too
        run_path = root / f"runs/{ref['stage']}/{ref['run_id']}/run.json"
        run = json.loads(run_path.read_bytes())
        _rewrite(root, run["tables"][table][0], change)
        run_path.write_text(json.dumps(run))
        rows[ref["run_id"]] = sum(file["rows"] for file in run["tables"][table])
    for stage in release["stages"].values():
        for ref in (ref for listed in stage["tables"].values() for ref in listed):
            if ref["run_id"] in rows:
                ref["rows"][table] = rows[ref["run_id"]]
    path.write_text(json.dumps(release))
    current["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (root / "CURRENT.json").write_text(json.dumps(current))


def _rewrite(root: Path, receipt: Row, change: Callable[[list[Row]], list[Row]]) -> None:
    file = root / receipt["path"]
    before = pq.ParquetFile(file).read()
    rows = change(before.to_pylist())
    pq.write_table(pa.Table.from_pylist(rows, before.schema), file)
    data = file.read_bytes()
    receipt |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "rows": len(rows)}
