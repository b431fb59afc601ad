"""A server on S3 that fails: what passes is borne, what does not is told apart, with what to do.

The server is the real one; botocore's hooks put the faults in between. Time is a clock of our own.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.auth
import botocore.endpoint
import pytest
import structlog
from botocore.awsrequest import AWSResponse
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError, SSLError
from structlog.testing import capture_logs

from artrec.errors import (
    ArtrecError,
    ConditionFailed,
    ConfigError,
    CredentialsError,
    NotFound,
    StoreFull,
    StoreUnavailable,
    UsageError,
)
from artrec.releases import holding
from artrec.storage import S3Options
from artrec.storage.s3 import S3Store
from artrec.storage.s3 import client as waiting
from artrec.storage.s3.faults import explained
from artrec.storage.s3.writing import PART
from tests.services.hooks import Clock, answer, error, interfering, sent, without_headers
from tests.services.names import KEY, SECRET
from tests.services.s3 import Server

LONG = PART + 1


@pytest.fixture
def store(s3_server: Server) -> S3Store:
    made = s3_server.store("root", S3Options(seconds=300))
    assert paths(made) == []  # it has answered, whatever an earlier test has met
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Nobody waits."""
    made = Clock()
    monkeypatch.setattr(waiting, "time", made)
    # in this module alone: other threads of the suite sleep too, and would make time fly
    monkeypatch.setattr(botocore.endpoint, "time", made)
    return made


def patient(store: S3Store, seconds: float) -> S3Store:
    """The same store under another limit of time."""
    return S3Store(store.bucket, store.prefix, S3Options(seconds=seconds))


def paths(store: S3Store) -> list[str]:
    return [entry.path for entry in store.list()]


def put(store: S3Store, path: str, data: bytes) -> None:
    with store.create(path) as stream:
        stream.write(data)


class Once:
    """An interference with the first request that ``wanted`` says yes to, or the first few."""

    def __init__(
        self,
        wanted: Callable[[Any], bool],
        fault: Callable[[Any], AWSResponse | None],
        times: int = 1,
    ) -> None:
        self.wanted, self.fault, self.left = wanted, fault, times

    def __call__(self, request: Any) -> AWSResponse | None:
        if self.left and self.wanted(request):
            self.left -= 1
            return self.fault(request)
        return None


def method(name: str, within: str = "") -> Callable[[Any], bool]:
    return lambda request: request.method == name and within in request.url


COMPLETION = method("POST", "uploadId=")


def slow_down(request: Any) -> AWSResponse:
    return error(request, 503, "SlowDown", "Please reduce your request rate.")


# -- faults that pass -----------------------------------------------------------------------


def test_three_minutes_without_an_answer_are_borne(store: S3Store, clock: Clock) -> None:
    begun = clock.now

    def out_for_three_minutes(request: Any) -> AWSResponse | None:
        return slow_down(request) if clock.now < begun + 180 else None

    with interfering(store, lambda request: None):
        store.write("a", b"before")
    borne = patient(store, 300)
    with interfering(borne, out_for_three_minutes):
        borne.write("b", b"after")
    assert clock.now >= begun + 180
    assert store.read("b") == b"after"


def test_a_server_that_never_answers_ends_the_run_with_6_in_the_set_time(
    store: S3Store, clock: Clock
) -> None:
    begun, borne = clock.now, patient(store, 60)
    with interfering(borne, slow_down):
        words = r"for 60 s \(store\.s3\.seconds\).*SlowDown"
        with pytest.raises(StoreUnavailable, match=words) as caught:
            borne.read("a")
        assert caught.value.exit_code == 6
        for call in (lambda: borne.stat("a"), lambda: borne.write("a", b""), lambda: paths(borne)):
            with pytest.raises(StoreUnavailable, match="run the same command again"):
                call()
    assert 60 <= clock.now - begun < 120


def test_the_first_warning_says_how_long_it_goes_on_and_what_shortens_it(
    store: S3Store, clock: Clock
) -> None:
    store.write("a", b"1")
    structlog.reset_defaults()
    with capture_logs() as lines, interfering(store, Once(lambda _: True, slow_down, 15)):
        assert store.read("a") == b"1"
    told = [line for line in lines if line["log_level"] == "warning"]
    assert "asked again" in told[0]["event"]
    assert told[0]["setting"] == "store.s3.seconds"
    assert 290 < told[0]["gives_up_in"] <= 300  # botocore has tried before
    assert told[-1]["gives_up_in"] < told[0]["gives_up_in"]


