"""Recipes: what ``train.recipe`` may name, what each is given, and what each gives back.

A recipe is a function ``(store, receipts, rules, folder, reader) -> Made``. It reads the table
``examples`` by ``receipts`` with the engine ``reader``, may keep checkpoints in ``folder`` of the
store, and knows no Spark. The stage stores the examples by the recipe's own ``preprocess``, makes
the card of what it returns, and compares. A new recipe is one more entry of ``RECIPES``, and of
``ARCHITECTURES`` where its encoder is a new one. Known without torch: its module is imported
when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import cast

from pydantic import JsonValue

from artrec.config import TrainSettings
from artrec.encoders import Metric, Preprocess
from artrec.encoders.card import Tensors
from artrec.encoders.checkpoints import Epoch
from artrec.encoders.rules import Rules
from artrec.errors import ConfigError
from artrec.picture import Filter
from artrec.storage import Store
from artrec.tables import Receipt

__all__ = [
    "Made",
    "READ_BY",
    "RECIPES",
    "Recipe",
    "Reconstruction",
    "preprocess_of",
    "read_by_recipe",
    "recipe_of",
    "train",
    "unread",
]


@dataclass(frozen=True)
class Recipe:
    """Where a recipe's function is (``module:function``), and as what it sees the pictures.

    ``train.side`` asks for a square of another size than ``preprocess`` says; 0 does not. Sides
    under ``least`` are refused before there is any work.
    """

    place: str
    preprocess: Preprocess
    least: int = 1


_WHOLE = Preprocess(size=(256, 256), fit="stretch", filter="lanczos")


def _autoencoder(height: int, width: int, filter: Filter = "lanczos", least: int = 1) -> Recipe:
    """Learns to repeat the whole picture, stretched, values 0 to 1."""
    seen = Preprocess(size=(height, width), fit="stretch", filter=filter, scale=1 / 255)
    return Recipe("artrec.encoders.training:train", seen, least)


RECIPES: dict[str, Recipe] = {
    "convolutional": _autoencoder(64, 64),
    "dense": _autoencoder(100, 100),
    "separable": _autoencoder(80, 60, least=17),  # under it, maps of one place have no variance
    "small": _autoencoder(100, 100, least=12),
    "tiny": _autoencoder(32, 32, "nearest", least=10),
    "descriptor": Recipe("artrec.encoders.describing:train", _WHOLE, least=64),
    "descriptor-fast": Recipe("artrec.encoders.describing:fast", _WHOLE, least=64),
    "auto": Recipe("artrec.encoders.contrast.fitting:auto", _WHOLE, least=64),
    "combined": Recipe("artrec.encoders.contrast.fitting:combined", _WHOLE, least=64),
    "contrastive": Recipe("artrec.encoders.contrast.fitting:contrastive", _WHOLE, least=64),
    "labelled": Recipe("artrec.encoders.contrast.fitting:labelled", _WHOLE, least=64),
}

_AUTOENCODERS = ("convolutional", "dense", "separable", "small", "tiny")
_PASSES = (
    "epochs", "batch", "learning_rate", "schedule", "patience", "loss", "processes",
)  # fmt: skip
READ_BY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_PASSES, _AUTOENCODERS),
    "center": ("convolutional", "dense", "small", "tiny"),
    "channels": ("convolutional",),
    "latent": ("dense", "separable", "tiny"),
    "steps": ("auto", "combined", "contrastive", "labelled"),
}
"""Settings of ``train`` that some recipes alone read: by which."""


def read_by_recipe(rules: Rules) -> dict[str, object]:
    """The rules but for those that this recipe does not read."""
    return {
        name: value
        for name, value in asdict(rules).items()
        if rules.recipe in READ_BY.get(name, (rules.recipe,))
    }


def unread(rules: Rules) -> list[str]:
    """Settings of ``train`` that are not as usual, and that this recipe does not read."""
    usual, read = asdict(Rules.of(TrainSettings())), read_by_recipe(rules)
    return [n for n, value in asdict(rules).items() if n not in read and value != usual[n]]


@dataclass(frozen=True)
class Reconstruction:
    """A held-out example beside what the network made of it, both PNG; ``error`` is the MSE."""

    content_sha256: bytes
    error: float
    original: bytes
    reconstruction: bytes


@dataclass(frozen=True)
class Made:
    """An encoder and how it came about: all that a card, its curves and its sheet are made of.

    ``best`` is None, and ``epochs`` empty, for what is fitted without epochs; ``pictures`` is how
    many it was trained on; ``name`` is the card's where it is not the recipe's.
    ``reconstructions``, ``by_epoch`` (a few of them after some epochs, without originals) and
    ``decoder`` (the outer half's weights) are empty where nothing can be repeated.
    """

    architecture: str
    dim: int
    metric: Metric
    preprocess: Preprocess
    parameters: dict[str, JsonValue]
    tensors: Tensors
    notes: str
    pictures: int
    epochs: tuple[Epoch, ...] = ()
    best: Epoch | None = None
    reconstructions: list[Reconstruction] = field(default_factory=list)
    name: str = ""
    decoder: Tensors = field(default_factory=dict)
    by_epoch: list[tuple[int, Reconstruction]] = field(default_factory=list)


def recipe_of(rules: Rules) -> Recipe:
    """The recipe that the rules name; ``ConfigError`` lists those there are."""
    if rules.recipe not in RECIPES:
        known = ", ".join(sorted(RECIPES))
        raise ConfigError(f"train.recipe: there is no recipe {rules.recipe!r}; known: {known}")
    return RECIPES[rules.recipe]


def preprocess_of(rules: Rules) -> Preprocess:
    """As what the examples of this training are stored, and its network sees them.

    ``ConfigError`` for a side that the recipe's network cannot take.
    """
    recipe = recipe_of(rules)
    size = (rules.side, rules.side) if rules.side else recipe.preprocess.size
    if min(size) < recipe.least:
        raise ConfigError(f"recipe {rules.recipe}: size {size} is under {recipe.least}: train.side")
    return recipe.preprocess.model_copy(update={"size": size})


def train(
    store: Store, receipts: Sequence[Receipt], rules: Rules, folder: str, reader: str = "arrow"
) -> Made:
    """By the recipe that the rules name; every ``reader`` gives the same examples."""
    module, _, name = recipe_of(rules).place.partition(":")
    function = getattr(importlib.import_module(module), name)
    work = cast(Callable[[Store, Sequence[Receipt], Rules, str, str], Made], function)
    return work(store, receipts, rules, folder, reader)
