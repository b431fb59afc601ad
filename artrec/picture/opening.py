"""Opening bytes with Pillow: formats, limits, one error for all that can go wrong."""

from __future__ import annotations

import io
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import IO

# Imported by name, since Pillow's own search would load all of its forty plugins instead.
from PIL import (  # noqa: F401
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from artrec.errors import ConfigError
from artrec.picture.records import Limits, PictureError

__all__ = ["check_formats", "opened", "sniff"]

_SIGNATURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WEBP"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftypmif1", "HEIF"),
    (0, b"\0\0\0\x0cjP  ", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (0, b"%!PS", "EPS"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "PSD"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DDS"),
    (0, b"SIMPLE", "FITS"),
)
# Parts of the messages of Pillow and libtiff, in lower case, from the most telling on.
_MESSAGES = (
    ("out of memory", "out_of_memory"),
    ("truncated", "truncated"),
    ("invalid read at", "truncated"),
    ("read error", "truncated"),
    ("unsupported", "unsupported"),
    ("not configured", "unsupported"),
)
_DETAIL = 200  # characters kept of a decoder's message


def sniff(data: bytes) -> str | None:
    """The format that the first bytes claim, by its well-known signature; None if unknown."""
    for offset, signature, name in _SIGNATURES:
        if data.startswith(signature, offset):
            return name
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    markup = head.startswith((b"<svg", b"<?xml", b"<!doctype svg"))
    return "SVG" if markup and b"<svg" in head else None


@contextmanager
def opened(data: bytes, limits: Limits) -> Iterator[ImageFile.ImageFile]:
    """An image whose header was read and found within the limits; its pixels are not loaded.

    Every error inside the block, the caller's too, becomes a ``PictureError``: crafted files make
    Pillow raise nearly anything. So only what reads the file belongs there.
    """
    if not data:
        raise PictureError("empty", "0 bytes")
    if len(data) > limits.bytes:
        raise PictureError("too_many_bytes", f"{len(data)} bytes; at most {limits.bytes}")
    check_formats(limits.formats)
    claimed = sniff(data)
    formats = _formats(claimed, data, limits)
    with ExitStack() as stack:
        stack.enter_context(_PILLOW.quiet(limits.pixels))
        chatter = stack.enter_context(_stderr_caught()) if claimed == "TIFF" else str
        try:
            with Image.open(io.BytesIO(data), formats=formats) as image:
                _check_header(image, limits)
                yield image
        except PictureError:
            raise
        except Exception as error:
            raise _blamed(error, claimed, data, chatter()) from error


def _formats(claimed: str | None, data: bytes, limits: Limits) -> list[str]:
    """Pillow's formats to try; MPO is read by the JPEG plugin and has no entry of its own."""
    allowed = set(limits.formats)
    if claimed is not None:
        if claimed in allowed or (claimed == "JPEG" and "MPO" in allowed):
            return [claimed]
        raise PictureError("format_not_allowed", f"{claimed}; allowed: {_names(limits)}")
    unsigned = allowed - {"MPO"} - {name for _, _, name in _SIGNATURES}
    if not unsigned:
        raise PictureError("not_a_picture", f"begins with {data[:16]!r}")
    return sorted(unsigned)


@cache
def check_formats(formats: tuple[str, ...]) -> None:
    """``ConfigError`` for a format that this Pillow has no reader for."""
    for name in formats:
        if name not in Image.OPEN and name != "MPO":
            Image.init()  # loads all plugins
            if name not in Image.OPEN:
                raise ConfigError(f"this Pillow cannot read {name}; no such format can be allowed")


def _names(limits: Limits) -> str:
    return ", ".join(limits.formats)


def _check_header(image: ImageFile.ImageFile, limits: Limits) -> None:
    width, height = image.size
    if image.format not in limits.formats:
        detail = f"{image.format}; allowed: {_names(limits)}"
        raise PictureError("format_not_allowed", detail)
    if width < 1 or height < 1:
        raise PictureError("corrupt", f"{width}x{height} pixels")
    if max(width, height) > limits.side:
        raise PictureError("side_too_long", f"{width}x{height}; a side at most {limits.side}")
    if width * height > limits.pixels:
        raise PictureError("too_many_pixels", f"{width}x{height}; at most {limits.pixels} pixels")


def _blamed(error: Exception, claimed: str | None, data: bytes, chatter: str) -> PictureError:
    """Pillow's exception as ours; its message decides where it can, the file's end elsewhere."""
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, UnidentifiedImageError):  # its message holds a memory address
        if claimed is None:
            return PictureError("not_a_picture", f"begins with {data[:16]!r}")
        message = f"unreadable {claimed} header"
    if chatter:
        message = f"{message}; {chatter}"
    detail = " ".join(message.split())[:_DETAIL]
    if isinstance(error, Image.DecompressionBombError):
        return PictureError("too_many_pixels", detail)
    if isinstance(error, MemoryError):
        return PictureError("out_of_memory", detail)
    for words, reason in _MESSAGES:
        if words in message.lower():
            return PictureError(reason, detail)
    return PictureError("truncated" if _lacks_end(claimed, data) else "corrupt", detail)


def _lacks_end(claimed: str | None, data: bytes) -> bool:
    """Whether the file stops before the end that its format announces."""
    if claimed == "JPEG":
        return b"\xff\xd9" not in data[-4096:]
    if claimed == "PNG":
        return b"IEND" not in data[-4096:]
    if claimed == "GIF":
        return b";" not in data[-16:]
    if claimed == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if claimed == "BMP":
        return int.from_bytes(data[2:6], "little") > len(data)
    return False


class _PillowSettings:
    """Pillow's process-wide switches, set while at least one thread is inside ``quiet``.

    A warning about a suspicious file must not reach the log or, where warnings are errors, change
    a verdict; another library's LOAD_TRUNCATED_IMAGES would turn half pictures into whole ones.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._undo = ExitStack()

    @contextmanager
    def quiet(self, pixels: int) -> Iterator[None]:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._set(pixels)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._undo.close()

    def _set(self, pixels: int) -> None:
        self._undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
        truncated = ImageFile.LOAD_TRUNCATED_IMAGES
        self._undo.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", truncated)
        self._undo.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        # Plugins that allocate while they open check against twice this number.
        Image.MAX_IMAGE_PIXELS = (pixels + 1) // 2
        ImageFile.LOAD_TRUNCATED_IMAGES = False


_PILLOW = _PillowSettings()
_STDERR = threading.Lock()


@contextmanager
def _stderr_caught() -> Iterator[Callable[[], str]]:
    """File descriptor 2 led aside, as libtiff writes there; yields a reader of its first line.

    What other threads write to it meanwhile is lost too.
    """
    with _STDERR, _scratch() as aside:
        try:
            saved = os.dup(2)
        except OSError:  # a daemon without standard error
            yield str
            return
        os.dup2(aside.fileno(), 2)
        try:
            yield (
                lambda: os.pread(aside.fileno(), _DETAIL, 0).decode(errors="replace").split("\n")[0]
            )
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _scratch() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("chatter"), "w+b")
    return tempfile.TemporaryFile()
