"""The pictures of ``peers.py`` by Daft's native runner; run by it, where Daft is installed."""

from __future__ import annotations

import os
from typing import Any

os.environ["DO_NOT_TRACK"] = "1"

import daft
import pyarrow as pa
from daft import DataType, Series, col

from tests.bench.peers_work import Worker, serve


def run(spec: dict[str, Any]) -> None:
    variant = spec["variant"]

    @daft.cls(max_concurrency=spec["cores"], use_process=variant["workers"] == "processes")
    class Encode:
        def __init__(self, root: str, encoder: str, marks: str) -> None:
            self._worker = Worker(root, encoder, marks)

        @daft.method.batch(
            return_dtype=DataType.list(DataType.float32()), batch_size=variant["batch"]
        )
        def vectors(self, data: Series) -> Any:
            found = self._worker.vectors(data.to_arrow().to_pylist())
            return pa.array(found, pa.list_(pa.float32()))

    encode = Encode(spec["root"], spec["encoder"], spec["marks"])
    pictures = daft.read_parquet(spec["files"]).select("content_sha256", "data")
    encoded = pictures.select(col("content_sha256"), encode.vectors(col("data")).alias("embedding"))
    encoded.write_parquet(spec["out"])


def main() -> None:
    daft.set_runner_native()
    serve("daft", daft.__version__, run)


if __name__ == "__main__":
    main()
