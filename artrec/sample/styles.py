"""The styles: how each is painted, in which colours, of what, when; and one picture of one artist.

A style is a painter, a family of palettes and some motifs. An artist is a region in it: a palette,
turned a little, and eight traits. A picture strays a little from its artist, and now and then
takes another palette of the style, as artists do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image

from artrec.sample.abstracts import abstract_expressionism, color_field_painting, minimalism
from artrec.sample.art_nouveau import art_nouveau_modern
from artrec.sample.baroque import baroque
from artrec.sample.cubism import cubism
from artrec.sample.expressionism import expressionism
from artrec.sample.outdoors import fauvism, impressionism, pointillism
from artrec.sample.painting import Array, Hand, Sheet, colors, photograph, vary
from artrec.sample.romanticism import romanticism
from artrec.sample.ukiyo_e import ukiyo_e

__all__ = ["STYLES", "Style", "favourite", "paint"]

# How often a picture strays from its artist's palette, and from colour.
_OTHER_PERIOD, _BORROWED, _ONE_TONE = 0.22, 0.1, 0.04

# Whose palettes a style may borrow: those in which the eight colours have like roles.
_LENDERS = {
    "Abstract_Expressionism": ("Color_Field_Painting", "Cubism", "Minimalism"),
    "Art_Nouveau_Modern": ("Ukiyo_e",),
    "Color_Field_Painting": ("Abstract_Expressionism", "Minimalism"),
    "Cubism": ("Abstract_Expressionism", "Minimalism"),
    "Expressionism": ("Fauvism", "Romanticism"),
    "Fauvism": ("Pointillism", "Expressionism"),
    "Impressionism": ("Pointillism", "Romanticism"),
    "Minimalism": ("Color_Field_Painting", "Abstract_Expressionism"),
    "Pointillism": ("Impressionism", "Fauvism"),
    "Romanticism": ("Impressionism",),
    "Ukiyo_e": ("Art_Nouveau_Modern",),
}

Painter: TypeAlias = Callable[[Sheet, Hand, str], Array]


@dataclass(frozen=True, slots=True)
class Style:
    """``weight`` is its share of the pictures; ``aspects`` are its usual widths over heights."""

    name: str
    painter: Painter
    motifs: tuple[str, ...]
    years: tuple[int, int]
    weight: float
    aspects: tuple[float, ...]
    palettes: tuple[str, ...]


# In the order in which small samples take them: the first few are the most unlike.
STYLES = (
    Style(
        "Impressionism",
        impressionism,
        ("river", "field", "garden", "harbour", "village"),
        (1866, 1912),
        2.0,
        (1.25, 1.33, 0.82),
        (
            "8fb4d6 f3dcc4 a7a9c9 4c5f6e 7d9b78 d9d3a3 e8825a f4b7b0",
            "6fa6dc dfeaf2 8fb0b8 2f5a3c 5f9a4a c8d46a d6372f f6f0e0",
            "9db5c4 f0d9a8 a88f86 5a3d2a b5762f e3b04b b8402a f2e2b8",
            "b5c3d6 efe6e4 a9b0c4 5b5f78 9aa3b4 e9ecf2 d9a48f 7f88a8",
            "5d6fa8 f2a66e 7e6a96 2e3355 55597f d98f6a f7c948 c65b5b",
        ),
    ),
    Style(
        "Cubism",
        cubism,
        ("guitar", "bottle", "head"),
        (1907, 1925),
        1.1,
        (0.78, 0.82, 1.2),
        (
            "b8a888 5a4a38 8a7a60 1f1a16 6f7468 d8ccb0 a06a3a e8e0cc",
            "a8aca4 4a5258 7a868a 16191c 8f8f7a d4d6cc 6f5f4a ecebe2",
            "c2a878 3f4a3a 7f8a5a 1a1c14 a87f4a e3d3a0 8f4f2f efe6c8",
            "d9c9a3 2f5f8a c2452d 1a1a1a 4f7f4f e6b84a 8f5f3f f2ead2",
            "cfc4b4 3a3f5a 9f5a4a 15141a 6f8f8f dcb88a b8862f efe8dc",
        ),
    ),
    Style(
        "Baroque",
        baroque,
        ("portrait", "still-life", "candle"),
        (1600, 1690),
        1.4,
        (0.78, 0.82, 1.25),
        (
            "20160e 6a4a2c 7a221a 0c0806 9a6238 e3b582 a3231c ece0c8",
            "1b1912 5a5236 3e4e3a 0a0906 8a6a42 dcb98a 7a6a2a e6dcc0",
            "141519 45464e 26385e 070709 8f6450 e0b294 c79a3a e9e4da",
            "2a1c0e 8a6230 5e4a1c 0f0a05 a87838 f0c880 8a3a14 f4e6c4",
        ),
    ),
    Style(
        "Ukiyo_e",
        ukiyo_e,
        ("mountain", "wave", "rain", "moon", "bamboo"),
        (1765, 1868),
        0.8,
        (0.67, 1.45),
        (
            "efe3c6 2f5d8a 3f7fa8 1d2430 6f8f5a d9c08a c23b22 f6efdc",
            "f0e6cf c9603f 5a8f9f 22222a 7f8f4f e0c48f 8f2a2a f8f1e0",
            "e8dcc0 4a6f5f 7f9f8f 1c1f1f 55704a c9b07a a84a2f f2ead4",
            "ece5d3 8a857a 6f6c66 15151a 5a5a54 cfc6b0 a8322a f5f0e2",
            "f3e2d2 6f4f7f 4f6fa0 241f2f 8fa06f e6b89c d9485a fbf0e6",
        ),
    ),
    Style(
        "Expressionism",
        expressionism,
        ("portrait", "street", "hills"),
        (1905, 1935),
        1.5,
        (0.8, 1.2, 1.0),
        (
            "1c2a5a e8502a 2f6f6a 0e0d14 3fa06a f2b21f d81e2c 7a3f9a",
            "16302e c9a227 7a2f3f 0b0b0b 4f6f3a e07a1f c8102e 274690",
            "3a1f4a f26b38 1f7a8c 120a1a 8ab03f f7d046 e3342f 5f4bb6",
            "efe6d2 d8c9a6 8a7a5a 0d0d0d 3a352d e8dfc8 b5221e 22201c",
        ),
    ),
    Style(
        "Color_Field_Painting",
        color_field_painting,
        ("untitled",),
        (1948, 1979),
        0.8,
        (0.8, 0.86, 1.3),
        (
            "5a1414 b8231c e2541f 2a0a0a 8f1a2a f0872a 3f0f14 f2b84a",
            "f2d24a f29a1f e8b80f c2451f f7e08a d96a1a fbe9a0 a83a14",
            "14203a 1f3f6f 2f5f8f 0a0f1f 3f2f5f 5f7f9f 10182a 8fa8b8",
            "d8e0d0 7fae8f 4f8a7a 2f4f4a b8c86f e8b8a0 9fc4c4 f2efe0",
            "2a1c20 6f2436 3f2450 14101a 8a3a34 2a2a4a a04f4a 3a2430",
            "e8a0b0 d95f7f f2c8c0 8f2f5f f7dfd2 c23f5f f2a07f 6f1f3f",
        ),
    ),
    Style(
        "Romanticism",
        romanticism,
        ("summit", "storm", "moonlight", "ruin"),
        (1798, 1850),
        1.3,
        (1.3, 1.45, 0.8),
        (
            "3a4660 e8c79a 77798c 15181f 3b3a34 8b7654 f6e3b2 a5543a",
            "2a2f45 d98e5a 6b5f70 100f16 2f2a2c 6f5a45 ffd9a0 8c3b2e",
            "6d8196 e9dfc8 9aa7b0 1c2326 4a5448 a39a78 f7f0dc 7d5f4f",
            "1d2a3a 9fb3b8 4c6070 0b1016 24313a 5f7a80 eef2e0 b0a070",
            "4b3a2a e6b35a 8a6a48 1a120c 3d2c1c 9a7440 ffe2a0 b8542a",
        ),
    ),
    Style(
        "Art_Nouveau_Modern",
        art_nouveau_modern,
        ("lady", "lily", "peacock"),
        (1890, 1914),
        0.9,
        (0.67, 0.75),
        (
            "efe2c0 c9a14a 4f7f7a 3a2a1c 8a8f4f d99a8a b5552f f7efd8",
            "e6d8b0 d4af37 2f5f6f 22201f 6f7f3f c97f6f 8f3f2f f4e8c4",
            "dfe3d0 b8943f 6f9fa0 2a3a3a 9fae7f e0b8b0 a86f5f f3f3e4",
            "d8c08a e0b93f 3f4f7f 1f1a14 7f6f2f b0566f 5a2f3f f0e0b0",
            "e9d9d3 c28f5c 7a6f9f 33263a 8f9f86 d68fa0 9f4f5f f6ebe6",
        ),
    ),
    Style(
        "Abstract_Expressionism",
        abstract_expressionism,
        ("untitled",),
        (1946, 1972),
        1.0,
        (1.3, 1.6, 0.85),
        (
            "e6dcc6 14120f 3a342c f2ede0 8a7a62 c9b896 a83a1f 5a6a72",
            "efe9dc 0f0f0f c8102e f6f2e8 1f4fa0 f2b81f 3a8a5a 7a2f5f",
            "f4f1ea 0a0a0a 222222 ffffff 8a8a86 cfcac0 3a3a3a b8a88a",
            "d9b38c 2a1a14 e07a3f f6e3c8 8a2f1f 3f6f7a f2c14e 5a8a6a",
            "1f2a3a 0a0e14 3f6f9f e8e4d8 8fb0c4 d9a441 a8323a c8d0d0",
        ),
    ),
    Style(
        "Pointillism",
        pointillism,
        ("river", "field", "garden", "harbour", "village"),
        (1884, 1910),
        0.7,
        (1.27, 1.4),
        (
            "7fb2e5 f6e9c9 9cc0d9 2f5b8c 4fa35a e9dc6e e4572e b06ab3",
            "5aa0c8 fbe3b0 b09cc8 274b6d 7ab648 f4d35e f08a24 d1495b",
            "c7d8ec fdf3d7 b9c6a8 3c4f76 8aa05a e8d9a0 c75146 7a6fa8",
            "4f6fb0 f7b267 8f6f9f 1f2f5f 3f8f8a f4e285 f25c54 9f4fa0",
        ),
    ),
    Style(
        "Fauvism",
        fauvism,
        ("river", "field", "garden", "harbour", "village"),
        (1904, 1912),
        0.8,
        (1.2, 1.28, 0.85),
        (
            "1f6fd0 f7d23e e2447e 12205c 1fa05a f58e1d e0241b 7a2fa0",
            "f2a7c3 fdf0c4 3f8fd6 0d2b52 58b368 f6c445 f04f24 8f3fae",
            "f58e1d fbe36b 1f9fa8 2a1a5e 2f6fd0 e94f8a d91e36 19a974",
            "3fb8c9 ffe9d0 f26d5b 10333f 8fce3c ffb830 e6004c 3a50d9",
        ),
    ),
    Style(
        "Minimalism",
        minimalism,
        ("untitled",),
        (1960, 1985),
        0.7,
        (1.0, 1.0, 1.3),
        (
            "f2f0ea 1a1a1a d8d4ca 3a3a3a b8b4aa e6e2d8 8a8a86 ffffff",
            "efece2 c8102e 1f3f8f f2c21f 1a1a1a e2ded2 d0ccc0 fbfaf5",
            "2c2c30 6a6a70 3c3c40 141416 8f8f94 38383c a8a8aa e4e4e0",
            "e8dcc8 b87a4a d9c4a0 8a5a3a f0e8da c9a87a 6f4a32 f8f3ea",
            "dfe6e8 8fa8b0 b8ccd0 4f6f7a eef3f3 a0b8b0 2f4a55 f7fafa",
        ),
    ),
)


def favourite(seed: int, style: int, artist: int) -> str:
    """The motif that an artist paints most."""
    motifs = STYLES[style].motifs
    first = int(np.random.default_rng([seed, 3, style]).integers(len(motifs)))
    return motifs[(first + artist) % len(motifs)]


def _hand(seed: int, style: int, artist: int, rng: np.random.Generator) -> Hand:
    """The artist's hand as it was on the day of one picture."""
    home = np.random.default_rng([seed, 1, style, artist])
    palettes = STYLES[style].palettes
    chosen = palettes[(artist + int(home.integers(2))) % len(palettes)]
    leaning = home.normal(0, 1, (2, 8))
    traits = home.random(8)
    # Golden steps: the first artists of a style differ in the trait that chooses their scheme.
    traits[0] = (artist * 0.618 + np.random.default_rng([seed, 7, style]).random()) % 1
    strays = rng.random()
    if strays < _OTHER_PERIOD:
        chosen = palettes[int(rng.integers(len(palettes)))]
    elif strays < _OTHER_PERIOD + _BORROWED:
        lenders = [other for other in STYLES if other.name in _LENDERS.get(STYLES[style].name, ())]
        borrowed = [palette for lender in lenders for palette in lender.palettes] or palettes
        chosen = borrowed[int(rng.integers(len(borrowed)))]
    palette = vary(colors(chosen), leaning[0] * 0.08, leaning[1] * 0.05)
    palette = vary(palette, rng.normal(0, 0.07, 8), rng.normal(0, 0.04, 8))
    return Hand(palette, np.clip(traits + rng.normal(0, 0.1, 8), 0, 1))


