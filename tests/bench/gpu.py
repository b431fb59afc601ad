"""What a GPU does for training and embedding, beside the processor of the same machine.

    python -m tests.bench.gpu [--pictures 4096] [--side 64] [--epochs 3] [--json FILE]

Needs neither Spark nor a JVM: numpy, pillow, torch, pyarrow, pydantic, safetensors and structlog
are enough. Everything is generated. It prints JSON: (feed) pictures decoded in a second, by number
of threads; (train) losses and seconds of the same epochs on the processor and, with bfloat16 and
without, on the GPU; (embed) the largest difference of vectors and pictures in a second by batch;
(sharing) two processes that embed at one address; (short) batches halved where memory runs out.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from artrec import picture
from artrec.encoders import Encoder, Preprocess
from artrec.encoders.card import Card, pack, read_encoder
from artrec.encoders.device import Fitting, place
from artrec.encoders.feeding import fed
from artrec.encoders.forward import CudaMemory
from artrec.encoders.reader import Batch, open_reader
from artrec.encoders.recipes import train
from artrec.encoders.rules import Rules
from artrec.schemas import TABLES
from artrec.storage import Store, open_store
from artrec.tables import Receipt, TableWriter

CHANNELS = (64, 128, 256, 512)
CUDA = "cuda:0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=int, default=4096)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    parser.add_argument("--share", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train is not None:
        print(json.dumps(trained(json.loads(given.train))))
        return
    if given.share is not None:
        print(json.dumps(embedding_for(given.share, given.side)))
        return
    torch.set_num_threads(os.cpu_count() or 1)
    devices = ["cpu", *([CUDA] if torch.cuda.is_available() else [])]
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        receipts = examples(store, given.pictures, given.side)
        result: dict[str, Any] = {"bench": "gpu", "machine": machine(), "given": vars(given)}
        result["feed"] = feeding(store, receipts, given.side)
        show("feed", result["feed"])
        result["train"] = training(store, receipts, given, devices)
        show("train", result["train"])
    result["embed"] = embedding(given.pictures, given.side, devices)
    show("embed", result["embed"])
    if CUDA in devices:
        result["sharing"] = sharing(given.side)
        show("sharing", result["sharing"])
        result["short"] = short_of_memory(given.side)
    text = json.dumps(result, indent=1, default=str)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


def show(name: str, found: Any) -> None:
    print(f"{name}: {json.dumps(found, default=str)}", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name(0) if cuda else None,
        "gpu_bytes": torch.cuda.mem_get_info(0)[1] if cuda else 0,
    }


# -- generated pictures ---------------------------------------------------------------------


def drawn(number: int, side: int) -> NDArray[np.uint8]:
    """Patches of colour: something that a network can learn to repeat."""
    random = np.random.default_rng(number)
    image = Image.new("RGB", (side, side), tuple(random.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = random.integers(0, side, 2).tolist()
        w, h = random.integers(side // 8, side // 2, 2).tolist()
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((x, y, x + w, y + h), fill=tuple(random.integers(0, 256, 3).tolist()))
    return np.asarray(image)


def examples(store: Store, count: int, side: int) -> list[Receipt]:
    """A table of examples as the stage writes them, one in ten held out."""
    table = TABLES["examples"]
    rows = []
    for number in range(count):
        stream = io.BytesIO()
        Image.fromarray(drawn(number, side)).save(stream, "PNG", compress_level=1)
        key = hashlib.sha256(stream.getvalue()).digest()
        split = "train" if number % 10 else "held_out"
        rows.append({"content_sha256": key, "split": split, "picture": stream.getvalue()})
    rows.sort(key=lambda row: bytes(row["content_sha256"]))  # type: ignore[arg-type]
    full = [row | {"style": None, "artist": None} for row in rows]
    with TableWriter(store, "made", table, "all", group_bytes=1 << 20) as writer:
        for start in range(0, len(full), 256):
            some = full[start : start + 256]
            writer.write(pa.RecordBatch.from_pylist(some, schema=table.columns))
    return writer.receipts


def pixels(batch: Batch, side: int) -> NDArray[np.uint8]:
    limits = picture.Limits()
    size = (side, side)
    return np.stack([picture.decode(each, limits, size) for each in batch["picture"]])


# -- the reader -----------------------------------------------------------------------------


def feeding(store: Store, receipts: list[Receipt], side: int) -> list[dict[str, Any]]:
    """Pictures in a second that come out decoded."""
    found = []
    for threads in (1, 2, 4, 8):
        if threads > (os.cpu_count() or 1):
            continue
        reader = open_reader("arrow", store, receipts, 64)
        begun, processor, count = time.perf_counter(), time.process_time(), 0
        batches = reader.batches(("picture",), 0, 1, 1, 0)
        with closing(fed(batches, partial(pixels, side=side), threads)) as made:
            for _, each in made:
                count += len(each)
        seconds = time.perf_counter() - begun
        spent = (time.process_time() - processor) / count
        found.append({"threads": threads, "per_second": count / seconds, "processor_s_each": spent})
    return found


# -- training -------------------------------------------------------------------------------


def training(
    store: Store, receipts: list[Receipt], given: argparse.Namespace, devices: list[str]
) -> list[dict[str, Any]]:
    """The same epochs by the training itself, from the same weights and in the same order."""
    ways = [(device, precision) for device in devices for precision in ("float32", "bfloat16")]
    ways.remove(("cpu", "bfloat16"))
    found = []
    for device, precision in ways:
        task = {
            "root": store.url,
            "receipts": [each.model_dump(mode="json") for each in receipts],
            "folder": f"checkpoints/{device[:4]}-{precision}",
            "rules": {
                "side": given.side,
                "channels": CHANNELS,
                "epochs": given.epochs,
                "batch": given.batch,
                "learning_rate": 0.001,
                "patience": given.epochs,
                "seed": 0,
                "precision": precision,
            },
        }
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.gpu", "--train", json.dumps(task)],
            env=os.environ | hidden,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        epochs = json.loads(done.stdout.splitlines()[-1])
        found.append({"device": device, "precision": precision, "epochs": epochs})
    return found


def trained(task: dict[str, Any]) -> list[dict[str, Any]]:
    rules = task["rules"] | {"channels": tuple(task["rules"]["channels"])}
    receipts = [Receipt.model_validate(each) for each in task["receipts"]]
    made = train(open_store(task["root"]), receipts, Rules(**rules), task["folder"])
    return [each.model_dump() for each in made.epochs]


# -- embedding ------------------------------------------------------------------------------


def encoder(side: int) -> Encoder:
    """A convolutional encoder with arbitrary weights: it costs what a trained one does."""
    random = np.random.default_rng(1)
    tensors = {"center": random.normal(size=CHANNELS[-1]).astype(np.float32) * 0.01}
    for block, (before, after) in enumerate(pairwise((3, *CHANNELS))):
        spread = np.sqrt(2 / (9 * before))
        weights = random.normal(size=(after, before, 3, 3)) * spread
        tensors[f"blocks.{block}.weight"] = weights.astype(np.float32)
        tensors[f"blocks.{block}.bias"] = np.zeros(after, np.float32)
    card = Card(
        name="arbitrary",
        architecture="convolutional",
        dim=CHANNELS[-1],
        metric="cosine",
        preprocess=Preprocess(size=(side, side), scale=1 / 255),
        parameters={"channels": list(CHANNELS)},
    )
    return read_encoder(*pack(card, tensors))


def embedding(count: int, side: int, devices: list[str]) -> list[dict[str, Any]]:
    pictures = np.stack([drawn(number, side) for number in range(min(count, 4096))])
    few = pictures[:512]  # the processor takes long
    begun = time.perf_counter()
    right = encoder(side).encode(few)
    found = [{"device": "cpu", "precision": "float32",
              "per_second": len(few) / (time.perf_counter() - begun)}]  # fmt: skip
    for precision in ("float32", "bfloat16") if CUDA in devices else ():
        for batch in (16, 64, 256, 1024):
            there = place(encoder(side), CUDA, precision, batch)  # type: ignore[arg-type]
            assert isinstance(there, Fitting)
            there.encode(few)  # warm, and its batch is measured
            torch.cuda.reset_peak_memory_stats(CUDA)
            begun = time.perf_counter()
            vectors = there.encode(pictures)
            seconds = time.perf_counter() - begun
            again = there.encode(few)
            found.append(
                {
                    "device": CUDA,
                    "precision": precision,
                    "batch": there.batch,
                    "per_second": len(pictures) / seconds,
                    "peak_bytes": torch.cuda.max_memory_allocated(CUDA),
                    "largest_difference": float(np.abs(vectors[: len(few)] - right).max()),
                    "least_cosine": float((vectors[: len(few)] * right).sum(axis=1).min()),
                    "twice_the_same": bool(np.array_equal(again, vectors[: len(few)])),
                }
            )
    return found


def embedding_for(seconds: float, side: int) -> dict[str, Any]:
    """How many pictures one process embeds in so long."""
    pictures = np.stack([drawn(number, side) for number in range(1024)])
    there = place(encoder(side), CUDA, "float32", 256)
    there.encode(pictures)
    print("ready", flush=True)
    sys.stdin.readline()
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        there.encode(pictures)
        count += len(pictures)
    per_second = count / (time.perf_counter() - begun)
    assert isinstance(there, Fitting)
    return {"per_second": per_second, "batch": there.batch}


def sharing(side: int) -> dict[str, Any]:
    """One process, and two at once, each with a model of its own at the one address."""
    command = [sys.executable, "-m", "tests.bench.gpu", "--side", str(side), "--share", "5"]
    result: dict[str, Any] = {}
    for count in (1, 2):
        started = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(count)
        ]
        for each in started:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        said = [each.communicate("go\n")[0] for each in started] if count == 1 else _go(started)
        result[f"{count} processes"] = [json.loads(text) for text in said]
    return result


def _go(started: list[subprocess.Popen[str]]) -> list[str]:
    for each in started:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    return [each.communicate()[0] for each in started]


def short_of_memory(side: int) -> dict[str, Any]:
    """This process may take 600 MB alone, and is told that everything is free."""

    class Boundless(CudaMemory):
        def free(self) -> int:
            return 1 << 50

    total = torch.cuda.mem_get_info(0)[1]
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((600 << 20) / total, 0)
    pictures = np.stack([drawn(number, side) for number in range(4096)])
    right = encoder(side).encode(pictures[:256])
    there = encoder(side)
    there.move(CUDA, "float32")  # type: ignore[attr-defined]
    fitting = Fitting(there, Boundless(CUDA), 4096, CUDA)
    found = fitting.encode(pictures)[:256]
    torch.cuda.set_per_process_memory_fraction(1.0, 0)
    difference = float(np.abs(found - right).max())
    return {"batch": fitting.batch, "largest_difference": difference}


if __name__ == "__main__":
    main()
