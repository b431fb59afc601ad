"""The recipes from examples to an encoder, and the encoders by their cards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from artrec.config import load
from artrec.encoders import Encoder
from artrec.encoders.card import Card, pack, read_encoder
from artrec.encoders.contrast import fitting
from artrec.encoders.device import Movable
from artrec.encoders.exporting import export
from artrec.encoders.recipes import Made, train
from artrec.encoders.rules import Rules
from artrec.encoders.twins.moving import Moved
from artrec.errors import ConfigError
from artrec.picture import Limits, decode
from artrec.storage import open_store
from tests.encoders.examples import examples, written

RULES = replace(Rules.of(load()[0].train), side=64, steps=2, seed=3)


def made(place: Path, change: Callable[[int], dict[str, Any]] | None = None, **rules: Any) -> Made:
    """What a recipe makes of 24 pictures; ``change`` gives the labels of each."""
    store = open_store(str(place))
    rows = examples(24, 4, 64)
    for number, row in enumerate(rows):
        row |= change(number) if change else {}
    return train(store, written(store, rows, 10), replace(RULES, **rules), "kept")


def encoder_of(found: Made, **changed: Any) -> Encoder:
    card = Card(
        name="x", architecture=found.architecture, dim=found.dim, metric=found.metric,
        preprocess=found.preprocess, parameters=found.parameters, notes=found.notes,
    )  # fmt: skip
    return read_encoder(*pack(card.model_copy(update=changed), found.tensors))


def pictures() -> NDArray[np.uint8]:
    return np.stack([decode(row["picture"], Limits()) for row in examples(24, 4, 64)])


@pytest.fixture(scope="module")
def combined(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("combined"), recipe="combined")


def test_combined_gives_unit_vectors_that_do_not_depend_on_the_batch(combined: Made) -> None:
    assert (combined.architecture, combined.pictures) == ("combined", 24)
    assert [each.epoch for each in combined.epochs] == [1, 2]
    assert combined.best is combined.epochs[-1]
    encoder = encoder_of(combined)
    vectors = encoder.encode(pictures())
    assert vectors.shape == (28, encoder.dim) == (28, combined.dim)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([encoder.encode(each[None]) for each in pictures()[:5]])
    assert np.allclose(alone, vectors[:5], atol=1e-5)
    assert np.linalg.matrix_rank(vectors) > 10


def test_the_network_of_combined_is_the_one_of_contrastive(combined: Made, tmp_path: Path) -> None:
    alone = made(tmp_path, recipe="contrastive")
    assert alone.architecture == "contrastive"
    assert alone.tensors.keys() < combined.tensors.keys()
    for name, tensor in alone.tensors.items():
        assert np.array_equal(tensor, combined.tensors[name]), name
    vectors = encoder_of(alone).encode(pictures())
    assert np.allclose(vectors[:24].mean(axis=0), 0, atol=0.2)


def test_labels_are_artists_or_else_styles_or_else_none_with_a_note(tmp_path: Path) -> None:
    kinds: dict[str, tuple[Callable[[int], dict[str, Any]], str]] = {
        "artists": (lambda n: {"artist": f"a{n % 4}"}, "with 4 labels of artist"),
        "styles": (lambda n: {"artist": None, "style": f"s{n % 3}"}, "with 3 labels of style"),
        "one class": (lambda n: {"artist": "same"}, "without labels, since no two pictures"),
        "all apart": (lambda n: {"artist": f"a{n}"}, "without labels, since no two pictures"),
        "nothing": (lambda n: {"artist": None}, "without labels, since no two pictures"),
    }
    for name, (change, words) in kinds.items():
        found = made(tmp_path / name, change, recipe="labelled", steps=1)
        assert words in found.notes, name


def test_auto_trains_a_network_where_there_are_pictures_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = made(tmp_path / "few", recipe="auto")
    assert (few.name, few.architecture, few.epochs) == ("descriptor", "descriptor", ())
    monkeypatch.setattr(fitting, "ENOUGH", 24)
    enough = made(tmp_path / "enough", recipe="auto", steps=1)
    assert (enough.name, enough.architecture) == ("combined", "combined")


def test_pictures_under_the_least_size_are_refused_before_any_work(tmp_path: Path) -> None:
    for recipe in ("auto", "combined", "labelled"):
        with pytest.raises(ConfigError, match=r"size \(48, 48\) is under 64: train\.side"):
            made(tmp_path / recipe, recipe=recipe, side=48)


def test_a_card_that_does_not_fit_its_weights_is_refused(combined: Made) -> None:
    wrong = {**combined.parameters, "widths": [16, 32, 32, 64, 64]}
    with pytest.raises(ConfigError, match=r"net\.stages\.2\.first\.0\.weight is \(128, 64, 3, 3\)"):
        encoder_of(combined, parameters=wrong)
    with pytest.raises(ConfigError, match="takes plain bytes"):
        encoder_of(combined, preprocess=combined.preprocess.model_copy(update={"scale": 0.5}))
    blocks = [{"name": "other", "dim": 3, "weight": 1.0}]
    with pytest.raises(ConfigError, match="no block of features 'other'"):
        encoder_of(combined, parameters={**combined.parameters, "blocks": blocks})


@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")  # torch's own
def test_the_network_alone_leaves_as_one_program(tmp_path: Path) -> None:
    assert_program_agrees(encoder_of(made(tmp_path / "s", recipe="contrastive")), tmp_path)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")  # torch's own
def test_combined_leaves_as_one_program(combined: Made, tmp_path: Path) -> None:
    assert_program_agrees(encoder_of(combined), tmp_path)


def assert_program_agrees(encoder: Encoder, folder: Path) -> None:
    program = torch.export.load(export(encoder, folder, "torch")).module()
    for count in (1, 7):
        found = program(torch.tensor(pictures()[:count])).detach().numpy()
        assert np.allclose(found, encoder.encode(pictures()[:count]), atol=1e-4)


def test_combined_is_one_module_of_torch(combined: Made) -> None:
    encoder: Any = encoder_of(combined)
    with torch.inference_mode():
        found = encoder.whole().eval()(torch.tensor(pictures())).numpy()
    assert np.allclose(found, encoder.encode(pictures()), atol=1e-4)


@pytest.mark.long
def test_onnx_computes_the_vectors_of_the_network_alone_and_of_combined(
    combined: Made, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript", reason="artrec[onnx] is not installed")
    runtime = pytest.importorskip("onnxruntime")
    for encoder in (encoder_of(made(tmp_path / "s", recipe="contrastive")), encoder_of(combined)):
        session = runtime.InferenceSession(str(export(encoder, tmp_path, "onnx")))
        for count in (1, 5):
            (found,) = session.run(None, {"pictures": pictures()[:count]})
            assert np.allclose(found, encoder.encode(pictures()[:count]), atol=1e-4)


def test_blocks_move_with_the_network_and_come_back(combined: Made) -> None:
    encoder: Any = encoder_of(combined)
    plain = encoder.encode(pictures())
    encoder.move("cpu:0", "float32")  # a device of torch, if no other
    moved = encoder.encode(pictures())
    assert isinstance(encoder._features, Moved)
    assert not np.array_equal(moved, plain)
    assert np.allclose(moved, plain, atol=1e-4)
    encoder.move("cpu", "float32")
    assert np.array_equal(encoder.encode(pictures()), plain)


def test_encoders_can_be_moved_and_half_precision_changes_little(combined: Made) -> None:
    encoder = encoder_of(combined)
    assert isinstance(encoder, Movable)
    plain = encoder.encode(pictures()[:6])
    encoder.move("cpu", "bfloat16")
    short = encoder.encode(pictures()[:6])
    assert short.dtype == np.float32
    assert not np.array_equal(short, plain)
    assert np.allclose(short, plain, atol=0.05)
