"""What is given to a cluster: a wheel, a packed environment, an image. Each is made and used.

They need the package registry, as the set-up does; the image needs podman and a base image, named
in BASE_IMAGE. TORCH=yes makes archive and image with torch and CUDA, on 30 GB of disk; one night
then trains an encoder, the next embeds with it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import artrec
from tests.faults.rig import (
    CUTS,
    FINE,
    GATES,
    LISTS,
    NEW,
    REPOSITORY,
    Ended,
    assert_whole,
    environment,
    job,
    outcome,
    started,
)
from tests.pictures import write_zip
from tests.services.names import free_port

pytestmark = pytest.mark.long

TORCH = os.environ.get("TORCH", "no")
TRAINING = (
    "train.recipe=convolutional",
    "train.side=16",
    "train.channels=[4,8]",
    "train.epochs=2",
    "train.held_out=0.7",
)
"""Settings with which 25 pictures of NEW are held out, enough for a night to train."""


def sets(archive: Path | str, *assignments: str) -> list[str]:
    each = (f"sources.main.url={archive}", *assignments)
    return [part for one in each for part in ("--set", one)]


def nights(archive: Path | str, root: Path) -> Iterator[list[str]]:
    """Options of the nights to run, one after the other: with torch the second is told to use
    what the first trains, whichever encoder the first itself chooses.
    """
    if TORCH == "no":
        yield ["--release", "new", *sets(archive, *FINE)]
        return
    fine = (*CUTS, *LISTS, *GATES)
    yield ["--release", "first", *sets(archive, *fine, *TRAINING)]
    trained = _stage(root, "first", "train")["notes"]["trained"]
    assert trained.startswith("convolutional-")
    yield ["--release", "new", *sets(archive, *fine, f"encoder.id={trained}")]
    assert _stage(root, "new", "embed")["notes"]["encoder_id"] == trained


def _stage(root: Path, release: str, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / f"releases/{release}.json").read_bytes())
    record: dict[str, Any] = found["stages"][stage]
    return record


def did(*command: str | Path, cwd: Path, **more: str) -> str:
    """What a command printed; the test fails with all it said if it did."""
    done = subprocess.run(command, cwd=cwd, env=os.environ | more, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# -- the wheel ------------------------------------------------------------------------------


def test_the_wheel_holds_all_that_artrec_needs_beside_its_requirements(tmp_path: Path) -> None:
    """It is laid into a folder of its own; the packages it requires are this environment's."""
    python = sys.executable
    wheels, target = tmp_path / "wheels", tmp_path / "target"
    did(python, "-m", "uv", "build", "--wheel", "-o", wheels, REPOSITORY, cwd=tmp_path)
    (wheel,) = wheels.glob("*.whl")
    assert wheel.name == f"artrec-{artrec.__version__}-py3-none-any.whl"
    held = set(zipfile.ZipFile(wheel).namelist())
    source = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "artrec").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert source - held == set()
    assert {name.split("/")[0] for name in held} == {
        *("artrec", f"artrec-{artrec.__version__}.dist-info")
    }
    install = (python, "-m", "uv", "pip", "install", "--no-deps", "--target", target, wheel)
    did(*install, cwd=tmp_path)
    told = "import artrec; print(artrec.__file__)"
    path = {"PYTHONPATH": str(target)}
    assert Path(did(python, "-c", told, cwd=tmp_path, **path).strip()).is_relative_to(target)
    program = target / "bin" / "artrec"
    assert did(python, program, "--version", cwd=tmp_path, **path) == f"{artrec.__version__}\n"
    did(python, program, "sample", "s.zip", "--images", "12", cwd=tmp_path, **path)
    night = ("--set", "sources.main.url=s.zip", "--set", "store.root=store")
    said = did(
        python, program, "nightly", *night, "--set", "encoder.id=handmade", cwd=tmp_path, **path
    )
    assert "listed 12 = stored 12 + rejected 0" in said
    did(python, program, "report", "--root", "store", "--to", "report", cwd=tmp_path, **path)
    assert (tmp_path / "report" / "index.html").stat().st_size > 10_000


# -- the packed environment -----------------------------------------------------------------


