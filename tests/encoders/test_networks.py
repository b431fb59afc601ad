"""The families of networks: their layers, their numbers of parameters, their codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from artrec.config import load
from artrec.encoders import Encoder, Preprocess
from artrec.encoders.card import Card, pack, read_encoder
from artrec.encoders.learning import losses, rate_at
from artrec.encoders.networks import architecture_of, scaled, weights_of
from artrec.encoders.recipes import Made, preprocess_of
from artrec.encoders.rules import Rules
from artrec.encoders.training import train
from artrec.errors import ConfigError
from artrec.storage import open_store
from tests.encoders.examples import examples, written

RULES = replace(Rules.of(load()[0].train), recipe="convolutional")
SMALL = replace(RULES, side=20, channels=(4, 6), latent=16, epochs=2, batch=5, learning_rate=0.005)
FAMILIES = ("convolutional", "dense", "separable", "small", "tiny")


def halves(recipe: str, size: tuple[int, int], latent: int = 0) -> tuple[nn.Module, nn.Module]:
    family = architecture_of(recipe)
    rules = replace(RULES, recipe=recipe, latent=latent, channels=(64, 128, 256, 512))
    with torch.device("meta"):
        whole = family.autoencoder(family.wanted(rules), size)
    return whole.encoder, whole.decoder


def count(module: nn.Module) -> int:
    """With running means and variances, which stand in the weights too."""
    return sum(each.numel() for each in weights_of(module).values())


@pytest.mark.parametrize(
    ("recipe", "size", "latent", "inner", "outer"),
    [
        ("convolutional", (224, 224), 0, 1_550_976, 5_461_251 - 1_550_976),
        ("separable", (80, 60), 3, 199_395, None),
        ("separable", (80, 60), 10, 235_242, None),
        ("separable", (80, 60), 100, 696_132, None),
        ("separable", (80, 60), 500, 2_744_532, None),
        ("dense", (100, 100), 128, 3_840_128, 3_870_000),
        ("small", (100, 100), 0, 2_192, 4_963 - 2_192),
        ("tiny", (32, 32), 32, 324_768, 406_720),
    ],
)
def test_the_halves_have_the_parameters_of_the_systems_that_they_repeat(
    recipe: str, size: tuple[int, int], latent: int, inner: int, outer: int | None
) -> None:
    encoder, decoder = halves(recipe, size, latent)
    assert count(encoder) == inner
    assert outer is None or count(decoder) == outer


def maps(module: nn.Module, size: tuple[int, int]) -> list[tuple[int, ...]]:
    """The shapes that the module's named parts give, one after the other, without their batch."""
    found: list[tuple[int, ...]] = []
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    for each in module.modules():
        if isinstance(each, kinds):
            each.register_forward_hook(lambda _, __, out: found.append(tuple(out.shape[1:])))
    module.eval()(torch.empty(1, 3, *size, device="meta"))
    return found


def test_the_layers_are_of_the_sizes_of_the_systems_that_they_repeat() -> None:
    assert maps(halves("convolutional", (224, 224))[0], (224, 224)) == [
        (64, 224, 224), (128, 112, 112), (256, 56, 56), (512, 28, 28),
    ]  # fmt: skip
    assert maps(halves("small", (100, 100))[0], (100, 100)) == [
        (16, 100, 100), (8, 50, 50), (8, 25, 25),
    ]  # fmt: skip
    assert maps(halves("tiny", (32, 32))[0], (32, 32)) == [
        (32, 30, 30), (64, 13, 13), (128,), (64,), (32,),
    ]  # fmt: skip
    separable = maps(halves("separable", (80, 60), 3)[0], (80, 60))
    assert separable[0] == (32, 40, 30)
    assert [shape for shape in separable if shape[0] == 256][-1] == (256, 5, 4)
    assert separable[-1] == (3,)


