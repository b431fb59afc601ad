"""A real YARN on loopback: Hadoop's mini cluster, a resource manager and two node managers.

Its jars are fetched with Maven into the user's cache when a test first asks for them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.rig import REPOSITORY, Ended, job

__all__ = ["Yarn", "running"]

HERE = Path(__file__).parent
VERSION = "3.4.2"  # of Hadoop, as Spark 4.1 brings it
PATIENCE = 180.0

SMALL = {
    "spark.executor.instances": "2",
    "spark.executor.cores": "1",
    "spark.executor.memory": "512m",
    "spark.executor.memoryOverhead": "700m",
    "spark.driver.memory": "640m",
    "spark.driver.memoryOverhead": "1g",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
}
"""The memory and cores of conf/spark-yarn.conf, scaled to this machine."""

LOOPBACK = {
    "spark.yarn.appMasterEnv.SPARK_LOCAL_IP": "127.0.0.1",
    "spark.executorEnv.SPARK_LOCAL_IP": "127.0.0.1",
}


@dataclass(frozen=True)
class Yarn:
    """A running cluster, and the packed environment that its jobs run in."""

    conf: Path
    packed: Path
    driver: Path
    """The packed environment, unpacked, for a driver that is no container."""

    def submit(self, mode: str, name: str, *arguments: str, **conf: str) -> Ended:
        """A job with conf/spark-yarn.conf to its end; ``conf`` is laid over it."""
        jars = Path(os.environ["SPARK_HOME"], "jars", "*")
        given = SMALL | LOOPBACK | {"spark.yarn.jars": f"local:{jars}"}
        given["spark.yarn.stagingDir"] = str(self.conf.parent / "staging")
        given["spark.yarn.dist.archives"] = f"{self.packed}#environment"
        if mode == "client":
            given["spark.pyspark.driver.python"] = str(self.driver / "bin" / "python")
        given |= conf
        start = [str(Path(sys.executable).with_name("spark-submit")), "--deploy-mode", mode]
        start += ["--properties-file", str(REPOSITORY / "conf" / "spark-yarn.conf")]
        start += [part for key, value in given.items() for part in ("--conf", f"{key}={value}")]
        about = os.environ | {"HADOOP_CONF_DIR": str(self.conf)}
        about.pop("PYTHONPATH", None)
        return job([*start, str(REPOSITORY / "jobs" / f"{name}.py"), *arguments], about)

    def said(self) -> str:
        """All that the containers wrote, for a test that failed."""
        logs = sorted(self.conf.parent.glob("target/**/std*"))
        return "\n".join(f"--- {log}\n{log.read_text(errors='replace')}" for log in logs)


@contextmanager
def running(place: Path, packed: Path, driver: Path) -> Iterator[Yarn]:
    """A cluster for the length of a block; it works below ``place``."""
    conf = place / "conf"
    conf.mkdir()
    command = [_java(), "--add-opens", "java.base/java.lang=ALL-UNNAMED"]
    command += [f"-Djdk.net.hosts.file={_hosts(place)}", "-cp", f"{_jars()}/*"]
    command += [str(HERE / "MiniYarn.java"), str(conf / "yarn-site.xml")]
    with (
        open(place / "log", "wb") as log,
        subprocess.Popen(
            command, cwd=place, stdin=subprocess.PIPE, stdout=log, stderr=log
        ) as process,
    ):
        try:
            _await(conf / "yarn-site.xml", process)
            yield Yarn(conf, packed, driver)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _hosts(place: Path) -> Path:
    """This machine's name is loopback for the cluster, whatever it is for others."""
    names = place / "hosts"
    names.write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
    return names


def _await(file: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        if file.exists():
            return
        time.sleep(0.2)
    pytest.fail(f"YARN did not start: exit status {process.poll()}")


def _java() -> str:
    """A Java that compiles, too: MiniYarn.java is run from its source."""
    home = os.environ.get("JAVA_HOME")
    found = f"{home}/bin/java" if home else shutil.which("java")
    if found is None or not Path(found).resolve().with_name("javac").exists():
        pytest.skip("YARN needs a JDK: there is no javac beside java")
    return found


def _jars() -> Path:
    """The cluster's jars (107 MB), from the cache; fetched where they are missing."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    jars = Path(cache, "artrec", f"hadoop-minicluster-{VERSION}")
    if jars.exists():
        return jars
    if shutil.which("mvn") is None:
        pytest.skip(f"no YARN: {jars} is missing, and there is no mvn to fetch its jars")
    part = jars.with_name(f"{jars.name}.{os.getpid()}.part")
    fetch = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
    fetch += ["-DincludeScope=runtime", f"-DoutputDirectory={part}"]
    done = subprocess.run(fetch, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(part, ignore_errors=True)
        pytest.skip(f"no YARN: Maven could not fetch its jars: {done.stdout.strip()[:300]}")
    part.rename(jars)
    return jars
