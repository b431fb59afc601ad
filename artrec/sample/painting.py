"""What every picture begins with: a hand, a sheet, its colours and its noise.

Pictures are float32 arrays ``[3, height, width]`` with values in 0..1 (colour first, so that a
plane ``[height, width]`` of amounts meets them in long rows: ten times faster). Lengths are in
units of the picture's height: ``y`` runs from 0 to 1 and ``x`` from 0 to ``aspect``, and a circle
is a circle. All chance comes from the sheet's own generator: a picture depends on its seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = [
    "Array",
    "Hand",
    "Sheet",
    "colors",
    "enlarge",
    "mix",
    "noise",
    "photograph",
    "profile",
    "ramp",
    "soft",
    "vary",
    "vignette",
    "weave",
]

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Hand:
    """What the pictures of one artist share.

    ``palette`` is ``[8, 3]``, its roles being those of the style; ``traits`` is ``[8]`` in 0..1,
    read by the style's painter as stroke length, contrast, scheme and so on.
    """

    palette: Array
    traits: Array

    def lerp(self, trait: int, low: float, high: float) -> float:
        """The value between ``low`` and ``high`` at which the artist stands for one trait."""
        return low + (high - low) * float(self.traits[trait])

    def choose(self, trait: int, count: int) -> int:
        """One of ``count`` ways, by one trait."""
        return min(int(float(self.traits[trait]) * count), count - 1)


@dataclass(frozen=True, slots=True)
class Sheet:
    """An empty picture: its generator, its size in pixels, its coordinates ``[h, w]``."""

    rng: np.random.Generator
    width: int
    height: int
    x: Array
    y: Array

    @classmethod
    def of(cls, rng: np.random.Generator, width: int, height: int) -> Sheet:
        x, y = np.meshgrid(
            (np.arange(width, dtype=np.float32) + 0.5) / height,
            (np.arange(height, dtype=np.float32) + 0.5) / height,
        )
        return cls(rng, width, height, x, y)

    @property
    def aspect(self) -> float:
        return self.width / self.height

    def turned(self, x: float, y: float, turn: float) -> tuple[Array, Array]:
        """How far each pixel lies along, and across, a line through a place."""
        right, below = self.x - np.float32(x), self.y - np.float32(y)
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        return right * cos + below * sin, below * cos - right * sin

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def plane(self, value: float) -> Array:
        return np.full((self.height, self.width), value, dtype=np.float32)

    def fill(self, color: Array) -> Array:
        picture = np.empty((3, self.height, self.width), dtype=np.float32)
        picture[:] = color[:, None, None]
        return picture


def colors(text: str) -> Array:
    """Colours ``[n, 3]`` in 0..1 from hexadecimal words: ``colors("ff0000 00ff00")``."""
    return np.array([list(bytes.fromhex(word)) for word in text.split()], dtype=np.float32) / 255


def vary(palette: Array, common: Array, single: Array) -> Array:
    """A palette ``[8, 3]`` moved a little, by normal numbers ``[8]`` each.

    ``common[0]`` turns all hues together (radians), ``common[1]`` changes their vividness;
    ``single`` turns and shades the colours one by one.
    """
    grey = palette.mean(axis=1, keepdims=True)
    chroma = palette - grey
    turn = common[0] + single[:, None]
    # A rotation about (1, 1, 1): Rodrigues' formula, the part along the axis being the grey.
    cross = np.roll(chroma, 1, axis=1) - np.roll(chroma, -1, axis=1)
    turned = chroma * np.cos(turn) + cross * np.sin(turn) / np.sqrt(3)
    shade = 0.7 * np.roll(single, 3)[:, None]
    moved: Array = np.clip(grey + turned * (1 + common[1]) + shade, 0, 1)
    return moved.astype(np.float32)


def mix(under: Array, over: Array, amount: Array | float) -> Array:
    """``under`` where the amount is 0, ``over`` where it is 1; planes, pictures or colours."""
    if isinstance(amount, np.ndarray) and amount.ndim == 2:
        under, over = (a[:, None, None] if a.ndim == 1 else a for a in (under, over))
    elif under.ndim == 3 and over.ndim == 1:
        over = over[:, None, None]
    mixed: Array = under + (over - under) * amount
    return mixed


def soft(value: Array, low: float, high: float) -> Array:
    """0 below ``low``, 1 above ``high``, smooth between (the cubic 3t² - 2t³)."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def ramp(palette: Array, where: Array) -> Array:
    """Colours ``[3, h, w]`` along a palette, 0 being its first colour and 1 its last."""
    stops = np.linspace(0, 1, len(palette))
    steps = np.linspace(0, 1, 256)
    index = (np.clip(where, 0, 1) * 255).astype(np.intp)
    tables = [np.interp(steps, stops, tone).astype(np.float32) for tone in palette.T]
    return np.stack([np.take(table, index) for table in tables])


def noise(sheet: Sheet, cell: float, octaves: int = 3, stretch: float = 1.0) -> Array:
    """Smooth noise ``[h, w]``, about -1..1; ``stretch`` above 1 draws it out sideways."""
    total = np.zeros((1, 1), dtype=np.float32)
    for octave in range(octaves):
        size = cell / 2**octave
        rows, cols = int(1 / size) + 2, int(sheet.aspect / (size * stretch)) + 2
        grid = sheet.rng.random((rows, cols), dtype=np.float32) * 2 - 1
        # Each octave rides on the enlarged last one: only the sum is enlarged to full size.
        total = _resized(total, cols, rows) + grid * np.float32(0.55**octave)
    return enlarge(total, sheet)


def _resized(plane: Array, width: int, height: int) -> Array:
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))


def enlarge(plane: Array, sheet: Sheet) -> Array:
    """A smaller plane at the sheet's size, smooth."""
    return _resized(plane, sheet.width, sheet.height)


def profile(sheet: Sheet, roughness: float, knots: int = 5) -> Array:
    """An outline ``[w]``, about -1..1: hills for small roughness, crags for large."""
    at = np.linspace(0, 1, sheet.width)
    line = np.zeros(sheet.width)
    for octave in range(5):
        count = knots * 2**octave
        heights = sheet.rng.uniform(-1, 1, count + 1)
        line += np.interp(at, np.linspace(0, 1, count + 1), heights) * roughness**octave
    return line.astype(np.float32)


def vignette(sheet: Sheet, strength: float) -> Array:
    """A plane that falls from 1 in the middle to ``1 - strength`` in the corners."""
    away = (sheet.x / sheet.aspect - 0.5) ** 2 + (sheet.y - 0.5) ** 2
    return 1 - strength * np.clip(away * 2, 0, 1) ** 1.2


def weave(sheet: Sheet, strength: float) -> Array:
    """The grain of a canvas, a plane around 0."""
    threads = np.sin(sheet.x * sheet.height * 2.1) * np.sin(sheet.y * sheet.height * 2.1)
    grain = sheet.rng.standard_normal(sheet.x.shape, dtype=np.float32)
    return (threads * 0.6 + grain * 0.5) * np.float32(strength)


def photograph(picture: Array) -> Image.Image:
    """The picture ``[3, h, w]`` as Pillow's, values beyond 0..1 cut off."""
    values = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(values.transpose(1, 2, 0)))