@pytest.mark.parametrize(
    ("recipe", "dim", "size", "filter", "metric", "loss"),
    [
        ("convolutional", 512, (64, 64), "lanczos", "cosine", "mse"),
        ("dense", 128, (100, 100), "lanczos", "cosine", "bce"),
        ("separable", 10, (80, 60), "lanczos", "euclidean", "mse"),
        ("small", 1_352, (100, 100), "lanczos", "cosine", "bce"),
        ("tiny", 32, (32, 32), "nearest", "cosine", "bce"),
    ],
)
def test_each_family_sees_and_compares_as_its_system_does(
    recipe: str, dim: int, size: tuple[int, int], filter: str, metric: str, loss: str
) -> None:
    rules, family = replace(RULES, recipe=recipe), architecture_of(recipe)
    seen = preprocess_of(rules)
    assert family.dim_of(family.wanted(rules), seen.size) == dim
    assert seen == Preprocess(size=size, fit="stretch", filter=filter, scale=1 / 255)
    assert (family.own_metric, family.loss) == (metric, loss)
    assert family.wanted(rules).center == family.wanted(rules).unit == (recipe != "separable")


@pytest.mark.parametrize("latent", [3, 5, 10, 50, 100, 500])
def test_separable_codes_lie_between_0_and_1_whatever_their_number(latent: int) -> None:
    family = architecture_of("separable")
    parameters = family.wanted(replace(RULES, latent=latent))
    whole = family.autoencoder(parameters, (80, 60)).eval()
    with torch.inference_mode():
        pictures = torch.rand(2, 3, 80, 60)
        codes, repeated = whole.codes(pictures), whole.repeat(pictures)
    assert (codes.shape, repeated.shape) == ((2, latent), (2, 3, 80, 60))
    assert 0 < codes.min() < codes.max() < 1
    assert 0 < repeated.min() < repeated.max() < 1


