"""The convolutional autoencoder and its encoder: form, numbers, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from artrec.encoders import Preprocess, load_encoder
from artrec.encoders.card import Card, pack, read_encoder, save_encoder
from artrec.encoders.networks.convolutional import Convolutional, Kept
from artrec.encoders.recipes import preprocess_of
from artrec.encoders.rules import Rules
from artrec.errors import ConfigError
from artrec.storage import open_store

Array = NDArray[np.float32]


def rules(side: int = 16, channels: tuple[int, ...] = (4, 6)) -> Rules:
    return Rules(side, channels, epochs=1, batch=2, learning_rate=0.001, patience=1, seed=0)


def card(**changed: Any) -> Card:
    fields: dict[str, Any] = {
        "name": "small",
        "architecture": "convolutional",
        "dim": 6,
        "metric": "cosine",
        "preprocess": preprocess_of(rules()),
        "parameters": {"channels": [4, 6]},
    }
    return Card(**(fields | changed))


def tensors(seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    shapes = Convolutional.shapes(card())
    return {n: random.normal(0, 0.3, s).astype(np.float32) for n, s in shapes.items()}


def pictures(count: int, side: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def count(module: Any) -> int:
    return sum(each.numel() for each in module.parameters())


def test_it_has_the_parameters_of_the_network_that_it_repeats() -> None:
    whole = Convolutional.autoencoder(Kept(channels=(64, 128, 256, 512)), (224, 224))
    assert (count(whole), count(whole.encoder)) == (5_461_251, 1_550_976)


def test_its_weights_file_holds_the_encoder_and_the_center_alone() -> None:
    made = Convolutional.inner_half(Kept(channels=(4, 6)), (16, 16)).state_dict()
    shapes = {name: tuple(each.shape) for name, each in made.items()} | {"center": (6,)}
    assert shapes == Convolutional.shapes(card())
    assert shapes["blocks.1.weight"] == (6, 4, 3, 3)


def by_hand(picture: NDArray[np.uint8], weights: dict[str, Array]) -> NDArray[np.float64]:
    """The vector of one picture, by loops over places: [h, w, 3] to [dim]."""
    values = picture.astype(np.float64) / 255
    for block in range(2):
        kernel = weights[f"blocks.{block}.weight"].astype(np.float64)
        height, width, _ = values.shape
        padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
        out = np.empty((height, width, len(kernel)))
        for y in range(height):
            for x in range(width):
                seen = padded[y : y + 3, x : x + 3].transpose(2, 0, 1)
                out[y, x] = (kernel * seen).sum(axis=(1, 2, 3)) + weights[f"blocks.{block}.bias"]
        positive = np.maximum(out, 0)
        values = positive.reshape(height // 2, 2, width // 2, 2, -1).max(axis=(1, 3))
    centered = values.max(axis=(0, 1)) - weights["center"]
    return np.asarray(centered / np.sqrt((centered**2).sum()))


def test_a_vector_is_what_the_arithmetic_says() -> None:
    weights = tensors()
    encoder = read_encoder(*pack(card(), weights))
    found = encoder.encode(pictures(3))
    assert (found.dtype, found.shape) == (np.float32, (3, 6))
    for vector, picture in zip(found, pictures(3), strict=True):
        assert np.allclose(vector, by_hand(picture, weights), atol=1e-5)


def test_a_vector_does_not_depend_on_its_batch_beyond_last_bits() -> None:
    encoder = read_encoder(*pack(card(), tensors()))
    together = encoder.encode(pictures(37))
    alone = np.concatenate([encoder.encode(each[None]) for each in pictures(37)])
    assert np.allclose(together, alone, atol=1e-6)
    assert encoder.encode(pictures(0)).shape == (0, 6)


def test_a_picture_without_direction_stays_a_row_of_zeros() -> None:
    nothing = {name: np.zeros_like(each) for name, each in tensors().items()}
    found = read_encoder(*pack(card(), nothing)).encode(pictures(2))
    assert found.tolist() == [[0.0] * 6] * 2


def test_pictures_that_are_read_only_or_of_another_size() -> None:
    encoder = read_encoder(*pack(card(), tensors()))
    frozen = pictures(1)
    frozen.flags.writeable = False
    assert encoder.encode(frozen).shape == (1, 6)
    with pytest.raises(ValueError, match=r"uint8 \(1, 8, 8, 3\), expected uint8 \(n, 16, 16, 3\)"):
        encoder.encode(pictures(1, side=8))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dim": 7}, "last block gives 6 numbers, the card says 7"),
        ({"parameters": {}}, "channels"),
        ({"parameters": {"channels": []}}, "channels"),
        ({"parameters": {"channels": [4, 6], "depth": 2}}, "depth"),
        ({"parameters": {"channels": [5, 6]}}, r"blocks.0.bias is \(4,\), expected \(5,\)"),
        ({"preprocess": Preprocess(size=(3, 16))}, r"size \(3, 16\) is under 4"),
        ({"metric": "dot"}, "dot"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_encoder(*pack(card(**changed), tensors()))


def test_weights_are_refused_before_the_first_batch() -> None:
    card_bytes, weights = pack(card(), tensors())
    assert weights is not None
    newer = json.dumps(json.loads(card_bytes) | {"format": 2}).encode()
    with pytest.raises(ConfigError, match="format 2, this artrec knows 1"):
        read_encoder(newer, weights)
    with pytest.raises(ConfigError, match=r"were altered: sha256 [0-9a-f]{64}.* says [0-9a-f]{64}"):
        read_encoder(card_bytes, weights[:-1] + b"\x01")
    with pytest.raises(ConfigError, match=r"center is \(5,\), expected \(6,\)"):
        read_encoder(*pack(card(), tensors() | {"center": np.zeros(5, np.float32)}))
    spoilt = tensors()
    spoilt["blocks.1.weight"][0, 0, 0, 0] = np.nan
    with pytest.raises(
        ConfigError, match=r"tensor blocks\.1\.weight of encoder small has 1 of 216 values"
    ):
        read_encoder(*pack(card(), spoilt))


def test_an_encoder_is_kept_in_a_store_beside_its_card_for_people(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    name = save_encoder(store, card(), tensors(), "# small\n")
    assert save_encoder(store, card(), tensors(), "# small\n") == name
    files = {path.name for path in (tmp_path / "encoders" / name).iterdir()}
    assert files == {"config.json", "model.safetensors", "README.md"}
    same = read_encoder(*pack(card(), tensors())).encode(pictures(2))
    assert np.array_equal(load_encoder(store, name).encode(pictures(2)), same)


def test_a_card_without_training_is_written_as_before_there_was_any() -> None:
    assert "training" not in json.loads(pack(card(), tensors())[0])


def test_torch_is_imported_when_such_an_encoder_is_loaded(tmp_path: Path) -> None:
    name = save_encoder(open_store(str(tmp_path)), card(), tensors())
    script = (
        "import sys\n"
        "from artrec.cli import app\n"
        f"app(['encoders', '--root', {str(tmp_path)!r}], standalone_mode=False)\n"
        "import artrec.stages.train, artrec.stages.embed\n"
        "print('torch' in sys.modules)\n"
        "from artrec import load_encoder, open_store\n"
        f"load_encoder(open_store({str(tmp_path)!r}), {name!r})\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[1].split() == [name, "convolutional", "6", "cosine"]
    assert lines[2:] == ["False", "True"]
