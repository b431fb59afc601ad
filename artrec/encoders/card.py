"""An encoder as two files: a card (``config.json``) and weights (``model.safetensors``).

Both are data only; nothing of them is ever executed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    field_validator,
)
from pydantic_core import ErrorDetails
from safetensors import SafetensorError
from safetensors.numpy import load, save

from artrec.encoders import Encoder, Metric, Preprocess
from artrec.encoders.architectures import architecture_named
from artrec.errors import ConditionFailed, ConfigError
from artrec.storage import Store

__all__ = [
    "CARD_FILE",
    "Card",
    "DECODER_FILE",
    "FORMAT",
    "NAME",
    "README_FILE",
    "Tensors",
    "Training",
    "WEIGHTS_FILE",
    "Weights",
    "encoder_id",
    "pack",
    "packed",
    "parse_card",
    "read_encoder",
    "save_encoder",
]

FORMAT = 1
NAME = "^[a-z0-9][a-z0-9._-]*$"
CARD_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
README_FILE = "README.md"
DECODER_FILE = "decoder.safetensors"

Tensors = Mapping[str, NDArray[Any]]


class Weights(BaseModel):
    """What the weights file must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: PositiveInt


class Training(BaseModel):
    """How the weights came about; nothing here changes a vector.

    What is fitted without epochs has 0 of them, and no best one. ``settings`` are those of
    ``train`` by their names; ``decoder`` is what the file of the half that repeats must be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    run: str
    pictures: PositiveInt
    held_out: PositiveInt
    epochs: NonNegativeInt
    best_epoch: PositiveInt | None
    best_loss: float | None
    seed: int
    settings: dict[str, JsonValue] = {}
    decoder: Weights | None = None


class Card(BaseModel):
    """Everything about an encoder but its weights. ``parameters`` are the architecture's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int = FORMAT
    name: str = Field(pattern=NAME)
    architecture: str
    dim: PositiveInt
    metric: Metric
    preprocess: Preprocess
    weights: Weights | None = None
    parameters: dict[str, JsonValue] = {}
    notes: str = ""
    license: str = ""
    training: Training | None = None

    @field_validator("parameters")
    @classmethod
    def _finite(cls, parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """JsonValue lets numbers pass that JSON does not have, and an id could not be made of."""
        for name, value in parameters.items():
            try:
                _canonical(value)
            except ValueError as error:
                raise ValueError(f"{name} is {_short(value)}, not finite numbers") from error
        return parameters


def encoder_id(card_bytes: bytes) -> str:
    """The card's name and 12 hex digits of a sha256 over the card, which holds the weights' own.

    Taken from the JSON as written: a later artrec with more fields finds the same name.
    """
    fields = json.loads(card_bytes)
    return f"{fields['name']}-{hashlib.sha256(_canonical(fields)).hexdigest()[:12]}"


def _canonical(fields: Any) -> bytes:
    text = json.dumps(
        fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def pack(card: Card, tensors: Tensors) -> tuple[bytes, bytes | None]:
    """The two files' bytes, with what the card says of the weights filled in."""
    data, weights = packed(tensors)
    filled = card.model_copy(update={"weights": weights})
    # a card without them is written as before there were any, so that its id stays the same
    without = {name for name in ("training", "license") if not getattr(card, name)}
    facts = filled.model_dump(mode="json", exclude=without)
    text = json.dumps(facts, indent=2, sort_keys=True, allow_nan=False)
    return (text + "\n").encode(), data


def packed(tensors: Tensors) -> tuple[bytes | None, Weights | None]:
    """A file of these tensors and what is to be said of it; nothing of no tensors."""
    if not tensors:
        return None, None
    data = save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)})
    return data, Weights(sha256=_sha256(data), bytes=len(data))