@contextmanager
def cluster(place: Path, surroundings: Mapping[str, str]) -> Iterator[str]:
    """A standalone master and one worker with two cores: the master's address."""
    port, page = free_port(), free_port()
    address = f"spark://127.0.0.1:{port}"
    spark_class = str(Path(surroundings["SPARK_HOME"]) / "bin" / "spark-class")
    quiet = {"SPARK_NO_DAEMONIZE": "1", "SPARK_LOCAL_IP": "127.0.0.1"}
    listen = ("--host", "127.0.0.1", "--webui-port")
    master = ("org.apache.spark.deploy.master.Master", *listen, str(page), "--port", str(port))
    worker = ("org.apache.spark.deploy.worker.Worker", *listen, str(free_port()))
    worker += ("--cores", "2", "--memory", "2g", "--work-dir", str(place / "work"), address)
    about = dict(surroundings) | quiet
    with (
        started([spark_class, *master], about, subprocess.DEVNULL),
        started([spark_class, *worker], about, subprocess.DEVNULL),
    ):
        _await_worker(page)
        yield address


def _await_worker(page: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{page}/json/", timeout=5) as answer:
                if b'"ALIVE"' in answer.read().split(b'"workers"')[1]:
                    return
        except (OSError, IndexError):
            pass
        time.sleep(0.2)
    pytest.fail("no worker came to the master")


def test_the_packed_environment_runs_a_night_on_a_standalone_cluster(tmp_path: Path) -> None:
    """Driver and executors have nothing but the archive, and Spark."""
    packed = tmp_path / "env.tar.gz"
    did("bash", REPOSITORY / "docker" / "pack.sh", packed, cwd=tmp_path, TORCH=TORCH)
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "environment", filter="tar")
    programs = tmp_path / "environment" / "bin"
    assert did(programs / "artrec", "--version", cwd=tmp_path) == f"{artrec.__version__}\n"
    module = (programs / "python", "-m", "artrec", "--version")
    assert did(*module, cwd=tmp_path) == f"{artrec.__version__}\n"
    texts = {path: path.read_bytes() for path in programs.iterdir() if path.is_file()}
    assert [path.name for path, text in texts.items() if b"artrec-pack." in text] == []
    archive_of_pictures = write_zip(tmp_path / "new.zip", NEW)
    about = environment(
        tmp_path,
        SPARK_HOME=str(Path(sys.prefix, *_spark_home())),
        PYSPARK_PYTHON="./environment/bin/python",
        PYSPARK_DRIVER_PYTHON=str(tmp_path / "environment" / "bin" / "python"),
    )
    about.pop("PYTHONPATH", None)
    submit = [str(Path(sys.executable).with_name("spark-submit"))]
    with cluster(tmp_path, about) as address:
        submit += ["--properties-file", str(REPOSITORY / "conf" / "spark-standalone.conf")]
        submit += ["--master", address, "--archives", f"{packed}#environment"]
        submit += ["--conf", "spark.executor.cores=2", "--conf", "spark.executor.memory=1g"]
        submit += ["--conf", "spark.driver.memory=1g", "--conf", "spark.driver.host=127.0.0.1"]
        root = ["--set", f"store.root={tmp_path / 'store'}"]
        jobs = REPOSITORY / "jobs"
        doctor = job([*submit, str(jobs / "doctor.py"), *root, "--executors", "1"], about)
        assert doctor.code == 0, doctor.out + doctor.log
        assert ("torch absent" in doctor.out) == (TORCH == "no")
        assert "All well: driver and 1 executor" in doctor.out
        for night in nights(archive_of_pictures, tmp_path / "store"):
            for done in (tmp_path / "work").glob("app-*"):  # 5 GB with torch, kept by the worker
                shutil.rmtree(done, ignore_errors=True)
            ended = job([*submit, str(jobs / "nightly.py"), *root, *night], about)
            assert ended.code == 0, ended.out + ended.log
    assert outcome(tmp_path / "store")["status"] == "published"
    assert_whole(tmp_path / "store", archive_of_pictures)


def _spark_home() -> tuple[str, ...]:
    import pyspark

    return Path(pyspark.__file__).parent.relative_to(sys.prefix).parts


