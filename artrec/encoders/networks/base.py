"""What the families have in common: an autoencoder's protocol, and its inner half as encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from artrec.encoders import Metric
from artrec.encoders.architectures import architecture_named
from artrec.encoders.card import Card, Tensors
from artrec.encoders.device import Precision
from artrec.encoders.forward import Forward, scaled
from artrec.encoders.rules import Rules
from artrec.errors import ConfigError

__all__ = [
    "Autoencoder",
    "Inner",
    "Loss",
    "Network",
    "Parameters",
    "Size",
    "architecture_of",
    "begin_quietly",
    "quieten",
    "scaled",
    "weights_of",
]

Loss = Literal["mse", "mae", "bce"]
Size = tuple[int, int]
"""Height and width."""

_COUNTED = "num_batches_tracked"  # a count of torch's that no result depends on


class Parameters(BaseModel):
    """What every family's card has: ``center`` takes the training's mean away, ``unit`` scales to
    length 1. Neither: the code as the network gives it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    center: bool = True
    unit: bool = True


class Inner(nn.Module):
    """The inner half: ``forward`` gives what the outer half is given, ``codes`` the vectors."""

    def codes(self, pictures: Tensor) -> Tensor:
        """``[n, 3, h, w]`` to ``[n, dim]``."""
        found: Tensor = self(pictures)
        return found


class Autoencoder(nn.Module):
    """Both halves. The outer one gives logits: their sigmoid is the picture, values 0 to 1."""

    def __init__(self, encoder: Inner, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.encoder(pictures))
        return logits

    def codes(self, pictures: Tensor) -> Tensor:
        """``[n, 3, h, w]`` to ``[n, dim]``."""
        return self.encoder.codes(pictures)

    def repeat(self, pictures: Tensor) -> Tensor:
        """What the network makes of ``[n, 3, h, w]``, values 0 to 1."""
        repeated: Tensor = torch.sigmoid(self(pictures))
        return repeated


def begin_quietly(module: nn.Module, last: nn.Linear | None = None) -> None:
    """First weights of dense layers that spread evenly, and of ``last`` a hundredth of that.

    What the codes say is noise at first. Said loudly, training silences it before it says anything:
    codes that may not be below 0 then stay at 0 for ever, those of a sigmoid at 0 or 1.
    """
    with torch.no_grad():
        for each in module.modules():
            if isinstance(each, nn.Linear):
                nn.init.xavier_uniform_(each.weight)
                nn.init.zeros_(each.bias)
        if last is not None:
            quieten(last)


