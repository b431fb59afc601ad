"""Buckets that keep older versions of their objects: what was forgotten goes there, too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artrec.releases import holding
from artrec.releases.forgotten import forget
from artrec.releases.sweep import Rules, carry_out, plan_sweep
from artrec.storage import Store, Versioned
from artrec.storage.s3 import S3Store
from tests.commands.small_store import PAINTINGS, publish_paintings
from tests.services.s3 import QUICK, Server, serving

SECRET = b"the bytes of a picture that was taken down"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("versions"), versions=True) as running:
        yield running


@pytest.fixture(autouse=True)
def _endpoint(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)


@pytest.fixture
def store(server: Server) -> S3Store:
    bucket = server.bucket()
    server.client().put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    return S3Store.at(f"s3://{bucket}/out", QUICK)


def holders(server: Server, store: S3Store) -> list[Path]:
    """Files of a bucket, and of its versions, whose bytes have the secret in them."""
    found = server.folder.parent.rglob("*")
    files = (path for path in found if store.bucket in path.parts and path.is_file())
    return [path for path in files if SECRET in path.read_bytes()]


def swept(store: Store) -> dict[str, tuple[int, int]]:
    """What a sweep two hours from now removes, of all but the newest release."""
    with holding(store, "a sweep", 60.0) as lease:
        now = datetime.now(UTC) + timedelta(hours=2)
        plan = plan_sweep(store, Rules(keep=1, age=timedelta(hours=1)), now)
        carry_out(store, plan, lease)
    return plan.counts()


def test_versions_are_what_list_does_not_show_and_purging_removes_them(store: S3Store) -> None:
    assert isinstance(store, Versioned)
    store.write("runs/a/b/x", SECRET)
    store.write("drafts/d.json", SECRET)
    assert list(store.versions("runs")) == []
    store.delete("runs/a/b/x")
    assert list(store.list("runs")) == []
    found = list(store.versions("runs"))
    assert [(each.path, each.bytes) for each in found] == [
        ("runs/a/b/x", len(SECRET)),
        ("runs/a/b/x", 0),  # the mark of its deletion
    ]
    for each in found:
        store.purge(each)
    assert list(store.versions("runs")) == []
    assert store.read("drafts/d.json") == SECRET


def test_a_bucket_without_versions_has_none(server: Server) -> None:
    store = server.store()
    store.write("runs/a", b"1")
    store.delete("runs/a")
    assert list(store.versions("runs")) == []


def test_a_sweep_removes_older_versions_once_something_was_forgotten(
    store: S3Store, server: Server
) -> None:
    for number, name in enumerate(("one", "two", "three")):
        publish_paintings(store.url, name, PAINTINGS[: 10 + number])
    store.write("runs/ingest/x/y/pictures/a.parquet", SECRET)
    store.write("runs/ingest/x/y/pictures/b.parquet", SECRET)
    store.delete("runs/ingest/x/y/pictures/a.parquet")  # as an earlier sweep did
    counts = swept(store)
    assert counts["orphans"] == (1, len(SECRET))
    assert counts["versions"] == (0, 0)
    assert holders(server, store) != []

    forget(store, PAINTINGS[0].sha256.hex(), "a letter")
    counts = swept(store)
    assert counts["versions"][0] >= 4  # two files of it, and two marks
    assert holders(server, store) == []
    assert list(store.versions("runs")) == []
    publish_paintings(store.url, "four", PAINTINGS[:9])
    swept(store)  # what goes in this very sweep goes with its versions
    assert list(store.versions("runs")) == []
    assert {entry.path for entry in store.list("runs")} != set()
