"""A small HTTP proxy on loopback, in front of an S3 server, that spoils some of what passes.

It forwards requests as they came, signatures and all; whatever process asks, also Spark's workers,
meets the same faults.
"""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

__all__ = ["FAULTS", "Proxy", "Request", "proxying"]

FAULTS = ("busy", "cut", "short", "reset", "lost", "expired", "inside")
"""What may become of a request: 503 without asking the server; half of the answer's body; half of
it with headers that fit; no answer and not asked; asked and no answer; 400 ExpiredToken; of an
upload's completion a 200 with an error inside."""

ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>{}</Message></Error>'
HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True)
class Request:
    """What a plan sees of a request; ``number`` counts all requests from 0."""

    number: int
    method: str
    path: str


Plan = Callable[[Request], str | None]
"""The fault that a request meets, if any."""


@dataclass
class Proxy:
    """A running proxy: its address, its plan, which may be changed, and the faults met."""

    endpoint: str
    upstream: tuple[str, int]
    plan: Plan
    met: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, method: str, path: str) -> str | None:
        with self.lock:
            found = self.plan(Request(self.requests, method, path))
            self.requests += 1
            if found:
                self.met[found] += 1
            return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fault = proxy.fault(self.command, self.path)
        if fault in ("busy", "expired", "inside"):
            self._refuse(fault)
            return
        if fault == "reset":
            self.close_connection = True
            return
        upstream = http.client.HTTPConnection(*proxy.upstream, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP | {"expect"}:
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            self._answer(answer, answer.read(), fault)
        finally:
            upstream.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def _refuse(self, fault: str) -> None:
        status, code = {
            "busy": (503, "SlowDown"),
            "expired": (400, "ExpiredToken"),
            "inside": (200, "InternalError"),
        }[fault]
        body = b"" if self.command == "HEAD" else ERROR.format(code, "of the proxy").encode()
        self._send(status, {"content-length": str(len(body))}, body)

    def _answer(self, answer: http.client.HTTPResponse, body: bytes, fault: str | None) -> None:
        if fault == "lost":
            self.close_connection = True
            return
        headers = {n: v for n, v in answer.getheaders() if n.lower() not in HOP}
        if self.command == "HEAD" or fault not in ("cut", "short") or len(body) < 2:
            self._send(answer.status, headers, body)
            return
        half = body[: len(body) // 2]
        if fault == "short" and (told := answer.getheader("content-range")):
            first, _, rest = told.removeprefix("bytes ").partition("-")
            last = int(first) + len(half) - 1
            named = {"content-range", "content-length"}
            headers = {n: v for n, v in headers.items() if n.lower() not in named}
            headers["content-range"] = f"bytes {first}-{last}/{rest.partition('/')[2]}"
            headers["content-length"] = str(len(half))
        else:
            self.close_connection = True
        self._send(answer.status, headers, half)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy

    def handle_error(self, *_: object) -> None:
        """Clients hang up: that is what half of this is about."""


@contextmanager
def proxying(upstream: str, plan: Plan) -> Iterator[Proxy]:
    """A proxy for the length of a block."""
    host = urlsplit(upstream)
    assert host.hostname
    assert host.port
    with _Server(("127.0.0.1", 0), _Handler) as server:
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        server.proxy = Proxy(endpoint, (host.hostname, host.port), plan)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.proxy
        finally:
            server.shutdown()
            thread.join()
