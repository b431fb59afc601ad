"""A standalone cluster of Spark on loopback: a master and two workers, as processes."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyspark
import pytest

from tests.faults.rig import REPOSITORY, command, started
from tests.services.names import free_port

__all__ = ["HOSTS", "Cluster", "standalone"]

HOSTS = ("127.0.0.1", "localhost")
"""Of the workers: Spark sends no second attempt at a task to the host of the first."""

FITTED = {
    "spark.executor.cores": "1",
    "spark.executor.memory": "640m",
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
}
"""What conf/spark-standalone.conf says otherwise, or leaves to Spark, for two cores."""


@dataclass
class Cluster:
    """Its address, the page that tells of it, and how often a worker was started anew."""

    place: Path
    address: str
    page: int
    restarts: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def night(
        self,
        root: Path,
        archive: Path,
        *assignments: str,
        release: str = "new",
        conf: Mapping[str, str] | None = None,
    ) -> list[str]:
        """The nightly job as one submits it here, with the settings that are meant for it."""
        typed = command(root, archive, *assignments, release=release, master=self.address)
        options = ["--properties-file", str(REPOSITORY / "conf" / "spark-standalone.conf")]
        for key, value in (FITTED | dict(conf or {})).items():
            options += ["--conf", f"{key}={value}"]
        return [typed[0], *options, *typed[1:]]

    def state(self) -> dict[str, Any]:
        """What the master says of itself; empty before it listens."""
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.page}/json/", timeout=5) as answer,
        ):
            found: dict[str, Any] = json.load(answer)
            return found
        return {}

    def await_workers(self, count: int = len(HOSTS), seconds: float = 120) -> None:
        """Until so many are alive, and no application holds any of their cores."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.state()
            if state.get("aliveworkers") == count and not state["coresused"]:
                return
            time.sleep(0.2)
        pytest.fail(f"no {count} idle workers: {self.state()}")

    def run(self, daemon: str, *options: str) -> None:
        """A daemon of Spark for as long as the cluster lasts; killed, it is started again."""
        spark_class = str(Path(pyspark.__file__).parent / "bin" / "spark-class")
        words = (spark_class, f"org.apache.spark.deploy.{daemon}", *options)
        about = os.environ | {"SPARK_NO_DAEMONIZE": "1", "SPARK_LOCAL_IP": "127.0.0.1"}
        about |= {"SPARK_DAEMON_MEMORY": "256m", "SPARK_CONF_DIR": str(self.place)}
        with open(self.place / "daemons.log", "a") as log:
            while not self._over.is_set():
                with started(words, about, log.fileno()) as process:
                    while process.poll() is None and not self._over.wait(0.2):
                        pass
                with suppress(ProcessLookupError):  # an executor whose worker is gone
                    os.killpg(process.pid, signal.SIGKILL) if self._over.is_set() else None
                self.restarts += not self._over.is_set()

    def end(self, threads: Sequence[threading.Thread]) -> None:
        self._over.set()
        for thread in threads:
            thread.join()


@contextmanager
def standalone(place: Path, cores: int = 1) -> Iterator[Cluster]:
    """A master and a worker for each of HOSTS; ``cores`` and 2 GB each."""
    place.mkdir(parents=True, exist_ok=True)
    port = free_port()
    cluster = Cluster(place, f"spark://127.0.0.1:{port}", free_port())
    listen = ("--host", "127.0.0.1", "--port", str(port), "--webui-port", str(cluster.page))
    size = ("--cores", str(cores), "--memory", "2g", "--webui-port", "0")
    daemons = [("master.Master", *listen)]
    for host in HOSTS:
        work = ("--work-dir", str(place / f"work-{host}"), cluster.address)
        daemons.append(("worker.Worker", "--host", host, *size, *work))
    threads = [threading.Thread(target=cluster.run, args=each) for each in daemons]
    for thread in threads:
        thread.start()
    try:
        cluster.await_workers()
        yield cluster
    finally:
        cluster.end(threads)
