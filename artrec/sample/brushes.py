"""Brushes: smeared and bristled paint, dots, relief, and plates for flat shapes and lines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from artrec.sample.painting import Array, Sheet, photograph

__all__ = ["Plate", "Points", "brush", "dots", "relief", "shape", "smear", "spline"]

Marks: TypeAlias = NDArray[np.integer[Any]]
Points: TypeAlias = Array | Sequence[tuple[float, float]]


def smear(image: Array, angle: Array, doublings: int, rng: np.random.Generator) -> Array:
    """Paint drawn out along a field of angles, over about ``1.5 * 2**doublings`` pixels.

    Line integral convolution by doubling: the mean over a path of length 2n is the mean of two of
    length n, the second beginning where the first ends, so the cost grows with the logarithm.
    """
    height, width = angle.shape
    rows, cols = np.indices(angle.shape, dtype=np.float32)
    # Random rounding keeps the direction right on average, for all angles.
    to_x = cols + np.cos(angle) * 1.5 + rng.random(angle.shape, dtype=np.float32)
    to_y = rows + np.sin(angle) * 1.5 + rng.random(angle.shape, dtype=np.float32)
    step = np.clip(to_y, 0, height - 1).astype(np.intp) * width
    step += np.clip(to_x, 0, width - 1).astype(np.intp)
    path = step.reshape(-1)
    flat = image.reshape(-1, height * width)
    for _ in range(doublings):
        flat = (flat + np.take(flat, path, axis=1)) * np.float32(0.5)
        path = np.take(path, path)
    return flat.reshape(image.shape)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


def brush(
    sheet: Sheet,
    under: Array,
    paint: Array,
    angle: Array | float,
    *,
    size: tuple[float, float],
    cover: float,
    jitter: float = 0.03,
    bristle: float = 0.03,
    curve: float = 0.0,
    where: Array | None = None,
) -> Array:
    """Lay bristled strokes over ``under``, each in the colour that ``paint`` has at its middle.

    ``size`` is length and width; ``cover`` is the area of all strokes over that of the sheet;
    ``jitter`` and ``bristle`` are the spread of colour from stroke to stroke and from hair to
    hair; ``curve`` bends a stroke; ``where`` (0..1) is how likely a stroke is at a place. All
    strokes are rasterised at once: each is a grid of points, the later one wins a pixel.
    """
    rng, wide, high = sheet.rng, sheet.width, sheet.height
    along, across = max(size[0] * high, 2.0), max(size[1] * high, 1.2)
    count = max(int(cover * wide * high / (along * across)), 1)
    mid_x, mid_y, spot = _strewn(sheet, count)
    if where is not None:
        keep = where.reshape(-1)[spot] > rng.random(count)
        mid_x, mid_y, spot, count = mid_x[keep], mid_y[keep], spot[keep], int(keep.sum())
    turn = np.take(angle, spot) if isinstance(angle, np.ndarray) else np.full(count, angle)
    hairs, points = int(across / 0.9) + 1, int(along) + 2
    t = np.linspace(-0.5, 0.5, points, dtype=np.float32)[None, None, :]
    u = np.linspace(-0.5, 0.5, hairs, dtype=np.float32)[None, :, None]
    long = rng.uniform(0.6, 1.25, (count, 1, 1)).astype(np.float32) * np.float32(along)
    ragged = rng.uniform(-0.12, 0.12, (count, hairs, 1)).astype(np.float32)
    bend = rng.uniform(-1.7, 1.7, (count, 1, 1)).astype(np.float32) * np.float32(curve)
    lengthwise = (t + ragged) * long
    sideways = u * np.sqrt(1.02 - (1.8 * t) ** 2) * np.float32(across) + bend * (t * t) * long
    cos = np.cos(turn).astype(np.float32)[:, None, None]
    sin = np.sin(turn).astype(np.float32)[:, None, None]
    x = mid_x[:, None, None] + lengthwise * cos - sideways * sin
    y = mid_y[:, None, None] + lengthwise * sin + sideways * cos
    hair = np.arange(count * hairs, dtype=np.int32).reshape(count, hairs, 1)
    margin = int(along * (0.8 + 0.55 * curve) + across) + 2
    owner = _stamp(sheet, x, y, hair, margin)
    tint = np.take(paint.reshape(3, -1), spot, axis=1) + jitter * _normal(rng, (3, count))
    tint = tint + 0.7 * jitter * _normal(rng, (1, count))
    table = (tint[:, :, None] + bristle * _normal(rng, (1, count, hairs))).reshape(3, -1)
    return _colored(under, owner, table)


def _strewn(sheet: Sheet, count: int) -> tuple[Array, Array, Marks]:
    """Places in pixels, x and y, and the pixel that each lies in, counted row by row."""
    x = sheet.rng.random(count, dtype=np.float32) * np.float32(sheet.width)
    y = sheet.rng.random(count, dtype=np.float32) * np.float32(sheet.height)
    # A product rounded up to the width or height would lie outside.
    col, row = (
        np.minimum(v.astype(np.intp), n - 1) for v, n in ((x, sheet.width), (y, sheet.height))
    )
    return x, y, row * sheet.width + col


def _stamp(sheet: Sheet, x: Array, y: Array, mark: Marks, margin: int) -> Marks:
    """Who painted each pixel last ``[h, w]``: -1 for nobody. No point is beyond the margin."""
    wide, high = sheet.width + 2 * margin, sheet.height + 2 * margin
    where = y.astype(np.int32) * np.int32(wide) + x.astype(np.int32) + np.int32(margin * (wide + 1))
    owner = np.full(high * wide, -1, dtype=np.int32)
    owner[where] = mark
    return owner.reshape(high, wide)[margin:-margin, margin:-margin]


def _colored(under: Array, owner: Marks, table: Array) -> Array:
    painted = np.flatnonzero(owner.reshape(-1) >= 0)
    result = under.reshape(3, -1).copy()
    result[:, painted] = np.take(table, owner.reshape(-1)[painted], axis=1)
    return result.reshape(under.shape)


def dots(
    sheet: Sheet, under: Array, paints: Sequence[Array], *, size: float, cover: float, jitter: float
) -> Array:
    """Round dots about ``size`` wide, each coloured from one of the ``paints`` at its middle."""
    rng, wide, high = sheet.rng, sheet.width, sheet.height
    radius = max(size * high / 2, 1.3)
    count = int(cover * wide * high / (np.pi * radius**2))
    mid_x, mid_y, spot = _strewn(sheet, count)
    reach = np.arange(-int(radius) - 1, int(radius) + 2, dtype=np.float32)
    off_x, off_y = (a.reshape(-1) for a in np.meshgrid(reach, reach))
    disc = np.hypot(off_x, off_y) < radius + 0.3
    spread = rng.uniform(0.75, 1.1, (count, 1)).astype(np.float32)
    x = mid_x[:, None] + off_x[disc][None, :] * spread
    y = mid_y[:, None] + off_y[disc][None, :] * spread
    owner = _stamp(sheet, x, y, np.arange(count, dtype=np.int32)[:, None], int(radius) + 3)
    which = rng.integers(len(paints), size=count)
    tint = np.float32(jitter) * _normal(rng, (3, count))
    for k, paint in enumerate(paints):
        chosen = np.flatnonzero(which == k)
        tint[:, chosen] += np.take(paint.reshape(3, -1), spot[chosen], axis=1)
    return _colored(under, owner, tint)


def relief(image: Array, strength: float) -> Array:
    """Light from the upper left on paint as thick as it is bright."""
    light = image.mean(axis=0)
    slope = np.zeros_like(light)
    slope[1:, 1:] = light[1:, 1:] - light[:-1, :-1]
    lit: Array = image + slope * strength
    return lit


@lru_cache(maxsize=256)
def _parsed(text: str) -> Array:
    return np.array([[float(number) for number in pair.split(",")] for pair in text.split()])


def shape(text: str, x: float, y: float, across: float = 1.0, down: float | None = None) -> Array:
    """Points ``[n, 2]`` written as in SVG's ``points``, sized and moved to a place."""
    size = np.array([across, across if down is None else down])
    points: Array = _parsed(text) * size + np.array([x, y])
    return points