@pytest.fixture(scope="module", params=FAMILIES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A training of each family on 20x20 pictures."""
    store = open_store(str(tmp_path_factory.mktemp("made")))
    receipts = written(store, examples(12, 4, 20), 4)
    # separable begins at an even gray, which few pictures with few steps hardly better
    epochs = 8 if request.param == "separable" else SMALL.epochs
    return train(
        store,
        receipts,
        replace(SMALL, recipe=request.param, epochs=epochs, patience=epochs),
        "kept",
    )


def card_of(made: Made, **changed: Any) -> Card:
    fields = {
        name: getattr(made, name)
        for name in ("architecture", "dim", "metric", "preprocess", "parameters")
    }
    return Card(name=made.architecture, **(fields | changed))


def encoder_of(made: Made) -> Encoder:
    return read_encoder(*pack(card_of(made), made.tensors))


def pictures(count: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 20, 20, 3), dtype=np.uint8)


def test_every_family_learns_and_its_card_gives_the_same_codes(made: Made) -> None:
    assert len(made.epochs) == (8 if made.architecture == "separable" else 2)
    assert made.epochs[-1].train_loss < made.epochs[0].train_loss
    assert len(made.reconstructions) == 4
    found = encoder_of(made).encode(pictures())
    assert (found.shape, found.dtype) == ((3, made.dim), np.float32)
    if made.architecture == "separable":
        assert "center" not in made.tensors
        assert 0 < found.min() < found.max() < 1
    else:
        assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)


def test_codes_are_those_of_the_lines_of_plain_torch(made: Made) -> None:
    family = architecture_of(made.architecture)
    lines = family.plain(family.known.model_validate(made.parameters))
    w = {name: torch.tensor(array) for name, array in made.tensors.items()}
    names: dict[str, Any] = {
        "torch": torch, "F": functional, "w": w, "x": scaled(pictures(), made.preprocess)
    }  # fmt: skip
    exec("\n".join(lines), names)
    found: Tensor = names["v"]
    if "center" in w:
        found = functional.normalize(found - w["center"])
    assert np.allclose(encoder_of(made).encode(pictures()), found.numpy(), atol=1e-5)


def test_a_family_whose_picture_would_not_come_back_is_refused_by_its_size(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    receipts = written(store, examples(3, 1))
    for recipe, side, said in (
        (
            "convolutional",
            10,
            "convolutional: the network would give pictures of 10x10 back as 8x8",
        ),
        ("small", 14, "small: the network would give pictures of 14x14 back as 12x12"),
        ("small", 8, r"small: size \(8, 8\) is under 12"),
        ("tiny", 9, r"tiny: size \(9, 9\) is under 10"),
        ("separable", 16, r"separable: size \(16, 16\) is under 17"),
    ):
        with pytest.raises(ConfigError, match=f"^recipe {said}"):
            train(store, receipts, replace(SMALL, recipe=recipe, side=side), "kept")


def test_raw_codes_are_neither_centered_nor_scaled(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    receipts = written(store, examples(12, 4, 20), 4)
    raw = train(store, receipts, replace(SMALL, center=False), "raw")
    assert set(raw.tensors) == {f"blocks.{n}.{of}" for n in (0, 1) for of in ("weight", "bias")}
    whole = train(store, receipts, SMALL, "whole")
    plain, centered = encoder_of(raw).encode(pictures()), encoder_of(whole).encode(pictures())
    assert plain.min() >= 0, "largest values after ReLU"
    moved = plain - whole.tensors["center"]
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    assert np.allclose(moved / lengths, centered, atol=1e-5)


def test_the_outer_half_repeats_what_the_training_showed(made: Made) -> None:
    family = architecture_of(made.architecture)
    whole = family.autoencoder(family.known.model_validate(made.parameters), (20, 20)).eval()
    inner = {f"encoder.{n}": a for n, a in made.tensors.items() if n != "center"}
    both = inner | {f"decoder.{n}": a for n, a in made.decoder.items()}
    whole.load_state_dict({n: torch.tensor(a) for n, a in both.items()})
    rows = {row["content_sha256"]: row for row in examples(12, 4, 20)}
    first = made.reconstructions[0]
    seen = preprocess_of(replace(SMALL, recipe=made.architecture))
    from artrec.encoders.training import repeated

    _, errors = repeated(whole, [rows[first.content_sha256]["picture"]], seen, torch.device("cpu"))
    assert errors == pytest.approx([first.error], rel=1e-4)


def test_losses_are_what_their_names_say() -> None:
    pictures = torch.tensor([[[[0.0, 0.5]]], [[[1.0, 0.25]]]])
    odds = torch.tensor([[[[0.25, 0.5]]], [[[0.5, 0.75]]]])
    logits = torch.logit(odds)
    expected = {
        "mse": [(0.0625 + 0) / 2, (0.25 + 0.25) / 2],
        "mae": [0.125, 0.5],
        "bce": [
            (-np.log(0.75) - np.log(0.5)) / 2,
            (-np.log(0.5) - 0.25 * np.log(0.75) - 0.75 * np.log(0.25)) / 2,
        ],
    }
    for kind, values in expected.items():
        assert losses(kind, logits, pictures).tolist() == pytest.approx(values, abs=1e-6), kind


def test_the_learning_rate_rises_and_falls_as_a_cosine() -> None:
    rules = replace(RULES, learning_rate=0.2, schedule="cosine")
    rates = [rate_at(rules, done) for done in (0.025, 0.05, 0.525, 1.0)]
    assert rates == pytest.approx([0.1, 0.2, 0.1, 0.0])
    assert 0 < rate_at(rules, 0) < 0.01
    assert {rate_at(RULES, done) for done in (0, 0.5, 1)} == {RULES.learning_rate}


def test_codes_of_a_dense_layer_stay_awake(tmp_path: Path) -> None:
    """With the usual first weights most of them are 0 for every picture after some steps."""
    store = open_store(str(tmp_path))
    receipts = written(store, examples(24, 4, 24), 28)
    made = train(
        store, receipts, replace(RULES, recipe="dense", side=24, epochs=6, batch=6), "kept"
    )
    assert np.count_nonzero(made.tensors["center"]) >= 0.7 * made.dim
    assert made.epochs[-1].train_loss < made.epochs[0].train_loss


@pytest.mark.parametrize("recipe", ["dense", "separable", "tiny"])
def test_codes_that_can_stick_at_a_bound_hardly_count_at_first(recipe: str) -> None:
    """Else training begins by silencing them, and they never tell two pictures apart."""
    torch.manual_seed(1)
    size = preprocess_of(replace(RULES, recipe=recipe)).size
    family = architecture_of(recipe)
    network = family.autoencoder(family.wanted(replace(RULES, recipe=recipe)), size)
    with torch.no_grad():
        logits = network.decoder(torch.rand(16, family.usual))  # type: ignore[attr-defined]
    assert float(logits.std(dim=0).max()) < 0.1
    assert network.encoder(torch.rand(16, 3, *size)).std(dim=0).max() > 1e-3
