"""Embedding on GPUs: each task on the one that Spark gave it, one model for each address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artrec.config import EmbedSettings
from artrec.encoders import load_builtin
from artrec.encoders.card import pack, read_encoder, save_encoder
from artrec.encoders.device import Fitting
from artrec.stages import encoding
from artrec.stages.encoding import batch_of, task_gpus, worker_encoder
from artrec.stages.rules import vectors_identity
from artrec.storage import Store, open_store
from tests.encoders.test_convolutional import card, pictures, tensors
from tests.encoders.test_device import Device
from tests.nights import settings_of

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    yield open_store(str(tmp_path / "root"))
    encoding._loaded.cache_clear()
    encoding._placed.cache_clear()


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A machine with four GPUs: where a model was put, which then stays on the processor."""
    seen: list[tuple[str, str]] = []

    def put(encoder: Any, device: str, precision: str, most: int) -> Any:
        seen.append((device, precision))
        return Fitting(encoder, Device(10**6), most, device) if device != "cpu" else encoder

    monkeypatch.setattr(encoding, "place", put)
    monkeypatch.setattr(encoding, "cuda_count", lambda: 4)
    return seen


def given(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    monkeypatch.setattr(encoding, "task_gpus", lambda: (addresses, 0))


def test_a_process_keeps_one_model_for_each_address(
    store: Store, placed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, how = save_encoder(store, card(), tensors()), EmbedSettings(gpu_batch=12)
    found = []
    for address in ("1", "3", "1", "3", "1"):
        given(monkeypatch, address)
        found.append(worker_encoder(name, store, how))
    assert placed == [("cuda:1", "float32"), ("cuda:3", "float32")]
    assert found[0] is found[2] is found[4] is not found[1]
    assert batch_of(found[0], how) == 12
    right = read_encoder(*pack(card(), tensors())).encode(pictures(20))
    assert np.array_equal(found[0].encode(pictures(20)), right)


def test_without_a_gpu_of_the_task_it_is_the_one_model_on_the_processor(
    store: Store, placed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, how = save_encoder(store, card(), tensors()), EmbedSettings(batch=7)
    plain = worker_encoder(name, store)
    given(monkeypatch)
    assert worker_encoder(name, store, how) is plain
    given(monkeypatch, "2")
    assert worker_encoder(name, store, EmbedSettings(device="cpu")) is plain
    assert placed == []
    assert batch_of(plain, how) == 7


def test_the_hand_made_encoder_runs_on_the_gpu_of_the_task(
    store: Store, placed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, "2")
    encoder = worker_encoder("handmade", store, EmbedSettings(device="cuda", precision="bfloat16"))
    assert encoder.id == load_builtin("handmade").id
    assert placed == [("cuda:2", "bfloat16")]


def test_vectors_of_another_precision_are_kept_apart() -> None:
    ingest = settings_of().ingest
    network, plain = read_encoder(*pack(card(), tensors())), load_builtin("handmade")
    assert vectors_identity(network, ingest, "float32") == network.id
    other = vectors_identity(network, ingest, "bfloat16")
    assert other.startswith(f"{network.id}-")
    assert vectors_identity(plain, ingest, "bfloat16") == plain.id


def test_outside_of_a_task_there_are_no_gpus() -> None:
    assert task_gpus() == ((), 0)


@pytest.mark.parametrize(
    ("visible", "listed", "expected"),
    [
        (None, "0\\n1\\n2\\n", ["0", "1", "2"]),
        (None, "", []),
        ("5,GPU-8a", "0\\n1\\n2\\n", ["0", "1"]),  # torch counts those that it may see
        ("", "0\\n", []),
    ],
)
def test_the_discovery_script_says_what_torch_would_number(
    visible: str | None, listed: str, expected: list[str], tmp_path: Path
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{listed}'\n")
    tool.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    if visible is not None:
        environment["CUDA_VISIBLE_DEVICES"] = visible
    script = REPOSITORY / "conf/gpus.sh"
    said = subprocess.run([script], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == {"name": "gpu", "addresses": expected}


ASKING = """
    import json, sys, time
    from pathlib import Path
    from pyspark.sql import SparkSession
    from artrec.config import EmbedSettings
    from artrec.stages.encoding import encode_udf, task_gpus

    folder, root, name, script = sys.argv[1:]
    options = {
        "spark.worker.resource.gpu.amount": 2,
        "spark.worker.resource.gpu.discoveryScript": script,
        "spark.executor.resource.gpu.amount": 2,
        "spark.task.resource.gpu.amount": 1,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": 2,
    }
    builder = SparkSession.builder.master("local-cluster[1,2,1024]")
    for key, value in options.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()

    def asked(batches):
        import pyarrow as pa
        for batch in batches:
            pass
        addresses, partition = task_gpus()
        Path(folder, f"here-{partition}").touch()
        while len(list(Path(folder).glob("here-*"))) < 2:  # both run at once
            time.sleep(0.05)
        yield pa.RecordBatch.from_pydict({"partition": [partition], "gpus": [" ".join(addresses)]})

    two = spark.range(2, numPartitions=2)
    rows = two.mapInArrow(asked, "partition long, gpus string").collect()
    print(json.dumps(sorted(row.gpus for row in rows)))
    data = spark.createDataFrame([(bytearray(b"no picture"),)], ["data"])
    try:
        data.select(encode_udf(name, root, how=EmbedSettings(device="auto"))("data")).collect()
    except Exception as error:
        said = str(error)
        print(json.dumps("Spark gave this task the GPU" in said and "torch sees 0 here" in said))
    spark.stop()
"""


@pytest.mark.long
@pytest.mark.skipif("int(__import__('torch').cuda.device_count()) > 0", reason="GPUs are here")
def test_on_a_cluster_that_counts_gpus_two_tasks_get_two(store: Store, tmp_path: Path) -> None:
    """Spark's own accounting of two GPUs that are none: torch then says that it sees no such."""
    name = save_encoder(store, card(), tensors())
    (tmp_path / "asking.py").write_text(textwrap.dedent(ASKING))
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "asking.py", str(tmp_path), store.url, name, f"{REPOSITORY}/conf/gpus.sh"],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "CUDA_VISIBLE_DEVICES": "0,1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == [["0", "1"], True]