def test_a_store_that_was_given_up_is_waited_for_again_when_it_has_answered(
    store: S3Store, clock: Clock
) -> None:
    """A job ends in the set time, whatever it tidies up at its end, and other attempts at once."""
    with interfering(store, slow_down):
        with pytest.raises(StoreUnavailable):
            store.read("a")
        given_up = clock.now
        for _ in range(20):
            with pytest.raises(StoreUnavailable):
                store.write("a", b"1")
        assert clock.now - given_up < 100  # botocore's own few seconds each time
    store.write("a", b"1")
    with interfering(store, Once(lambda _: True, slow_down, 15)):
        assert store.read("a") == b"1"


def test_a_store_that_answers_slowly_but_does_is_borne_for_longer(
    store: S3Store, clock: Clock
) -> None:
    """The time is that without any: 100 s for each mebibyte, and then a reset, are no failure."""
    data = bytes(range(256)) * (18 << 10)
    store.write("a", data)

    def slow(request: Any) -> AWSResponse:
        clock.sleep(100)
        return cut(request, (1 << 20) + 5)

    fault = Once(method("GET"), slow, 4)
    with interfering(store, fault):
        assert store.read("a") == data
    assert fault.left == 0


@pytest.mark.parametrize("code", [500, 502, 503, 504, 429])
def test_passing_faults_are_tried_again(store: S3Store, clock: Clock, code: int) -> None:
    fault = Once(lambda _: True, lambda r: error(r, code, "Whatever"), 9)
    with interfering(store, fault):
        store.write("a", b"1")
    assert fault.left == 0
    assert store.read("a") == b"1"


def test_a_page_of_some_machine_between_is_a_passing_fault(store: S3Store, clock: Clock) -> None:
    def page(request: Any) -> AWSResponse:
        return answer(request, 502, b"<html>Bad Gateway</html>", content_type="text/html")

    with interfering(store, Once(lambda _: True, page, 7)):
        store.write("a", b"1")
    assert store.read("a") == b"1"


def test_connections_that_fail_are_tried_again(store: S3Store, clock: Clock) -> None:
    faults = [
        EndpointConnectionError(endpoint_url="http://x"),
        ReadTimeoutError(endpoint_url="http://x"),
        SSLError(endpoint_url="http://x", error="EOF occurred"),
    ] * 3

    def fail(request: Any) -> AWSResponse | None:
        if faults:
            raise faults.pop()
        return None

    with interfering(store, fail):
        store.write("a", b"1")
    assert (faults, store.read("a")) == ([], b"1")


def test_a_conflict_of_two_writers_is_tried_again(store: S3Store, clock: Clock) -> None:
    def conflict(request: Any) -> AWSResponse:
        return error(request, 409, "ConditionalRequestConflict")

    with interfering(store, Once(method("PUT"), conflict, 3)):
        store.write("a", b"1")
    with interfering(store, Once(COMPLETION, conflict, 3)):
        put(store, "long", bytes(LONG))
    assert (store.read("a"), store.stat("long").bytes) == (b"1", LONG)


# -- answers that are lost ------------------------------------------------------------------


def lost(request: Any) -> AWSResponse:
    """The request is carried out, and its answer never comes."""
    assert sent(request).status_code in (200, 204)
    raise ReadTimeoutError(endpoint_url=request.url)


def test_a_create_whose_answer_was_lost_has_succeeded(store: S3Store, clock: Clock) -> None:
    with interfering(store, Once(method("PUT"), lost)):
        entry = store.write("a", b"mine")
    assert (store.read("a"), store.stat("a")) == (b"mine", entry)


def test_a_swap_whose_answer_was_lost_has_succeeded(store: S3Store, clock: Clock) -> None:
    etag = store.write("a", b"before").etag
    with interfering(store, Once(method("PUT"), lost)):
        entry = store.write("a", b"mine", if_etag=etag)
    assert (store.read("a"), store.stat("a")) == (b"mine", entry)


def test_an_upload_whose_completion_was_lost_has_succeeded(store: S3Store, clock: Clock) -> None:
    with interfering(store, Once(COMPLETION, lost)):
        put(store, "long", bytes(LONG))
    assert store.stat("long").bytes == LONG
    assert list(store.unfinished()) == []


