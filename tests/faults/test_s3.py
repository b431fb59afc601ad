"""Jobs whose S3 server fails: nothing is lost or half published, or the job can be run again."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from artrec.releases import list_releases, read_base
from artrec.releases.verify import verify
from artrec.storage import S3Options, open_store
from tests.commands.small_store import PAINTINGS, publish_paintings
from tests.faults.rig import FINE, NEW, REPOSITORY, Ended, command, environment, job
from tests.pictures import write_zip
from tests.recount import recount
from tests.services.names import environment as aws
from tests.services.proxy import Request, proxying
from tests.services.s3 import Server

RATE = {101: "busy", 43: "cut", 47: "short", 89: "reset", 97: "lost"}
"""Each so many requests one meets this fault; the first that divides its number."""


def now_and_then(request: Request) -> str | None:
    """1 % of the requests meet a 503, and some of the others something worse."""
    return next((fault for each, fault in RATE.items() if request.number % each == each - 1), None)


class Bucket:
    """A bucket with the archive NEW, and how a job is run on it."""

    def __init__(self, server: Server, place: Path) -> None:
        self.server, self.place, self.name = server, place, server.bucket()
        self.archive = place / "new.zip"
        write_zip(self.archive, NEW)
        with open(self.archive, "rb") as data:
            server.client().put_object(Bucket=self.name, Key="in/new.zip", Body=data)
        self.root = f"s3://{self.name}/out"

    def job(self, endpoint: str, *more: str) -> Ended:
        archive = f"s3://{self.name}/in/new.zip"
        arguments = command(self.root, archive, *FINE, *more)  # type: ignore[arg-type]
        return job(arguments, environment(self.place, **aws(endpoint)))

    def assert_whole(self) -> None:
        """For who reads the server's files from outside, and for ``verify``."""
        files = self.server.folder / self.name / "out"
        count = recount(files, {"main": self.archive})
        assert (count.differences, count.lost, count.double) == ([], 0, 0)
        store = open_store(self.root)
        assert verify(store, "new")[1] == []
        assert list(store.unfinished()) == []  # type: ignore[attr-defined]


@pytest.fixture
def bucket(s3_server: Server, tmp_path: Path) -> Bucket:
    return Bucket(s3_server, tmp_path)


def test_releases_made_on_a_server_that_fails_often_are_whole(
    s3_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Spark, so with many more faults for each request."""
    often = {11: "busy", 7: "cut", 5: "short", 13: "reset", 17: "lost"}

    def fault(request: Request) -> str | None:
        return next((f for each, f in often.items() if request.number % each == each - 1), None)

    store = s3_server.store("root", S3Options(seconds=60))
    with proxying(s3_server.endpoint, fault) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        for number in range(2):
            publish_paintings(store.url, f"night-{number}", PAINTINGS[: 5 + number])
            assert verify(store, f"night-{number}")[1] == []
    assert {*proxy.met} == {*often.values()}
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    assert list_releases(store) == ["night-0", "night-1"]
    assert verify(store, "night-1")[1] == []
    assert list(store.unfinished()) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_night_on_a_server_that_fails_now_and_then_is_whole(bucket: Bucket) -> None:
    with proxying(bucket.server.endpoint, now_and_then) as proxy:
        ended = bucket.job(proxy.endpoint)
    assert ended.code == 0, ended.log[-3000:]
    assert {*proxy.met} == {*RATE.values()}
    assert proxy.requests > 300
    bucket.assert_whole()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_credentials_that_expire_end_the_job_with_7_and_new_ones_go_on(bucket: Bucket) -> None:
    expired = False

    def expires(request: Request) -> str | None:
        nonlocal expired
        expired = expired or "/embed/" in request.path
        return "expired" if expired else None

    with proxying(bucket.server.endpoint, expires) as proxy:
        ended = bucket.job(proxy.endpoint)
    assert ended.code == 7, ended.log[-3000:]
    (said,) = ended.complaints
    assert "the credentials have expired" in said
    assert "it goes on from here" in said
    assert read_base(open_store(bucket.root)).release is None
    before = {entry.path for entry in open_store(bucket.root).list("runs/ingest")}
    again = bucket.job(bucket.server.endpoint, "store.lease_seconds=2")
    assert again.code == 0, again.log[-3000:]
    after = {entry.path for entry in open_store(bucket.root).list("runs/ingest")}
    assert before == after
    bucket.assert_whole()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_server_that_is_gone_for_good_ends_the_job_with_6_and_the_next_goes_on(
    bucket: Bucket,
) -> None:
    def gone(request: Request) -> str | None:
        return "busy" if request.number > 150 else None

    with proxying(bucket.server.endpoint, gone) as proxy:
        ended = bucket.job(proxy.endpoint, "store.s3.seconds=5", "store.lease_seconds=20")
    assert ended.code == 6, ended.log[-3000:]
    assert "the store failed to answer for 5 s" in ended.complaints[-1]
    assert read_base(open_store(bucket.root)).release is None
    again = bucket.job(bucket.server.endpoint)
    assert again.code == 0, again.log[-3000:]
    bucket.assert_whole()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_demo_runs_on_s3_as_it_is_typed(s3_server: Server, tmp_path: Path) -> None:
    name = s3_server.bucket()
    write_zip(tmp_path / "x.zip", NEW)
    s3_server.client().upload_file(str(tmp_path / "x.zip"), name, "x.zip")
    typed = ["bash", str(REPOSITORY / "jobs/demo.sh"), f"s3://{name}/x.zip"]
    typed += ["--set", f"store.root=s3://{name}/out", "--set", "gates.reject_rate=0.5"]
    shell = {k: v for k, v in os.environ.items() if not k.startswith("ARTREC_")}
    done = subprocess.run(typed, cwd=tmp_path, env=shell, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"is current in s3://{name}/out" in done.stdout
    lines = done.stdout[done.stdout.index("Look at it:") :].splitlines()[1:]
    assert len(lines) == 3
    for line in lines:
        ran = subprocess.run(line, shell=True, cwd=tmp_path, env=shell, capture_output=True)
        assert (ran.returncode, ran.stderr) == (0, b"")
    assert (tmp_path / "report/index.html").is_file()
    current = json.loads((s3_server.folder / name / "out/CURRENT.json").read_bytes())
    count = recount(s3_server.folder / name / "out", {"main": tmp_path / "x.zip"})
    assert (count.differences, count.lost, count.double) == ([], 0, 0)
    assert current["release"] in done.stdout
