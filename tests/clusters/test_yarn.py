"""Nights on YARN as the documents say to submit them, the driver here or in a container.

They need the package registries, as docker/pack.sh does; see tests/clusters/yarn.py for the rest.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters.yarn import Yarn, running
from tests.faults.rig import (
    CUTS,
    FINE,
    LISTS,
    REPOSITORY,
    Ended,
    assert_same_tables,
    assert_whole,
    outcome,
)
from tests.services.names import KEY, SECRET
from tests.services.s3 import Server

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def yarn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yarn]:
    place = tmp_path_factory.mktemp("yarn")
    packed, driver = place / "env.tar.gz", place / "environment"
    pack = ["bash", str(REPOSITORY / "docker" / "pack.sh"), str(packed)]
    with running(place, packed, driver) as cluster:  # first, since it may be missing
        subprocess.run(pack, check=True, env=os.environ | {"TORCH": "no"})
        with tarfile.open(packed) as archive:
            archive.extractall(driver, filter="tar")
        yield cluster


def assignments(*settings: str) -> list[str]:
    return [part for each in settings for part in ("--set", each)]


def told(yarn: Yarn, ended: Ended) -> str:
    """For an assertion: what the job and its containers said."""
    return ended.out + ended.log + yarn.said()


def test_a_night_with_its_driver_here_is_as_a_local_one(
    yarn: Yarn, archive: Path, clean: Path, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    place = assignments(f"store.root={root}")
    well = yarn.submit("client", "doctor", *place)
    assert well.code == 0, told(yarn, well)
    assert "torch absent" in well.out
    assert "All well: driver and 2 executors" in well.out
    sources = assignments(f"sources.main.url={archive}", *FINE)
    ended = yarn.submit("client", "nightly", *place, *sources, "--release", "new")
    assert ended.code == 0, told(yarn, ended)
    assert_same_tables(root, clean)
    assert_whole(root, archive)


def test_a_night_with_its_driver_in_a_container_has_settings_and_keys_there(
    yarn: Yarn, archive: Path, clean: Path, s3_server: Server, tmp_path: Path
) -> None:
    """A file by its URL, one setting from the container's environment, others as arguments.

    The keys of the store are in a file that travels with the job.
    """
    bucket, files = s3_server.bucket(), s3_server.folder
    settings = f"""\
store: {{root: "s3://{bucket}/out"}}
sources: {{main: {{url: "s3://{bucket}/new.zip"}}}}
encoder: {{id: handmade}}
"""
    client = s3_server.client()
    client.put_object(Bucket=bucket, Key="new.zip", Body=archive.read_bytes())
    client.put_object(Bucket=bucket, Key="night.yaml", Body=settings.encode())
    keys = tmp_path / "keys"
    keys.write_text(f"[default]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n")
    surroundings = {
        "AWS_SHARED_CREDENTIALS_FILE": "keys",
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_REGION": "us-east-1",
    }
    conf = {"spark.files": str(keys), "spark.yarn.appMasterEnv.ARTREC_NEIGHBORS__K": "5"}
    for key, value in surroundings.items():
        conf |= {f"spark.yarn.appMasterEnv.{key}": value, f"spark.executorEnv.{key}": value}
    ended = yarn.submit(
        "cluster", "nightly", "--config", f"s3://{bucket}/night.yaml", "--release", "new",
        *assignments(*CUTS, "neighbors.slack=3"), **conf,
    )  # fmt: skip
    assert ended.code == 0, told(yarn, ended)
    assert outcome(files / bucket / "out")["status"] == "published"
    assert_same_tables(files / bucket / "out", clean)
    assert SECRET not in told(yarn, ended)


@pytest.mark.parametrize(
    ("setting", "code", "word"),
    [("gates.reject_rate=0.001", 5, "reject_rate"), ("sources.main.kind=tar", 4, "new.zip")],
    ids=["a gate", "a bad archive"],
)
def test_what_a_container_refused_is_told_by_the_outcome_alone(
    yarn: Yarn, archive: Path, tmp_path: Path, setting: str, code: int, word: str
) -> None:
    """Its settings are in a file that travels with it."""
    file = tmp_path / "night.yaml"
    file.write_text(f"sources: {{main: {{url: {archive}}}}}\nencoder: {{id: handmade}}\n")
    ended = yarn.submit(
        "cluster", "nightly", "--config", file.name, "--release", "new",
        *assignments(f"store.root={tmp_path}", *LISTS, setting), **{"spark.files": str(file)},
    )  # fmt: skip
    assert ended.code == 1, told(yarn, ended)  # spark-submit's own, whatever it was
    assert (tmp_path / "drafts" / "new" / "outcome.json").exists(), told(yarn, ended)
    found = outcome(tmp_path)
    assert (found["status"], found["exit_code"]) == ("failed", code)
    assert word in found["message"]
    assert found["current"] is None
    assert not (tmp_path / "CURRENT.json").exists()
