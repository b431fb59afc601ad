"""Whole nights with sources and store on a real S3 server, and all that reads what they wrote.

The server keeps objects as plain files, so ``Night`` and the outside count read them as such.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from artrec.cli import app
from artrec.errors import InputError
from artrec.labels import find_lists
from artrec.releases import read_base
from artrec.schemas import PUBLISHED
from artrec.stages.session import Options, execute
from artrec.storage import open_store
from artrec.storage.s3.writing import PART
from tests.nights import MANY, MORE, PREFIX, SHARDS, SLACK, K, Night, night
from tests.pictures import picture
from tests.recount import recount
from tests.services.hooks import without_headers
from tests.services.names import KEY, SECRET
from tests.services.s3 import Server

pytestmark = pytest.mark.timeout(900)

SETTINGS = (
    f"sources.more.id_prefix={PREFIX}",
    "encoder.id=handmade",
    f"neighbors.k={K}",
    f"neighbors.slack={SLACK}",
    f"index.shards={SHARDS}",
    "index.search_k=4000",
    f"gates.reject_rate={MANY}",
)


@dataclass(frozen=True)
class Place:
    """A bucket with sources, and the store beside them."""

    server: Server
    bucket: str

    @property
    def root(self) -> str:
        return f"s3://{self.bucket}/out"

    @property
    def files(self) -> Path:
        return self.server.folder / self.bucket

    @property
    def settings(self) -> tuple[str, ...]:
        main, more = (f"s3://{self.bucket}/in/{name}" for name in ("main.zip", "more"))
        return (f"sources.main.url={main}", f"sources.more.url={more}", *SETTINGS)

    def put(self, key: str, data: bytes) -> None:
        self.server.client().put_object(Bucket=self.bucket, Key=key, Body=data)

    def fill(self, archive: Path) -> None:
        self.put("in/main.zip", archive.read_bytes())
        for name, data in MORE.items():
            self.put(f"in/more/{name}", data)

    def night(self, name: str) -> Night:
        """A night there; its files are looked at where the server keeps them."""
        made = night(self.root, name, *self.settings)  # type: ignore[arg-type]
        return replace(made, root=self.files / "out")


@pytest.fixture(scope="module")
def place(s3_server: Server) -> Place:
    return Place(s3_server, s3_server.bucket())


@pytest.fixture(scope="module")
def first(place: Place, spark: SparkSession, sources: Path) -> Night:
    place.fill(sources / "first.zip")
    return place.night("first")


def artrec(*arguments: str) -> str:
    """What the command says; it has to succeed."""
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.exception) == (0, None), done.output
    return done.output


def test_a_night_on_s3_is_that_on_a_disk(first: Night, release: Night) -> None:
    """Row for row, but for what names the objects of a folder: their ETags."""
    for table in (*PUBLISHED, "vectors", "neighbor_pool"):
        a, b = first.rows(table), release.rows(table)
        assert a or table.endswith("_changes"), table  # a first release changes nothing
        if table in ("vectors", "neighbor_pool"):
            a, b = (sorted(rows, key=lambda row: row["vector_no"]) for rows in (a, b))
        assert a == b, table
    listed = [(row["raw_name"], row["bytes"], row["offset"]) for row in first.rows("members")]
    assert listed == [(r["raw_name"], r["bytes"], r["offset"]) for r in release.rows("members")]
    assert first.document["counts"] == release.document["counts"]


def test_a_night_on_s3_is_whole_for_those_who_count_outside(
    first: Night, place: Place, sources: Path
) -> None:
    archives = {"main": sources / "first.zip", "more": sources / "more"}
    count = recount(first.root, archives)
    assert (count.differences, count.lost, count.double) == ([], 0, 0)
    assert "release first: whole" in artrec("releases", "verify", "--root", place.root)


def test_a_night_on_s3_leaves_no_upload_and_no_probe(first: Night, place: Place) -> None:
    store = open_store(place.root)
    assert list(store.unfinished()) == []  # type: ignore[attr-defined]
    assert list(store.list("runs/check")) == []


def test_no_secret_is_in_any_object_of_the_store(first: Night, place: Place) -> None:
    documents = [p for p in first.root.rglob("*") if p.suffix in (".json", ".sql", ".html")]
    assert len(documents) > 20
    assert [path for path in documents if KEY in path.read_text()] == []
    assert [path for path in documents if SECRET in path.read_text()] == []


def test_a_look_up_reads_from_s3(first: Night, release: Night, place: Place) -> None:
    image = first.rows("catalog", ["image_id"])[3]["image_id"]
    there, here = (
        json.loads(artrec("lookup", image, "-k", "3", "--json", "--root", str(root)))
        for root in (place.root, release.root)
    )
    assert there["neighbors"] == here["neighbors"]
    assert len(there["neighbors"]) == 3


def test_a_look_up_of_a_picture_keeps_shards_in_the_user_s_cache(
    first: Night, release: Night, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "p.jpg").write_bytes(picture(3))
    ask = ("lookup", str(tmp_path / "p.jpg"), "--picture", "-k", "3", "--json", "--root")
    there, here = (json.loads(artrec(*ask, str(root))) for root in (place.root, release.root))
    assert there["neighbors"] == here["neighbors"]
    kept = sorted(path.name for path in (tmp_path / "cache/artrec/shards").iterdir())
    assert len(kept) == SHARDS
    assert json.loads(artrec(*ask, place.root))["neighbors"] == here["neighbors"]


def test_a_report_is_written_from_s3(first: Night, place: Place, tmp_path: Path) -> None:
    artrec("report", "--root", place.root, "--to", str(tmp_path / "report"))
    stored = next((first.root / "runs/report").rglob("index.html")).parent
    assert files_below(tmp_path / "report") == files_below(stored)


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_files_are_named_so_that_others_can_open_them(first: Night, place: Place) -> None:
    import pyarrow.parquet as pq

    named = artrec("files", "neighbors", "--root", place.root).split()
    assert all(name.startswith(f"{place.root}/runs/neighbors/") for name in named)
    rows = sum(pq.read_table(name).num_rows for name in named)
    assert rows == len(first.rows("neighbors"))
    views = (first.root / "releases/first.sql").read_text()
    assert f"read_parquet([\n  '{named[0]}'" in views
    assert "extension httpfs" in views


def test_label_lists_are_read_from_s3(place: Place, tmp_path: Path) -> None:
    texts = {
        "style_train.csv": "Baroque/a.jpg,0\nCubism/b.jpg,1\n",
        "style_class.txt": "0 Baroque\n1 Cubism\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        place.put(f"lists/{name}", text.encode())
    there = find_lists(open_store(f"s3://{place.bucket}"), "lists")
    here = find_lists(open_store(str(tmp_path.parent)), tmp_path.name)
    assert [row for _, row in there.rows()] == [row for _, row in here.rows()]
    assert there.classes == here.classes == {"style": {0: "Baroque", 1: "Cubism"}}


def test_nights_go_on_and_back_and_are_swept_on_s3(
    first: Night, place: Place, sources: Path, next_release: Night, tmp_path: Path
) -> None:
    unfinished(place)
    place.fill(sources / "second.zip")
    second = place.night("second")
    assert second.rows("catalog", ["image_id"]) == next_release.rows("catalog", ["image_id"])
    counts = second.account["stages"]
    assert counts["ingest"]["read"] < counts["inventory"]["listed"]
    at = ("--root", place.root)
    assert artrec("rollback", *at).startswith("release first is current")
    assert artrec("rollback", "second", *at).startswith("release second is current")
    told = json.loads(artrec("sweep", "--keep", "1", "--json", *at))
    assert told["removed"] is False
    assert told["kinds"]["unfinished"]["objects"] == 0  # younger than store.sweep_seconds
    settings = tmp_path / "settings.yaml"
    settings.write_text("store: {sweep_seconds: 0}\n")
    wanted = ("--keep", "1", "--yes", "--json", "--config", str(settings), *at)
    swept = json.loads(artrec("sweep", *wanted))
    assert swept["kinds"]["unfinished"] == {"objects": 1, "bytes": PART}
    assert list(open_store(place.root).unfinished()) == []  # type: ignore[attr-defined]
    assert "release second: whole" in artrec("releases", "verify", "--root", place.root)


def unfinished(place: Place) -> None:
    """An upload that its writer never came back to."""
    raw, key = place.server.client(), "out/runs/ingest/x/y/pictures/z.parquet"
    upload = raw.create_multipart_upload(Bucket=place.bucket, Key=key)["UploadId"]
    raw.upload_part(Bucket=place.bucket, Key=key, UploadId=upload, PartNumber=1, Body=bytes(PART))


# -- what goes wrong ------------------------------------------------------------------------


def run(place: Place, stage: str, *more: str, release: str | None = None) -> int:
    assignments = (*place.settings, f"store.root={place.root}", *more)
    return execute(stage, Options(assignments=assignments, release=release, verbosity="quiet"))


@pytest.mark.parametrize("what", ["replaced", "deleted"])
def test_an_archive_that_is_another_during_the_run_ends_it_with_4(
    spark: SparkSession,
    s3_server: Server,
    sources: Path,
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    place = Place(s3_server, s3_server.bucket())
    place.fill(sources / "first.zip")
    assert run(place, "inventory", release="new") == 0
    if what == "replaced":
        place.fill(sources / "second.zip")
    else:
        place.server.client().delete_object(Bucket=place.bucket, Key="in/main.zip")
    capsys.readouterr()
    assert run(place, "ingest") == InputError.exit_code
    said = capsys.readouterr().err
    words = {"replaced": "archive changed during the run", "deleted": "archive vanished"}
    assert f"s3://{place.bucket}/in/main.zip: {words[what]}" in said
    assert read_base(open_store(place.root)).release is None


def test_a_server_that_ignores_conditions_is_refused_with_3_and_nothing_is_written(
    spark: SparkSession, s3_server: Server, sources: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(s3_server, s3_server.bucket())
    place.fill(sources / "first.zip")
    store: Any = open_store(place.root)
    with without_headers(store, "If-None-Match"):
        assert run(place, "nightly") == 3
    assert "does not honour conditional writes" in capsys.readouterr().err
    assert list(store.list()) == []


REFUSED: dict[str, tuple[dict[str, str], int, str]] = {
    "a wrong secret": ({"AWS_SECRET_ACCESS_KEY": "no"}, 7, "does not know these credentials"),
    "nobody there": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, 6, "failed to answer for 0.5 s"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_store_that_cannot_be_used_ends_the_job_with_its_code(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    variables, code, words = REFUSED[name]
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert run(place, "nightly", "store.s3.seconds=0.5") == code
    assert words in capsys.readouterr().err


def test_no_such_bucket_ends_the_job_with_3(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, "nightly", "store.root=s3://no-such-bucket/x") == 3
    assert "there is no such bucket" in capsys.readouterr().err