def test_a_lost_answer_does_not_make_another_s_object_ours(store: S3Store, clock: Clock) -> None:
    """Not even if it has the same bytes: that other writer won, too."""

    def overtaken(request: Any) -> AWSResponse:
        store.write("a", b"same bytes")
        return error(request, 500, "InternalError")

    for create in (
        lambda: store.write("a", b"same bytes"),
        lambda: put(store, "a", b"same bytes"),
    ):
        with (
            interfering(store, Once(method("PUT"), overtaken)),
            pytest.raises(ConditionFailed, match="exists already"),
        ):
            create()
        store.delete("a")


def test_the_answer_to_an_abort_does_not_hide_why_it_was_aborted(
    store: S3Store, clock: Clock
) -> None:
    hasty = patient(store, 1)
    with (  # noqa: PT012
        interfering(hasty, Once(method("DELETE"), slow_down, 99)),
        pytest.raises(ZeroDivisionError),
        hasty.create("long") as stream,
    ):
        stream.write(bytes(LONG))
        raise ZeroDivisionError
    assert [entry.path for entry in store.unfinished()] == ["long"]  # for sweep


# -- errors inside of a 200 -----------------------------------------------------------------


def inside(request: Any) -> AWSResponse:
    body = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We</Message></Error>"
    return answer(request, 200, body, content_type="application/xml")


def test_an_error_inside_of_a_200_is_no_completion(store: S3Store, clock: Clock) -> None:
    with interfering(store, Once(COMPLETION, inside, 7)):
        put(store, "long", bytes(LONG))
    assert store.stat("long").bytes == LONG
    hasty = patient(store, 5)
    with (
        interfering(hasty, Once(COMPLETION, inside, 999)),
        pytest.raises(StoreUnavailable, match="InternalError"),
    ):
        put(hasty, "other", bytes(LONG))
    assert paths(store) == ["long"]
    assert list(store.unfinished()) == []


def test_an_upload_that_the_server_lost_is_a_stop_and_not_a_success(
    store: S3Store, clock: Clock
) -> None:
    def gone(request: Any) -> AWSResponse:
        return error(request, 404, "NoSuchUpload")

    with (
        interfering(store, Once(COMPLETION, gone)),
        pytest.raises(StoreUnavailable, match="lost the upload"),
    ):
        put(store, "long", bytes(LONG))
    assert paths(store) == []


# -- bodies ---------------------------------------------------------------------------------


def cut(request: Any, keep: int) -> AWSResponse:
    """The real answer, whose body ends early: the connection was reset."""
    real = sent(request)
    return answer(request, real.status_code, real.content[:keep], **_headers(real))


def short(request: Any, keep: int) -> AWSResponse:
    """An answer that says of itself that it is shorter than was asked for."""
    real = sent(request)
    headers = _headers(real) | {"content_length": str(keep)}
    first, _, whole = headers["content_range"].removeprefix("bytes ").partition("-")
    end = int(first) + keep - 1
    headers["content_range"] = f"bytes {first}-{end}/{whole.partition('/')[2]}"
    return answer(request, real.status_code, real.content[:keep], **headers)


def _headers(real: AWSResponse) -> dict[str, str]:
    kept = ("content-length", "content-range", "etag", "last-modified")
    return {n.replace("-", "_"): real.headers[n] for n in kept if n in real.headers}


@pytest.mark.parametrize(("offset", "length"), [(0, None), (0, 900), (100, 500), (700, 5000)])
def test_a_body_that_breaks_off_is_gone_on_with(
    store: S3Store, clock: Clock, offset: int, length: int | None
) -> None:
    data = bytes(i % 251 for i in range(1000))
    store.write("a", data)
    fault = Once(method("GET"), lambda request: cut(request, 77), 3)
    with interfering(store, fault):
        found = store.read("a", offset, length)
    assert fault.left == 0
    assert found == data[offset:][: 10_000 if length is None else length]


@pytest.mark.parametrize(("offset", "length"), [(0, 900), (100, 500), (700, 5000)])
def test_a_range_that_is_answered_short_is_asked_again(
    store: S3Store, clock: Clock, offset: int, length: int
) -> None:
    data = bytes(i % 251 for i in range(1000))
    store.write("a", data)
    fault = Once(method("GET"), lambda request: short(request, 99), 2)
    with interfering(store, fault):
        assert store.read("a", offset, length) == data[offset : offset + length]
    assert fault.left == 0


