"""A server of Spark Connect on loopback, from the environment's own Spark."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.rig import environment, started
from tests.services.names import free_port

__all__ = ["serving"]

PATIENCE = 180.0


@contextmanager
def serving(place: Path) -> Iterator[str]:
    """A server with two cores for the length of a block: its address for SPARK_REMOTE."""
    port = free_port()
    conf = {
        "spark.master": "local[2,4]",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.log.level": "OFF",
    }
    command = [str(Path(sys.executable).with_name("spark-submit"))]
    command += [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer"]
    surroundings = environment(place, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    with started([*command, "spark-internal"], surroundings, subprocess.DEVNULL) as process:
        _await(port, process)
        yield f"sc://127.0.0.1:{port}"


def _await(port: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"no server of Spark Connect: exit status {process.poll()}")