def save_encoder(
    store: Store, card: Card, tensors: Tensors, readme: str = "", decoder: Tensors | None = None
) -> str:
    """Create the encoder's files in the store, the card last, and return its id.

    Files that stand there already are the same, since the id is a digest of what they hold.
    ``ConfigError``, and nothing written, for what ``read_encoder`` would refuse.
    """
    card_bytes, weights = pack(card, tensors)
    encoder = read_encoder(card_bytes, weights)
    files = {
        WEIGHTS_FILE: weights,
        DECODER_FILE: packed(decoder or {})[0],
        README_FILE: readme.encode() or None,
        CARD_FILE: card_bytes,
    }
    for name, data in files.items():
        if data is not None:
            with suppress(ConditionFailed):
                store.write(f"encoders/{encoder.id}/{name}", data)
    return encoder.id


def parse_card(card_bytes: bytes) -> Card:
    """The card, or ``ConfigError`` if it is damaged or of a newer format."""
    try:
        fields = json.loads(card_bytes)
    except ValueError as error:
        raise ConfigError(f"the encoder's {CARD_FILE} is not JSON: {error}") from error
    written = fields.get("format") if isinstance(fields, dict) else None
    if isinstance(written, int) and written > FORMAT:
        raise ConfigError(
            f"the encoder's card has format {written}, this artrec knows {FORMAT}; "
            "use the artrec that wrote it, or a newer one"
        )
    try:
        return Card.model_validate_json(card_bytes)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, part['loc'])) or 'card'}: {part['msg']}{_instead(part)}"
            for part in error.errors()
        )
        raise ConfigError(f"the encoder's {CARD_FILE} is not valid: {wrong}") from error


def _instead(part: ErrorDetails) -> str:
    """The value that was found, cut short; there may be none."""
    if part["type"] in ("missing", "json_invalid", "value_error"):
        return ""
    return f" (it is {_short(part['input'])})"


def _short(value: object) -> str:
    return repr(value)[:80]


def read_encoder(card_bytes: bytes, weights: bytes | None) -> Encoder:
    """The encoder of two files, checked before it sees a picture; ``ConfigError`` if refused.

    Refused are: a newer format, an unknown architecture, weights that are not the card's, tensors
    of other names, shapes or types than the architecture's, and values that are not finite.
    """
    card = parse_card(card_bytes)
    architecture = architecture_named(card.architecture)
    tensors = _tensors(card, weights)
    _check_shapes(architecture.shapes(card), tensors)
    raw = getattr(architecture, "raw", ())
    for name, tensor in tensors.items():
        what = f"tensor {name} of encoder {card.name}"
        _check_values(what, tensor, np.uint8 if name in raw else np.float32)
    return architecture(encoder_id(card_bytes), card, tensors)


def _tensors(card: Card, weights: bytes | None) -> dict[str, NDArray[Any]]:
    """The tensors of weights that are the card's to the last bit."""
    if card.weights is None and weights is None:
        return {}
    if card.weights is None or weights is None:
        says, has = ("none", "some") if card.weights is None else ("some", "none")
        raise ConfigError(f"encoder {card.name}: the card names {says} weights, there are {has}")
    found = _sha256(weights)
    if found != card.weights.sha256:
        raise ConfigError(
            f"the weights of encoder {card.name} were altered: sha256 {found} "
            f"({len(weights)} bytes), the card says {card.weights.sha256} "
            f"({card.weights.bytes} bytes)"
        )
    try:
        return load(weights)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the weights of encoder {card.name} are unreadable: {error}") from error


def _check_shapes(expected: dict[str, tuple[int, ...]], tensors: Tensors) -> None:
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found != expected:
        wrong = sorted(
            name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
        )
        parts = (
            f"{name} is {found.get(name, 'missing')}, expected {expected.get(name, 'none')}"
            for name in wrong
        )
        raise ConfigError(f"tensors do not fit the architecture: {'; '.join(parts)}")


def _check_values(what: str, tensor: NDArray[Any], kind: type[np.generic]) -> None:
    if tensor.dtype != kind:
        raise ConfigError(f"{what} is {tensor.dtype}, expected {np.dtype(kind)}")
    wrong = np.argwhere(~np.isfinite(tensor))
    if len(wrong):
        first = tuple(wrong[0].tolist())
        raise ConfigError(
            f"{what} has {len(wrong)} of {tensor.size} values that are not finite; the first is "
            f"{tensor[first]} at {list(first)}"
        )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
