"""Small pictures for pages: JPEG without metadata, whatever the original carried."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artrec import picture

__all__ = ["difference", "jpeg", "thumbnail"]

QUALITY = 80


def thumbnail(data: bytes, limits: picture.Limits, side: int) -> bytes:
    """A JPEG with a longer side of at most ``side``; ``PictureError`` if the bytes are no picture.

    It is made of pixels alone: no EXIF, no profile, no comment, nothing hidden behind the end.
    """
    return jpeg(picture.shrunk(data, limits, side))


def jpeg(pixels: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """RGB pixels, ``uint8 [h, w, 3]``, as a JPEG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, optimize=True)
    return stream.getvalue()


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where two pictures of one size differ: black where they are equal, white from half on."""
    apart = np.abs(one.astype(np.int16) - other.astype(np.int16)).max(axis=2)
    grey = np.minimum(2 * apart, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
