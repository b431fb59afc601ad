"""What a training takes, before it: operations, as if all were those of a network.

A plan turns them into seconds. Measured on two cores: .25 s a step of the small network, 10 ms for
the features of a picture, which are made about three times; .8, 2, 2.6 and 10 ms for a picture
in an epoch of the recipes tiny, dense, small and separable, reading included.
"""

from __future__ import annotations

from collections.abc import Iterable

from artrec.encoders.contrast.course import ENOUGH, course_of
from artrec.encoders.recipes import preprocess_of, recipe_of
from artrec.encoders.rules import Rules

__all__ = ["operations"]

_STEP = 3.3e9
_FEATURES = 2e8
_PICTURE = {"tiny": 1.1e7, "dense": 2.6e7, "small": 3.5e7, "separable": 1.35e8}


def operations(rules: Rules, pictures: int) -> float:
    """Of the forward passes of a training on so many pictures."""
    recipe = rules.recipe
    if recipe == "auto":
        recipe = "combined" if pictures >= ENOUGH else "descriptor"
    if recipe in ("contrastive", "labelled"):
        return course_of(max(1, pictures), rules.steps).steps * _STEP
    if recipe == "combined":
        steps = course_of(max(1, pictures), rules.steps).steps
        return steps * _STEP + pictures * _FEATURES
    if recipe.startswith("descriptor"):
        return pictures * _FEATURES
    height, width = preprocess_of(rules).size
    if recipe == "convolutional":
        return rules.epochs * pictures * _convolutions(rules.channels, height)
    usual = recipe_of(rules).preprocess.size
    return rules.epochs * pictures * _PICTURE[recipe] * height * width / (usual[0] * usual[1])


def _convolutions(channels: Iterable[int], side: int) -> float:
    """Of one picture through the convolutions of an autoencoder."""
    before, sum_ = 3, 0.0
    for each in channels:
        sum_ += 2 * 9 * before * each * side**2
        before, side = each, side // 2
    return sum_
