"""Recipes: chosen by name, imported when asked for, and what examples each wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from artrec.config import TrainSettings, load
from artrec.encoders import Preprocess, recipes
from artrec.encoders.architectures import ARCHITECTURES, architecture_named
from artrec.encoders.networks import Network
from artrec.encoders.networks.latent import Latent
from artrec.encoders.recipes import (
    READ_BY,
    RECIPES,
    Made,
    Recipe,
    preprocess_of,
    read_by_recipe,
    train,
    unread,
)
from artrec.encoders.rules import Rules
from artrec.errors import ConfigError
from artrec.storage import Store, open_store
from artrec.tables import Receipt

RULES = replace(Rules.of(load()[0].train), recipe="convolutional")


def middle(
    store: Store, receipts: Sequence[Receipt], rules: Rules, folder: str, reader: str
) -> Made:
    """A recipe without epochs, as other rooms may bring one."""
    return Made(
        architecture="handmade",
        dim=154,
        metric="cosine",
        preprocess=preprocess_of(rules),
        parameters={"center": True},
        tensors={"center": np.full(154, rules.seed, np.float32)},
        notes="the mean of nothing",
        pictures=len(receipts),
    )


def test_a_recipe_is_one_entry_and_is_called_with_what_a_training_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Recipe(f"{__name__}:middle", Preprocess(size=(30, 20), filter="bilinear"))
    monkeypatch.setitem(recipes.RECIPES, "middle", entry)
    monkeypatch.setattr(recipes.importlib, "import_module", {__name__: recipes_module()}.get)
    rules = replace(RULES, recipe="middle", seed=7)
    made = train(open_store(str(tmp_path)), [], rules, "kept")
    assert (made.tensors["center"][0], made.epochs, made.best) == (7, (), None)
    assert made.preprocess == Preprocess(size=(30, 20), filter="bilinear")


def recipes_module() -> object:
    """This module, which pytest imports under a name of its own."""
    return type("Module", (), {"middle": staticmethod(middle)})


def test_a_side_asks_for_a_square_and_none_for_the_recipes_own_size() -> None:
    assert preprocess_of(replace(RULES, side=0)).size == (64, 64)
    assert preprocess_of(replace(RULES, side=48)).size == (48, 48)
    assert preprocess_of(replace(RULES, side=48)).filter == "lanczos"


def test_an_unknown_recipe_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"train\.recipe: there is no recipe 'net'; known: .*conv"
    ):
        preprocess_of(replace(RULES, recipe="net"))


def test_settings_of_some_recipes_are_those_that_their_networks_read() -> None:
    named = {name: architecture_named(name) for name in RECIPES if name in ARCHITECTURES}
    families = {
        name: found
        for name, found in named.items()
        if isinstance(found, type) and issubclass(found, Network)
    }
    assert {*READ_BY["epochs"]} == {*families}
    assert {*READ_BY["latent"]} == {n for n, each in families.items() if issubclass(each, Latent)}
    assert {each for names in READ_BY.values() for each in names} <= {*RECIPES}
    assert {*READ_BY} <= {*TrainSettings.model_fields}
    plain = Rules.of(load(None, ())[0].train)
    for name, family in families.items():
        changed = family.wanted(replace(plain, center=False)) != family.wanted(plain)
        assert changed == (name in READ_BY["center"])


def test_the_setting_names_every_recipe() -> None:
    text = type(load()[0].train).model_fields["recipe"].description
    assert text is not None
    assert [name for name in RECIPES if name not in text] == []
    assert "convolutional" in ARCHITECTURES


def test_what_a_recipe_does_not_read_is_told_and_is_in_no_card() -> None:
    rules = replace(RULES, recipe="descriptor", latent=16, batch=8, seed=3)
    assert unread(rules) == ["batch", "latent"]
    assert not {"batch", "latent", "epochs", "channels", "steps"} & set(read_by_recipe(rules))
    assert read_by_recipe(rules)["seed"] == 3
    assert unread(replace(RULES, recipe="tiny", latent=16)) == []
