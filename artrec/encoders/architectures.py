"""What a card's architecture may be: by name, to a class that makes the encoder.

Code for an architecture is part of artrec, or of an installed package that says so. It is imported
when it is first asked for.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Protocol, cast

from artrec.encoders import Encoder
from artrec.errors import ConfigError

if TYPE_CHECKING:
    from artrec.encoders.card import Card, Tensors

__all__ = ["ARCHITECTURES", "Architecture", "ENTRY_POINTS", "architecture_named"]

ARCHITECTURES: dict[str, str] = {
    "combined": "artrec.encoders.contrast.encoders:Combined",
    "contrastive": "artrec.encoders.contrast.encoders:Contrastive",
    "convolutional": "artrec.encoders.networks.convolutional:Convolutional",
    "dense": "artrec.encoders.networks.dense:Dense",
    "descriptor": "artrec.encoders.descriptor:Descriptor",
    "given": "artrec.encoders.brought.given:Given",
    "handmade": "artrec.encoders.handmade:Handmade",
    "onnx": "artrec.encoders.brought.onnx:Onnx",
    "separable": "artrec.encoders.networks.separable:Separable",
    "small": "artrec.encoders.networks.small:Small",
    "timm": "artrec.encoders.brought.backbone:Timm",
    "tiny": "artrec.encoders.networks.tiny:Tiny",
    "torchvision": "artrec.encoders.brought.backbone:Torchvision",
}
"""Architecture to ``module:class``; a string, so that unused ones cost no import."""

ENTRY_POINTS = "artrec.encoders"
"""The group of entry points by which installed packages add architectures of their own."""


class Architecture(Protocol):
    """A class that turns a checked card and tensors into an encoder.

    Tensors are float32; those that its attribute ``raw`` names, if it has one, are bytes (uint8).
    """

    def __call__(self, encoder_id: str, card: Card, tensors: Tensors) -> Encoder: ...

    def shapes(self, card: Card) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor; ``ConfigError`` for parameters that do not fit."""
        ...


def architecture_named(architecture: str) -> Architecture:
    """The class of an architecture, imported; ``ConfigError`` lists those there are."""
    place = ARCHITECTURES.get(architecture)
    if place is not None:
        module, _, name = place.partition(":")
        return cast(Architecture, getattr(importlib.import_module(module), name))
    points = metadata.entry_points(group=ENTRY_POINTS)
    if architecture not in points.names:
        known = ", ".join(sorted({*ARCHITECTURES, *points.names}))
        raise ConfigError(
            f"unknown encoder architecture {architecture!r}; known: {known}; a package that "
            f"adds one (entry point {ENTRY_POINTS}) has to be installed where it runs"
        )
    return cast(Architecture, points[architecture].load())
