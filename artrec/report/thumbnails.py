"""Small pictures for pages: JPEG without metadata, whatever the original carried."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["difference", "jpeg"]

QUALITY = 80


def jpeg(pixels: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """RGB pixels, ``uint8 [h, w, 3]``, as a JPEG.

    It is made of pixels alone: no EXIF, no profile, no comment, nothing hidden behind the end.
    """
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, optimize=True)
    return stream.getvalue()


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where two pictures of one size differ: black where they are equal, white from half on."""
    apart = np.abs(one.astype(np.int16) - other.astype(np.int16)).max(axis=2)
    grey = np.minimum(2 * apart, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