def test_an_object_replaced_between_two_pieces_is_never_mixed(store: S3Store, clock: Clock) -> None:
    old, new, size = b"o" * (3 << 20), b"n" * (3 << 20), 3 << 20
    etag = store.write("a", old).etag

    def replaced(request: Any) -> AWSResponse:
        answered = cut(request, 2 << 20)
        store.write("a", new, if_etag=etag)
        return answered

    with interfering(store, Once(method("GET"), replaced)):
        assert store.read("a", 0, size) == new
    etag = store.write("a", old, if_etag=store.stat("a").etag).etag
    with (
        interfering(store, Once(method("GET"), replaced)),
        pytest.raises(ConditionFailed, match="changed"),
    ):
        store.read("a", 0, size, etag=etag)


def test_a_file_is_downloaded_whole_through_broken_bodies(
    store: S3Store, clock: Clock, tmp_path: Any
) -> None:
    data = bytes(range(256)) * 200_000
    (tmp_path / "there").write_bytes(data)
    store.upload(tmp_path / "there", "a")
    with interfering(store, Once(method("GET"), lambda request: cut(request, 1 << 20), 4)):
        store.download("a", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


def test_a_server_that_answers_ranges_with_the_whole_is_refused(store: S3Store) -> None:
    store.write("a", bytes(1000))

    def whole(request: Any) -> AWSResponse:
        real = sent(request)
        return answer(request, 200, bytes(1000), etag=real.headers["etag"])

    with interfering(store, Once(method("GET"), whole, 99)):
        for offset, length in ((1, 5), (0, 5), (100, None)):
            with pytest.raises(ConfigError, match="does not answer requests for byte ranges"):
                store.read("a", offset, length)
        assert store.read("a", 0, 1000) == bytes(1000)


# -- what does not pass ---------------------------------------------------------------------

TOLD: dict[str, tuple[int, str, type[ArtrecError], str]] = {
    "AccessDenied": (403, "", CredentialsError, "access denied.*needs s3:GetObject"),
    "ExpiredToken": (400, "", CredentialsError, "have expired.*it goes on from here"),
    "InvalidAccessKeyId": (403, "", CredentialsError, "does not know these credentials"),
    "SignatureDoesNotMatch": (403, "", CredentialsError, "does not know these credentials"),
    "RequestTimeTooSkewed": (403, "", CredentialsError, "clocks differ: here it is.*time server"),
    "NoSuchBucket": (404, "", ConfigError, "there is no such bucket; look at its spelling"),
    "PermanentRedirect": (301, "", ConfigError, "wrong region.*: set AWS_REGION=eu-west-3"),
    "AuthorizationHeaderMalformed": (
        400, "<Region>eu-west-3</Region>", ConfigError, "wrong region.*AWS_REGION=eu-west-3",
    ),
    "NoSuchKey": (404, "", NotFound, "no such object"),
    "PreconditionFailed": (412, "", ConditionFailed, "changed"),
    "XMinioStorageFull": (507, "", StoreFull, "no space left.*free some"),
    "NotImplemented": (501, "", ConfigError, "the store cannot do this"),
    "KeyTooLongError": (400, "", UsageError, "cannot have such a name"),
    "Unheard": (400, "", ArtrecError, "get_object was refused: Unheard"),
}  # fmt: skip
"""Code -> status, more of the body, the error that comes of it, and its words."""


@pytest.mark.parametrize("code", TOLD)
@pytest.mark.parametrize("call", ["read", "stat"])
def test_each_refusal_is_told_apart_with_what_to_do(store: S3Store, code: str, call: str) -> None:
    status, more, kind, words = TOLD[code]
    headers = {"date": "Wed, 25 Nov 2026 09:00:00 GMT", "x_amz_bucket_region": "eu-west-3"}
    if code == "AuthorizationHeaderMalformed":
        del headers["x_amz_bucket_region"]

    def refuse(request: Any) -> AWSResponse:
        return error(request, status, code, f"about {KEY}", more, **headers)

    asked = (lambda: store.read("a", etag="x")) if call == "read" else (lambda: store.stat("a"))
    if code == "PreconditionFailed" and call == "stat":
        words = "another object than was expected"
    with interfering(store, refuse), pytest.raises(kind, match=f"(?s){words}") as caught:
        asked()
    assert type(caught.value) is kind
    assert f"{store.url}/a" in str(caught.value)


def test_no_such_bucket_is_no_missing_object(s3_server: Server) -> None:
    store = S3Store.at("s3://no-such-bucket/root", S3Options(seconds=5))
    for call in (
        lambda: store.stat("a"),
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: paths(store),
        lambda: list(store.unfinished()),
    ):
        with pytest.raises(ConfigError, match="there is no such bucket"):
            call()


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_SECRET_ACCESS_KEY", "wrong-secret"), ("AWS_ACCESS_KEY_ID", "wrong-key")],
)
def test_wrong_credentials_are_told_by_the_real_server(
    store: S3Store, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    for call in (lambda: store.stat("a"), lambda: store.write("a", b""), lambda: paths(store)):
        with pytest.raises(CredentialsError, match="does not know these credentials") as caught:
            call()
        said = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert SECRET not in said
        assert "wrong-secret" not in said


def test_a_clock_that_is_wrong_is_told_by_the_real_server(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tomorrow(remove_tzinfo: bool = True) -> datetime:
        late = datetime.now(UTC) + timedelta(days=1)
        return late.replace(tzinfo=None) if remove_tzinfo else late

    monkeypatch.setattr(botocore.auth, "get_current_datetime", tomorrow)
    with pytest.raises(CredentialsError, match="the clocks differ: here it is"):
        store.stat("a")


def test_a_wrong_region_that_the_server_puts_right_is_no_fault(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    store.write("a", b"1")
    assert store.read("a") == b"1"


def test_a_server_that_lists_in_another_order_is_refused(store: S3Store) -> None:
    for name in ("a", "b"):
        store.write(name, b"")

    def turned(request: Any) -> AWSResponse:
        real = sent(request)
        body = real.content.replace(b"/a<", b"/c<")
        return answer(request, 200, body, content_type="application/xml")

    with interfering(store, turned), pytest.raises(ConfigError, match="lists 'b' behind 'c'"):
        paths(store)


def test_a_certificate_that_nobody_trusts_is_no_matter_of_patience(clock: Clock) -> None:
    fault = SSLError(endpoint_url="https://x", error="CERTIFICATE_VERIFY_FAILED")
    found = explained(fault, "s3://bucket/a", "get_object")
    assert isinstance(found, ConfigError)
    assert "AWS_CA_BUNDLE" in str(found)


def test_neither_key_nor_secret_is_in_what_an_error_says(store: S3Store, clock: Clock) -> None:
    """Not in its text, nor in the chain of errors that ``--debug`` prints."""
    signed = f"https://h/x?X-Amz-Credential={KEY}&amp;X-Amz-Signature=abc {SECRET}"

    def leak(request: Any) -> AWSResponse:
        return error(request, 400, "InvalidRequest", signed.removesuffix(SECRET))

    with interfering(store, leak), pytest.raises(ArtrecError) as caught:
        store.read("a")
    said = "".join(traceback.format_exception(caught.value))
    assert KEY not in said
    assert "abc" not in said
    assert "InvalidRequest" in said


# -- the probe ------------------------------------------------------------------------------


def test_a_server_that_honours_conditions_passes_and_nothing_is_left(store: S3Store) -> None:
    store.check("runs/check/x/check")
    assert paths(store) == []
    assert list(store.unfinished()) == []


@pytest.mark.parametrize("name", ["If-None-Match", "If-Match"])
def test_a_server_that_ignores_conditions_is_refused_before_anything_is_written(
    store: S3Store, name: str
) -> None:
    with (
        without_headers(store, name, "PUT"),
        pytest.raises(ConfigError, match=f"overwrote an object in spite of {name}") as caught,
        holding(store, "test", 60),
    ):
        pytest.fail("the lease was taken")
    assert caught.value.exit_code == 3
    assert paths(store) == []
    assert list(store.unfinished()) == []


def test_a_server_that_ignores_the_condition_of_a_completion_is_refused(store: S3Store) -> None:
    def strip(request: Any) -> AWSResponse | None:
        return answer(request, 200, DONE) if COMPLETION(request) else None

    with (
        interfering(store, strip),
        pytest.raises(ConfigError, match="completed an upload in parts"),
    ):
        store.check("runs/check/x/check")
    assert paths(store) == []


DONE = (
    b"<?xml version='1.0'?><CompleteMultipartUploadResult><ETag>&quot;1&quot;</ETag>"
    b"</CompleteMultipartUploadResult>"
)


def test_a_store_that_cannot_be_reached_is_told_in_the_set_time(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    store = S3Store.at("s3://bucket/root", S3Options(seconds=30))
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        store.stat("a")
