"""A map as one picture: points in the colours of what they belong to, with a legend."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw

from artrec.report.plane import groups
from artrec.report.sheets import GROUND, INK, PANEL, SOFT, cut, font

__all__ = ["draw_map"]

SIZE, LEGEND, MARGIN, LINE = 1000, 300, 24, 22
_COLOURS = (
    *((51, 34, 136), (47, 159, 216), (42, 148, 131), (17, 119, 51), (138, 138, 31)),
    *((212, 165, 55), (204, 102, 119), (136, 34, 85), (170, 68, 153), (154, 160, 166)),
)
_TURN, _TILT = 0.5, 0.35  # of a map in space, in radians
_MOST = 27
_FINE = 3  # marks are drawn so many times as large, so that they come out round


def draw_map(
    title: str, places: Sequence[Sequence[float | None]], names: Sequence[str], nothing: str
) -> bytes:
    """A PNG of points [n] of two or three numbers; ``names`` [n] say what each belongs to.

    The 27 largest groups have a colour and a shape each; ``nothing`` is what "" is called. Three
    dimensions are seen from one side, somewhat from above.
    """
    found, of = groups(list(names), nothing, _MOST)
    flat = [_seen(place) for place in places]
    sheet = Image.new("RGB", (_FINE * (SIZE + LEGEND), _FINE * (SIZE + 2 * LINE)), GROUND)
    pen = ImageDraw.Draw(sheet)
    pen.rectangle([_FINE * n for n in (MARGIN, 2 * LINE, SIZE - 1, SIZE + LINE)], PANEL)
    r = 3 if len(flat) > 3000 else 4 if len(flat) > 800 else 6
    for number, (x, y) in enumerate(_scaled(flat)):
        _mark(pen, MARGIN + x, 2 * LINE + y, r, found[of[number]])
    for line, look in enumerate(found):
        _mark(pen, SIZE + MARGIN, 2 * LINE + 10 + line * LINE, 6, look)
    sheet = sheet.resize((SIZE + LEGEND, SIZE + 2 * LINE), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN // 2), cut(pen, title, SIZE, font(18)), INK, font(18))
    for line, look in enumerate(found):
        y = 2 * LINE + 10 + line * LINE
        words = cut(pen, f"{look['name']}  {look['count']:,}", LEGEND - 3 * MARGIN, font(13))
        pen.text((SIZE + 2 * MARGIN - 8, y - 8), words, SOFT, font(13))
    stream = io.BytesIO()
    sheet.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _seen(place: Sequence[float | None]) -> tuple[float, float]:
    x, y, *more = (float(value or 0.0) for value in place)
    if len(place) < 3 or place[2] is None:
        return x, y
    (z,) = more
    across = x * math.cos(_TURN) + z * math.sin(_TURN)
    deep = z * math.cos(_TURN) - x * math.sin(_TURN)
    return across, y * math.cos(_TILT) - deep * math.sin(_TILT)


def _scaled(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    if not places:
        return []
    (left, right), (top, bottom) = ((min(axis), max(axis)) for axis in zip(*places, strict=True))
    room = SIZE - 3 * MARGIN
    scale = room / (max(right - left, bottom - top) or 1.0)
    x = (room - scale * (right - left)) / 2 + MARGIN
    y = (room - scale * (bottom - top)) / 2 + MARGIN / 2
    return [(x + scale * (a - left), y + scale * (b - top)) for a, b in places]


def _mark(pen: Any, x: float, y: float, r: int, look: dict[str, Any]) -> None:
    colour = _COLOURS[look["hue"]]
    x, y, r = _FINE * x, _FINE * y, _FINE * r
    if look["shape"] == 0:
        pen.ellipse((x - r, y - r, x + r, y + r), colour)
    elif look["shape"] == 1:
        pen.polygon([(x, y - 1.25 * r), (x + 1.15 * r, y + r), (x - 1.15 * r, y + r)], colour)
    else:
        pen.rectangle((x - 0.9 * r, y - 0.9 * r, x + 0.9 * r, y + 0.9 * r), colour)
