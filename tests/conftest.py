"""What many tests share: a clean environment, one Spark, and two releases to read."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from tests.services.names import environment, free_port

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tests.nights import Night
    from tests.services.clouds import Emulator
    from tests.services.s3 import Server

CLOUDS = ("ARTREC_", "AWS_", "GOOGLE_", "CLOUDSDK_", "STORAGE_", "AZURE_")
OF_THE_SET_UP = ("ARTREC_VENV", "ARTREC_REQUIRE_S3")


@pytest.fixture(scope="session", autouse=True)
def _environment() -> Iterator[None]:
    """No settings from outside, everything on loopback, and this Python in Spark's workers."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            outside = name.upper().startswith(CLOUDS)
            if outside and name not in OF_THE_SET_UP:
                patch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        # known before Spark starts, whose workers have the environment of its start
        for name, value in environment(f"http://127.0.0.1:{free_port()}").items():
            patch.setenv(name, value)
        for name in ("MASTER", "SPARK_REMOTE", "SPARK_ENV_LOADED", "SPARK_CONF_DIR"):
            patch.delenv(name, raising=False)
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        yield


@pytest.fixture(autouse=True)
def _quiet_log() -> None:
    """A test that sets up logging leaves none behind: its stream ends with it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(scope="session")
def s3_server(_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One S3 server for all, where the environment says; each test has buckets of its own."""
    from tests.services.s3 import serving

    port = int(os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])
    with serving(tmp_path_factory.mktemp("s3"), port) as server:
        yield server


@pytest.fixture(scope="session")
def emulators(_environment: None) -> Iterator[Callable[[str], Emulator]]:
    """The emulator of a scheme, gs or az, started when it is first asked for."""
    from tests.services.clouds import emulating

    running: dict[str, Emulator] = {}
    with ExitStack() as stack:

        def one(scheme: str) -> Emulator:
            if scheme not in running:
                running[scheme] = stack.enter_context(emulating(scheme))
            return running[scheme]

        yield one


@pytest.fixture(scope="session")
def spark(_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One small Spark for all; tasks are tried four times, as in a real run.

    ``stop`` does nothing until the end, since each job stops the Spark that it was given.
    """
    from pyspark.sql import SparkSession

    scratch = tmp_path_factory.mktemp("spark")
    session: SparkSession = (
        SparkSession.builder.appName("artrec tests")
        .master("local[2,4]")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        .config("spark.local.dir", str(scratch))
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.ansi.enabled", "true")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    stop = session.stop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "stop", lambda: None)
        yield session
    stop()


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with first.zip, second.zip and the folder more; see tests/nights.py."""
    from tests.nights import FIRST, MORE, SECOND
    from tests.pictures import write_folder, write_zip

    place = tmp_path_factory.mktemp("sources")
    write_zip(place / "first.zip", FIRST)
    write_zip(place / "second.zip", SECOND)
    write_folder(place / "more", MORE)
    return place


@pytest.fixture(scope="session")
def release(spark: SparkSession, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """The first night, published as ``first``. For reading only: copy the store to go on."""
    from tests.nights import MANY, PREFIX, SHARDS, SLACK, K, night

    return night(
        tmp_path_factory.mktemp("store") / "root",
        "first",
        f"sources.main.url={sources / 'first.zip'}",
        f"sources.more.url={sources / 'more'}",
        f"sources.more.id_prefix={PREFIX}",
        "encoder.id=handmade",
        f"neighbors.k={K}",
        f"neighbors.slack={SLACK}",
        f"index.shards={SHARDS}",
        "index.search_k=4000",  # so few are scanned otherwise
        f"gates.reject_rate={MANY}",
    )


@pytest.fixture(scope="session")
def next_release(release: Night, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """The second night, on a copy of the first one's store, published as ``second``.

    Beside another zip, the source ``more`` has another template, so its labels change.
    """
    from tests.nights import night

    root = tmp_path_factory.mktemp("store") / "root"
    shutil.copytree(release.root, root)
    return night(
        root,
        "second",
        *release.assignments[:-1],
        f"sources.main.url={sources / 'second.zip'}",
        "sources.more.template={genre}/{artist}_{title}",
    )
