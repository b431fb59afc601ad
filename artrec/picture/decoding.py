"""Two readings of a picture's bytes: the verdict at ingest, and the pixels for an encoder."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artrec.picture.fingerprint import perceptual_hash
from artrec.picture.opening import opened
from artrec.picture.pixels import Size, flat, load, resized, whole
from artrec.picture.records import Filter, Fit, Limits, Picture, PictureError, Reject

__all__ = ["decode", "examine", "shrunk"]

_HASHED_SIDE = 64  # what the perceptual hash, 32 pixels wide, is computed from
_BEHIND_HASHES = Limits().background  # whatever the limits say: nights have to agree
_QUALITY = 92


def examine(data: bytes, limits: Limits, max_side: int | None = None) -> Picture | Reject:
    """A whole picture with what is known of it, or the reason why it is none; never an error.

    All of the first frame's data is decoded, once. With ``max_side`` a picture with a longer side
    is stored as a smaller copy: JPEG, or PNG where a pixel is transparent, upright, without
    metadata and colour profile. Other pictures keep their bytes.
    """
    try:
        return _examined(data, limits, max_side)
    except PictureError as error:
        return Reject(error.reason, error.detail)
    except MemoryError:
        return Reject("out_of_memory", "MemoryError")


def _examined(data: bytes, limits: Limits, max_side: int | None) -> Picture:
    def need(size: Size) -> Size:
        if max_side is None or max(size) <= max_side:
            return _HASHED_SIDE, _HASHED_SIDE
        return _bounded(size, max_side)

    with opened(data, limits) as image:
        name, mode = str(image.format), image.mode
        stays = max_side is None or max(image.size) <= max_side
        pixels, size = load(image, data, need, luma=stays)
    stored = data if max_side is None or stays else _smaller(pixels, size, max_side)
    phash = perceptual_hash(flat(pixels, _BEHIND_HASHES))
    sha256 = hashlib.sha256(data).digest()
    return Picture(stored, sha256, size[0], size[1], name, mode, phash)


def _bounded(size: Size, max_side: int) -> Size:
    return whole(size, (max_side, max_side), "pad")


def _smaller(pixels: Image.Image, size: Size, max_side: int) -> bytes:
    small = pixels.resize(_bounded(size, max_side), Image.Resampling.LANCZOS)
    small.info.clear()
    stream = io.BytesIO()
    if small.mode == "RGBA":
        small.save(stream, "PNG")
    else:
        small.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def decode(
    data: bytes,
    limits: Limits,
    size: tuple[int, int] | None = None,
    fit: Fit = "stretch",
    filter: Filter = "lanczos",
) -> NDArray[np.uint8]:
    """The upright RGB pixels, ``uint8 [h, w, 3]``, read-only; ``size`` is (height, width).

    Without a size it is the whole picture. With one the picture is stretched to it, or shrunk to
    cover it and cropped to the middle, or shrunk into it and padded with ``limits.background``.
    ``PictureError`` if the bytes are no picture.
    """
    target = None if size is None else (size[1], size[0])

    def fitted(colours: Image.Image) -> Image.Image:
        if target is None or colours.size == target:
            return colours
        return resized(colours, target, fit, filter, limits.background)

    return _colours(data, limits, lambda full: whole(full, target or full, fit), fitted)


def shrunk(data: bytes, limits: Limits, side: int) -> NDArray[np.uint8]:
    """The whole picture, upright RGB, with a longer side of at most ``side``; never enlarged.

    ``PictureError`` if the bytes are no picture.
    """

    def need(full: Size) -> Size:
        return _bounded(full, side) if max(full) > side else full

    def fitted(colours: Image.Image) -> Image.Image:
        # of what was read: a JPEG may have been shrunk by then, to no less than is needed
        if max(colours.size) <= side:
            return colours
        return colours.resize(_bounded(colours.size, side), Image.Resampling.LANCZOS)

    return _colours(data, limits, need, fitted)


def _colours(
    data: bytes,
    limits: Limits,
    need: Callable[[Size], Size],
    fitted: Callable[[Image.Image], Image.Image],
) -> NDArray[np.uint8]:
    with opened(data, limits) as image:
        pixels, _ = load(image, data, need)
    try:
        colours = flat(pixels, limits.background)
        if colours.mode != "RGB":
            colours = colours.convert("RGB")
        return np.asarray(fitted(colours))
    except MemoryError as error:
        raise PictureError("out_of_memory", "MemoryError") from error
