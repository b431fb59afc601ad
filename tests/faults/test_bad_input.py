"""Input, settings and stores that are wrong: one sentence, the exit code, and nothing published."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artrec.releases.verify import verify
from artrec.storage import open_store
from tests.archive.packs import gzipped, parquet_bytes, tar_bytes
from tests.archive.zip_maker import Item
from tests.faults.conftest import Nights
from tests.faults.rig import (
    CUTS,
    GATES,
    HANDMADE,
    LISTS,
    OLD,
    copied,
    current_rows,
    environment,
    job,
    outcome,
)
from tests.faults.several import BEGIN
from tests.pictures import Named, item, picture, write_folder, write_zip
from tests.recount import recount
from tests.storage.small_disk import small_disk

EMPTY_ZIP = b"PK\5\6" + bytes(18)
PAGE = b"<html><body>Please log in</body></html>"
LONG = "long/" + 291 * "x" + ".jpg"
ODD = {
    "a line\nbreak.jpg": picture(200),
    LONG: picture(201),
    "../../outside.jpg": picture(202),
    "/absolute.jpg": picture(203),
    "zero\0byte.jpg": picture(204),
    'quoted "and", separated\t.jpg': picture(205),
    60_000 * "n" + ".jpg": picture(206),
}
TWICE = "twice.jpg"
TRUNCATED = "broken\nmember.jpg"


@dataclass
class Case:
    """One job: what is asked of it, and what it has to say; then what it said."""

    name: str
    root: Path
    code: int
    words: str = ""
    assignments: list[str] = field(default_factory=list)
    release: str = "new"
    first: list[str] = field(default_factory=list)
    at_ingest: list[str] = field(default_factory=list)
    found: int = -1
    out: str = ""
    log: str = ""

    def plan(self) -> dict[str, Any]:
        names = ("name", "release", "first", "at_ingest")
        settings = [f"store.root={self.root}", HANDMADE, *LISTS, *GATES, *self.assignments]
        return {name: getattr(self, name) for name in names} | {"assignments": settings}


class Cases:
    """The table of cases; ``place`` holds their archives."""

    def __init__(self, nights: Nights) -> None:
        self.nights, self.place = nights, nights.place / "bad"
        self.place.mkdir()
        self.all: dict[str, Case] = {}

    def add(
        self, name: str, code: int, words: str, *assignments: str, of: str = "", **more: Any
    ) -> Path:
        """A case on a fresh copy of the store before, or on the store ``of`` an earlier case."""
        root = self.all[of].root if of else self.nights.store(f"bad-{name}")
        case = Case(name, root, code, words, list(assignments), **more)
        self.all[name] = case
        return case.root

    def url(self, name: str, data: bytes) -> str:
        path = self.place / name
        path.write_bytes(data)
        return f"sources.main.url={path}"

    def folder(self, name: str, files: dict[str, bytes]) -> str:
        (self.place / name).mkdir()
        return f"sources.main.url={write_folder(self.place / name, files)}"


def _add_archives(cases: Cases) -> None:
    zipped = cases.nights.new.read_bytes()
    cases.add("no archive", 4, "nowhere.zip", f"sources.main.url={cases.place}/nowhere.zip")
    cases.add("not an archive", 4, "text.zip", cases.url("text.zip", b"these are no pictures"))
    cases.add("a page", 4, "HTML page", cases.url("page.zip", PAGE))
    cases.add("cut archive", 4, "cut", cases.url("cut.zip", zipped[:-30]))
    tar, kind = tar_bytes(OLD), "sources.main.kind=zip"
    cases.add("cut tar", 4, "zero blocks", cases.url("cut.tar", tar.rstrip(b"\0")))
    name = OLD[3][0].encode()
    damaged = tar.replace(name, name.upper(), 1)
    cases.add("damaged tar", 4, "no whole header", cases.url("damaged.tar", damaged))
    cases.add("cut gzip", 4, "cut or damaged", cases.url("cut.tar.gz", gzipped(tar)[:-30]))
    cases.add("no zip", 4, "it seems to be a tar", cases.url("tar.zip", tar), kind)
    rows = parquet_bytes(OLD)[:-30]
    cases.add("cut rows", 4, "no whole Parquet", cases.url("cut.parquet", rows))
    cases.add("empty archive", 5, "0 members in main", cases.url("empty.zip", EMPTY_ZIP))
    cases.add("empty folder", 4, "no file and no folder", cases.folder("empty", {}))
    broken = {f"{n}.jpg": picture(n)[:500] for n in range(3)} | {"page.jpg": PAGE}
    path = write_zip(cases.place / "broken.zip", broken.items())
    cases.add("only broken", 5, "gate images", f"sources.main.url={path}")
    moved = cases.url("moved.zip", zipped)
    copy = ["cp", str(cases.nights.old), str(cases.place / "moved.zip")]
    cases.add("replaced", 4, "moved.zip", moved, at_ingest=copy)
    kept = cases.folder("kept", dict(OLD))
    gone = ["rm", str(cases.place / "kept" / OLD[0][0])]
    cases.add("vanished", 0, "", kept, at_ingest=gone)
    odd: list[Named | Item] = [
        *ODD.items(),
        (TWICE, picture(210)),
        item(TRUNCATED, picture(211)[:600]),
        item("crc.jpg", picture(212), crc=7),
        (TWICE, picture(213)),
    ]
    cases.add("odd names", 0, "", f"sources.main.url={write_zip(cases.place / 'odd.zip', odd)}")


def _add_settings(cases: Cases) -> None:
    new = f"sources.main.url={cases.nights.new}"
    cases.add("unknown key", 3, "neighbors.kk", new, "neighbors.kk=5")
    cases.add("wrong type", 3, "neighbors.k", new, "neighbors.k=many")
    cases.add("no source", 3, "sources.main.url=")
    cases.add("bad name", 2, "a/b", new, release="a/b")
    cases.add("unknown scheme", 3, "gopher", "sources.main.url=gopher://host/a.zip")
    cases.add("published name", 8, "old", new, release="old")
    cases.add("drafted name", 8, "new", new, of="only broken")
    cases.add("unchanged", 0, "", f"sources.main.url={cases.nights.old}")


def _add_stores(cases: Cases) -> None:
    new = f"sources.main.url={cases.nights.new}"
    root = cases.add("newer CURRENT", 3, "newer artrec", new)
    _rewrite(root / "CURRENT.json")
    root = cases.add("newer release", 3, "newer artrec", new)
    sha256 = hashlib.sha256(_rewrite(root / "releases/old.json")).hexdigest()
    _rewrite(root / "CURRENT.json", format=1, sha256=sha256)
    root = cases.add("newer draft", 3, "newer artrec", new)
    (root / "drafts/new").mkdir()
    (root / "drafts/new/draft.json").write_text('{"format": 99, "colour": "blue"}')
    root = cases.add("newer run", 3, "newer artrec", new)
    for path in root.glob("runs/*/*/run.json"):
        _rewrite(path)
    root = cases.add("newer table", 3, "newer artrec", new)
    _raise_version(root, "ingested")


def _rewrite(path: Path, **values: Any) -> bytes:
    """A document of a newer format, unless told otherwise."""
    data = json.dumps(json.loads(path.read_bytes()) | {"format": 99} | values).encode()
    path.write_bytes(data)
    return data


def _raise_version(root: Path, table: str) -> None:
    """The files of a table as a newer artrec would mark them, with receipts that fit."""
    for path in root.glob("runs/*/*/run.json"):
        run = json.loads(path.read_bytes())
        for receipt in run["tables"].get(table, []):
            file = root / receipt["path"]
            rows = pq.ParquetFile(file).read()
            metadata = rows.schema.metadata | {b"artrec.version": b"99"}
            pq.write_table(rows.replace_schema_metadata(metadata), file)
            receipt["bytes"] = file.stat().st_size
        path.write_text(json.dumps(run))


def _add_full_disk(cases: Cases, disk: Path) -> None:
    """A disk that fills up in the middle, and the same command when it has grown."""
    new = f"sources.main.url={cases.nights.new}"
    root = copied(cases.nights.before, disk / "store")
    status = os.statvfs(disk)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    for name, code, words, left in (
        ("full disk", 6, "no space left", 130_000),
        ("grown disk", 0, "", 10_000_000),
    ):
        grow = ["mount", "-o", f"remount,size={used + left}", str(disk)]
        cases.all[name] = Case(name, root, code, words, [new, *CUTS], first=grow)


@pytest.fixture(scope="module")
def cases(nights: Nights) -> Iterator[dict[str, Case]]:
    """All cases, done one after another in one process."""
    table = Cases(nights)
    _add_archives(table)
    _add_settings(table)
    _add_stores(table)
    if os.geteuid() != 0:
        _run_all(table)
        yield table.all
        return
    with small_disk(nights.place / "disk", "16m") as disk:
        _add_full_disk(table, disk)
        _run_all(table)
        yield table.all


def _run_all(table: Cases) -> None:
    plan = table.place / "plan.json"
    plan.write_text(json.dumps([case.plan() for case in table.all.values()]))
    script = str(Path(__file__).with_name("several.py"))
    ended = job([sys.executable, script, str(plan)], environment(table.place))
    assert ended.code == 0, ended.log
    codes = json.loads(plan.with_suffix(".codes").read_text())
    for stream, attribute in ((ended.out, "out"), (ended.log, "log")):
        for part in stream.split(BEGIN)[1:]:
            name, _, text = part.partition("\n")
            setattr(table.all[name], attribute, text)
    for name, case in table.all.items():
        case.found = codes[name]


REFUSED = (
    "no archive",
    "not an archive",
    "a page",
    "cut archive",
    "cut tar",
    "damaged tar",
    "cut gzip",
    "no zip",
    "cut rows",
    "empty archive",
    "empty folder",
    "only broken",
    "replaced",
    "unknown key",
    "wrong type",
    "no source",
    "bad name",
    "unknown scheme",
    "published name",
    "drafted name",
    "newer CURRENT",
    "newer release",
    "newer draft",
    "newer run",
    "newer table",
    "full disk",
)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_ends_with_its_code_and_one_sentence(
    cases: dict[str, Case], name: str
) -> None:
    case = _case(cases, name)
    assert case.found == case.code, case.log
    said = [line for line in case.log.splitlines() if line.startswith("artrec: ")]
    assert len(said) == 1, case.log
    assert case.words in said[0]
    assert case.out == ""
    assert not _traces(case.log)


@pytest.mark.parametrize("name", [name for name in REFUSED if not name.startswith("newer")])
def test_what_cannot_be_done_leaves_the_release_as_it_was(
    cases: dict[str, Case], nights: Nights, name: str
) -> None:
    case = _case(cases, name)
    root = case.root
    if name != "full disk":  # its store has gone on since
        for path in ("CURRENT.json", "releases/old.json", "releases/old.sql"):
            assert (root / path).read_bytes() == (nights.before / path).read_bytes()
        assert sorted(os.listdir(root / "releases")) == ["old.json", "old.sql"]
    assert verify(open_store(str(root)), "old")[1] == []


@pytest.mark.parametrize("name", [name for name in REFUSED if name.startswith("newer")])
def test_a_store_of_a_newer_format_is_not_written_to(
    cases: dict[str, Case], nights: Nights, name: str
) -> None:
    root = _case(cases, name).root
    assert sorted(os.listdir(root / "releases")) == ["old.json", "old.sql"]
    assert json.loads((root / "CURRENT.json").read_bytes())["release"] == "old"


def test_a_release_without_images_is_refused_and_its_rejects_are_kept(
    cases: dict[str, Case],
) -> None:
    root = _case(cases, "only broken").root
    record = json.loads((root / "drafts/new/catalog.json").read_bytes())
    refs = record["tables"]["rejects"]
    runs = [root / f"runs/catalog/{ref['run_id']}/run.json" for ref in refs]
    files = [f for run in runs for f in json.loads(run.read_bytes())["tables"]["rejects"]]
    rows = pa.concat_tables([pq.read_table(root / f["path"]) for f in files]).to_pylist()
    assert {row["image_id"]: row["reason"] for row in rows} == {
        "0.jpg": "truncated",
        "1.jpg": "truncated",
        "2.jpg": "truncated",
        "page.jpg": "not_a_picture",
    }


def test_a_refused_release_says_so_in_its_outcome(cases: dict[str, Case]) -> None:
    root = _case(cases, "cut archive").root
    found = outcome(root)
    assert (found["status"], found["exit_code"], found["current"]) == ("failed", 4, "old")
    assert "cut.zip" in found["message"]


def test_odd_names_are_data_and_broken_members_are_rejects_by_name(
    cases: dict[str, Case],
) -> None:
    case = _case(cases, "odd names")
    assert case.found == 0, case.log
    rejects = [(r["image_id"], r["reason"]) for r in current_rows(case.root, "rejects")]
    assert sorted(rejects) == [
        (TRUNCATED, "truncated"),
        ("crc.jpg", "bad_crc"),
        (TWICE, "duplicate_name"),
    ]
    images = {r["image_id"]: r["content_sha256"] for r in current_rows(case.root, "catalog")}
    contents = ODD | {TWICE: picture(213)}
    assert images == {name: hashlib.sha256(data).digest() for name, data in contents.items()}
    count = recount(case.root, {"main": case.root.parent / "bad/odd.zip"})
    assert count.differences == []


def test_a_file_that_vanished_since_the_listing_is_a_reject(cases: dict[str, Case]) -> None:
    case = _case(cases, "vanished")
    assert case.found == 0, case.log
    rejects = [(r["image_id"], r["reason"]) for r in current_rows(case.root, "rejects")]
    assert rejects == [(OLD[0][0], "vanished")]


def test_nothing_is_published_where_nothing_has_changed(
    cases: dict[str, Case], nights: Nights
) -> None:
    case = _case(cases, "unchanged")
    assert case.found == 0, case.log
    assert "Nothing has changed since release old" in case.out
    current = (nights.before / "CURRENT.json").read_bytes()
    assert (case.root / "CURRENT.json").read_bytes() == current


def test_a_disk_that_has_grown_is_gone_on_with(cases: dict[str, Case], nights: Nights) -> None:
    full, grown = _case(cases, "full disk"), _case(cases, "grown disk")
    assert grown.found == 0, grown.log
    done = [set(re.findall('"run": "([0-9a-f]+)".*segment done', c.log)) for c in (full, grown)]
    assert all(done)
    assert not done[0] & done[1]
    assert recount(grown.root, {"main": nights.new}).differences == []


def _case(cases: dict[str, Case], name: str) -> Case:
    if name not in cases:
        pytest.skip("mounting a small disk needs root")
    return cases[name]


def _traces(log: str) -> list[str]:
    """Lines of stack traces, Python's and Java's, but for those of Spark's own workers alone.

    The worker of Spark 3.5 prints one when the task that it works for is called off under it.
    """
    python = re.findall(r"(?m)^Traceback.*\n(?:[ \t].*\n)+", log)
    of_spark = [
        trace
        for trace in python
        if all("/pyspark/" in file for file in re.findall(r'File "(.*?)", line', trace))
    ]
    for trace in of_spark:
        log = log.replace(trace, "")
    return re.findall(r"(?m)^(?:Traceback.*|\s+at .*\(.*\)|\s+File \".*\", line.*)$", log)


WORKER = """Traceback (most recent call last):
  File "/usr/lib/spark/python/lib/pyspark.zip/pyspark/daemon.py", line 193, in manager
    code = worker(sock, authenticated)
  File "/usr/lib/spark/python/lib/pyspark.zip/pyspark/serializers.py", line 624, in read_int
    raise EOFError
EOFError
"""


def test_a_trace_of_sparks_own_worker_is_told_from_one_of_ours() -> None:
    ours = WORKER.replace("/pyspark/daemon.py", "/artrec/cli.py")
    assert _traces(WORKER) == []
    assert len(_traces(WORKER + ours)) == 3
