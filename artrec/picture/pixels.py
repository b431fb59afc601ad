"""From whatever a file holds to upright 8-bit pixels, and from there to a wanted size."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from artrec.picture.records import Filter, Fit, PictureError

__all__ = ["Size", "flat", "load", "resized", "whole"]

Size = tuple[int, int]
"""Width and height, as in Pillow."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_HOLDERS = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}
_BITS_PER_SAMPLE = 258
_ALPHA = ("RGBA", "LA", "PA", "RGBa")


def load(
    image: ImageFile.ImageFile, data: bytes, need: Callable[[Size], Size], luma: bool = False
) -> tuple[Image.Image, Size]:
    """The pixels upright in mode L, RGB or RGBA, and the size of the whole upright picture.

    The pixels may be fewer: a JPEG is shrunk by up to 8 while it is read, to no less than
    ``need(whole size)`` on either side, and with ``luma`` only its brightness is read. All of its
    data is still entropy-decoded, so a missing end is found.
    """
    jpeg = image.format in ("JPEG", "MPO")
    mode = image.mode
    turn = _orientation(image) if jpeg else 1
    size = _turned(image.size, turn)
    if jpeg and _has_blocks(data):
        image.draft("L" if luma else None, _turned(need(size), turn))
    image.load()
    if not jpeg:  # PNG may keep its orientation behind the pixels, TIFF applies it while loading
        turn = _orientation(image)
        size = _turned(image.size, turn)
    try:
        pixels = _eight_bits(image)
    except ValueError as error:
        raise PictureError("unsupported", f"{mode}: {error}") from error
    return (pixels.transpose(_TURNS[turn]) if turn in _TURNS else pixels), size


def _turned(size: Size, turn: int) -> Size:
    return size[::-1] if turn >= 5 else size


def _orientation(image: Image.Image) -> int:
    """1 to 8; a damaged EXIF block is no reason to lose the picture."""
    if not (_EXIF_HOLDERS & image.info.keys()) and not hasattr(image, "tag_v2"):
        return 1
    try:
        turn = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1
    return turn if turn in _TURNS else 1


def _has_blocks(data: bytes) -> bool:
    """Whether a JPEG is made of DCT blocks, so that it can be shrunk while it is read.

    A lossless one cannot: libjpeg writes it at full width into the row of a shrunk picture.
    """
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker & 3 != 3
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return False


def _eight_bits(image: Image.Image) -> Image.Image:
    """Mode L, RGB, or RGBA where a pixel is not opaque; ValueError if Pillow cannot convert."""
    mode = image.mode
    if mode == "F" or mode.startswith("I"):
        return _scaled(image)
    if mode in _ALPHA or "transparency" in image.info:
        image = image if mode == "RGBA" else image.convert("RGBA")
        opaque = image.getchannel("A").getextrema() == (255, 255)
        return image.convert("RGB") if opaque else image
    if mode in ("L", "RGB"):
        return image
    return image.convert("L" if mode == "1" else "RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """More than 8 bits as mode L: declared ranges scaled, undeclared ones by what is there."""
    values = np.asarray(image)
    low, high = _range(image, values)
    if image.mode != "F" and high - low < 2**16:
        span = int(high - low) or 1
        whole = (values.astype(np.int32) - int(low)).clip(0, span).astype(np.uint32)
        return Image.fromarray(((whole * 255 + span // 2) // span).astype(np.uint8))
    finite = np.where(np.isfinite(values), values, low)
    share = (finite.astype(np.float64) - low) / ((high - low) or 1.0)
    return Image.fromarray((share.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def _range(image: Image.Image, values: NDArray[np.generic]) -> tuple[float, float]:
    """The values that become black and white.

    Unsigned 16-bit files declare their range; 32-bit integers and floats do not, so the picture's
    own extremes are taken, except that floats within 0 to 1 are what they seem.
    """
    if image.mode.startswith("I;16"):
        declared = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))
        bits = int(declared[0] if isinstance(declared, tuple) else declared)
        return 0.0, float(2**bits - 1 if 8 < bits <= 16 else 65_535)
    if image.format == "PNG":  # how older Pillows open 16 bits
        return 0.0, 65_535.0
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (0.0, 1.0) if image.mode == "F" and low >= 0 and high <= 1 else (low, high)


def flat(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Mode L or RGB: transparent pixels laid over the background."""
    if image.mode != "RGBA":
        return image
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas


def whole(picture: Size, target: Size, fit: Fit) -> Size:
    """The size that the whole picture has when it is fitted to the target, at least 1x1."""
    if fit == "stretch":
        return target
    ratios = (target[0] / picture[0], target[1] / picture[1])
    ratio = max(ratios) if fit == "crop" else min(ratios)
    # Rounded to a millionth of a pixel first: 256 * (64 / 256) must not become 65.
    width, height = (max(1, math.ceil(round(side * ratio, 6))) for side in picture)
    return width, height


def resized(
    image: Image.Image, target: Size, fit: Fit, filter: Filter, background: tuple[int, int, int]
) -> Image.Image:
    """Exactly the target size: stretched, its middle cropped, or padded with the background."""
    resample = Image.Resampling[filter.upper()]
    if fit == "stretch":
        return image.resize(target, resample)
    if fit == "crop":
        ratio = max(target[0] / image.width, target[1] / image.height)
        width, height = min(target[0] / ratio, image.width), min(target[1] / ratio, image.height)
        left, top = (image.width - width) / 2, (image.height - height) / 2
        return image.resize(target, resample, box=(left, top, left + width, top + height))
    width, height = (min(a, b) for a, b in zip(whole(image.size, target, fit), target, strict=True))
    canvas = Image.new("RGB", target, background)
    inner = image.resize((width, height), resample)
    canvas.paste(inner, ((target[0] - width) // 2, (target[1] - height) // 2))
    return canvas
