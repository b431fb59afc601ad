"""Baroque: sitters and tables in a dark room with one light."""

from __future__ import annotations

import numpy as np

from artrec.sample.brushes import brush
from artrec.sample.painting import Array, Hand, Sheet, mix, noise, ramp, soft, vignette, weave

__all__ = ["baroque"]

# What each of the eight colours is for.
_GROUND, _GLOW, _CLOTH, _SHADOW, _SKIN, _LIT, _SASH, _LINEN = range(8)


class _Studio:
    """A dark room with one light, in which solids are set before each other."""

    def __init__(self, sheet: Sheet, hand: Hand) -> None:
        self.sheet, self.p = sheet, hand.palette
        side = -1 if hand.traits[1] < 0.75 else 1
        light = np.array([side * hand.lerp(2, 0.45, 0.8), -0.55, 0.6])
        self.light = light / np.linalg.norm(light)
        self.rough = noise(sheet, 0.12, 3)
        at = sheet.aspect * (0.5 - side * 0.22)
        away = np.hypot(sheet.x - at, sheet.y - 0.4) + self.rough * 0.03
        glow = np.exp(-((away / 0.5) ** 2)) * hand.lerp(3, 0.6, 1.25)
        self.paint = mix(self.p[_GROUND], self.p[_GLOW], glow)

    def over(self, mask: Array, color: Array) -> None:
        self.paint = mix(self.paint, color, mask)

    def window(self, x: float, y: float, across: float, down: float) -> tuple[slice, slice]:
        """Rows and columns of a box around a place, cut to the sheet: small things cost little."""
        scale = self.sheet.height
        rows = slice(max(int((y - down) * scale), 0), max(int((y + down) * scale) + 2, 0))
        cols = slice(max(int((x - across) * scale), 0), max(int((x + across) * scale) + 2, 0))
        return rows, cols

    def solid(
        self,
        x: float,
        y: float,
        across: float,
        down: float,
        tones: tuple[Array, Array, Array],
        bump: Array | float = 0.0,
        gloss: float = 0.0,
    ) -> None:
        """An egg lit by the room's light (Lambert's cosine), dark to bright, with a highlight."""
        box = self.window(x, y, across, down)
        u, v = (self.sheet.x[box] - x) / across, (self.sheet.y[box] - y) / down
        if not u.size:
            return
        flat = u * u + v * v
        depth = np.sqrt(np.clip(1 - flat, 0.0, 1))
        lx, ly, lz = (np.float32(c) for c in self.light)
        shine = u * lx + v * ly + depth * lz + (bump[box] if isinstance(bump, np.ndarray) else bump)
        dark, middle, bright = tones
        skin = ramp(np.stack([dark, mix(dark, middle, 0.75), middle, bright]), shine * 1.05 - 0.05)
        if gloss:
            spot = np.exp(-((u - lx * 0.5) ** 2 + (v - ly * 0.5) ** 2) / 0.018)
            skin = mix(skin, np.ones(3, dtype=np.float32), spot * gloss)
        mask = soft(1 - flat, 0.0, 0.0024 / max(across, 0.02) ** 0.8)
        self.paint[:, *box] = mix(self.paint[:, *box], skin, mask)

    def spot(
        self, x: float, y: float, across: float, down: float, color: Array, force: float
    ) -> None:
        """A soft touch of colour."""
        box = self.window(x, y, across * 2.4, down * 2.4)
        u, v = (self.sheet.x[box] - x) / across, (self.sheet.y[box] - y) / down
        self.paint[:, *box] = mix(self.paint[:, *box], color, np.exp(-(u * u + v * v)) * force)


