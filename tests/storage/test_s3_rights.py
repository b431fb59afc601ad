"""The least rights of jobs/README.md are enough for a job, and what they leave out is denied.

Tried with users and bucket policies of the real server, which knows a part of AWS's language.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from artrec.errors import CredentialsError
from artrec.releases import current_release, holding, rollback
from artrec.releases.sweep import Rules, carry_out, plan_sweep
from artrec.releases.verify import verify
from artrec.storage import S3Options
from artrec.storage.s3 import S3Store
from artrec.storage.s3.writing import PART
from tests.commands.small_store import PAINTINGS, publish_paintings
from tests.services.names import KEY, SECRET
from tests.services.names import environment as aws
from tests.services.s3 import Server, program, serving

JOBS = Path(__file__).parents[2] / "jobs/README.md"
READER = ["s3:ListBucket", "s3:GetObject"]


@dataclass(frozen=True)
class Closed:
    """A server with users: ``job`` and ``reader``, and somebody who may do nothing."""

    server: Server
    bucket: str

    def be(self, user: str, patch: pytest.MonkeyPatch) -> S3Store:
        """The store, as this user sees it from now on."""
        for name, value in aws(self.server.endpoint, user, f"secret-of-{user}").items():
            patch.setenv(name, value)
        return S3Store.at(f"s3://{self.bucket}/some/prefix", S3Options(seconds=5))


def policy(bucket: str) -> dict[str, Any]:
    """The bucket policy: the rights of jobs/README.md for one, those of readers for another."""
    (text,) = re.findall(r"^```json\n(.*?)^```$", JOBS.read_text(), re.M | re.S)
    text = text.replace("BUCKET", bucket).replace("PREFIX", "some/prefix")
    written: dict[str, Any] = json.loads(text)
    for_job = [statement | {"Principal": {"AWS": ["job"]}} for statement in written["Statement"]]
    for_reader = [
        statement
        | {
            "Principal": {"AWS": ["reader"]},
            "Action": [action for action in statement["Action"] if action in READER],
        }
        for statement in written["Statement"]
    ]
    return written | {"Statement": for_job + for_reader}


@pytest.fixture(scope="module")
def closed(_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    place = tmp_path_factory.mktemp("closed")
    (place / "users").mkdir()
    with serving(place, 0, "--iam-dir", str(place / "users")) as server:
        for user in ("job", "reader", "nobody"):
            admin = [str(program()), "admin", "--access", KEY, "--secret", SECRET]
            admin += ["--endpoint-url", server.endpoint, "create-user", "--role", "user"]
            subprocess.run([*admin, "-a", user, "-s", f"secret-of-{user}"], check=True)
        bucket = server.bucket()
        rights = json.dumps(policy(bucket))
        server.client().put_bucket_policy(Bucket=bucket, Policy=rights)
        yield Closed(server, bucket)


def test_the_least_rights_are_enough_for_all_that_a_job_does(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = closed.be("job", monkeypatch)
    with holding(store, "test", 60) as lease:
        for name in ("first", "second"):
            publish_paintings(store.url, name, PAINTINGS[:5] if name == "first" else PAINTINGS)
            assert verify(store, name)[1] == []
        rollback(store, "first", lease.confirm)
        rollback(store, "second", lease.confirm)
        with store.create("runs/long") as stream:
            stream.write(bytes(PART + 1))
            (left,) = store.unfinished()
            assert left.bytes == PART
        later = datetime.now(UTC) + timedelta(days=1)
        plan = plan_sweep(store, Rules(keep=1, age=timedelta(0)), later)
        carry_out(store, plan, lease)
    assert "runs/long" not in [entry.path for entry in store.list()]


def test_readers_need_no_more_than_to_list_and_to_get(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_paintings(closed.be("job", monkeypatch).url, "read")
    store = closed.be("reader", monkeypatch)
    assert current_release(store).release_id == "read"
    assert verify(store, "read")[1] == []
    calls: dict[str, Callable[[], object]] = {
        "s3:PutObject": lambda: store.write("new", b""),
        "s3:DeleteObject": lambda: store.delete("CURRENT.json"),
        "s3:ListBucketMultipartUploads": lambda: list(store.unfinished()),
    }
    for right, call in calls.items():
        with pytest.raises(CredentialsError, match=f"access denied.*needs {right}") as caught:
            call()
        assert caught.value.exit_code == 7
    with pytest.raises(CredentialsError, match="needs s3:PutObject"), holding(store, "test", 60):
        pytest.fail("the lease was taken")


def test_who_may_do_nothing_is_denied_and_not_told_of_missing_objects(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = closed.be("nobody", monkeypatch)
    calls: list[Callable[[], object]] = [
        lambda: store.stat("CURRENT.json"),
        lambda: store.read("CURRENT.json"),
        lambda: list(store.list()),
        lambda: store.write("new", b""),
    ]
    for call in calls:
        with pytest.raises(CredentialsError, match="access denied"):
            call()


def test_the_rights_end_with_the_prefix(closed: Closed, monkeypatch: pytest.MonkeyPatch) -> None:
    closed.be("job", monkeypatch)
    beside = S3Store.at(f"s3://{closed.bucket}/some/other", S3Options(seconds=5))
    with pytest.raises(CredentialsError, match="access denied"):
        beside.write("new", b"")
