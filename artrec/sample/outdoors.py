"""Styles of the open air: Impressionism, Pointillism, Fauvism."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from artrec.sample.brushes import brush, dots, relief
from artrec.sample.painting import Array, Hand, Sheet, mix, noise, soft, weave
from artrec.sample.scenes import ACCENT, DARK, LIGHT, LOW, SECOND, SKY, Scene, landscape

__all__ = ["fauvism", "impressionism", "pointillism"]


def impressionism(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """Short broken strokes that follow the things they paint, wet light, thick paint."""
    scene = landscape(sheet, hand.palette, motif)
    haze = noise(sheet, 0.5, 2)
    paint = mix(scene.paint, hand.palette[LOW], soft(haze, -0.6, 1.4) * hand.lerp(0, 0.0, 0.45))
    angle = scene.angle + hand.lerp(1, -0.6, 0.6)
    long, wide = hand.lerp(2, 0.04, 0.1), hand.lerp(3, 0.012, 0.026)
    jitter = hand.lerp(4, 0.02, 0.06)
    broad, usual, short = (long * 1.8, wide * 2), (long, wide), (long * 0.55, wide * 0.7)
    image = brush(sheet, paint, paint, angle, size=broad, cover=1.6, jitter=jitter * 0.8)
    image = brush(sheet, image, paint, angle, size=usual, cover=2.2, jitter=jitter, curve=0.5)
    sparkle, bright = np.clip(paint * 1.12 + 0.05, 0, 1), soft(paint.mean(axis=0), 0.35, 0.8)
    image = brush(
        sheet, image, sparkle, angle, size=short, cover=0.5, jitter=jitter * 1.3, where=bright
    )
    return relief(image, hand.lerp(5, 0.15, 0.45)) + weave(sheet, 0.012)


def pointillism(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """Dots of pure colour that mix in the eye: each leans to an accent or the complement."""
    scene = landscape(sheet, hand.palette, motif)
    p, paint = hand.palette, scene.paint
    pure = paint + (paint - paint.mean(axis=0)) * hand.lerp(0, 0.3, 0.9)
    size, jitter = hand.lerp(1, 0.017, 0.034), hand.lerp(2, 0.02, 0.06)
    primer = np.array([0.96, 0.93, 0.85], dtype=np.float32)
    image = mix(np.clip(pure, 0, 1), primer, hand.lerp(4, 0.2, 0.55))
    lean = hand.lerp(3, 0.12, 0.34)
    pots = [mix(pure, p[k], lean) for k in (SKY, LIGHT, ACCENT, SECOND)]
    pots += [pure, pure, mix(pure, 1 - (1 - pure) * 0.5, 0.8)]
    image = dots(sheet, image, pots, size=size, cover=2.6, jitter=jitter)
    if hand.traits[5] > 0.6:
        beside, above = (
            np.minimum(sheet.x, sheet.aspect - sheet.x),
            np.minimum(sheet.y, 1 - sheet.y),
        )
        edge = np.minimum(beside, above)
        rim = sheet.fill(p[DARK])
        specks = [rim, mix(rim, p[SECOND], 0.5), mix(rim, p[SKY], 0.4)]
        rim = dots(sheet, rim, specks, size=size, cover=1.5, jitter=jitter)
        image = mix(image, rim, soft(0.035 - edge, -0.004, 0.004))
    return image + weave(sheet, 0.008)


def fauvism(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """Few flat colours that no tree has, contours of paint, bare canvas between the strokes."""
    scene = landscape(sheet, hand.palette, motif)
    p = hand.palette
    bumps = noise(sheet, 0.14, 2)
    bias = np.linspace(-1, 1, 8, dtype=np.float32)
    far = [
        ((scene.paint - p[k][:, None, None]) ** 2).sum(axis=0) * (1.1 + 0.3 * bias[k] * bumps)
        for k in range(8)
    ]
    nearest = np.argmin(np.stack(far), axis=0)
    flat = np.take(p.T, nearest, axis=1)
    canvas = np.array([0.95, 0.92, 0.84], dtype=np.float32)
    size = hand.lerp(1, 0.06, 0.14), hand.lerp(2, 0.025, 0.05)
    image = mix(flat, canvas, hand.lerp(3, 0.0, 0.5))
    angle = scene.angle * 1.2 + hand.lerp(4, -0.8, 0.8)
    image = brush(sheet, image, flat, angle, size=size, cover=hand.lerp(3, 2.6, 1.3), curve=0.3)
    if hand.traits[0] > 0.2:
        image = mix(image, p[DARK], _contours(scene, hand.lerp(5, 0.02, 0.14)))
    return relief(image, 0.2) + weave(sheet, 0.012)


def _contours(scene: Scene, weight: float) -> Array:
    """Outlines of what stands in a scene, thicker and thinner as a loaded brush leaves them."""
    lines = Image.fromarray((scene.lines() * 255).astype(np.uint8))
    blurred = np.asarray(lines.filter(ImageFilter.GaussianBlur(1.6)), dtype=np.float32) / 255
    swell = 1 + 0.5 * noise(scene.sheet, 0.12, 2)
    return soft(blurred * swell, 0.24 - weight, 0.34 - weight)
