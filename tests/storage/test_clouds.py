"""What only stores at gs:// and az:// do: addresses, their clients' faults, races for long objects.

What every Store does, test_stores.py asks of them too. All that talks to an emulator is long.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from artrec.errors import (
    ConditionFailed,
    ConfigError,
    CredentialsError,
    NotFound,
    StoreUnavailable,
    UsageError,
)
from artrec.storage import S3Options, Store, open_store, split_url
from artrec.storage.cloud import CloudStore, driver
from artrec.storage.cloud.driver import redacted
from artrec.storage.cloud.upload import PART
from tests.services.clouds import ACCOUNT, KEY, Emulator, variables
from tests.services.hooks import Clock
from tests.services.names import free_port

Emulators = Callable[[str], Emulator]

# -- addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_an_address_is_a_bucket_and_a_prefix(scheme: str) -> None:
    store = open_store(f"{scheme}://my-bucket/a b/é/", S3Options(seconds=7))
    assert isinstance(store, CloudStore)
    assert isinstance(store, Store)
    assert (store.bucket, store.prefix, store.seconds) == ("my-bucket", "a b/é/", 7)
    assert store.url == f"{scheme}://my-bucket/a b/é"
    assert store.path_url("x/y") == f"{scheme}://my-bucket/a b/é/x/y"
    assert pickle.loads(pickle.dumps(store)) == store
    assert hash(store) == hash(open_store(f"{scheme}://my-bucket/a b/é", S3Options(seconds=7)))


@pytest.mark.parametrize("url", ["gs://", "az:///a", "gs://b", "az://bu cket/a", "gs://bucket/a//b",
                                 "az://bucket/../x", "gs://-bucket/x"])  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="not an address of the form"):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("gs://bucket/x.zip", ("gs://bucket", "x.zip")),
        ("az://bucket/a/b/x.zip", ("az://bucket/a/b", "x.zip")),
        ("gs://bucket", ("gs://bucket", "")),
    ],
)
def test_the_url_of_an_object_is_a_store_and_a_path_in_it(url: str, parts: tuple[str, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_an_address_with_credentials_is_refused_and_not_repeated(scheme: str) -> None:
    with pytest.raises(ConfigError, match="credentials do not belong in an address") as caught:
        open_store(f"{scheme}://{ACCOUNT}:{KEY}@bucket/x")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(("scheme", "extra"), [("gs", "gcs"), ("az", "azure")])
def test_a_client_that_is_not_installed_is_named(
    scheme: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in ("google.cloud", "azure.core", "azure.storage.blob"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"artrec.storage.cloud.{extra}", raising=False)
    monkeypatch.setenv("AZURE_TESTS", "another environment, so a new client")
    with pytest.raises(ConfigError, match=rf"pip install 'artrec\[{extra}\]'"):
        open_store(f"{scheme}://bucket/x").stat("a")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://me:pass@host/x failed", "http://***@host/x failed"),
        ("https://a/b?sv=1&sig=abc%3D&se=2", "https://a/b?sv=1&sig=***&se=2"),
        ("https://b/k?X-Goog-Signature=ab&x=1", "https://b/k?X-Goog-Signature=***&x=1"),
        ("AccountName=a;AccountKey=abc==;End", "AccountName=a;AccountKey=***;End"),
        ("Authorization: Bearer ya29.abc", "Authorization: Bearer ***"),
        ("an ordinary sentence = fine", "an ordinary sentence = fine"),
    ],
)
def test_what_looks_like_a_secret_is_redacted(text: str, expected: str) -> None:
    assert redacted(text) == expected


# -- against emulators ----------------------------------------------------------------------

long = pytest.mark.long


@pytest.fixture(params=["gs", "az"])
def emulator(request: pytest.FixtureRequest, emulators: Emulators) -> Emulator:
    return emulators(request.param)


@pytest.fixture
def store(emulator: Emulator) -> CloudStore:
    return emulator.store("some/root")


@contextmanager
def interfering(between: Callable[[Any, Callable[[], Any]], Any]) -> Iterator[None]:
    """Both clients send by requests: ``between(request, send)`` answers in place of the server."""
    from requests.adapters import HTTPAdapter

    real = HTTPAdapter.send

    def send(self: Any, request: Any, *args: Any, **more: Any) -> Any:
        return between(request, lambda: real(self, request, *args, **more))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPAdapter, "send", send)
        yield


def writes(request: Any) -> bool:
    return request.method in ("PUT", "POST")


@long
def test_conditions_are_proved_and_nothing_is_left_of_it(store: CloudStore) -> None:
    store.check("probe/here")
    assert list(store.list()) == []


@long
def test_a_server_that_ignores_conditions_is_refused(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = emulator.store("root")
    if emulator.scheme == "az":  # a shared key signs the conditions too, a SAS does not
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", sas(emulator, store.bucket))

    def forgetful(request: Any, send: Callable[[], Any]) -> Any:
        for part in ("ifGenerationMatch=0", "ifGenerationMatch="):
            request.url = request.url.replace(part, "nothing=")
        for name in ("If-None-Match", "If-Match"):
            request.headers.pop(name, None)
        return send()

    with interfering(forgetful), pytest.raises(ConfigError, match="this store overwrote"):
        store.check("probe")
    assert list(store.list()) == []


def sas(emulator: Emulator, container: str) -> str:
    """A connection string that lets one read and write in a container, without the key."""
    from datetime import UTC, datetime, timedelta

    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    signed = generate_container_sas(
        ACCOUNT,
        container,
        account_key=KEY,
        permission=ContainerSasPermissions(read=True, write=True, delete=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return f"BlobEndpoint={emulator.endpoint}/{ACCOUNT};SharedAccessSignature={signed};"


@long
def test_a_write_whose_answer_was_lost_counts_once(store: CloudStore) -> None:
    import requests

    lost: list[str] = []

    def lose(request: Any, send: Callable[[], Any]) -> Any:
        answer = send()
        if writes(request) and not lost:
            lost.append(request.url)
            raise requests.ConnectionError("the answer was lost")
        return answer

    with interfering(lose):
        first = store.write("CURRENT", b"first")
    assert len(lost) == 1
    lost.clear()
    with interfering(lose):
        second = store.write("CURRENT", b"second", if_etag=first.etag)
    assert len(lost) == 1
    assert store.read("CURRENT", etag=second.etag) == b"second"


@long
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(store: CloudStore, status: int) -> None:
    refused: list[str] = []

    def busy(request: Any, send: Callable[[], Any]) -> Any:
        answer = send() if len(refused) % 3 == 2 else refusal(request, status)
        refused.append(request.method)
        return answer

    with interfering(busy):
        store.write("a", b"1")
        assert store.read("a") == b"1"
        assert [entry.path for entry in store.list()] == ["a"]
    assert len(refused) >= 9


def refusal(request: Any, status: int) -> Any:
    import requests
    from urllib3 import HTTPResponse

    answer = requests.Response()
    answer.status_code, answer.url, answer.request = status, request.url, request
    answer.raw = HTTPResponse(body=io.BytesIO(), status=status, preload_content=False)
    return answer


@long
def test_a_server_that_stays_away_ends_the_job_in_the_set_time(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    for name, value in variables(emulator.scheme, away).items():
        monkeypatch.setenv(name, value)
    clock = Clock()
    monkeypatch.setattr(driver, "time", clock)
    store = CloudStore.at(f"{emulator.scheme}://bucket/x", 60)
    calls: list[Callable[[], object]] = [
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: list(store.list()),
    ]
    for call in calls:
        begun = clock.now
        with pytest.raises(StoreUnavailable, match=r"failed to answer for 60 s"):
            call()
        assert 60 <= clock.now - begun <= 75


@long
def test_a_bucket_that_is_not_there_is_a_fault_of_the_settings(emulator: Emulator) -> None:
    store = CloudStore.at(f"{emulator.scheme}://no-such-bucket/x", 5)
    calls: list[Callable[[], object]] = [lambda: list(store.list()), lambda: store.write("a", b"")]
    for call in calls:
        with pytest.raises(ConfigError, match="there is no such"):
            call()


@long
@pytest.mark.parametrize("status", [401, 403])
def test_a_denied_request_is_a_matter_of_credentials(store: CloudStore, status: int) -> None:
    with interfering(lambda request, _: refusal(request, status)):
        for call in (lambda: store.read("a"), lambda: store.write("a", b"")):
            with pytest.raises(CredentialsError, match=r"access denied|no usable credentials"):
                call()


@long
def test_a_wrong_key_is_told_without_it(
    emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = emulators("az")
    store = emulator.store("x")
    wrong = variables("az", emulator.endpoint)["AZURE_STORAGE_CONNECTION_STRING"]
    wrong = wrong.replace(KEY[:8], "AAAAAAAA")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", wrong)
    with pytest.raises(CredentialsError, match="access denied") as caught:
        store.write("a", b"")
    assert "AAAAAAAA" not in str(caught.value)
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    with pytest.raises(ConfigError, match="no storage account is named"):
        store.read("a")


@long
def test_a_store_travels_without_its_client_and_secrets(store: CloudStore) -> None:
    store.write("a", b"1")
    packed = pickle.dumps(store)
    assert len(packed) < 500
    assert KEY.encode() not in packed
    assert pickle.loads(packed).read("a") == b"1"


@long
def test_a_long_object_is_sent_in_parts_and_appears_whole(store: CloudStore) -> None:
    data = bytes(range(256)) * (11 << 12) * 4
    with store.create("long") as stream:
        for start in range(0, len(data), 3 << 20):
            stream.write(data[start : start + (3 << 20)])
            assert list(store.list()) == []
    assert store.stat("long").bytes == len(data)
    assert store.read("long", 17 << 20, 99) == data[17 << 20 :][:99]
    assert store.read("long") == data


@long
def test_a_long_object_never_replaces_one_created_meanwhile(store: CloudStore) -> None:
    with pytest.raises(ConditionFailed), store.create("new") as stream:  # noqa: PT012
        stream.write(bytes(PART + 1))
        store.write("new", b"early")
    assert store.read("new") == b"early"


@long
def test_of_two_long_objects_under_one_name_the_first_that_is_whole_stays(
    store: CloudStore,
) -> None:
    with pytest.raises(ConditionFailed), store.create("new") as slow:  # noqa: PT012
        slow.write(b"s" * (PART + 1))
        with store.create("new") as quick:
            quick.write(b"q" * (PART + 1))
    assert store.read("new") == b"q" * (PART + 1)


@long
def test_nothing_is_visible_of_a_long_object_that_failed(store: CloudStore) -> None:
    with pytest.raises(ZeroDivisionError), store.create("long") as stream:  # noqa: PT012
        stream.write(bytes(PART + 1))
        raise ZeroDivisionError
    assert list(store.list()) == []
    with pytest.raises(NotFound):
        store.stat("long")


@long
def test_a_list_of_many_pages_is_whole_and_in_order(store: CloudStore) -> None:
    names = sorted(f"many/{number % 7}/{number:05d}" for number in range(1_100))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.write(name, b""), names))
    assert [entry.path for entry in store.list("many")] == names
    assert [entry.path for entry in store.list("many/3")] == [n for n in names if n[5] == "3"]


@long
def test_azure_is_not_given_a_name_that_it_would_change(emulators: Emulators) -> None:
    store = emulators("az").store("x")
    for size in (0, PART + 1):
        with pytest.raises(UsageError, match="a backslash in"), store.create("a\\b") as stream:
            stream.write(bytes(size))
    assert list(store.list()) == []
