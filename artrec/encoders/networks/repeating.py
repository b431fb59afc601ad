"""A trained autoencoder as it stands in a store: both halves, to see what it makes of pictures."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load

from artrec.encoders import Preprocess
from artrec.encoders.card import CARD_FILE, DECODER_FILE, WEIGHTS_FILE, parse_card
from artrec.encoders.forward import CHUNK, scaled
from artrec.encoders.networks.base import Autoencoder, architecture_of
from artrec.errors import ConfigError, NotFound
from artrec.storage import Store

__all__ = ["Repeater", "load_repeater"]


class Repeater:
    """Pictures in, pictures out; ``size`` is (height, width) of both."""

    def __init__(self, network: Autoencoder, preprocess: Preprocess) -> None:
        self.network, self.preprocess = network.eval(), preprocess

    def repeat(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """``uint8 [n, h, w, 3]`` as the network gives it back, and each one's MSE, ``[n]``."""
        made, errors = [np.empty((0, *pictures.shape[1:]), np.uint8)], [np.empty(0, np.float32)]
        with torch.inference_mode():
            for start in range(0, len(pictures), CHUNK):
                seen = scaled(pictures[start : start + CHUNK], self.preprocess)
                found = self.network.repeat(seen)
                errors.append((found - seen).square().mean(dim=(1, 2, 3)).numpy())
                bytes_ = (found * 255).round().to(torch.uint8)
                made.append(bytes_.permute(0, 2, 3, 1).numpy())
        return np.concatenate(made), np.concatenate(errors)


def load_repeater(store: Store, encoder_id: str) -> Repeater:
    """Both halves of an encoder that a training wrote; ``ConfigError`` where there is no outer one.

    Its file is checked by the card's sha256, as the weights are.
    """
    folder = f"encoders/{encoder_id}"
    try:
        card = parse_card(store.read(f"{folder}/{CARD_FILE}"))
    except NotFound as error:
        raise ConfigError(f"{store.url} has no encoder {encoder_id}") from error
    known = card.training.decoder if card.training else None
    if known is None or card.weights is None:
        raise ConfigError(f"encoder {encoder_id} has no half that repeats pictures")
    family = architecture_of(card.architecture)
    network = family.autoencoder(family.checked(card), card.preprocess.size)
    files = {"encoder": (WEIGHTS_FILE, card.weights), "decoder": (DECODER_FILE, known)}
    both: dict[str, torch.Tensor] = {}
    for half, (name, wanted) in files.items():
        data = store.read(f"{folder}/{name}")
        found = hashlib.sha256(data).hexdigest()
        if found != wanted.sha256:
            raise ConfigError(f"{folder}/{name} was altered: sha256 {found}, not {wanted.sha256}")
        both |= {f"{half}.{n}": torch.tensor(a) for n, a in load(data).items() if n != "center"}
    network.load_state_dict(both)
    return Repeater(network, card.preprocess)
