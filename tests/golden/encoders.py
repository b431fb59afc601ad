"""Make the golden vectors: for each architecture a card, weights, pictures and their vectors.

    python -m tests.golden.encoders [NAME ...]

Only those that do not stand yet are made: what stands is what every later artrec has to give again.
Weights are few round numbers, so that their files pack well.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artrec.encoders import Preprocess, handmade
from artrec.encoders.architectures import architecture_named
from artrec.encoders.card import (
    CARD_FILE,
    FORMAT,
    WEIGHTS_FILE,
    Card,
    pack,
    read_encoder,
)

PLACE = Path(__file__).parent / f"v{FORMAT}" / "encoders"
GOLDEN = "golden.npz"
COUNT = 3


def card(name: str, dim: int, size: tuple[int, int], **more: Any) -> Card:
    fields: dict[str, Any] = {
        "name": name,
        "architecture": name.partition("-")[0],
        "dim": dim,
        "metric": "cosine",
        "preprocess": Preprocess(size=size, scale=1 / 255),
    }
    return Card(**(fields | more))


RAW = {"center": False, "unit": False}
CARDS = [
    card("convolutional", 6, (16, 16), parameters={"channels": [4, 6]}),
    card("convolutional-raw", 6, (16, 16), parameters={"channels": [4, 6], **RAW}),
    card("dense", 8, (6, 8), parameters={"latent": 8}),
    card("separable", 3, (20, 15), metric="euclidean", parameters={"latent": 3, **RAW}),
    card("small", 32, (12, 12)),
    card("tiny", 8, (12, 12), parameters={"latent": 8}),
    *(
        each.model_copy(update={"preprocess": Preprocess(size=(24, 24))})
        for each in (handmade.CARD, *handmade.PLAIN)
    ),
]


def tensors_of(made: Card, random: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Multiples of 1/64 about 0, of a size that keeps values apart; variances about 1."""
    shapes = architecture_named(made.architecture).shapes(made)
    found = {}
    for name, shape in sorted(shapes.items()):
        wide = 2.0 / np.sqrt(np.prod(shape[1:]) if len(shape) > 1 else 16)
        values = random.normal(0, max(wide, 1 / 32), shape)
        if name.endswith("running_var"):
            values = 1 + np.abs(values)
        step = 64
        if made.architecture == "separable" and name == "layer.weight":
            values, step = values / 16, 1024  # else its sigmoid is 0 or 1
        found[name] = (np.rint(values * step) / step).astype(np.float32)
    return found


def main(names: list[str]) -> None:
    for number, made in enumerate(CARDS):
        folder = PLACE / made.name
        if folder.exists() or (names and made.name not in names):
            continue
        random = np.random.default_rng(number)
        card_bytes, weights = pack(made, tensors_of(made, random))
        height, width = made.preprocess.size
        pictures = random.integers(0, 256, (COUNT, height, width, 3), dtype=np.uint8)
        vectors = read_encoder(card_bytes, weights).encode(pictures)
        folder.mkdir(parents=True)
        (folder / CARD_FILE).write_bytes(card_bytes)
        if weights is not None:
            (folder / WEIGHTS_FILE).write_bytes(weights)
        stream = io.BytesIO()
        np.savez_compressed(stream, pictures=pictures, vectors=vectors)
        (folder / GOLDEN).write_bytes(stream.getvalue())
        print(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
