"""Faults of an S3 server, put in between a store's client and the real server by botocore's hooks.

An interference is called with each request that is about to be sent, signed and all. It returns
None to let it pass, or the answer that the client gets in its place.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session
from urllib3 import HTTPResponse

from artrec.storage.s3 import S3Store
from artrec.storage.s3.client import client

__all__ = ["Answer", "Clock", "answer", "error", "interfering", "sent", "without_headers"]

Answer = Callable[[Any], AWSResponse | None]
XML = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>{}</Message>{}</Error>'


@contextmanager
def interfering(store: S3Store, interference: Answer) -> Iterator[None]:
    """Within the block every request of the store's client passes by ``interference``."""
    events = client(store.options).meta.events

    def before(request: Any, **_: Any) -> AWSResponse | None:
        return interference(request)

    events.register("before-send.s3", before)
    try:
        yield
    finally:
        events.unregister("before-send.s3", before)


@contextmanager
def without_headers(store: S3Store, name: str, method: str | None = None) -> Iterator[None]:
    """The server never sees this header (on this method), as one that does not know it."""
    events = client(store.options).meta.events

    def strip(request: Any, **_: Any) -> None:
        if name in request.headers and method in (None, request.method):
            del request.headers[name]

    events.register_first("before-sign.s3", strip)
    try:
        yield
    finally:
        events.unregister("before-sign.s3", strip)


def answer(request: Any, status: int, body: bytes = b"", **headers: str) -> AWSResponse:
    """An answer of our own; ``headers`` have _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("content-length", str(len(body)))
    raw = HTTPResponse(body=io.BytesIO(body), headers=named, status=status, preload_content=False)
    return AWSResponse(request.url, status, raw.headers, raw)


def error(
    request: Any, status: int, code: str, message: str = "", more: str = "", **headers: str
) -> AWSResponse:
    """An error as S3 words it; one on HEAD has no body."""
    body = b"" if request.method == "HEAD" else XML.format(code, message, more).encode()
    return answer(request, status, body, content_type="application/xml", **headers)


def sent(request: Any) -> AWSResponse:
    """What the real server answers: the request is carried out, whatever becomes of the answer."""
    return URLLib3Session().send(request)


class Clock:
    """Time that passes by sleeping alone: in place of ``time`` for the code that waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
