"""Exports of encoders beside the encoders themselves: how far apart, what they find, how fast.

    OMP_NUM_THREADS=1 python -m tests.bench.exported STORE ARCHIVE ENCODER... [--pictures 100]

Each encoder, of the store or built in, is written as ONNX and as a program of torch, and both are
given some pictures of the archive one by one, on one thread. ``apart`` is the largest difference of
a number, by gray and by other pictures; ``same_ten`` the share of pictures whose ten nearest of
them, in their order, are the same ones.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from artrec.encoders import Encoder, encoder_named
from artrec.encoders.exporting import export
from artrec.storage import open_store
from tests.bench.join import processor
from tests.bench.quality import lists, opened, pixels

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Run = Callable[[Pixels], Floats]


def onnx_run(path: Path) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda some: np.asarray(session.run(None, {"pictures": some})[0])


def torch_run(path: Path) -> Run:
    program = torch.export.load(path).module()

    def run(some: Pixels) -> Floats:
        with torch.inference_mode():
            return np.asarray(program(torch.from_numpy(some)).numpy())

    return run


def timed(run: Run, pictures: Pixels) -> tuple[Floats, float]:
    """The vectors, and milliseconds of the processor for each."""
    run(pictures[:1])
    begun = time.process_time()
    found = np.concatenate([run(pictures[n : n + 1]) for n in range(len(pictures))])
    return found, round(1000 * (time.process_time() - begun) / len(pictures), 1)


def beside(encoder: Encoder, pictures: Pixels) -> dict[str, Any]:
    """What the encoder takes, and how each export does."""
    right, ms = timed(encoder.encode, pictures)
    gray = (pictures == pictures[..., :1]).all(axis=(1, 2, 3))
    ten = lists(right, encoder.metric)[:, :10]
    found: dict[str, Any] = {"encoder": encoder.id, "gray": int(gray.sum()), "ms": ms}
    with TemporaryDirectory() as folder:
        for format, load in (("torch", torch_run), ("onnx", onnx_run)):
            path = export(encoder, Path(folder), "onnx" if format == "onnx" else "torch")
            vectors, ms = timed(load(path), pictures)
            apart = np.abs(vectors - right).max(axis=1)
            same = (lists(vectors, encoder.metric)[:, :10] == ten).all(axis=1)
            found[format] = {
                "ms": ms,
                "megabytes": round(path.stat().st_size / 1e6, 1),
                "apart": float(apart[~gray].max(initial=0)),
                "apart_gray": float(apart[gray].max(initial=0)),
                "same_ten": float(same.mean()),
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store")
    parser.add_argument("archive", type=Path)
    parser.add_argument("encoders", nargs="+")
    parser.add_argument("--pictures", type=int, default=100)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = opened(given.archive).data
    some = [data[n] for n in range(0, len(data), max(1, len(data) // given.pictures))]
    print(json.dumps({"machine": processor(), "pictures": len(some)}), flush=True)
    for name in given.encoders:
        encoder = encoder_named(open_store(given.store), name)
        print(json.dumps(beside(encoder, pixels(some, encoder.preprocess))), flush=True)


if __name__ == "__main__":
    main()
