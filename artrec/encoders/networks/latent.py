"""What the families share whose vectors are as long as one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from pydantic import PositiveInt
from torch import nn

from artrec.encoders.networks.base import Inner, Network, Parameters, Size
from artrec.encoders.rules import Rules
from artrec.errors import ConfigError

__all__ = ["Latent", "LatentParameters"]


class LatentParameters(Parameters):
    """Numbers in a vector."""

    latent: PositiveInt


class Latent(Network):
    """Two halves made of (numbers in a vector, size of the pictures)."""

    known = LatentParameters
    halves: ClassVar[tuple[Callable[[int, Size], Inner], Callable[[int, Size], nn.Module]]]
    usual: ClassVar[int]
    """Numbers in a vector where nobody says how many."""
    least: ClassVar[int] = 1
    """Side below which the network has nothing left."""
    as_given: ClassVar[bool] = False
    """Whether codes always stay as the network gives them."""

    @classmethod
    def dim_of(cls, parameters: LatentParameters, size: Size) -> int:
        if min(size) < cls.least:
            raise ConfigError(f"size {size} is under {cls.least}")
        return parameters.latent

    @classmethod
    def inner_half(cls, parameters: LatentParameters, size: Size) -> Inner:
        return cls.halves[0](parameters.latent, size)

    @classmethod
    def outer_half(cls, parameters: LatentParameters, size: Size) -> nn.Module:
        return cls.halves[1](parameters.latent, size)

    @classmethod
    def wanted(cls, rules: Rules) -> LatentParameters:
        kept = rules.center and not cls.as_given
        return LatentParameters(latent=rules.latent or cls.usual, center=kept, unit=kept)
