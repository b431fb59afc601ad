"""What a plan takes a training for."""

from __future__ import annotations

import pytest

from artrec.encoders.costing import operations
from artrec.encoders.recipes import RECIPES
from artrec.encoders.rules import Rules

HALF_A_NIGHT = 1e15


def work(recipe: str, pictures: int = 1000, side: int = 0, epochs: int = 10) -> float:
    channels = (64, 128, 256, 512)
    return operations(Rules(side, channels, epochs, 32, 0.001, 5, 0, recipe=recipe), pictures)


def test_each_autoencoder_costs_what_it_took_and_none_as_much_as_the_deep_one() -> None:
    assert work("dense") == 2.6e11
    found = [work(each) for each in ("tiny", "dense", "small", "separable", "convolutional")]
    assert found == sorted(found)
    assert work("separable") < work("convolutional") / 3


@pytest.mark.parametrize("recipe", ["tiny", "dense", "small", "separable"])
def test_larger_pictures_and_more_epochs_cost_more(recipe: str) -> None:
    size = RECIPES[recipe].preprocess.size
    larger = work(recipe, side=2 * max(size)) * size[0] * size[1] / (2 * max(size)) ** 2
    assert larger == pytest.approx(work(recipe))
    assert work(recipe, epochs=30) == pytest.approx(3 * work(recipe))


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_has_its_cost(recipe: str) -> None:
    assert 0 < work(recipe, 8000) < HALF_A_NIGHT