def baroque(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """Warm light out of the dark on a face, on fruit, around a candle; glaze and fine cracks."""
    studio = _Studio(sheet, hand)
    if motif == "portrait":
        _sitter(studio, hand)
    else:
        _table(studio, hand, motif)
    touch = studio.rough * 1.5 + 0.6
    image = brush(
        sheet,
        studio.paint,
        studio.paint,
        touch,
        size=(0.035, 0.013),
        cover=0.9,
        jitter=0.012,
        bristle=0.014,
    )
    image = mix(studio.paint, image, hand.lerp(4, 0.1, 0.6))
    cracks = np.abs(noise(sheet, 0.05, 1)) + np.abs(noise(sheet, 0.16, 1)) * 0.25
    image = image * (1 - 0.18 * soft(0.07 - cracks, 0, 0.07) * soft(image.mean(axis=0), 0.1, 0.6))
    amber = np.array([1.0, 0.94, 0.8], dtype=np.float32)[:, None, None]
    image = mix(image, image * amber, hand.lerp(5, 0.1, 0.9))
    return image * vignette(sheet, hand.lerp(6, 0.3, 0.6)) + weave(sheet, 0.008)


def _sitter(studio: _Studio, hand: Hand) -> None:
    """Shoulders, collar, hair, head, and a hat where the painter likes them."""
    sheet, p = studio.sheet, studio.p
    x, y = sheet.aspect * sheet.between(0.45, 0.55), sheet.between(0.37, 0.42)
    size, turn = sheet.between(0.9, 1.1) * 0.15, sheet.between(-0.3, 0.3)
    folds = np.sin((sheet.x - x) * 40 + studio.rough * 5 + (sheet.y - 0.8) * 9) * 0.1
    cloth = p[_CLOTH] if sheet.chance(0.7) else p[_SASH]
    dress = (p[_SHADOW], mix(cloth, p[_SHADOW], 0.35), mix(cloth, p[_LIT], 0.12))
    studio.solid(x, 1.08, size * 2.6, 0.52, dress, folds)
    brown = mix(p[_SHADOW], p[_SKIN], sheet.between(0.05, 0.6))
    hair, curls = (p[_SHADOW], brown, mix(brown, p[_LIT], 0.4)), noise(sheet, 0.03, 2) * 0.25
    if sheet.chance(0.7):
        locks = size * sheet.between(1.1, 1.55)
        studio.solid(x, y + 0.25 * locks, size * 1.2, locks, hair, curls)
    skin = (mix(p[_SHADOW], p[_SKIN], 0.25), p[_SKIN], p[_LIT])
    studio.solid(x, y + size * 1.2, size * 0.5, size * 0.8, skin, -0.25)
    _collar(studio, hand, x, y + size * 1.45, size)
    studio.solid(x, y, size * 0.8, size * 1.1, skin)
    _features(studio, x + turn * size * 0.5, y, size)
    if hand.traits[7] > 0.55:
        _hat(studio, x, y, size, curls)
    else:
        studio.solid(x, y - size * 0.85, size * 0.86, size * 0.55, hair, curls)


def _hat(studio: _Studio, x: float, y: float, size: float, curls: Array) -> None:
    p = studio.p
    felt = (p[_SHADOW] * 0.8, mix(p[_SHADOW], p[_CLOTH], 0.3), mix(p[_CLOTH], p[_GLOW], 0.4))
    studio.solid(x, y - size * 1.15, size * 0.95, size * 0.85, felt)
    studio.solid(x, y - size * 0.7, size * 1.75, size * 0.36, felt)
    if studio.sheet.chance(0.5):
        feather = (p[_SHADOW], p[_LINEN] * 0.8, p[_LINEN])
        studio.solid(x + size, y - size * 1.1, size * 0.75, size * 0.3, feather, curls)


def _collar(studio: _Studio, hand: Hand, x: float, y: float, size: float) -> None:
    sheet, p = studio.sheet, studio.p
    linen = (mix(p[_SHADOW], p[_LINEN], 0.35), p[_LINEN] * 0.85, p[_LINEN])
    kind = hand.choose(0, 3)
    if kind == 0:
        pleats = np.sin(np.arctan2(sheet.y - y, sheet.x - x) * 30) * 0.22
        studio.solid(x, y, size * 1.45, size * 0.62, linen, pleats)
    elif kind == 1:
        lace = np.sin(sheet.x * 190) * np.sin(sheet.y * 190) * 0.12
        studio.solid(x, y + size * 0.35, size * 1.5, size * 0.6, linen, lace)
        studio.solid(
            x, y + size * 0.8, size * 0.25, size * 0.55, (p[_SHADOW], p[_SHADOW], p[_CLOTH])
        )
    else:
        studio.solid(x, y + size * 0.1, size * 0.85, size * 0.3, linen)
        pearl = (p[_SHADOW], p[_SASH], p[_LINEN])
        for turn in np.pi * np.linspace(0.1, 0.9, 9):
            bead_x, bead_y = x + np.cos(turn) * size * 0.8, y + size * (0.2 + np.sin(turn) * 0.75)
            studio.solid(bead_x, bead_y, size * 0.09, size * 0.09, pearl, gloss=0.7)


def _features(studio: _Studio, x: float, y: float, size: float) -> None:
    """Sockets, nose, mouth and cheeks as soft spots: enough for an eye to see a face."""
    p = studio.p

    def spot(
        right: float, down: float, across: float, tall: float, color: Array, force: float
    ) -> None:
        studio.spot(x + right * size, y + down * size, across * size, tall * size, color, force)

    side = 1.0 if studio.light[0] > 0 else -1.0
    dusk = mix(p[_SHADOW], p[_SKIN], 0.35)
    red = mix(p[_SKIN], np.array([0.65, 0.16, 0.12], dtype=np.float32), 0.7)
    for cheek in (-0.42, 0.42):
        spot(cheek, 0.25, 0.2, 0.16, red, 0.35)
    for eye in (-0.3, 0.3):
        spot(eye, -0.13, 0.19, 0.13, dusk, 0.6)
        spot(eye, -0.11, 0.13, 0.05, mix(p[_LIT], p[_SKIN], 0.3), 0.7)
        spot(eye, -0.11, 0.065, 0.06, p[_SHADOW], 1.0)
        spot(eye, -0.17, 0.16, 0.022, p[_SHADOW], 0.7)
        spot(eye, -0.3, 0.18, 0.035, dusk, 0.8)
        spot(eye - side * 0.03, -0.13, 0.02, 0.02, p[_LINEN], 0.9)
    spot(side * 0.11, 0.14, 0.06, 0.24, dusk, 0.6)
    spot(-side * 0.02, 0.2, 0.05, 0.16, p[_LIT], 0.6)
    spot(0, 0.35, 0.12, 0.035, p[_SHADOW], 0.6)
    spot(0, 0.55, 0.19, 0.055, red, 0.85)
    spot(0, 0.545, 0.17, 0.016, p[_SHADOW], 0.8)
    spot(0, 0.7, 0.16, 0.06, dusk, 0.4)


def _table(studio: _Studio, hand: Hand, motif: str) -> None:
    """Fruit, a jug and a cloth on a table; by a candle all falls off into the dark."""
    sheet, p, rng = studio.sheet, studio.p, studio.sheet.rng
    edge = sheet.between(0.6, 0.7)
    wood = mix(p[_CLOTH], p[_SKIN], soft(noise(sheet, 0.08, 3, stretch=5), -0.8, 1.2) * 0.5)
    studio.over(soft(sheet.y - edge, 0, 0.006), wood * 0.75)
    linen = (mix(p[_SHADOW], p[_LINEN], 0.4), p[_LINEN] * 0.8, p[_LINEN])
    at = sheet.between(0.25, 0.75) * sheet.aspect
    folds = np.sin((sheet.x - at) * 46 + (sheet.y - edge) * 7 + studio.rough * 1.6) * 0.2
    if hand.traits[0] > 0.4:
        studio.solid(at, edge + 0.2, 0.3, 0.21, linen, folds - 0.05)
    jug = sheet.between(0.2, 0.8) * sheet.aspect
    glaze = (p[_SHADOW], mix(p[_CLOTH], p[_GLOW], 0.5), mix(p[_SASH], p[_LINEN], 0.3))
    if hand.traits[7] > 0.3:
        tall = sheet.between(0.2, 0.3)
        studio.solid(jug, edge - tall * 0.35, tall * 0.42, tall * 0.55, glaze, gloss=0.6)
        studio.solid(jug, edge - tall * 0.98, tall * 0.17, tall * 0.26, glaze)
        studio.solid(jug, edge - tall * 1.2, tall * 0.24, tall * 0.07, glaze)
    count = int(rng.integers(4, 9))
    for k in range(count):
        x, y = sheet.aspect * (0.5 + rng.normal(0, 0.2)), edge + 0.02 + 0.17 * k / count
        base = (p[_SASH], p[_SKIN], mix(p[_SASH], p[_LIT], 0.6), mix(p[_CLOTH], p[_SASH], 0.4))
        _fruit(studio, x, y, base[k % 4])
    if motif == "candle":
        _candle(studio, sheet.between(0.35, 0.65) * sheet.aspect, edge)


def _fruit(studio: _Studio, x: float, y: float, base: Array) -> None:
    """A round fruit with its shadow, or a bunch of grapes."""
    sheet, p, size = studio.sheet, studio.p, studio.sheet.between(0.065, 0.115)
    studio.spot(x - studio.light[0] * size, y + size * 0.85, size, size * 0.3, p[_SHADOW], 0.7)
    tones = (mix(p[_SHADOW], base, 0.25), base, mix(base, p[_LINEN], 0.45))
    if sheet.chance(0.25):
        for right, down in sheet.rng.normal(0, 1, (14, 2)):
            studio.solid(x + right * 0.04, y + down * 0.025, 0.017, 0.017, tones, gloss=0.5)
    else:
        tall = size * sheet.between(0.85, 1.05)
        studio.solid(x, y, size, tall, tones, studio.rough * 0.06, gloss=0.5)


def _candle(studio: _Studio, x: float, edge: float) -> None:
    sheet, p = studio.sheet, studio.p
    top = edge - sheet.between(0.16, 0.24)
    wax = soft(0.02 - np.abs(sheet.x - x), 0, 0.004)
    wax = wax * soft(sheet.y - top, 0, 0.005) * soft(edge + 0.05 - sheet.y, 0, 0.01)
    studio.over(wax, mix(p[_LIT], p[_LINEN], soft(sheet.x - x, -0.02, 0.02)))
    studio.solid(x, edge + 0.055, 0.07, 0.018, (p[_SHADOW], p[_SASH], p[_LIT]), gloss=0.5)
    away = np.hypot(sheet.x - x, (sheet.y - top + 0.05) * 0.9)
    warm = np.array([1.25, 1.02, 0.66], dtype=np.float32)[:, None, None]
    studio.paint = studio.paint * warm * (0.26 + 1.5 * np.exp(-((away / 0.34) ** 1.3)))
    halo = np.exp(-((away / 0.09) ** 2))
    studio.over(halo * 0.6, np.array([1.0, 0.72, 0.3], dtype=np.float32))
    u, v = (sheet.x - x) / 0.013, (sheet.y - top + 0.035) / 0.036
    flame = soft(1 - (u / (1.05 - 0.6 * np.clip(-v, 0, 1))) ** 2 - v * v, 0, 0.3)
    studio.over(flame, np.array([1.0, 0.95, 0.75], dtype=np.float32))
