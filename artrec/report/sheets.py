"""Sheets: rows of small pictures with words below them, as one PNG, or as a page of several."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from artrec.report.facts import Query
from artrec.report.pages import assets, environment
from artrec.report.text import visible

__all__ = [
    "GROUND",
    "INK",
    "PANEL",
    "Pixels",
    "SOFT",
    "Tile",
    "cut",
    "draw_sheet",
    "font",
    "page",
    "page_of_clusters",
    "page_of_queries",
]

Pixels = NDArray[np.uint8]
Font = Any  # one of Pillow's two kinds

SIDE, GAP, LINE, ACROSS = 200, 16, 20, 5
GROUND, PANEL, INK, SOFT = (253, 253, 252), (241, 242, 242), (21, 24, 28), (90, 98, 107)
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf")


@dataclass(frozen=True)
class Tile:
    """A picture, if it is there, and what stands below it; ``large`` is twice as wide."""

    pixels: Pixels | None
    lines: Sequence[str] = ()
    large: bool = False


def _cells(tiles: Sequence[Tile], across: int) -> list[tuple[int, int]]:
    """(row, column) of each tile, in the order of reading; a large one takes two by two."""
    taken: set[tuple[int, int]] = set()
    found = []
    for tile in tiles:
        size = range(2 if tile.large else 1)
        place = next(
            (row, column)
            for row in count()
            for column in range(across + 1 - len(size))
            if not any((row + r, column + c) in taken for r in size for c in size)
        )
        taken |= {(place[0] + r, place[1] + c) for r in size for c in size}
        found.append(place)
    return found


def draw_sheet(title: str, tiles: Sequence[Tile], across: int = ACROSS) -> bytes:
    """A PNG: the title, and the tiles from left to right, ``across`` of them in a row; at least 2.

    Each picture keeps its proportions. Words are cut to the width of their tile. No metadata.
    """
    cells = _cells(tiles, across)
    high = SIDE + GAP + LINE * max((len(tile.lines) for tile in tiles), default=0)
    sizes = (2 if tile.large else 1 for tile in tiles)
    rows = max((row + size for (row, _), size in zip(cells, sizes, strict=True)), default=0)
    width, top = across * (SIDE + GAP) + GAP, GAP + 2 * LINE
    sheet = Pillow.new("RGB", (width, top + rows * high + GAP), GROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, GAP), cut(pen, title, width - 2 * GAP, font(18)), INK, font(18))
    for tile, (row, column) in zip(tiles, cells, strict=True):
        side = SIDE * 2 + GAP if tile.large else SIDE
        _draw(sheet, pen, tile, GAP + column * (SIDE + GAP), top + row * high, side)
    stream = io.BytesIO()
    sheet.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _draw(sheet: Pillow.Image, pen: Any, tile: Tile, x: int, y: int, side: int) -> None:
    pen.rectangle((x, y, x + side - 1, y + side - 1), PANEL)
    if tile.pixels is None:
        pen.text((x + 8, y + side // 2), "no picture", SOFT, font(13))
    else:
        picture = Pillow.fromarray(tile.pixels)
        scale = side / max(picture.size)
        size = tuple(max(1, round(length * scale)) for length in picture.size)
        small = picture.resize((size[0], size[1]), Pillow.Resampling.LANCZOS)
        sheet.paste(small, (x + (side - size[0]) // 2, y + (side - size[1]) // 2))
    for number, line in enumerate(tile.lines):
        words = cut(pen, line, side, font(13))
        at = (x, y + side + 4 + number * LINE)
        pen.text(at, words, INK if number == 0 else SOFT, font(13))


def cut(pen: Any, text: str, width: int, kind: Font) -> str:
    """The text, made visible, with an ellipsis where it is wider than ``width``."""
    shown = visible(text)
    if pen.textlength(shown, kind) <= width:
        return shown
    while shown and pen.textlength(f"{shown}…", kind) > width:
        shown = shown[:-1]
    return f"{shown}…"


@cache
def font(size: int) -> Font:
    """One with many scripts where the machine has it, else Pillow's own."""
    for name in _FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def page_of_queries(
    release: str, encoder: str, metric: str, queries: Sequence[Query], files: Mapping[int, str]
) -> bytes:
    """A page of queries with their neighbors; small pictures lie below ``thumbs/``.

    ``files`` are names of PNG files beside the page, by the number of their query.
    """
    return page(
        "sheet.html", release=release, encoder=encoder, metric=metric, queries=queries, files=files
    )


def page_of_clusters(release: str, clusters: Any, files: Mapping[int, str]) -> bytes:
    """A page of :class:`~artrec.report.Clusters`, with PNG files by the number of their cluster."""
    return page("cluster_sheet.html", release=release, found=clusters, files=files)


def page(template: str, release: str, **given: Any) -> bytes:
    """A template that stands alone, with the style and script of all pages in it."""
    style, script, policy = assets()
    found = environment().get_template(template)
    worn = {"style": Markup(style), "script": Markup(script), "policy": policy}
    return found.render(facts={"release": release}, **given, **worn).encode()
