"""Encoders: pictures in, vectors out, and one way to find the right one again.

An encoder is named by the digest of its card and weights, so two encoders with one name give the
same vectors. It owns its post-processing (centering, projection, normalising): its vectors are
ready for its metric.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from artrec.errors import ConfigError, NotFound
from artrec.picture import Filter, Fit
from artrec.storage import Store

BUILTIN = ("handmade", "handmade-plain", "handmade-plain-211", "handmade-plain-212")
__all__ = [
    "BUILTIN",
    "Encoder",
    "Metric",
    "Preprocess",
    "builtin_files",
    "check_named",
    "encoder_named",
    "load_builtin",
    "load_encoder",
]

Metric = Literal["cosine", "dot", "euclidean"]


class Preprocess(BaseModel):
    """How a picture becomes an encoder's input; the order of the steps is part of the meaning.

    1. Decoded, upright, RGB over the background of the limits: ``artrec.picture.decode``.
    2. Brought to ``size`` (height, width) by ``fit`` with ``filter``, still 8 bits: ``decode``
       too. This is what ``encode`` is given.
    3. ``(value * scale - mean) / std`` for each channel, inside the encoder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: tuple[PositiveInt, PositiveInt]
    fit: Fit = "stretch"
    filter: Filter = "lanczos"
    scale: PositiveFloat = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0)

    def check(self, pictures: NDArray[np.uint8]) -> None:
        """``ValueError`` unless they are ``uint8 [n, h, w, 3]`` of this size."""
        height, width = self.size
        if pictures.dtype != np.uint8 or pictures.shape[1:] != (height, width, 3):
            raise ValueError(
                f"pictures are {pictures.dtype} {pictures.shape}, "
                f"expected uint8 (n, {height}, {width}, 3)"
            )


class Encoder(Protocol):
    """Turns pictures into vectors."""

    @property
    def id(self) -> str:
        """Name and digest, as in ``encoders/<id>/``."""
        ...

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def metric(self) -> Metric:
        """By what the vectors are meant to be compared."""
        ...

    @property
    def preprocess(self) -> Preprocess: ...

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``uint8 [n, h, w, 3]`` of the size in ``preprocess`` to ``float32 [n, dim]``.

        A picture's vector does not depend on its batch beyond the last bits.
        """
        ...


def load_builtin(name: str) -> Encoder:
    """An encoder that comes with artrec, by its name; ``ConfigError`` lists those there are."""
    from artrec.encoders.card import CARD_FILE, WEIGHTS_FILE, read_encoder

    files = builtin_files(name)
    return read_encoder(files[CARD_FILE], files.get(WEIGHTS_FILE))


def encoder_named(store: Store, name: str) -> Encoder:
    """The built-in encoder of that name, or the one that the store has under that id."""
    return load_builtin(name) if name in BUILTIN else load_encoder(store, name)


def check_named(store: Store, encoder_id: str) -> None:
    """Fail early, with what there is, where neither artrec nor the store has such an encoder."""
    if encoder_id in BUILTIN:
        return
    ids = {path[1] for e in store.list("encoders") if len(path := e.path.split("/")) == 3}
    if encoder_id not in ids:
        known = ", ".join([*BUILTIN, *sorted(ids)])
        raise ConfigError(f"encoder.id: {store.url} has no encoder {encoder_id}; known: {known}")


def builtin_files(name: str) -> dict[str, bytes]:
    """The files of a built-in encoder, as they stand in a store; the card comes last."""
    from artrec.encoders import handmade
    from artrec.encoders.card import CARD_FILE, WEIGHTS_FILE, pack

    cards = {card.name: card for card in (handmade.CARD, *handmade.PLAIN)}
    if name not in cards:
        raise ConfigError(f"no built-in encoder {name!r}; there is {', '.join(sorted(cards))}")
    card, weights = pack(cards[name], {})
    return ({} if weights is None else {WEIGHTS_FILE: weights}) | {CARD_FILE: card}


def load_encoder(store: Store, encoder_id: str) -> Encoder:
    """The encoder that was written under ``encoders/<encoder_id>/`` of the store, checked.

    ``ConfigError`` when it is missing, altered, of a newer format, or under another's name.
    """
    from artrec.encoders.card import CARD_FILE, WEIGHTS_FILE, parse_card, read_encoder

    folder = f"encoders/{encoder_id}"
    try:
        card_bytes = store.read(f"{folder}/{CARD_FILE}")
        weighs = parse_card(card_bytes).weights is not None
        weights = store.read(f"{folder}/{WEIGHTS_FILE}") if weighs else None
    except NotFound as error:
        raise ConfigError(
            f"encoder {encoder_id} is not whole in {store.url}: {error}; "
            "name one that is there, or train one"
        ) from error
    encoder = read_encoder(card_bytes, weights)
    if encoder.id != encoder_id:
        raise ConfigError(f"{folder} of {store.url} holds the encoder {encoder.id}")
    return encoder
