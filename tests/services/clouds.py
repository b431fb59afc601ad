"""Emulators on loopback: fake-gcs-server for gs://, Azurite for az://, where they are installed.

Into the user's cache:

    GOBIN=~/.cache/artrec/fake-gcs-server-v1.56.1 \\
        go install github.com/fsouza/fake-gcs-server@v1.56.1
    npm install --prefix ~/.cache/artrec/azurite-3.35.0 azurite@3.35.0
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from artrec.storage.cloud import CloudStore
from tests.services.names import free_port

__all__ = ["ACCOUNT", "EMULATORS", "KEY", "Emulator", "emulating", "variables"]

EMULATORS = {"gs": "fake-gcs-server-v1.56.1", "az": "azurite-3.35.0"}
NEEDED = {"gs": "google.cloud.storage", "az": "azure.storage.blob"}
# Azurite's own, known to everybody
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def variables(scheme: str, endpoint: str) -> dict[str, str]:
    """What a user exports."""
    if scheme == "gs":
        return {"STORAGE_EMULATOR_HOST": endpoint}
    told = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
    return {"AZURE_STORAGE_CONNECTION_STRING": f"{told}BlobEndpoint={endpoint}/{ACCOUNT};"}


@dataclass(frozen=True)
class Emulator:
    """A running emulator; the variables that name it are set while it runs."""

    scheme: str
    endpoint: str
    names: Iterator[int] = field(default_factory=itertools.count)

    def bucket(self) -> str:
        """A new bucket or container that no other test uses."""
        name = f"bucket-{next(self.names)}"
        if self.scheme == "gs":
            from google.cloud import storage

            storage.Client(project="tests").create_bucket(name)
        else:
            self.container(name).create_container()
        return name

    def container(self, name: str) -> Any:
        from azure.storage.blob import ContainerClient

        told = variables("az", self.endpoint)["AZURE_STORAGE_CONNECTION_STRING"]
        return ContainerClient.from_connection_string(told, name)

    def store(self, prefix: str = "", seconds: float = 20) -> CloudStore:
        """An empty store in a new bucket."""
        return CloudStore.at(f"{self.scheme}://{self.bucket()}/{prefix}", seconds)


def _program(scheme: str) -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(cache, "artrec", EMULATORS[scheme])
    name = "fake-gcs-server" if scheme == "gs" else "azurite-blob"
    built = folder / name if scheme == "gs" else folder / "node_modules" / ".bin" / name
    found = str(built) if built.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: tests/services/clouds.py says how to install {EMULATORS[scheme]}")
    try:
        known = importlib.util.find_spec(NEEDED[scheme])
    except ModuleNotFoundError:
        known = None
    if known is None:
        extra = "gcs" if scheme == "gs" else "azure"
        pytest.skip(f"{NEEDED[scheme]} is not installed: pip install 'artrec[{extra}]'")
    return found


@contextmanager
def emulating(scheme: str, port: int = 0) -> Iterator[Emulator]:
    """An emulator that keeps all in memory, for the length of a block."""
    program, port = _program(scheme), port or free_port()
    endpoint = f"http://127.0.0.1:{port}"
    options = {
        "gs": [
            *("-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"),
            *("-public-host", f"127.0.0.1:{port}", "-external-url", endpoint),
        ],
        "az": [
            *("--blobPort", str(port), "--inMemoryPersistence", "--silent"),
            *("--disableTelemetry", "--skipApiVersionCheck"),
        ],
    }
    quiet = subprocess.DEVNULL
    command = [program, *options[scheme]]
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
        try:
            _await(port, process)
            with pytest.MonkeyPatch.context() as patch:
                for name, value in variables(scheme, endpoint).items():
                    patch.setenv(name, value)
                yield Emulator(scheme, endpoint)
        finally:
            process.terminate()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"the emulator did not start: exit status {process.poll()}")