def _reproduced(rng: np.random.Generator, image: Array) -> Array:
    """As a photograph in a catalog: its exposure, its light, faded; now and then in one tone."""
    if rng.random() < _ONE_TONE:
        tone = np.array([1.0, rng.uniform(0.93, 1.0), rng.uniform(0.8, 1.0)], dtype=np.float32)
        image = image.mean(axis=0) * tone[:, None, None]
    gain = rng.normal(1, 0.05) * (1 + rng.normal(0, 0.025, 3))
    fade = max(rng.normal(0.0, 0.03), 0)
    return fade + image * ((1 - fade) * gain).astype(np.float32)[:, None, None]


def paint(seed: int, style: int, artist: int, number: int, motif: str) -> Image.Image:
    """Picture ``number``, by an artist of ``STYLES[style]``: it depends on the arguments alone."""
    rng = np.random.default_rng([seed, 2, number])
    hand = _hand(seed, style, artist, rng)
    aspects = STYLES[style].aspects
    aspect = aspects[int(rng.integers(len(aspects)))] * rng.uniform(0.93, 1.07)
    longer = 200 + 220 * rng.beta(2.0, 2.8)
    width, height = longer * min(aspect, 1), longer / max(aspect, 1)
    sheet = Sheet.of(rng, int(width), int(height))
    return photograph(_reproduced(rng, STYLES[style].painter(sheet, hand, motif)))
