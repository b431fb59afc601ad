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

from artrec.encoders.fitted import unit
from artrec.errors import ConfigError

__all__ = ["finished", "package"]


def package(name: str, extra: str, for_what: str) -> Any:
    """The module, or ``ConfigError`` that names the extra with it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{for_what} needs {name}, which cannot be imported ({error}); install "
            f"artrec[{extra}], on the executors too"
        ) from error


def finished(found: NDArray[np.float32], normalise: bool) -> NDArray[np.float32]:
    """``[n, dim]``, of length 1 if wanted; a row of zeros stays, for the caller to see."""
    return unit(found) if normalise else found
