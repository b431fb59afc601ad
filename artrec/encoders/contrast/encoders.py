"""The encoders ``contrastive`` and ``combined``: the network alone, and with hand-made blocks.

Vectors are those of the whole picture at 256 px, whatever crops the training saw. Mean and
standard deviation of each stage, each stage less its centre and of length 1, are projected; for
``combined`` beside the blocks, and all is projected once more.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from artrec.encoders import Metric, Preprocess
from artrec.encoders.blocks import Blocks, Part
from artrec.encoders.card import Card, Tensors
from artrec.encoders.contrast.network import SMALLEST, WIDTHS, Body, pooled, shapes
from artrec.encoders.device import Precision
from artrec.encoders.features import SMALLEST as SMALLEST_FEATURES
from artrec.encoders.fitted import Projection, joined, unit
from artrec.encoders.forward import Forward
from artrec.encoders.twins.blocks import Joined, Projected, Twins
from artrec.encoders.twins.moving import Moved
from artrec.errors import ConfigError

__all__ = ["Combined", "CombinedParameters", "Contrastive", "Parameters", "Sight"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

PLAIN = Preprocess(size=(256, 256))
"""Bytes as they are: the network brings them to its own scale."""

_BATCH = 32


class Parameters(BaseModel):
    """The card's parameters: widths, and to how many numbers the stages are brought."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    widths: tuple[PositiveInt, ...] = Field(default=WIDTHS, min_length=3)
    numbers: PositiveInt


class CombinedParameters(Parameters):
    """With the hand-made blocks, and what the network weighs beside them."""

    blocks: tuple[Part, ...] = Field(min_length=1)
    weight: PositiveFloat = 1.0


P = TypeVar("P", bound=Parameters)


class Sight:
    """Pictures to what the stages see of them, ``float32 [n, 2 * sum of their widths]``."""

    def __init__(
        self, widths: tuple[int, ...], weights: Tensors, preprocess: Preprocess = PLAIN
    ) -> None:
        self.body = Body(widths, plain=True)
        self.body.load_state_dict({name: torch.tensor(each) for name, each in weights.items()})
        self.body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.body.eval()
        self._forward = Forward(self.body, preprocess, self._codes)
        self.ends = np.cumsum([2 * width for width in widths[2:]])[:-1]
        self.numbers = 2 * sum(widths[2:])

    def move(self, device: str, precision: Precision) -> None:
        self._forward.move(device, precision)

    def __call__(self, pictures: Pixels) -> Floats:
        return self._forward(pictures, self.numbers)

    def _codes(self, pictures: Tensor) -> Tensor:
        lying = pictures.contiguous(memory_format=torch.channels_last)
        return torch.cat([pooled(each.float()) for each in self.body(lying)], dim=1)

    def spread(self, numbers: Floats, center: Floats) -> Floats:
        """Each stage less its centre, and of length 1."""
        parts = np.split(numbers - center, self.ends, axis=1)
        return joined([unit(part) for part in parts])


class Contrastive:
    """The encoder of the network alone."""

    def __init__(self, encoder_id: str, card: Card, tensors: Tensors) -> None:
        self.id = encoder_id
        self.dim = card.dim
        self.metric: Metric = card.metric
        self.preprocess = card.preprocess
        self._seen = _Seen(_parameters(card, Parameters).widths, tensors)

    @staticmethod
    def shapes(card: Card) -> dict[str, tuple[int, ...]]:
        parameters = _parameters(card, Parameters)
        if parameters.numbers != card.dim:
            raise ConfigError(
                f"encoder {card.name}: its stages are brought to {parameters.numbers} numbers, the "
                f"card says {card.dim}"
            )
        return _shapes(parameters)

    def encode(self, pictures: Pixels) -> Floats:
        """``uint8 [n, h, w, 3]`` to ``float32 [n, dim]`` of length 1."""
        self.preprocess.check(pictures)
        return self._seen(pictures)

    def move(self, device: str, precision: Precision) -> None:
        """Run the network there from now on."""
        self._seen.sight.move(device, precision)

    def whole(self) -> nn.Module:
        """``uint8 [n, h, w, 3]`` to the vectors, in one module of torch."""
        return _Whole(self._seen)


