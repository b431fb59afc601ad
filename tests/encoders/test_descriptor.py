"""The descriptor: what its card may say, and what its recipe makes of examples."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from artrec.config import load
from artrec.encoders import Encoder, Preprocess, describing, load_encoder
from artrec.encoders.blocks import Blocks, Part, fit_blocks
from artrec.encoders.card import Card, pack, read_encoder, save_encoder
from artrec.encoders.features import BLOCKS, raw
from artrec.encoders.recipes import train
from artrec.encoders.rules import Rules
from artrec.errors import ConfigError, TrainingError
from artrec.storage import open_store
from tests.encoders.examples import examples, written

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

PARTS = (Part(name="handmade", dim=8), Part(name="gradients", dim=6, weight=0.5))
RULES = replace(Rules.of(load()[0].train), recipe="descriptor-fast", side=64)


def pictures(count: int, side: int = 64, seed: int = 0) -> Pixels:
    """Ramps and noise, each picture of its own kind."""
    random = np.random.default_rng(seed)
    ramps = np.arange(side)[None, :, None, None] * random.uniform(0, 2, (count, 1, 1, 3))
    noise = random.normal(0, random.uniform(1, 60, (count, 1, 1, 1)), (count, side, side, 3))
    return (ramps + noise + 60).clip(0, 255).astype(np.uint8)


def again(batch: Pixels, step: int = 7) -> Any:
    def batches() -> Iterator[Pixels]:
        for start in range(0, len(batch), step):
            yield batch[start : start + step]

    return batches


def card(parameters: dict[str, Any], dim: int, side: int = 64) -> Card:
    size = Preprocess(size=(side, side))
    return Card(
        name="test", architecture="descriptor", dim=dim, metric="cosine", preprocess=size,
        parameters=parameters,
    )  # fmt: skip


def made(batch: Pixels, parts: tuple[Part, ...] = PARTS, dim: int | None = 5) -> Encoder:
    parameters, tensors, found = describing.fit(again(batch), parts, 0, dim)
    return read_encoder(*pack(card(parameters.model_dump(mode="json"), found), tensors))


def slow_block(rows: NDArray[Any], dim: int) -> NDArray[np.float64]:
    """Signed root, SVD about the mean, eigenvalue ** -1/3, length 1; directions of any sign."""
    wide = np.sqrt(rows.astype(np.float64))
    wide -= wide.mean(axis=0)
    left, strength, _ = np.linalg.svd(wide, full_matrices=False)
    scores = (left * strength)[:, :dim] * (strength[:dim] ** 2 / len(rows)) ** (-1 / 3)
    return scores / np.linalg.norm(scores, axis=1, keepdims=True)


def test_blocks_are_joined_after_each_was_projected() -> None:
    batch = pictures(40)
    found = fit_blocks(again(batch), PARTS, 0)(batch)
    assert found.shape == (40, 14)
    # cosines do not know the signs of directions
    for columns, name, weight in ((slice(0, 8), "handmade", 1), (slice(8, 14), "gradients", 0.25)):
        dim = columns.stop - columns.start
        slow = slow_block(raw(name, batch), dim)
        part = found[:, columns]
        assert part @ part.T == pytest.approx(weight * (slow @ slow.T), abs=2e-3)


@pytest.mark.parametrize("dim", [5, None])
def test_vectors_have_length_one_and_do_not_depend_on_batches(dim: int | None) -> None:
    batch = pictures(30)
    encoder = made(batch, dim=dim)
    assert encoder.dim == dim or encoder.dim == 14
    found = encoder.encode(batch)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(30), abs=1e-5)
    alone = np.concatenate([encoder.encode(batch[n : n + 1]) for n in range(30)])
    assert found == pytest.approx(alone, abs=1e-4)
    assert encoder.encode(batch[:0]).shape == (0, encoder.dim)


def test_it_does_not_matter_how_pictures_are_cut_into_batches() -> None:
    batch = pictures(30)
    first, other = (describing.fit(again(batch, step), PARTS, 0, 5)[1] for step in (7, 30))
    assert first.keys() == other.keys()
    for name in first:
        assert first[name] == pytest.approx(other[name], rel=1e-3, abs=1e-4)


def test_fewer_pictures_than_numbers_give_fewer_numbers() -> None:
    batch = pictures(4)
    encoder = made(batch, dim=256)
    assert encoder.dim == 3
    assert np.isfinite(encoder.encode(pictures(9, seed=1))).all()


def test_one_picture_and_equal_ones_are_too_few() -> None:
    with pytest.raises(TrainingError, match="1 pictures are too few"):
        made(pictures(1))
    same = np.repeat(pictures(1), 9, axis=0)
    for parts in (describing.FULL, [part for part in describing.FULL if "fisher" in part.name]):
        with pytest.raises(TrainingError, match=r"all pictures .* look the same.*=handmade"):
            describing.fit(again(same), parts, 0)
    plain = np.zeros((9, 64, 64, 3), np.uint8)
    with pytest.raises(TrainingError, match="look the same"):
        describing.fit(again(plain), [Part(name="edge_fisher")], 0)


def test_plain_colours_are_told_apart_by_what_they_differ_in() -> None:
    """They have no edges and no patterns."""
    colours = np.random.default_rng(3).integers(0, 256, (20, 1, 1, 3), dtype=np.uint8)
    batch = np.ascontiguousarray(np.broadcast_to(colours, (20, 64, 64, 3)))
    parameters, _, dim = describing.fit(again(batch), describing.FULL, 0)
    assert {"handmade", "pixel_fisher"} <= {part.name for part in parameters.blocks}
    assert "edge_fisher" not in {part.name for part in parameters.blocks}
    assert dim > 3


def test_a_flat_picture_and_a_foreign_one_have_vectors() -> None:
    encoder = made(pictures(30))
    strange = np.stack([np.zeros((64, 64, 3)), np.full((64, 64, 3), 255)]).astype(np.uint8)
    assert np.linalg.norm(encoder.encode(strange), axis=1) == pytest.approx([1, 1], abs=1e-5)


def refused(parameters: dict[str, Any], dim: int, match: str, side: int = 64) -> None:
    with pytest.raises(ConfigError, match=match):
        read_encoder(*pack(card(parameters, dim, side), {}))


def test_cards_that_say_what_cannot_be_are_refused() -> None:
    one = {"name": "colours", "dim": 3}
    refused({"blocks": [{"name": "shapes"}]}, 3, "no block of features 'shapes'; known: .*colours")
    refused({"blocks": []}, 3, "blocks")
    refused({"blocks": [one, one]}, 3, "a block stands twice in colours, colours")
    refused({"blocks": [one | {"weight": 0}]}, 3, "one of the weights must be above 0")
    refused({"blocks": [one], "reduced": False}, 4, "its blocks give 3 numbers, the card says 4")
    refused({"blocks": [one]}, 3, r"size \(63, 63\) is under 64", side=63)
    refused({"blocks": [one]}, 3, "colours.center is missing")
    with pytest.raises(ValueError, match=r"expected uint8 \(n, 64, 64, 3\)"):
        made(pictures(9)).encode(pictures(2, 65))


def test_the_recipe_fits_on_the_training_examples(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    receipts = written(store, examples(30, 5, side=64), group=10)
    first, second = (train(store, receipts, RULES, "kept") for _ in range(2))
    assert first.pictures == 30
    assert (first.epochs, first.best, first.reconstructions) == ((), None, [])
    assert first.dim <= 29
    assert sorted(first.tensors) == sorted(second.tensors)
    assert all(first.tensors[n].tobytes() == second.tensors[n].tobytes() for n in first.tensors)
    assert not list(store.list("kept"))
    finished = Card(
        name="descriptor", architecture=first.architecture, dim=first.dim, metric=first.metric,
        preprocess=first.preprocess, parameters=first.parameters,
    )  # fmt: skip
    encoder = load_encoder(store, save_encoder(store, finished, first.tensors))
    assert encoder.encode(pictures(2)).shape == (2, first.dim)


@pytest.mark.parametrize("parts", [describing.FULL, describing.FAST])
def test_every_recipe_names_blocks_that_there_are(parts: tuple[Part, ...]) -> None:
    assert {part.name for part in parts} <= BLOCKS.keys()
    assert Blocks.shapes(parts)


def test_an_encoder_needs_no_torch(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    parameters, tensors, dim = describing.fit(again(pictures(30)), describing.FULL, 0)
    whole = card(parameters.model_dump(mode="json"), dim)
    name = save_encoder(store, whole, tensors)
    program = (
        "import sys, numpy\n"
        "from artrec.encoders import load_encoder\n"
        "from artrec.storage import open_store\n"
        f"encoder = load_encoder(open_store({str(tmp_path)!r}), {name!r})\n"
        "encoder.encode(numpy.zeros((1, 64, 64, 3), numpy.uint8))\n"
        "print('torch' in sys.modules)\n"
    )
    run = [sys.executable, "-c", program]
    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout == "False\n"
