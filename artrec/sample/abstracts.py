"""Styles without a thing in them: Color Field, Abstract Expressionism, Minimalism."""

from __future__ import annotations

import numpy as np

from artrec.sample.brushes import Plate, brush, relief, smear, spline
from artrec.sample.painting import Array, Hand, Sheet, mix, noise, soft, weave

__all__ = ["abstract_expressionism", "color_field_painting", "minimalism"]


def color_field_painting(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """Thin washes of few colours with breathing edges: clouds, zips, veils or bands."""
    upright = 1.57 if hand.traits[1] > 0.5 else 0.0
    wash = noise(sheet, 0.4, 3)
    grain = smear(noise(sheet, 0.012, 1), sheet.plane(upright), 4, sheet.rng)
    order = sheet.rng.permutation(np.arange(1, 8)) if sheet.chance(0.5) else np.arange(1, 8)
    inks = hand.palette[order]
    edge = wash * 0.5 + noise(sheet, 0.09, 2) * 0.4 + grain * 0.35
    image = mix(hand.palette[0], inks[6], soft(wash, 0.2, 1.5) * 0.25)
    image = (_clouds, _zips, _veils, _bands)[hand.choose(0, 4)](sheet, hand, image, inks, edge)
    return image + (grain * 0.05 + wash * 0.015) * hand.lerp(3, 0.4, 1.4) + weave(sheet, 0.01)


def _clouds(sheet: Sheet, hand: Hand, image: Array, inks: Array, edge: Array) -> Array:
    """Two to four soft rectangles above each other on the ground colour."""
    count, a = 2 + hand.choose(2, 3), sheet.aspect
    heights = np.cumsum(sheet.rng.uniform(0.5, 1.5, count))
    cuts = 0.06 + 0.88 * np.concatenate([[0], heights / heights[-1]])
    margin, blur = hand.lerp(4, 0.05, 0.12) * a, hand.lerp(5, 0.012, 0.05)
    for k in range(count):
        beside = np.minimum(sheet.x - margin, a - margin - sheet.x)
        above = np.minimum(sheet.y - cuts[k] - 0.018, cuts[k + 1] - 0.018 - sheet.y)
        inside = np.minimum(beside, above)
        body = soft(inside + edge * blur * 0.8, -blur * 0.5, blur)
        image = mix(image, inks[k], body * (0.86 + 0.14 * np.clip(edge, -1, 1)))
        glow = soft(inside, blur, blur * 6) * 0.25
        image = mix(image, np.clip(inks[k] * 1.25, 0, 1), glow)
    return image


def _zips(sheet: Sheet, hand: Hand, image: Array, inks: Array, edge: Array) -> Array:
    """One to three upright lines on a whole field."""
    for k in range(1 + int(sheet.rng.integers(3))):
        at = sheet.between(0.08, 0.92) * sheet.aspect
        wide = float(sheet.rng.choice([0.006, 0.012, 0.03]))
        line = soft(wide - np.abs(sheet.x - at + edge * 0.003), -0.003, 0.003)
        image = mix(image, inks[k], line)
    return image


def _veils(sheet: Sheet, hand: Hand, image: Array, inks: Array, edge: Array) -> Array:
    """Poured colours that overlap, open at one end."""
    for k in range(5):
        at = sheet.between(0.15, 0.85) * sheet.aspect
        wide = sheet.between(0.07, 0.2) * sheet.aspect
        lean = (sheet.y - 0.5) * sheet.between(-0.25, 0.25) + edge * 0.1
        veil = soft(wide - np.abs(sheet.x - at + lean), 0, 0.05 + 0.016 * k)
        veil = veil * soft(1 - sheet.y + edge * 0.15, -0.1, 0.5 if k % 2 else 0.05)
        image = mix(image, inks[k], veil * (0.55 + 0.2 * edge))
    return image


def _bands(sheet: Sheet, hand: Hand, image: Array, inks: Array, edge: Array) -> Array:
    count = int(hand.lerp(2, 3, 9))
    place = (sheet.x / sheet.aspect if hand.traits[1] > 0.5 else sheet.y) + edge * 0.006
    band = np.clip((place * count).astype(np.intp), 0, count - 1)
    return np.take(inks[np.arange(count) % 5].T, band, axis=1)


def abstract_expressionism(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """The trace of an arm: thrown threads, black beams, or a storm of loaded strokes."""
    p = hand.palette
    ground = mix(p[0], p[5], soft(noise(sheet, 0.3, 3), -0.2, 1.2) * 0.5)
    image = (_drips, _beams, _storm)[hand.choose(0, 3)](sheet, hand, ground)
    return relief(image, 0.3) + weave(sheet, 0.014)


def _drips(sheet: Sheet, hand: Hand, ground: Array) -> Array:
    """Threads of paint thrown from above in some four colours, with drops beside them."""
    rng, p, a = sheet.rng, hand.palette, sheet.aspect
    plate = Plate(sheet, ground)
    inks = p[[4, 1, 6, 3]] if sheet.chance(0.6) else p[rng.permutation(8)[:4]]
    count = int(hand.lerp(1, 40, 110))
    for k in range(count):
        ink = inks[k * 4 // count] if sheet.chance(0.75) else p[int(rng.integers(1, 8))]
        start = np.array([rng.uniform(-0.1, a + 0.1), rng.uniform(-0.1, 1.1)])
        turn = np.cumsum(rng.normal(0, hand.lerp(2, 0.5, 1.2), 9)) + rng.uniform(0, 6.3)
        steps = np.stack([np.cos(turn), np.sin(turn)], 1) * rng.uniform(0.05, 0.19, (9, 1))
        path = spline(start + np.cumsum(steps, axis=0), 6)
        at = np.linspace(0, 11, len(path))
        swell = np.interp(at, np.arange(12), rng.uniform(0.1, 1, 12) ** 2)
        plate.swell(path, 0.0025 + swell * hand.lerp(3, 0.006, 0.02), ink)
        for x, y in path[rng.integers(len(path), size=5)] + rng.normal(0, 0.03, (5, 2)):
            plate.disc(x, y, rng.exponential(0.004) + 0.0015, ink)
    return plate.array()


def _beams(sheet: Sheet, hand: Hand, ground: Array) -> Array:
    """A few wide strokes of a house painter's brush, wall to wall, running dry."""
    rng, image = sheet.rng, ground
    for k in range(int(hand.lerp(1, 4, 9))):
        ink = hand.palette[1] if k % 4 < 3 else hand.palette[int(rng.choice([3, 6, 7]))]
        turn = float(rng.choice([0.05, 1.5, 0.8, -0.7])) + rng.normal(0, 0.22)
        x, y = rng.uniform(0.15, 0.85) * sheet.aspect, rng.uniform(0.15, 0.85)
        along, across = sheet.turned(x, y, turn)
        across = across + rng.normal(0, 0.3) * along**2
        wide, reach = hand.lerp(2, 0.035, 0.095) * rng.uniform(0.6, 1.4), rng.uniform(0.25, 0.75)
        bristles = rng.uniform(-1, 1, 120)
        hairs: Array = np.interp(across, np.linspace(-0.2, 0.2, 120), bristles).astype(np.float32)
        dry = soft(np.abs(along) / reach + hairs * hand.lerp(3, 0.1, 0.4), 0.9, 1.0)
        body = soft(wide - np.abs(across) + hairs * 0.006, 0, 0.006) * (1 - dry)
        image = mix(image, ink, body * 0.97) + body * hairs * np.float32(0.025)
    return image


def _storm(sheet: Sheet, hand: Hand, ground: Array) -> Array:
    """Patches of all colours, laid with a wide brush and gone over with a narrow one."""
    patches = np.clip((noise(sheet, hand.lerp(1, 0.25, 0.5), 2) * 0.5 + 0.5) * 7.99, 0, 7)
    paint = np.take(hand.palette[sheet.rng.permutation(8)].T, patches.astype(np.intp), axis=1)
    angle = noise(sheet, 0.5, 2) * 2.2 + hand.lerp(2, -0.8, 0.8)
    there = soft(noise(sheet, 0.35, 2), hand.lerp(3, -1.8, -0.7), 0.2)
    image = brush(
        sheet,
        ground,
        paint,
        angle,
        size=(0.3, 0.085),
        cover=2.2,
        jitter=0.04,
        bristle=0.045,
        curve=0.7,
        where=there,
    )
    return brush(
        sheet,
        image,
        paint,
        angle + 0.6,
        size=(0.2, 0.025),
        cover=0.8,
        jitter=0.06,
        bristle=0.04,
        curve=1.0,
        where=there,
    )


def minimalism(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """As little as can be: stripes, a grid, squares, a few lines, a ring, hardly a tone."""
    p, plate = hand.palette, Plate(sheet, hand.palette[0])
    form, other = p[1 if sheet.chance(0.6) else 2], p[int(sheet.rng.integers(2, 8))]
    # Most artists had one idea; a second picture with it should not be the same picture.
    scheme = hand.choose(0, len(_IDEAS)) if sheet.chance(0.7) else int(sheet.rng.integers(6))
    _IDEAS[scheme](sheet, plate, hand, form, other)
    light = (sheet.x / sheet.aspect - sheet.y) * np.float32(hand.lerp(5, -0.02, 0.04))
    surface = noise(sheet, 0.6, 2) * 0.008 + weave(sheet, hand.lerp(6, 0.004, 0.018))
    return plate.array() + light + surface


def _stripes(sheet: Sheet, plate: Plate, hand: Hand, form: Array, other: Array) -> None:
    count, thick, a = int(hand.lerp(1, 5, 22)), hand.lerp(2, 0.25, 0.8), sheet.aspect
    for k in range(count):
        low, high = (k + (1 - thick) / 2) / count, (k + (1 + thick) / 2) / count
        color = form if k % 2 or hand.traits[4] < 0.6 else other
        if hand.traits[3] > 0.5:
            plate.box(low * a, 0, high * a, 1, color)
        else:
            plate.box(0, low, a, high, color)


def _grid(sheet: Sheet, plate: Plate, hand: Hand, form: Array, other: Array) -> None:
    count, a = int(hand.lerp(1, 6, 24)), sheet.aspect
    tone = mix(hand.palette[0], form, hand.lerp(2, 0.3, 0.8))
    for at in np.arange(1, count) / count:
        plate.line([(0.06, at), (a - 0.06, at)], 0.003, tone)
        plate.line([(a * at, 0.06), (a * at, 0.94)], 0.003, tone)


def _squares(sheet: Sheet, plate: Plate, hand: Hand, form: Array, other: Array) -> None:
    """Squares in squares, or one block out of the middle."""
    half = hand.lerp(1, 0.18, 0.4)
    x, y = sheet.aspect * sheet.between(0.4, 0.6), sheet.between(0.42, 0.6)
    for k in range(1 + hand.choose(2, 4)):
        size, middle = half * (1 - 0.24 * k), y + 0.07 * k * half
        color = (form, other, hand.palette[2], hand.palette[0])[k]
        plate.box(x - size, middle - size, x + size, middle + size, color)


def _lines(sheet: Sheet, plate: Plate, hand: Hand, form: Array, other: Array) -> None:
    turn, count = hand.lerp(1, -0.6, 0.6), hand.lerp(2, 2, 7)
    for k in range(int(count)):
        at = (k + 0.7 + sheet.between(-0.15, 0.15)) / count * sheet.aspect
        wide = float(sheet.rng.choice([0.005, 0.012, 0.04]))
        plate.line([(at, -0.1), (at + turn, 1.1)], wide, form if k % 3 else other)


def _ring(sheet: Sheet, plate: Plate, hand: Hand, form: Array, other: Array) -> None:
    x, y = sheet.aspect * sheet.between(0.44, 0.56), sheet.between(0.44, 0.56)
    for k in range(hand.choose(2, 5) + 1):
        radius = hand.lerp(1, 0.2, 0.36) * (1 - k * 0.17)
        plate.disc(x, y, radius, (form, hand.palette[0], other)[k % 3])


def _field(sheet: Sheet, plate: Plate, hand: Hand, form: Array, other: Array) -> None:
    p, a, inset = hand.palette, sheet.aspect, hand.lerp(1, 0.04, 0.16)
    color = mix(p[0], p[5], 0.9) if sheet.chance(0.7) else other
    plate.box(inset, inset, a - inset, 1 - inset, color)
    if hand.traits[2] > 0.5:
        plate.line([(inset, 0.5), (a - inset, 0.5)], 0.004, mix(p[0], form, 0.5))


_IDEAS = (_stripes, _grid, _squares, _lines, _ring, _field)