class Combined:
    """The encoder of the network and hand-made blocks."""

    def __init__(self, encoder_id: str, card: Card, tensors: Tensors) -> None:
        self.id = encoder_id
        self.dim = card.dim
        self.metric: Metric = card.metric
        self.preprocess = card.preprocess
        parameters = _parameters(card, CombinedParameters)
        self._weight = parameters.weight
        self._seen = _Seen(parameters.widths, tensors)
        self._blocks = Blocks(parameters.blocks, tensors)
        self._features: Callable[[Pixels], Floats] = self._blocks
        self._last = Projection(tensors["center"], tensors["projection"])

    @staticmethod
    def shapes(card: Card) -> dict[str, tuple[int, ...]]:
        parameters = _parameters(card, CombinedParameters)
        if min(card.preprocess.size) < SMALLEST_FEATURES:
            raise ConfigError(
                f"encoder {card.name}: size {card.preprocess.size} is under {SMALLEST_FEATURES}"
            )
        wide = parameters.numbers + sum(part.dim for part in parameters.blocks)
        last = {"center": (wide,), "projection": (wide, card.dim)}
        return _shapes(parameters) | Blocks.shapes(parameters.blocks) | last

    def encode(self, pictures: Pixels) -> Floats:
        """``uint8 [n, h, w, 3]`` to ``float32 [n, dim]`` of length 1."""
        self.preprocess.check(pictures)
        vectors = np.empty((len(pictures), self.dim), np.float32)
        for start in range(0, len(pictures), _BATCH):
            part = pictures[start : start + _BATCH]
            both = joined([self._seen(part), self._features(part)], [self._weight, 1.0])
            vectors[start : start + _BATCH] = self._last(both)
        return vectors

    def move(self, device: str, precision: Precision) -> None:
        """Run there from now on: the network in that precision, the blocks in float32.

        Elsewhere than on the processor their twins do.
        """
        self._seen.sight.move(device, precision)
        self._features = self._blocks
        if device != "cpu":
            self._features = Moved(Twins(self._blocks), self._blocks.dim, device)

    def whole(self) -> nn.Module:
        """``uint8 [n, h, w, 3]`` to the vectors, in one module of torch."""
        return Joined([_Whole(self._seen), Twins(self._blocks)], [self._weight, 1.0], self._last)


class _Seen:
    """The network's part of a vector, of length 1."""

    def __init__(self, widths: tuple[int, ...], tensors: Tensors) -> None:
        weights = {n.removeprefix("net."): a for n, a in tensors.items() if n.startswith("net.")}
        self.sight = Sight(widths, weights)
        self.center = tensors["stages.center"]
        self.projection = Projection(tensors["seen.center"], tensors["seen.projection"])

    def __call__(self, pictures: Pixels) -> Floats:
        return self.projection(self.sight.spread(self.sight(pictures), self.center))


class _Whole(nn.Module):
    """The same in torch alone, for a file of another format."""

    def __init__(self, seen: _Seen) -> None:
        super().__init__()
        self._body = copy.deepcopy(seen.sight.body).to("cpu").float()
        self.register_buffer("_stages", torch.tensor(seen.center))
        self._last = Projected(seen.projection)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self._body(pictures.to(torch.float32).permute(0, 3, 1, 2))
        pools = [pooled(each) for each in maps]
        centers = torch.split(self.get_buffer("_stages"), [each.shape[1] for each in pools])
        both = zip(pools, centers, strict=True)
        stages = torch.cat([functional.normalize(pool - each) for pool, each in both], dim=1)
        vectors: Tensor = self._last(stages)
        return vectors


def _shapes(parameters: Parameters) -> dict[str, tuple[int, ...]]:
    numbers = 2 * sum(parameters.widths[2:])
    net = {f"net.{name}": shape for name, shape in shapes(parameters.widths).items()}
    return net | {
        "stages.center": (numbers,),
        "seen.center": (numbers,),
        "seen.projection": (numbers, parameters.numbers),
    }


def _parameters(card: Card, model: type[P]) -> P:
    try:
        parameters = model.model_validate(card.parameters)
    except ValidationError as error:
        raise ConfigError(f"parameters of encoder {card.name}: {error}") from error
    if min(card.preprocess.size) < SMALLEST:
        raise ConfigError(f"encoder {card.name}: size {card.preprocess.size} is under {SMALLEST}")
    scaling = card.preprocess
    if scaling.scale != 1 or any(scaling.mean) or set(scaling.std) != {1.0}:
        raise ConfigError(f"encoder {card.name} takes plain bytes: no scale, mean or std")
    return parameters
