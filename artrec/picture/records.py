"""What goes in and out of decoding: limits, pictures, and the closed list of reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from artrec.errors import ArtrecError, ConfigError

__all__ = [
    "DECODER_VERSION",
    "Filter",
    "Fit",
    "Limits",
    "Picture",
    "PictureError",
    "REASONS",
    "Reject",
    "recipe",
]

DECODER_VERSION = 1
"""Raised when the same bytes get another verdict, hash or bounded picture than before."""

REASONS = (
    "corrupt",
    "decode_crashed",
    "decode_timeout",
    "empty",
    "format_not_allowed",
    "not_a_picture",
    "out_of_memory",
    "side_too_long",
    "too_many_bytes",
    "too_many_pixels",
    "truncated",
    "unsupported",
)

Fit = Literal["crop", "pad", "stretch"]
Filter = Literal["bicubic", "bilinear", "box", "hamming", "lanczos", "nearest"]

_RUNS_PROGRAMS = {"EPS"}  # Pillow hands these files to Ghostscript


@dataclass(frozen=True, slots=True)
class Limits:
    """What is accepted as a picture, checked before anything is allocated.

    ``pixels`` and ``side`` are of the file's canvas; ``formats`` are Pillow's names. Decoding may
    take 4 to 12 bytes of memory for each pixel, less for a JPEG, which is shrunk while read.
    """

    bytes: int = 256 * 2**20
    pixels: int = 200_000_000
    side: int = 65_535
    formats: tuple[str, ...] = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF")
    background: tuple[int, int, int] = (255, 255, 255)

    def __post_init__(self) -> None:
        for name in ("bytes", "pixels", "side"):
            if getattr(self, name) < 1:
                raise ConfigError(f"limit {name} is {getattr(self, name)}; it must be at least 1")
        object.__setattr__(self, "formats", tuple(name.upper() for name in self.formats))
        if refused := _RUNS_PROGRAMS.intersection(self.formats):
            raise ConfigError(f"format {min(refused)} cannot be allowed: it starts other programs")
        if not self.formats:
            raise ConfigError("limit formats is empty; name at least one, such as JPEG")
        if len(self.background) != 3 or not all(0 <= value <= 255 for value in self.background):
            raise ConfigError(f"background is {self.background}; it must be three values 0 to 255")


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole, decodable picture.

    ``data`` is what is stored: the original bytes, or a bounded copy. ``sha256`` (32 bytes) is of
    the original bytes; ``width`` and ``height`` (upright), ``format`` and ``mode`` (Pillow's
    names) are of the original picture too. ``phash`` is a signed 64-bit integer, of the picture on
    white: the bytes and how they are stored alone say what a ``Picture`` is, whatever the limits.
    """

    data: bytes
    sha256: bytes
    width: int
    height: int
    format: str
    mode: str
    phash: int


@dataclass(frozen=True, slots=True)
class Reject:
    """Why some bytes are no picture: a reason of ``REASONS`` and a detail for people."""

    reason: str
    detail: str

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"{self.reason!r} is not a reason; known: {', '.join(REASONS)}")


class PictureError(ArtrecError):
    """These bytes cannot be decoded; ``reason`` is one of ``REASONS``."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def recipe(max_side: int | None = None) -> str:
    """The name of what ``examine`` stores: ``original``, or ``max_side=1024``."""
    return "original" if max_side is None else f"max_side={max_side}"
