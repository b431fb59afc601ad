"""artrec releases: list, show, verify; and stores that cannot be read."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artrec.releases import write_artifact
from artrec.releases.verify import verify
from artrec.schemas import TABLES
from artrec.storage import open_store
from tests.commands.conftest import Call
from tests.commands.small_store import PAINTINGS, Row, publish_paintings

Rows = dict[str, list[Row]]

READING = [
    ["lookup", "loose.jpg"],
    ["files", "neighbors"],
    ["releases", "list"],
    ["releases", "show"],
    ["releases", "verify"],
]
every_reader = pytest.mark.parametrize("command", READING, ids=[" ".join(c) for c in READING])


def the_file(root: Path, table: str) -> Path:
    (file,) = root.glob(f"runs/*/*/*/{table}/*.parquet")
    return file


# -- list and show --------------------------------------------------------------------------


def test_releases_are_listed_oldest_first_with_the_current_one_marked(
    artrec: Call, store_root: Path
) -> None:
    publish_paintings(store_root, "2026-01-01-later", PAINTINGS[:12])
    listed = json.loads(artrec("releases", "list", "--root", str(store_root), "--json").out)
    for each in listed:
        assert each.pop("created").endswith(" UTC")
    assert listed == [
        {"release": "2026-01-02", "current": False, "published": True, "images": 14, "rejected": 2,
         "encoder": "line-1", "k": 10},
        {"release": "2026-01-01-later", "current": True, "published": True, "images": 12,
         "rejected": 2, "encoder": "line-1", "k": 10},
    ]  # fmt: skip
    lines = artrec("releases", "list", "--root", str(store_root)).out.splitlines()
    assert [line.split()[0] for line in lines] == ["release", "2026-01-02", "2026-01-01-later"]
    assert ["current" in line for line in lines] == [True, False, True]


def test_a_release_that_never_was_current_is_marked(artrec: Call, store_root: Path) -> None:
    text = (store_root / "releases/2026-01-02.json").read_text()
    slow = json.loads(text) | {"release_id": "slow", "created": "2030-01-01T00:00:00Z"}
    (store_root / "releases/slow.json").write_text(json.dumps(slow))
    listed = json.loads(artrec("releases", "list", "--root", str(store_root), "--json").out)
    assert [(each["release"], each["current"], each["published"]) for each in listed] == [
        ("2026-01-02", True, True),
        ("slow", False, False),
    ]
    head, *lines = artrec("releases", "list", "--root", str(store_root)).out.splitlines()
    assert head.split()[:3] == ["release", "current", "created"]
    assert [line.split()[:2] for line in lines] == [["2026-01-02", "current"], ["slow", "never"]]


def test_a_release_is_shown_with_counts_tables_and_gates(artrec: Call, finished: Path) -> None:
    called = artrec("releases", "show", "--root", str(finished))
    assert called.code == 0
    words = [line.split() for line in called.out.splitlines()]
    assert ["stored", "14"] in words
    assert ["neighbors", "140", "1"] in words
    assert ["catalog", "1.5"] in words
    assert ["balance", "True", "0", "lost", "0", "lost"] in words
    assert "encoder line-1 (euclidean, 1 numbers), k 10" in called.out


def test_a_release_is_shown_as_json(artrec: Call, finished: Path) -> None:
    shown = json.loads(
        artrec("releases", "show", "2026-01-02", "--root", str(finished), "--json").out
    )
    stored = json.loads((finished / "releases" / "2026-01-02.json").read_text())
    assert shown == stored
    assert shown["counts"] == {"listed": 16, "stored": 14, "rejected": 2}


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_an_unknown_release_is_refused_with_those_there_are(
    artrec: Call, finished: Path, verb: str
) -> None:
    called = artrec("releases", verb, "2025-12-31", "--root", str(finished))
    assert called.code == 2
    assert called.err.endswith(": no release 2025-12-31; there are: 2026-01-02\n")


@pytest.mark.parametrize("name", ["../CURRENT", "x/../../y", "."])
def test_a_release_s_name_is_not_a_path(artrec: Call, finished: Path, name: str) -> None:
    assert artrec("releases", "show", name, "--root", str(finished)).code == 2


# -- verify ---------------------------------------------------------------------------------


def test_a_whole_release_is_whole(artrec: Call, finished: Path) -> None:
    called = artrec("releases", "verify", "--root", str(finished))
    assert called.code == 0
    assert called.out.splitlines()[-1] == "release 2026-01-02: whole"
    found = json.loads(artrec("releases", "verify", "--root", str(finished), "--json").out)
    files = [file for file in (finished / "runs").rglob("*.*") if file.name != "run.json"]
    size = sum(file.stat().st_size for file in files)
    assert found == {
        "release": "2026-01-02",
        "faults": [],
        "counts": {
            "files": 9, "bytes": size, "rows": 16 + 14 + 2 + 14 + 14 + 140 + 14, "listed": 16,
            "stored": 14, "rejected": 2, "lost": 0, "double": 0, "invented": 0,
        },
    }  # fmt: skip


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a flipped byte of data": (lambda file: flip(file, 10), "sha256 is "),
    "a flipped byte of the footer": (lambda file: flip(file, -30), ""),
    "a flipped byte at the end": (lambda file: flip(file, -1), ""),
    "a missing file": (Path.unlink, "no such file"),
    "a truncated file": (truncate, ""),
    "an empty file": (lambda file: file.write_bytes(b""), "bytes is 0, the receipt says "),
    "another file": (lambda file: file.write_bytes(b"PAR1" * 100), ""),
}


@pytest.mark.parametrize("spoil", SPOILED)
@pytest.mark.parametrize("table", ["members", "catalog", "embeddings", "neighbors"])
def test_verify_finds(artrec: Call, store_root: Path, spoil: str, table: str) -> None:
    change, message = SPOILED[spoil]
    file = the_file(store_root, table)
    change(file)
    called = artrec("releases", "verify", "--root", str(store_root))
    assert called.code == 1
    faults = [line for line in called.out.splitlines() if line.startswith("FAULT ")]
    path = file.relative_to(store_root).as_posix()
    assert any(path in fault and message in fault for fault in faults), faults
    assert called.out.splitlines()[-1] == "release 2026-01-02: NOT whole"


UNBALANCED: dict[str, tuple[Callable[[Rows], object], dict[str, int]]] = {
    "lost": (lambda rows: rows["catalog"].pop(3), {"lost": 1, "double": 0, "invented": 0}),
    "lost rejects": (lambda rows: rows["rejects"].clear(), {"lost": 2, "double": 0, "invented": 0}),
    "double": (
        lambda rows: rows["rejects"].append(rows["rejects"][0] | {"entry": 5}),
        {"lost": 0, "double": 1, "invented": 0},
    ),
    "invented": (
        lambda rows: rows["members"].pop(0),
        {"lost": 0, "double": 0, "invented": 1},
    ),
    "of another source": (
        lambda rows: rows["catalog"][0].update(source="other"),
        {"lost": 1, "double": 0, "invented": 1},
    ),
}


@pytest.mark.parametrize("name", UNBALANCED)
def test_verify_balances_members_by_their_keys(artrec: Call, tmp_path: Path, name: str) -> None:
    change, expected = UNBALANCED[name]
    publish_paintings(tmp_path, "2026-01-02", change=change)
    called = artrec("releases", "verify", "--root", str(tmp_path), "--json")
    assert called.code == 1
    found = json.loads(called.out)
    assert {key: found["counts"][key] for key in expected} == expected
    assert found["faults"] == [
        f"{count} members are {what}" for what, count in expected.items() if count
    ]


def test_verify_finds_a_receipt_that_says_more_rows(artrec: Call, store_root: Path) -> None:
    (run,) = store_root.glob("runs/neighbors/*/run.json")
    text = run.read_text()
    assert '"rows": 140,' in text
    run.write_text(text.replace('"rows": 140,', '"rows": 141,', 1))
    called = artrec("releases", "verify", "--root", str(store_root))
    assert called.code == 1
    assert "neighbors/x-000.parquet: rows is 140, the receipt says 141" in called.out


def test_verify_reads_files_that_are_no_tables_too(artrec: Call, store_root: Path) -> None:
    (run,) = store_root.glob("runs/neighbors/*/run.json")
    document = json.loads(run.read_text())
    page = write_artifact(open_store(str(store_root)), b"abc", "runs/neighbors/x/page.html")
    document["artifacts"] = {"pages": [page.model_dump()]}
    run.write_text(json.dumps(document))
    assert artrec("releases", "verify", "--root", str(store_root)).code == 0
    (store_root / page.path).write_bytes(b"abd")
    called = artrec("releases", "verify", "--root", str(store_root))
    assert called.code == 1
    assert f"FAULT {page.path}: sha256 is " in called.out


def test_verify_finds_keys_that_are_null(artrec: Call, store_root: Path) -> None:
    file = the_file(store_root, "rejects")
    rows = pq.read_table(file)
    entries = pa.array([None, 15], pa.int64())
    position = rows.column_names.index("entry")
    pq.write_table(rows.set_column(position, "entry", entries), file)
    called = artrec("releases", "verify", "--root", str(store_root))
    assert called.code == 1
    assert f"FAULT {file.relative_to(store_root)}: a key is null" in called.out


def peak(root: Path) -> int:
    """Bytes of Python and numpy that verify held at once."""
    tracemalloc.start()
    try:
        assert verify(open_store(str(root)), "2026-01-02")[1] == []
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_verify_holds_no_file_whole(store_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = store_root.glob("runs/neighbors/*/run.json")
    document = json.loads(run.read_text())
    shard = write_artifact(open_store(str(store_root)), bytes(8 << 20), "runs/neighbors/x/s.ann")
    document["artifacts"] = {"shards": [shard.model_dump()]}
    run.write_text(json.dumps(document))
    monkeypatch.setattr("artrec.releases.verify.CHUNK", 1 << 16)
    assert peak(store_root) < 1 << 20


def test_verify_holds_some_bytes_a_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = 50_000

    def grow(rows: Rows) -> None:
        member, reject = rows["members"][0], rows["rejects"][0]
        entries = range(100, 100 + many)
        rows["members"] += [member | {"entry": entry} for entry in entries]
        rows["rejects"] += [reject | {"entry": entry} for entry in entries]

    few, large = tmp_path / "few", tmp_path / "large"
    publish_paintings(few, "2026-01-02")
    publish_paintings(large, "2026-01-02", change=grow)
    monkeypatch.setattr("artrec.releases.verify.CHUNK", 1 << 16)
    monkeypatch.setattr("artrec.releases.verify.KEYS", 1 << 10)
    peak(few)  # imports
    assert peak(large) - peak(few) < 60 * many


def test_verify_says_which_run_is_missing(artrec: Call, store_root: Path) -> None:
    (run,) = store_root.glob("runs/neighbors/*/run.json")
    run.unlink()
    called = artrec("releases", "verify", "--root", str(store_root))
    assert called.code == 1
    assert run.name in called.err + called.out


def test_verify_reads_the_release_that_is_named(artrec: Call, store_root: Path) -> None:
    publish_paintings(store_root, "next", PAINTINGS[:12])
    (old,) = (
        f for f in store_root.glob("runs/catalog/*/*/catalog/*") if b"view-6" in f.read_bytes()
    )
    truncate(old)
    assert artrec("releases", "verify", "--root", str(store_root)).code == 0
    assert artrec("releases", "verify", "2026-01-02", "--root", str(store_root)).code == 1


def test_files_that_no_release_names_are_no_fault(store_root: Path) -> None:
    orphan = the_file(store_root, "catalog").with_name("orphan.parquet")
    orphan.write_bytes(b"left by a task that was repeated")
    counts, faults = verify(open_store(str(store_root)), "2026-01-02")
    assert (counts["files"], faults) == (9, [])


# -- stores that cannot be read -------------------------------------------------------------


@every_reader
def test_an_empty_store_is_said_to_be_empty(
    artrec: Call, tmp_path: Path, command: list[str]
) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        called = artrec(*command, "--root", str(root))
        assert (called.code, called.out) == (2, "")
        assert called.err.startswith(f"artrec: {root}: no release has been published here")
        assert len(called.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@every_reader
def test_a_store_of_a_newer_artrec_is_refused(
    artrec: Call, store_root: Path, command: list[str]
) -> None:
    current = store_root / "CURRENT.json"
    found = json.loads(current.read_text())
    current.write_text(json.dumps(found | {"format": 99, "new": "key"}))
    called = artrec(*command, "--root", str(store_root))
    assert (called.code, called.out) == (3, "")
    assert called.err == (
        f"artrec: {current}: written in format 99, this artrec reads up to 1: use a newer artrec\n"
    )


@every_reader
def test_an_altered_release_is_refused(artrec: Call, store_root: Path, command: list[str]) -> None:
    release = store_root / "releases" / "2026-01-02.json"
    release.write_text(release.read_text().replace('"k": 10', '"k": 11'))
    called = artrec(*command, "--root", str(store_root))
    assert (called.code, called.out) == (3, "")
    assert called.err.startswith(f"artrec: {release}: altered since it was published: sha256 ")


@every_reader
@pytest.mark.parametrize("text", ["", "not json", "[]", '{"format": 1}', '{"format": "x"}', "\xff"])
def test_a_damaged_pointer_is_refused(
    artrec: Call, store_root: Path, command: list[str], text: str
) -> None:
    current = store_root / "CURRENT.json"
    current.write_bytes(text.encode("latin-1"))
    called = artrec(*command, "--root", str(store_root))
    assert (called.code, called.out) == (3, "")
    assert called.err.startswith(f"artrec: {current}: not a Current of artrec")


def test_tables_of_a_newer_artrec_are_refused(
    artrec: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setitem(TABLES, "neighbors", replace(TABLES["neighbors"], version=2))
        publish_paintings(tmp_path, "2026-01-02")
    called = artrec("lookup", "loose.jpg", "--root", str(tmp_path))
    assert (called.code, called.out) == (3, "")
    assert "holds table neighbors version 2; this artrec reads neighbors up to" in called.err
