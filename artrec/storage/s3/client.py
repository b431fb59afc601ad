"""Asking S3: clients, and requests that are repeated for a limited time."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.utils import parse_timestamp

from artrec import log
from artrec.errors import ConfigError, StoreUnavailable
from artrec.storage import S3Options
from artrec.storage.s3.faults import FAILURES, explained, is_passing

__all__ = ["Asking", "Patience", "client"]

_TRIES = 3  # of botocore's own, within seconds; then we wait longer
_LONGEST_WAIT = 15.0
_PARALLEL = 32
_LOCK = Lock()


@dataclass
class _Connection:
    """A client, and whether its server has failed for as long as it is borne."""

    client: Any
    given_up: bool = False


def client(options: S3Options) -> Any:
    """The client of this process, made when it is first asked for.

    Region, endpoint and credentials come from the usual chain: variables, profiles, roles. The
    environment is part of the key, so that a change of it is seen.
    """
    return _connection(options).client


def _connection(options: S3Options) -> _Connection:
    variables = frozenset(item for item in os.environ.items() if item[0].startswith("AWS_"))
    with _LOCK:  # threads that read ahead begin at once, and want one client together
        return _connected(options, os.getpid(), hash(variables))


@lru_cache(maxsize=4)
def _connected(options: S3Options, process: int, environment: int) -> _Connection:
    try:
        return _Connection(_made(options))
    except FAILURES as error:
        raise explained(error, "S3", "") from None


def _made(options: S3Options) -> Any:
    core = botocore.session.get_session()
    parsers = core.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=_when)
    session = boto3.session.Session(botocore_session=core)
    chosen = core.get_scoped_config().get("s3")
    style = chosen.get("addressing_style") if isinstance(chosen, dict) else None
    made = session.client("s3", config=_config(options, style))
    host = urlsplit(made.meta.endpoint_url)
    if host.username or host.password:
        raise ConfigError(
            "the endpoint holds credentials (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3, or a profile):"
            " they do not belong in an address"
        )
    if style is None and not _is_aws(host.hostname or ""):
        # few servers elsewhere have a name for each bucket
        made = session.client("s3", config=_config(options, "path"))
    return made


def _when(text: Any) -> datetime:
    """A time in an answer: botocore's own way takes three quarters of the time for a list."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        found = parse_timestamp(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _is_aws(host: str) -> bool:
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"))


def _config(options: S3Options, style: str | None) -> Config:
    when = "when_supported" if options.checksums else "when_required"
    return Config(
        connect_timeout=min(10.0, options.seconds),
        read_timeout=min(60.0, options.seconds),
        retries={"mode": options.retries, "total_max_attempts": _TRIES},
        request_checksum_calculation=when,
        response_checksum_validation=when,
        max_pool_connections=_PARALLEL,
        tcp_keepalive=True,
        s3={"addressing_style": style} if style else None,
    )


class Patience:
    """How long passing faults of a store are borne: ``seconds`` from now on, in all."""

    def __init__(self, where: str, options: S3Options) -> None:
        self._where, self._options = where, options
        given_up = _connection(options).given_up
        self._end = time.monotonic() + (0.0 if given_up else options.seconds)
        self._next = 0.1

    def bear(self, error: Exception) -> None:
        """Wait, longer each time; StoreUnavailable (6) when the time is over.

        After that this process does not wait for the store again, until it has answered once: a job
        whose store is gone ends in the set time, not once for each thing that it tidies up.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            _connection(self._options).given_up = True
            raise StoreUnavailable(
                f"{self._where}: the store failed to answer for {self._options.seconds:g} s "
                f"(store.s3.seconds); run the same command again when it does. Its last word: "
                f"{explained(error, self._where, '')}"
            ) from None
        wait = min(left, random.uniform(self._next / 2, self._next))
        self._next = min(2 * self._next, _LONGEST_WAIT)
        log.get().warning(
            "the store did not answer, it is asked again",
            what=str(explained(error, self._where, "")),
            seconds=round(wait, 1),
            gives_up_in=round(left),
            setting="store.s3.seconds",
        )
        time.sleep(wait)


@dataclass(frozen=True, slots=True)
class Asking:
    """Requests about one object (or folder) of a bucket; ``where`` is its name for people.

    When ``stopped``, nobody waits for the answer any more: none is asked for again.
    """

    bucket: str
    where: str
    options: S3Options
    stopped: Callable[[], bool] = bool

    def __call__(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one request; errors are those of a Store."""
        patience = self.patience()
        while True:
            try:
                return self.once(operation, **parameters)
            except FAILURES as error:
                if not is_passing(error) or self.stopped():
                    raise explained(error, self.where, operation) from None
                patience.bear(error)

    def once(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """One request with botocore's own few tries; errors are botocore's."""
        connection = _connection(self.options)
        asked = getattr(connection.client, operation)
        answer: dict[str, Any] = asked(Bucket=self.bucket, **parameters)
        connection.given_up = False
        return answer

    def patience(self) -> Patience:
        return Patience(self.where, self.options)
