"""Readers of a training: rows in a second and memory of each engine, beside what a step needs.

    python -m tests.bench.reader ZIP [--epochs 10] [--channels 64,128,256,512] [--copies 1]

The pictures of the archive become a table of examples as the stage writes them; ``--copies`` reads
its file several times over. Each engine runs in a process of its own, through the feed that a
training has, pictures decoded. The step is the autoencoder's, on batches that lie ready. Engines
that cannot run here are left out: run it in the line petastorm for both.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from artrec import picture
from artrec.encoders.feeding import fed
from artrec.encoders.reader import ENGINES, Batch, check_engine, open_reader
from artrec.errors import ConfigError
from artrec.schemas import TABLES
from artrec.storage import open_store
from artrec.tables import Receipt, TableWriter

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("archive")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--channels", default="64,128,256,512")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--made", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.engine == "step":
        print(json.dumps(step(given)))
        return
    if given.engine:
        print(json.dumps(epochs(given)))
        return
    with tempfile.TemporaryDirectory() as folder:
        made = str(Path(folder) / "made.json")
        receipt = examples(folder, given.archive, given.side)
        Path(made).write_text(json.dumps([folder, receipt.model_dump(mode="json")]))
        result: dict[str, Any] = {
            "bench": "reader",
            "examples": receipt.rows * given.copies,
            "example_bytes": receipt.bytes * given.copies,
            "row_groups": receipt.row_groups * given.copies,
            "side": given.side,
            "machine": {"cores": os.cpu_count(), "load": os.getloadavg()},
        }
        for name in [*(each for each in sorted(ENGINES) if runs(each)), "step"]:
            result[name] = apart(name, made)
    step_ = result["step"]["rows_per_processor_second"]
    result["times_the_step"] = {
        name: round(result[name]["rows_per_processor_second"] / step_, 1)
        for name in ENGINES
        if name in result
    }
    text = json.dumps(result, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


def examples(root: str, archive: str, side: int) -> Receipt:
    """One file of them, in the order of their hashes."""
    rows, look = [], picture.Limits()
    with zipfile.ZipFile(archive) as source:
        for name in source.namelist():
            if name.endswith("/"):
                continue
            stream, data = io.BytesIO(), source.read(name)
            small = picture.decode(data, look, (side, side))
            Image.fromarray(small).save(stream, "PNG", compress_level=1)
            key = hashlib.sha256(data).digest()
            plain = {"split": "train", "style": None, "artist": None}
            rows.append({"content_sha256": key, "picture": stream.getvalue(), **plain})
    rows.sort(key=lambda row: row["content_sha256"])
    table = TABLES["examples"]
    with TableWriter(open_store(root), "made", table, "all", group_bytes=1 << 20) as writer:
        for start in range(0, len(rows), 64):
            some = rows[start : start + 64]
            writer.write(pa.RecordBatch.from_pylist(some, schema=table.columns))
    (receipt,) = writer.receipts
    return receipt


def runs(engine: str) -> bool:
    try:
        check_engine(engine)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return False
    return True


def apart(engine: str, made: str) -> Any:
    """What a process of its own found, with nothing of the others in its memory."""
    command = [sys.executable, "-m", "tests.bench.reader", *sys.argv[1:], "--engine", engine]
    command += ["--made", made]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def pixels(batch: Batch, side: int) -> NDArray[np.uint8]:
    """As a training decodes them; torch is not in the memory that is measured here."""
    size, limits = (side, side), picture.Limits()
    return np.stack([picture.decode(each, limits, size) for each in batch["picture"]])


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def epochs(given: argparse.Namespace) -> dict[str, Any]:
    root, facts = json.loads(Path(given.made).read_text())
    many = [Receipt.model_validate(facts)] * given.copies
    look = partial(pixels, side=given.side)
    reader = open_reader(given.engine, open_store(root), many, BATCH)
    base, found, rows = peak(), [], 0
    for epoch in range(1, given.epochs + 1):
        begun, processor = time.perf_counter(), time.process_time()
        batches = reader.batches(("content_sha256", "picture"), 0, 1, epoch, 0)
        with closing(fed(batches, look, given.threads)) as made:
            count = sum(len(each) for _, each in made)
        rows += count
        found.append(
            {
                "rows": count,
                "seconds": time.perf_counter() - begun,
                "processor_seconds": time.process_time() - processor,
                "peak_mb": peak(),
            }
        )
    return {
        "rows_per_second": rows / sum(each["seconds"] for each in found),
        "rows_per_processor_second": rows / sum(each["processor_seconds"] for each in found),
        "mb_before": base,
        "mb_after_first_epoch": found[0]["peak_mb"],
        "mb_after_last_epoch": found[-1]["peak_mb"],
        "epochs": found,
    }


def step(given: argparse.Namespace) -> dict[str, Any]:
    """Rows in a second that the network takes, all cores its own."""
    import torch

    from artrec.encoders.networks.convolutional import Convolutional, Kept

    side = given.side
    torch.manual_seed(0)
    channels = tuple(map(int, given.channels.split(",")))
    network = Convolutional.autoencoder(Kept(channels=channels), (side, side))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters())
    seen = torch.rand(BATCH, side, side, 3).permute(0, 3, 1, 2)
    for number in range(given.steps + 2):
        if number == 2:  # warm
            begun, processor = time.perf_counter(), time.process_time()
        loss = torch.nn.functional.mse_loss(network.repeat(seen), seen)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    rows = given.steps * BATCH
    return {
        "channels": channels,
        "threads": torch.get_num_threads(),
        "rows_per_second": rows / (time.perf_counter() - begun),
        "rows_per_processor_second": rows / (time.process_time() - processor),
    }


if __name__ == "__main__":
    main()
