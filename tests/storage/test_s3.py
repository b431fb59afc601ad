"""What only a store on S3 does: addresses, uploads in parts, lists in pages, leftovers, secrets."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from artrec.errors import (
    ConditionFailed,
    ConfigError,
    CredentialsError,
    NotFound,
    StoreUnavailable,
)
from artrec.storage import S3Options, Unfinished, open_store, split_url
from artrec.storage.s3 import S3Store
from artrec.storage.s3.client import client
from artrec.storage.s3.faults import redacted
from artrec.storage.s3.writing import PART, part_bytes
from tests.services.hooks import interfering
from tests.services.names import KEY, SECRET
from tests.services.s3 import Server


@pytest.fixture
def store(s3_server: Server) -> S3Store:
    return s3_server.store("root")


@pytest.fixture
def requests(store: S3Store) -> Iterator[list[Any]]:
    """Every request of the store, as it was sent."""
    seen: list[Any] = []
    with interfering(store, lambda request: seen.append(request)):
        yield seen


def paths(store: S3Store, prefix: str = "") -> list[str]:
    return [entry.path for entry in store.list(prefix)]


def size_of(request: Any) -> int:
    return int(request.headers.get("content-length", 0))


def file_of(server: Server, store: S3Store, path: str) -> Path:
    """The file of an object, as the server keeps it."""
    return server.folder / store.bucket / f"{store.prefix}{path}"


# -- addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://my.bucket-1/a", "my.bucket-1", "a/"),
        ("s3://bucket/a b/é/", "bucket", "a b/é/"),
    ],
)
def test_an_address_is_a_bucket_and_a_prefix(url: str, bucket: str, prefix: str) -> None:
    store = open_store(url)
    assert isinstance(store, S3Store)
    assert (store.bucket, store.prefix) == (bucket, prefix)
    assert store.url == url.rstrip("/")
    assert store.path_url("x/y") == f"s3://{bucket}/{prefix}x/y"


@pytest.mark.parametrize("url", ["s3://", "s3:///a", "s3://b", "s3://bu cket/a", "s3://bucket/a//b",
                                 "s3://bucket/../x", "s3://-bucket/x"])  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="not an address of the form s3://bucket/prefix"):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://bucket/x.zip", ("s3://bucket", "x.zip")),
        ("s3://bucket/a/b/x.zip", ("s3://bucket/a/b", "x.zip")),
        ("s3://bucket/folder/", ("s3://bucket", "folder")),
        ("s3://bucket", ("s3://bucket", "")),
    ],
)
def test_the_url_of_an_object_is_a_store_and_a_path_in_it(url: str, parts: tuple[str, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize("scheme", ["s3", "http", "gopher"])
def test_an_address_with_credentials_is_refused_and_not_repeated(scheme: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(f"{scheme}://{KEY}:{SECRET}@bucket/x")
    assert "credentials do not belong in an address" in str(caught.value)
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_endpoint_with_credentials_is_refused_and_not_repeated(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{KEY}:{SECRET}@127.0.0.1:1")
    with pytest.raises(ConfigError, match="the endpoint holds credentials") as caught:
        paths(store)
    assert SECRET not in str(caught.value)


def test_two_stores_of_one_address_are_equal_but_for_their_options() -> None:
    one, same = open_store("s3://bucket/a"), open_store("s3://bucket/a/")
    other = open_store("s3://bucket/a", S3Options(seconds=1))
    assert (one, hash(one)) == (same, hash(same))
    assert one != other


# -- clients --------------------------------------------------------------------------------


def test_a_store_travels_without_its_client_and_secrets(store: S3Store) -> None:
    store.write("a", b"1")
    packed = pickle.dumps(store)
    assert len(packed) < 500
    for secret in (KEY, SECRET):
        assert secret.encode() not in packed
        assert secret not in repr(store)
    again = pickle.loads(packed)
    assert again == store
    assert again.options == store.options


def test_each_process_has_a_client_of_its_own(store: S3Store) -> None:
    mine = id(client(store.options))
    assert id(client(store.options)) == mine
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        made = client(store.options) is not client(S3Options(seconds=99))
        os.write(write, b"%d" % (made and id(client(store.options)) != mine))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"1"
    os.close(read)
    os.close(write)


def test_a_server_elsewhere_is_asked_by_path_and_aws_by_the_bucket_s_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = S3Options()

    def asked(endpoint: str | None) -> str:
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        if endpoint:
            monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        made = client(options)
        signed = made.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "key"})
        monkeypatch.setenv("AWS_ENDPOINT_URL", "back")
        return str(signed).partition("?")[0]

    assert asked("http://store.example:9000") == "http://store.example:9000/bucket/key"
    assert asked(None) == "https://bucket.s3.amazonaws.com/key"


def test_a_style_of_addresses_in_the_profile_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile = tmp_path / "config"
    profile.write_text("[default]\nregion = eu-central-1\ns3 =\n  addressing_style = virtual\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profile))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.example:9000")
    monkeypatch.delenv("AWS_REGION")
    made = client(S3Options(seconds=7))
    assert made.meta.region_name == "eu-central-1"
    signed = made.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "key"})
    assert signed.startswith("http://bucket.store.example:9000/key?")


@pytest.mark.parametrize("mode", ["standard", "adaptive"])
def test_retries_are_those_of_the_options(store: S3Store, mode: str) -> None:
    made = client(S3Options(retries=mode))
    assert made.meta.config.retries["mode"] == mode


# -- checksums ------------------------------------------------------------------------------


def test_objects_are_sent_with_a_checksum_and_checked_when_they_are_read(
    s3_server: Server, store: S3Store, requests: list[Any]
) -> None:
    store.write("a", b"123456789")
    assert requests[0].headers["x-amz-checksum-crc32"] == b"y/Q5Jg=="  # the check value of CRC-32
    file_of(s3_server, store, "a").write_bytes(b"123456780")
    short = S3Store(store.bucket, store.prefix, S3Options(seconds=0.2))
    with pytest.raises(StoreUnavailable, match="checksum"):
        short.read("a")


def test_a_server_that_knows_no_checksums_is_sent_none(s3_server: Server) -> None:
    store = s3_server.store("root", S3Options(checksums=False, seconds=20))
    seen: list[Any] = []
    with interfering(store, lambda request: seen.append(request)):
        store.write("a", b"123456789")
        with store.create("b") as stream:
            stream.write(b"x" * (PART + 1))
        assert (store.read("a"), len(store.read("b"))) == (b"123456789", PART + 1)
    names = {name.lower() for request in seen for name in request.headers}
    assert "if-none-match" in names
    assert [name for name in names if "checksum" in name] == []


# -- uploads in parts -----------------------------------------------------------------------


def test_a_long_stream_is_sent_in_parts_while_it_is_written(
    store: S3Store, requests: list[Any]
) -> None:
    data = os.urandom(1 << 20) * 40
    with store.create("long") as stream:
        for start in range(0, len(data), 3 << 20):
            stream.write(data[start : start + (3 << 20)])
        sent = [size_of(request) for request in requests if "partNumber" in request.url]
        assert sent == [PART, PART]
    entry = store.stat("long")
    assert (entry.bytes, entry.etag.rpartition("-")[2]) == (len(data), "3")
    assert store.read("long", 17 << 20, 99) == data[17 << 20 :][:99]
    assert store.read("long") == data


def test_nothing_is_left_of_a_long_stream_that_failed(store: S3Store) -> None:
    with pytest.raises(ZeroDivisionError), store.create("long") as stream:  # noqa: PT012
        stream.write(bytes(PART + 1))
        assert [entry.path for entry in store.unfinished()] == ["long"]
        raise ZeroDivisionError
    assert paths(store) == []
    assert list(store.unfinished()) == []


def test_a_long_stream_never_replaces_an_object_created_meanwhile(store: S3Store) -> None:
    with pytest.raises(ConditionFailed, match="exists already"), store.create("new") as stream:  # noqa: PT012
        stream.write(bytes(PART + 1))
        store.write("new", b"early")
    assert store.read("new") == b"early"
    assert list(store.unfinished()) == []


def test_ten_thousand_parts_are_enough_for_the_largest_object() -> None:
    written, largest = 0, 0
    for _ in range(10_000):
        largest = part_bytes(written)
        written += largest
    assert written > 5 << 40
    assert largest < 5 << 30
    assert part_bytes(20 << 30) == PART == 16 << 20


def test_a_file_is_sent_without_a_second_copy_of_it(
    store: S3Store, requests: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(bytes(2 * PART + 5))
    before = {*tmp_path.rglob("*")}
    assert store.upload(tmp_path / "file", "there").bytes == 2 * PART + 5
    assert {*tmp_path.rglob("*")} == before
    assert max(size_of(request) for request in requests) == PART


def test_uploads_of_killed_writers_are_found_and_discarded(store: S3Store) -> None:
    script = (
        "import os, signal, sys\n"
        "from artrec.storage import open_store\n"
        "from artrec.storage.s3.writing import PART\n"
        "with open_store(sys.argv[1]).create('runs/new') as stream:\n"
        "    stream.write(bytes(PART + 1))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, store.url], check=False)
    assert done.returncode == -signal.SIGKILL
    assert isinstance(store, Unfinished)
    assert paths(store) == []
    (left,) = store.unfinished()
    assert (left.path, left.bytes) == ("runs/new", PART)
    store.discard(left)
    assert list(store.unfinished()) == []
    with pytest.raises(NotFound):
        store.discard(left)


def test_uploads_of_other_roots_in_the_bucket_are_not_ours(store: S3Store) -> None:
    other = S3Store(store.bucket, "elsewhere/", store.options)
    with other.create("new") as stream:
        stream.write(bytes(PART + 1))
        assert list(store.unfinished()) == []


# -- lists ----------------------------------------------------------------------------------


def test_a_list_of_many_pages_is_whole_and_in_order(
    s3_server: Server, store: S3Store, requests: list[Any]
) -> None:
    names = [f"many/{number:05d}" for number in range(2345)]
    with ThreadPoolExecutor(16) as pool:
        bucket, raw = store.bucket, s3_server.client()
        list(pool.map(lambda n: raw.put_object(Bucket=bucket, Key=f"root/{n}", Body=b""), names))
    assert paths(store, "many") == names
    assert len(requests) == 3


def test_a_marker_of_a_folder_is_listed_and_that_of_the_root_is_not(
    s3_server: Server, store: S3Store
) -> None:
    for key in ("root/", "root/folder/", "root/folder/a"):
        s3_server.client().put_object(Bucket=store.bucket, Key=key, Body=b"")
    assert paths(store) == ["folder/", "folder/a"]


# -- credentials ----------------------------------------------------------------------------


def test_the_usual_variables_are_looked_at_when_the_store_is_used(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a", b"1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(CredentialsError, match=r"no usable credentials.*set AWS_PROFILE"):
        store.read("a")


def test_a_profile_gives_credentials_region_and_endpoint(
    s3_server: Server, store: S3Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store.write("a", b"1")
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION", "ENDPOINT_URL"):
        monkeypatch.delenv(f"AWS_{name}")
    profile = tmp_path / "config"
    profile.write_text(
        f"[profile mine]\nregion = us-east-1\nendpoint_url = {s3_server.endpoint}\n"
        f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profile))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    assert store.read("a") == b"1"
    monkeypatch.setenv("AWS_PROFILE", "theirs")
    with pytest.raises(ConfigError, match="theirs"):
        store.read("a")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://me:pass@host/x failed", "http://***@host/x failed"),
        ("key AKIAIOSFODNN7EXAMPLE is unknown", "key *** is unknown"),
        ("https://b/k?X-Amz-Signature=abc&X-Amz-Date=1", "https://b/k?X-Amz-Signature=***&X-Amz-Date=***"),
        ("an ordinary sentence = fine", "an ordinary sentence = fine"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_redacted(text: str, expected: str) -> None:
    assert redacted(text) == expected
