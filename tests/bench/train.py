"""Time epochs of a training on the examples that a store has.

    python tests/bench/train.py ROOT [--channels 16,32,64,128] [--epochs 3] [--threads N]

``reading`` is the time in which the network waits for the reader: Parquet, PNG, scaling. Processor
seconds are those of the whole process, and say more on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in the stage

import torch

from artrec.encoders.learning import Learner
from artrec.encoders.networks import architecture_of
from artrec.encoders.processes import ALONE
from artrec.encoders.recipes import preprocess_of
from artrec.encoders.rules import Rules
from artrec.releases import read_document
from artrec.releases.runs import Run
from artrec.storage import Store, open_store
from artrec.tables import Receipt


def examples(store: Store) -> tuple[list[Receipt], int]:
    """The files of the largest table of examples in a store, and the side of its pictures."""
    runs = [
        read_document(store, entry.path, Run)
        for entry in store.list("runs/train")
        if entry.path.endswith("/run.json")
    ]
    made = [run for run in runs if run.receipts("examples")]
    best = max(made, key=lambda run: sum(r.rows for r in run.receipts("examples")))
    return best.receipts("examples"), int(best.settings["preprocess"]["size"][0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("root")
    parser.add_argument("--channels", default="16,32,64,128")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    receipts, side = examples(open_store(given.root))
    channels = tuple(map(int, given.channels.split(",")))
    rules = Rules(side, channels, given.epochs, given.batch, 0.001, given.epochs, 0)
    family, seen = architecture_of(rules.recipe), preprocess_of(rules)
    network = family.autoencoder(family.wanted(rules), seen.size)
    work = Learner(open_store(given.root), receipts, rules, network, seen, family.loss, ALONE)
    epochs = []
    for number in range(1, given.epochs + 1):
        begun = time.process_time()
        done = work.epoch(number)
        epochs.append(done.model_dump() | {"processor_seconds": time.process_time() - begun})
    result: dict[str, Any] = {
        "bench": "train",
        "examples": sum(r.rows for r in receipts),
        "example_bytes": sum(r.bytes for r in receipts),
        "side": side,
        "channels": channels,
        "batch": given.batch,
        "threads": torch.get_num_threads(),
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg(), "torch": torch.__version__},
        "epochs": epochs,
    }
    text = json.dumps(result, indent=2)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
