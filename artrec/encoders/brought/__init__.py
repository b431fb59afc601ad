"""Encoders made elsewhere: a network by name with weights of one's own, ONNX, or vectors alone.

Nothing is ever downloaded: weights come from a file that is there already. Each enters a store as
a card and a weights file like any other encoder; what runs it (timm, torchvision, onnxruntime) is
an extra that executors need too.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artrec.encoders import Preprocess
from artrec.errors import ConfigError

__all__ = ["check_pictures", "finished", "package"]


def package(name: str, extra: str, for_what: str) -> Any:
    """The module, or ``ConfigError`` that names the extra with it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{for_what} needs {name}, which cannot be imported ({error}); install "
            f"artrec[{extra}], on the executors too"
        ) from error


def check_pictures(pictures: NDArray[np.uint8], preprocess: Preprocess) -> None:
    """``ValueError`` unless they are ``uint8 [n, h, w, 3]`` of the card's size."""
    height, width = preprocess.size
    if pictures.dtype != np.uint8 or pictures.shape[1:] != (height, width, 3):
        raise ValueError(
            f"pictures are {pictures.dtype} {pictures.shape}, expected uint8 (n, {height}, "
            f"{width}, 3)"
        )


def finished(found: NDArray[np.float32], normalise: bool) -> NDArray[np.float32]:
    """``[n, dim]``, of length 1 if wanted; a row of zeros stays, for the caller to see."""
    if not normalise:
        return found
    wide = found.astype(np.float64)
    lengths = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    return np.asarray(wide / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
