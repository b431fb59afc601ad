"""A network of timm or torchvision, by its name there, with weights from a file of one's own.

Its vector is what the last layer before the classifier gives, pooled as the library pools it. The
architecture comes from the installed library, so a card holds for the library's versions that know
that name with the same shapes: others are refused when the tensors do not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from torch import nn

from artrec.encoders import Metric, Preprocess
from artrec.encoders.brought import finished, package
from artrec.encoders.card import Card, Tensors
from artrec.encoders.device import Precision
from artrec.encoders.forward import Forward
from artrec.errors import ConfigError

__all__ = ["Backbone", "Parameters", "Timm", "Torchvision", "tensors_of", "usual"]

Library = Literal["timm", "torchvision"]
_HEADS = ("fc", "classifier", "heads", "head")
_COUNTERS = "num_batches_tracked"  # int64, and of no matter once trained
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class Parameters(BaseModel):
    """The card's parameters; ``options`` go to the library's own constructor."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str
    options: dict[str, JsonValue] = {}
    normalise: bool = True


class Backbone:
    """The encoder of a card; :class:`Timm` and :class:`Torchvision` say which library's."""

    library: Library

    def __init__(self, encoder_id: str, card: Card, tensors: Tensors) -> None:
        self.id = encoder_id
        self.dim = card.dim
        self.metric: Metric = card.metric
        self.preprocess = card.preprocess
        parameters = _parameters(card)
        self._normalise = parameters.normalise
        network = _network(self.library, parameters)
        missing, left = network.load_state_dict(
            {name: torch.tensor(tensor) for name, tensor in tensors.items()}, strict=False
        )
        assert not left
        assert all(name.endswith(_COUNTERS) for name in missing)
        network.eval()
        self._forward = Forward(network, card.preprocess, lambda seen: network(seen).flatten(1))

    def move(self, device: str, precision: Precision) -> None:
        """Run there from now on."""
        self._forward.move(device, precision)

    @classmethod
    def shapes(cls, card: Card) -> dict[str, tuple[int, ...]]:
        with torch.device("meta"):
            network = _network(cls.library, _parameters(card))
        return {
            name: tuple(tensor.shape)
            for name, tensor in network.state_dict().items()
            if not name.endswith(_COUNTERS)
        }

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``uint8 [n, h, w, 3]`` to ``float32 [n, dim]``."""
        self.preprocess.check(pictures)
        return finished(self._forward(pictures, self.dim), self._normalise)


class Timm(Backbone):
    """A network of timm."""

    library = "timm"


class Torchvision(Backbone):
    """A network of torchvision."""

    library = "torchvision"


def usual(library: Library, parameters: Parameters) -> tuple[Preprocess, int]:
    """What the library's own weights of that name were made for, and numbers in a vector."""
    network = _network(library, parameters).eval()
    facts: dict[str, Any] = {"size": (224, 224), "filter": "bilinear", **_IMAGENET}
    if library == "timm":
        known = package("timm.data", "timm", "a timm encoder").resolve_model_data_config(network)
        facts = {"size": known["input_size"][1:], "filter": known["interpolation"]}
        facts |= {"mean": known["mean"], "std": known["std"]}
    preprocess = Preprocess(fit="crop", scale=1 / 255, **facts)
    with torch.inference_mode():
        found = network(torch.zeros(1, 3, *preprocess.size)).flatten(1)
    return preprocess, int(found.shape[1])


def tensors_of(
    library: Library, parameters: Parameters, weights: Mapping[str, torch.Tensor]
) -> Tensors:
    """What of a file of weights the encoder needs, as float32; a classifier in it is left out.

    ``ConfigError`` where a tensor is missing, or of another shape.
    """
    with torch.device("meta"):
        wanted = _network(library, parameters).state_dict()
    wanted = {name: each for name, each in wanted.items() if not name.endswith(_COUNTERS)}
    missing = sorted(wanted.keys() - weights.keys())
    if missing:
        some = ", ".join(missing[:3])
        raise ConfigError(
            f"the weights lack {len(missing)} of the {len(wanted)} tensors of {library}'s "
            f"{parameters.model}: {some}{', …' if len(missing) > 3 else ''}; they have "
            f"{', '.join(sorted(weights)[:3])}, …"
        )
    found: dict[str, NDArray[np.float32]] = {}
    for name, tensor in wanted.items():
        if weights[name].shape != tensor.shape:
            raise ConfigError(
                f"{name} of the weights is {tuple(weights[name].shape)}, {library}'s "
                f"{parameters.model} has {tuple(tensor.shape)}"
            )
        found[name] = weights[name].detach().to(torch.float32).contiguous().numpy()
    return found


def _network(library: Library, parameters: Parameters) -> nn.Module:
    """The network without its classifier, and with weights that mean nothing yet.

    Only names that the library builds from its own code: others (``hf-hub:…`` of timm, networks of
    torchvision around another that is trained already) would be downloaded.
    """
    if library == "timm":
        timm = package("timm", "timm", "a timm encoder")
        _check_known(library, parameters, timm.is_model(parameters.model))
        return _made(timm.create_model, parameters, {"pretrained": False}, {"num_classes": 0})
    models = package("torchvision.models", "torchvision", "a torchvision encoder")
    known = models.list_models(module=models)
    _check_known(library, parameters, parameters.model.lower() in known)
    network = _made(models.get_model, parameters, {"weights": None}, {})
    head = next((name for name in _HEADS if hasattr(network, name)), None)
    if head is None:
        raise ConfigError(
            f"torchvision's {parameters.model} has no {', '.join(_HEADS)}: it is no classifier, "
            "so which numbers are its vector is not known"
        )
    setattr(network, head, nn.Identity())
    return network


def _check_known(library: Library, parameters: Parameters, known: bool) -> None:
    if not known:
        raise ConfigError(
            f"{library} here has no classifier of the name {parameters.model!r} that it builds by "
            "itself; nothing is downloaded"
        )


def _made(
    make: Any, parameters: Parameters, fixed: dict[str, Any], usual: dict[str, Any]
) -> nn.Module:
    wrong = [name for name in parameters.options if name in (*fixed, "checkpoint_path")]
    if wrong:
        raise ConfigError(
            f"{wrong[0]} is no parameter of an encoder: its weights are those of its own file"
        )
    options = {**usual, **parameters.options, **fixed}
    try:
        network: nn.Module = make(parameters.model, **options)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"no network {parameters.model!r} with {options}: {error}") from error
    return network


def _parameters(card: Card) -> Parameters:
    try:
        return Parameters.model_validate(card.parameters)
    except ValidationError as error:
        raise ConfigError(f"parameters of encoder {card.name}: {error}") from error
