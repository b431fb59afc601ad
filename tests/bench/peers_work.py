"""What all contenders of ``peers.py`` do with a picture: one decode, one encoder, no Spark."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artrec import picture
from artrec.encoders import BUILTIN, Encoder, Preprocess, load_builtin, load_encoder
from artrec.encoders.card import Card, save_encoder
from artrec.storage import Store, open_store

LIMITS = picture.Limits()
CHANNELS, SIDE = (16, 32, 64, 128), 64  # a small autoencoder


@cache
def encoder_of(root: str, encoder_id: str) -> Encoder:
    """The encoder of this process, loaded once."""
    if encoder_id in BUILTIN:
        return load_builtin(encoder_id)
    return load_encoder(open_store(root), encoder_id)


def pixels_of(encoder: Encoder, data: bytes) -> NDArray[np.uint8]:
    wanted = encoder.preprocess
    return picture.decode(data, LIMITS, wanted.size, wanted.fit, wanted.filter)


def vectors_of(encoder: Encoder, pictures: Sequence[bytes]) -> NDArray[np.float32]:
    return encoder.encode(np.stack([pixels_of(encoder, data) for data in pictures]))


class Worker:
    """A peer's worker: it loads the encoder, and leaves word of when it was ready."""

    def __init__(self, root: str, encoder_id: str, marks: str) -> None:
        self._encoder = encoder_of(root, encoder_id)
        self._encoder.encode(np.zeros((1, *self._encoder.preprocess.size, 3), np.uint8))
        Path(marks, f"{os.getpid()}-{id(self)}").write_text(repr(time.time()))

    def vectors(self, pictures: Sequence[bytes]) -> list[NDArray[np.float32]]:
        return list(vectors_of(self._encoder, pictures))


def convolutional(store: Store) -> str:
    """Keeps a small convolutional encoder with arbitrary weights in ``store``; its id."""
    random = np.random.default_rng(7)
    tensors: dict[str, NDArray[Any]] = {"center": np.zeros(CHANNELS[-1], np.float32)}
    for block, (before, after) in enumerate(pairwise((3, *CHANNELS))):
        spread = random.standard_normal((after, before, 3, 3)) * np.sqrt(2 / (9 * before))
        tensors[f"blocks.{block}.weight"] = spread.astype(np.float32)
        tensors[f"blocks.{block}.bias"] = np.zeros(after, np.float32)
    card = Card(
        name="bench",
        architecture="convolutional",
        dim=CHANNELS[-1],
        metric="cosine",
        preprocess=Preprocess(size=(SIDE, SIDE), scale=1 / 255),
        parameters={"channels": list(CHANNELS)},
    )
    return save_encoder(store, card, tensors)


def serve(engine: str, version: str, run: Callable[[dict[str, Any]], None]) -> None:
    """Do the runs that the file of the command line lists; their seconds as JSON on stdout.

    ``ready`` is when the first worker had its encoder, counted from the beginning of the run; None
    where workers of an earlier run served again.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines print
    found = []
    for each in json.loads(Path(sys.argv[1]).read_text()):
        marks = Path(each["marks"])
        marks.mkdir()
        begun, start = time.time(), time.perf_counter()
        run(each)
        seconds = time.perf_counter() - start
        ready = sorted(float(mark.read_text()) - begun for mark in marks.iterdir())
        found.append({"seconds": seconds, "ready": ready})
    json.dump({"engine": engine, "version": version, "runs": found}, out)
    out.close()
