"""The pictures of ``peers.py`` by Ray Data; run by it, where Ray is installed."""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    # else Ray takes 127.0.0.1 for this machine's own address, and listens on every interface
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_worker_niceness": "0",  # as everybody else's workers; Ray's own is 15
}

import pyarrow as pa
import ray
from ray.data import DataContext

from tests.bench.peers_work import Worker, serve

_WORKERS: dict[tuple[str, str], Worker] = {}


class Actor:
    """For ``map_batches`` with a pool of actors."""

    def __init__(self, root: str, encoder: str, marks: str) -> None:
        self._worker = Worker(root, encoder, marks)

    def __call__(self, batch: pa.Table) -> pa.Table:
        return _encoded(self._worker, batch)


def task(batch: pa.Table, root: str, encoder: str, marks: str) -> pa.Table:
    """For ``map_batches`` with tasks; their processes stay, and so does the encoder in them."""
    from tests.bench import peers_ray  # pickled by value, its globals would be new for each task

    kept = peers_ray._WORKERS
    worker = kept.get((root, encoder)) or kept.setdefault(
        (root, encoder), Worker(root, encoder, marks)
    )
    return _encoded(worker, batch)


def _encoded(worker: Worker, batch: pa.Table) -> pa.Table:
    vectors = worker.vectors(batch.column("data").to_pylist())
    embeddings = pa.array(vectors, pa.list_(pa.float32()))
    return batch.select(["content_sha256"]).append_column("embedding", embeddings)


def run(spec: dict[str, Any]) -> None:
    variant, cores = spec["variant"], spec["cores"]
    told = {name: spec[name] for name in ("root", "encoder", "marks")}
    pictures = ray.data.read_parquet(spec["files"], columns=["content_sha256", "data"])
    how: dict[str, Any] = {"batch_size": variant["batch"], "batch_format": "pyarrow", "num_cpus": 1}
    if variant["workers"] == "actors":
        how |= {"concurrency": cores, "fn_constructor_kwargs": told}
        encoded = pictures.map_batches(Actor, **how)
    else:
        encoded = pictures.map_batches(task, fn_kwargs=told, **how)
    encoded.write_parquet(spec["out"])


def main() -> None:
    cores = int(sys.argv[2])
    # one slot more than cores: the pool of actors holds one each, and reading needs one
    ray.init(
        num_cpus=cores + 1,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=sys.argv[3],
        log_to_driver=False,
        logging_level="ERROR",
    )
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.wait_for_min_actors_s = 120  # so that no work is done before all are ready
    serve("ray", ray.__version__, run)
    ray.shutdown()


if __name__ == "__main__":
    main()
