"""Networks that learn to repeat pictures, and the encoders that their inner halves are.

Each family is a module with a class of ARCHITECTURES, made on ``Network``: it says which halves a
card's parameters mean, at which sizes they close, and how plain torch computes the same. Training,
reconstruction and encoding all go through ``Autoencoder`` and its ``codes`` and ``repeat``. Needs
torch, and is imported only where such an encoder is loaded or trained.
"""

from artrec.encoders.networks.base import (
    Autoencoder,
    Inner,
    Network,
    Parameters,
    architecture_of,
    scaled,
    weights_of,
)

__all__ = [
    "Autoencoder",
    "Inner",
    "Network",
    "Parameters",
    "architecture_of",
    "scaled",
    "weights_of",
]