# -- the image ------------------------------------------------------------------------------

BASE = "BASE_IMAGE"


@dataclass(frozen=True)
class Podman:
    """podman, and the image that it built from docker/Dockerfile."""

    image: str
    network: str

    def run(self, name: str, *command: str, options: tuple[str, ...] = ()) -> Ended:
        """A container to its end."""
        own = ("--rm", "--network", self.network, "--name", name, *options)
        return job(["podman", "run", *own, self.image, *command], os.environ)

    @contextmanager
    def running(self, name: str, *command: str, options: tuple[str, ...] = ()) -> Iterator[None]:
        """A container for the length of a block; others find it by its name."""
        own = ("--rm", "-d", "--network", self.network, "--name", name, *options)
        did("podman", "run", *own, self.image, *command, cwd=REPOSITORY)
        try:
            yield
        finally:
            did("podman", "rm", "-f", name, cwd=REPOSITORY)


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """The image, built as docker/README.md says, and an internal network."""
    base = os.environ.get(BASE)
    if not base or not shutil.which("podman"):
        pytest.skip(f"podman is not installed, or {BASE} names no base image")
    image, network = "localhost/artrec:test", f"artrec-{os.getpid()}"
    build = ["podman", "build", "--network=host", "-f", "docker/Dockerfile", "-t", image]
    build += ["--build-arg", f"BASE_IMAGE={base}", "--build-arg", f"TORCH={TORCH}"]
    certificates = os.environ.get("PIP_CERT")
    if certificates:  # of this machine; the image's own stay as they are
        build += ["-v", f"{certificates}:/certificates.crt:ro"]
        build += ["--env", "PIP_CERT=/certificates.crt", "--env", "SSL_CERT_FILE=/certificates.crt"]
    did(*build, ".", cwd=REPOSITORY)
    did("podman", "network", "create", "--internal", network, cwd=REPOSITORY)
    yield Podman(image, network)
    did("podman", "network", "rm", "-f", network, cwd=REPOSITORY)


def test_the_image_runs_as_an_ordinary_user_without_a_network(podman: Podman) -> None:
    alone = Podman(podman.image, "none")
    told = alone.run("artrec-alone", "sh", "-c", "id -u; artrec --version; touch /opt/x || echo no")
    assert told.out.split() == ["10001", artrec.__version__, "no"]


def test_a_night_in_containers_publishes_what_is_whole(podman: Podman, tmp_path: Path) -> None:
    """Master, two workers and the driver, each in its own container, on a folder they share."""
    archive, shared = write_zip(tmp_path / "new.zip", NEW), tmp_path / "store"
    shared.mkdir()
    for place in (tmp_path, shared):
        place.chmod(0o777)  # the image's user is nobody here
    both = ("-v", f"{tmp_path}:/shared")
    spark = "org.apache.spark.deploy"
    start = ("spark-class", f"{spark}.worker.Worker", "--cores", "1", "--memory", "1g")
    start += ("--work-dir", "/data/work", "spark://artrec-master:7077")
    master = ("spark-class", f"{spark}.master.Master", "--host", "artrec-master")
    submit = ("spark-submit", "--properties-file", "/opt/conf/spark-standalone.conf")
    submit += ("--master", "spark://artrec-master:7077", "--conf", "spark.executor.cores=1")
    submit += ("--conf", "spark.executor.memory=640m", "--conf", "spark.driver.memory=640m")
    root = ("--set", "store.root=/shared/store")
    with (
        podman.running("artrec-master", *master),
        podman.running("artrec-worker-1", *start, options=both),
        podman.running("artrec-worker-2", *start, options=both),
    ):
        doctor = (*submit, "/opt/jobs/doctor.py", *root, "--executors", "2")
        well = podman.run("artrec-doctor", *doctor, options=both)
        assert well.code == 0, well.out + well.log
        assert "All well: driver and 2 executors" in well.out
        for night in nights("/shared/new.zip", shared):
            job_ = (*submit, "/opt/jobs/nightly.py", *root, *night)
            ended = podman.run("artrec-night", *job_, options=both)
            assert ended.code == 0, ended.out + ended.log
    assert_whole(shared, archive)