def spline(points: Points, steps: int = 12) -> Array:
    """A smooth curve ``[n, 2]`` through points (Catmull and Rom's cubic, ``steps`` a piece)."""
    knots = np.asarray(points, dtype=np.float64)
    knots = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (knots[k : len(knots) - 3 + k, None, :] for k in range(4))
    pieces = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.concatenate([pieces.reshape(-1, 2), knots[-2:-1]])


class Plate:
    """Flat shapes with smooth edges: drawn with Pillow at twice the size, in sheet units."""

    def __init__(self, sheet: Sheet, ground: Array) -> None:
        self._scale = sheet.height * 2
        if ground.ndim == 1:
            size = (sheet.width * 2, sheet.height * 2)
            self._image = Image.new("RGB", size, self._ink(ground))
        else:
            self._image = photograph(ground).resize(
                (sheet.width * 2, sheet.height * 2), Image.Resampling.BILINEAR
            )
        self._draw = ImageDraw.Draw(self._image)

    @staticmethod
    def _ink(color: Array) -> tuple[int, int, int]:
        red, green, blue = (int(v) for v in np.clip(np.asarray(color) * 255, 0, 255))
        return red, green, blue

    def _points(self, points: Points) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in np.asarray(points) * self._scale]

    def polygon(self, points: Points, color: Array) -> None:
        self._draw.polygon(self._points(points), fill=self._ink(color))

    def line(self, points: Points, width: float, color: Array) -> None:
        thick = max(round(width * self._scale), 1)
        self._draw.line(self._points(points), fill=self._ink(color), width=thick, joint="curve")

    def outlined(self, points: Points, color: Array, width: float, ink: Array) -> None:
        """A polygon with its contour."""
        self.polygon(points, color)
        self.line(np.concatenate([points, np.asarray(points)[:1]]), width, ink)

    def box(self, left: float, top: float, right: float, bottom: float, color: Array) -> None:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        self.polygon(corners, color)

    def swell(self, points: Points, widths: Array, color: Array) -> None:
        """A line ``[n, 2]`` whose width ``[n]`` changes on its way, as of a brush or reed pen."""
        middle = np.asarray(points)
        ahead = np.gradient(middle, axis=0)
        normal = np.stack([-ahead[:, 1], ahead[:, 0]], 1)
        normal /= np.maximum(np.hypot(normal[:, 0], normal[:, 1]), 1e-6)[:, None]
        side = normal * np.asarray(widths)[:, None] / 2
        self.polygon(np.concatenate([middle + side, (middle - side)[::-1]]), color)

    def disc(self, x: float, y: float, radius: float, color: Array) -> None:
        self.oval(x, y, radius, radius, color)

    def oval(self, x: float, y: float, across: float, down: float, color: Array) -> None:
        box = np.array([x - across, y - down, x + across, y + down]) * self._scale
        self._draw.ellipse([float(v) for v in box], fill=self._ink(color))

    def array(self) -> Array:
        """The picture ``[3, h, w]`` at the sheet's size."""
        small = np.asarray(self._image.reduce(2)).transpose(2, 0, 1)
        return small.astype(np.float32, order="C") * np.float32(1 / 255)
