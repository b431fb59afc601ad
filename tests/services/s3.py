"""A real S3 server on loopback: versitygw over a folder, as the tests' set-up builds it.

Its objects are plain files below the folder, so a test can look at them with no code of S3 at all.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from artrec.storage import S3Options
from artrec.storage.s3 import S3Store
from tests.services.names import KEY, SECRET, free_port

__all__ = ["QUICK", "VERSION", "Server", "program", "serving"]

VERSION = "v1.8.0"
QUICK = S3Options(seconds=20)


@dataclass(frozen=True)
class Server:
    """A running server: its address, the folder that holds its buckets, and its process."""

    endpoint: str
    folder: Path
    pid: int
    names: Iterator[int] = field(default_factory=itertools.count)

    def bucket(self) -> str:
        """A new bucket that no other test uses."""
        name = f"bucket-{next(self.names)}"
        self.client().create_bucket(Bucket=name)
        return name

    def store(self, prefix: str = "", options: S3Options = QUICK) -> S3Store:
        """An empty store in a new bucket."""
        return S3Store.at(f"s3://{self.bucket()}/{prefix}", options)

    def client(self) -> Any:
        """A client of the tests' own, with nothing of artrec."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )


def program() -> Path | None:
    """The server's program, from the cache of the set-up or the PATH."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    built = Path(cache, "artrec", f"versitygw-{VERSION}", "versitygw")
    found = built if built.exists() else shutil.which("versitygw")
    return Path(found) if found else None


def _required() -> Path:
    found = program()
    if found is not None:
        return found
    missing = (
        f"no S3 server: versitygw {VERSION} is neither in the user's cache nor on the PATH; "
        "docker/setup.sh --test builds it where Go is installed"
    )
    if os.environ.get("CI") or os.environ.get("ARTREC_REQUIRE_S3"):
        pytest.fail(missing)
    pytest.skip(missing)


@contextmanager
def serving(folder: Path, port: int = 0, *more: str, versions: bool = False) -> Iterator[Server]:
    """A server for the length of a block; ``more`` are further options of its program.

    With ``versions`` its buckets may keep older ones of their objects, in ``folder/versions``.
    """
    buckets, port = folder / "buckets", port or free_port()
    buckets.mkdir(parents=True, exist_ok=True)
    kept = ["--versioning-dir", str(folder / "versions")] if versions else []
    (folder / "versions").mkdir(exist_ok=True)
    command = [str(_required()), "--port", f"127.0.0.1:{port}", "--health", "/health", "--quiet"]
    environment = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET, "PATH": os.environ["PATH"]}
    with (
        open(folder / "log", "wb") as log,
        subprocess.Popen(
            [*command, *more, "posix", *kept, str(buckets)], env=environment, stdout=log, stderr=log
        ) as process,
    ):
        try:
            _await(f"http://127.0.0.1:{port}/health", process)
            yield Server(f"http://127.0.0.1:{port}", buckets, process.pid)
        finally:
            process.terminate()


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    pytest.fail(f"the S3 server did not start: exit status {process.poll()}")