def quieten(last: nn.Linear | nn.Conv2d) -> None:
    """A hundredth of a layer's first weights."""
    with torch.no_grad():
        last.weight.mul_(0.01)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Weights and running means of a module, as files have them: floats alone."""
    found = module.state_dict().items()
    return {name: tensor for name, tensor in found if not name.endswith(_COUNTED)}


def finished(
    found: NDArray[np.float32], center: NDArray[np.float32] | None, unit: bool
) -> NDArray[np.float32]:
    """Less the center, and of length 1; a row of zeros stays, for the caller to see."""
    vectors = found.astype(np.float64)
    if center is not None:
        vectors -= center
    if unit:
        lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
        vectors /= np.where(lengths > 0, lengths, 1.0)
    return vectors.astype(np.float32)


class Network(ABC):
    """The encoder of a card: the inner half of its family's network, and what follows.

    Weights and pictures lie channels last, as pictures come: twice as fast on a processor.
    """

    known: ClassVar[type[Parameters]]
    loss: ClassVar[Loss] = "mse"
    pace: ClassVar[float] = 1.0  # of the learning rate: what this family can bear
    own_metric: ClassVar[Metric] = "cosine"

    def __init__(self, encoder_id: str, card: Card, tensors: Tensors) -> None:
        self.id = encoder_id
        self.dim = card.dim
        self.metric: Metric = card.metric
        self.preprocess = card.preprocess
        parameters = self.checked(card)
        self.unit = parameters.unit
        own = {name: torch.tensor(each) for name, each in tensors.items() if name != "center"}
        self.center = np.array(tensors["center"], np.float32) if parameters.center else None
        self.inner = self.inner_half(parameters, card.preprocess.size)
        self.inner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.inner.load_state_dict(own)
        self.inner.eval()
        self._forward = Forward(self.inner, card.preprocess, self.inner.codes)

    def move(self, device: str, precision: Precision) -> None:
        """Run there from now on; the center is taken off here, in float64, wherever it runs."""
        self._forward.move(device, precision)

    def whole(self) -> nn.Module:
        """``uint8 [n, h, w, 3]`` to the vectors, in one module of torch."""
        return _Whole(self)

    @classmethod
    @abstractmethod
    def inner_half(cls, parameters: Any, size: Size) -> Inner:
        """The encoder's network, of fresh weights."""

    @classmethod
    @abstractmethod
    def outer_half(cls, parameters: Any, size: Size) -> nn.Module:
        """The decoder's, which gives logits ``[n, 3, h, w]``."""

    @classmethod
    @abstractmethod
    def dim_of(cls, parameters: Any, size: Size) -> int:
        """Numbers in a vector; ``ConfigError`` for pictures that are too small for the network."""

    @classmethod
    @abstractmethod
    def wanted(cls, rules: Rules) -> Parameters:
        """The parameters that a training by these rules has."""

    @staticmethod
    @abstractmethod
    def plain(parameters: Any) -> list[str]:
        """Lines of plain torch from ``x`` [n, 3, h, w] and weights ``w`` to codes ``v``."""

    @classmethod
    def autoencoder(cls, parameters: Any, size: Size) -> Autoencoder:
        """Both halves; ``ConfigError`` for a size that does not come back from them."""
        dim = cls.dim_of(parameters, size)
        with torch.device("meta"):
            found = cls.outer_half(parameters, size).eval()(
                cls.inner_half(parameters, size).eval()(torch.empty(1, 3, *size))
            )
        if found.shape[2:] != size:
            back = "x".join(map(str, reversed(found.shape[2:])))
            raise ConfigError(
                f"the network would give pictures of {size[1]}x{size[0]} back as {back}; take "
                f"another train.side, as its {dim} numbers allow"
            )
        return Autoencoder(cls.inner_half(parameters, size), cls.outer_half(parameters, size))

    @classmethod
    def said(cls, parameters: Any) -> str:
        """What it is, in a few words."""
        return (cls.__doc__ or "").split("\n")[0].rstrip(".")

    @classmethod
    def checked(cls, card: Card) -> Any:
        """The card's parameters; ``ConfigError`` where they or the size do not fit."""
        try:
            parameters = cls.known.model_validate(card.parameters)
        except ValidationError as error:
            raise ConfigError(f"parameters of encoder {card.name}: {error}") from error
        try:
            dim = cls.dim_of(parameters, card.preprocess.size)
        except ConfigError as error:
            raise ConfigError(f"encoder {card.name}: {error}") from error
        if card.dim != dim:
            raise ConfigError(
                f"encoder {card.name}: its last block gives {dim} numbers, the card says {card.dim}"
            )
        if card.metric == "dot" and parameters.unit:
            raise ConfigError(
                f"encoder {card.name}: vectors of length 1 are no matter for metric dot"
            )
        return parameters

    @classmethod
    def shapes(cls, card: Card) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor; nothing is allocated."""
        parameters = cls.checked(card)
        with torch.device("meta"):
            inner = cls.inner_half(parameters, card.preprocess.size)
        found = {name: tuple(each.shape) for name, each in weights_of(inner).items()}
        return found | ({"center": (card.dim,)} if parameters.center else {})

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``uint8 [n, h, w, 3]`` to ``float32 [n, dim]``."""
        self.preprocess.check(pictures)
        return finished(self._forward(pictures, self.dim), self.center, self.unit)


class _Whole(nn.Module):
    """Bytes to vectors, all in one module."""

    mean: Tensor
    std: Tensor
    center: Tensor

    def __init__(self, encoder: Network) -> None:
        super().__init__()
        self._inner, self._unit = encoder.inner, encoder.unit
        seen = encoder.preprocess
        self._scale = seen.scale
        self.register_buffer("mean", torch.tensor(seen.mean))
        self.register_buffer("std", torch.tensor(seen.std))
        center = np.zeros(encoder.dim, np.float32) if encoder.center is None else encoder.center
        self.register_buffer("center", torch.tensor(center))

    def forward(self, pictures: Tensor) -> Tensor:
        values = (pictures.to(torch.float32) * self._scale - self.mean) / self.std
        vectors: Tensor = self._inner.codes(values.permute(0, 3, 1, 2)) - self.center
        return nn.functional.normalize(vectors) if self._unit else vectors


def architecture_of(name: str) -> type[Network]:
    """The class of a family, by the name that cards have it under."""
    return cast(type[Network], architecture_named(name))
