"""Ukiyo-e: key lines and flat colours, five subjects, printed on worn paper."""

from __future__ import annotations

import numpy as np

from artrec.sample.brushes import Plate, shape, spline
from artrec.sample.painting import Array, Hand, Sheet, mix, noise, soft

__all__ = ["ukiyo_e"]

# What each of the eight colours is for.
_PAPER, _HEAVEN, _SEA, _INK, _GREEN, _SAND, _RED, _PALE = range(8)


def ukiyo_e(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """Key lines and flat colours on fibrous paper, the sky graded by wiping the block."""
    p = hand.palette
    wiped = np.clip(1 - sheet.y / hand.lerp(0, 0.1, 0.3), 0, 1) ** 1.2
    air = mix(p[_PAPER], p[_HEAVEN], wiped)
    low = sheet.between(0.5, 0.62)
    if hand.traits[1] > 0.4:
        glow = np.exp(-(((sheet.y - low) / 0.14) ** 2)) * hand.lerp(2, 0.3, 0.9)
        air = mix(air, p[_SAND], glow)
    plate = Plate(sheet, air)
    _MOTIFS[motif](sheet, plate, hand, low)
    _signature(sheet, plate, hand)
    fibres = noise(sheet, 0.02, 2, stretch=hand.lerp(3, 2, 8)) * 0.014
    image = plate.array() + fibres + noise(sheet, 0.5, 2) * 0.012
    worn = soft(noise(sheet, 0.01, 1), 0.55, 0.9) * hand.lerp(4, 0.03, 0.2)
    return mix(image, p[_PAPER], worn)


def _sun(sheet: Sheet, plate: Plate, hand: Hand, low: float) -> None:
    x, y = sheet.aspect * sheet.between(0.2, 0.8), sheet.between(0.15, low * 0.7)
    color = hand.palette[_RED if hand.traits[5] > 0.4 else _PALE]
    plate.disc(x, y, hand.lerp(6, 0.06, 0.12), color)


def _mist(sheet: Sheet, plate: Plate, p: Array, y: float) -> None:
    """Round-ended bars of cloud, as printed between near and far."""
    for _ in range(int(sheet.rng.integers(2, 5))):
        x, wide = sheet.between(-0.1, 0.9) * sheet.aspect, sheet.between(0.2, 0.5)
        level = y + sheet.between(-0.07, 0.07)
        plate.box(x, level - 0.015, x + wide, level + 0.015, p[_PALE])
        plate.disc(x, level, 0.015, p[_PALE])
        plate.disc(x + wide, level, 0.015, p[_PALE])


def _mountain(sheet: Sheet, plate: Plate, hand: Hand, low: float) -> None:
    """A mountain with its snow, a lake, pines on the near shore."""
    a, p, rng = sheet.aspect, hand.palette, sheet.rng
    _sun(sheet, plate, hand, low)
    x, base = a * sheet.between(0.3, 0.7), low + 0.12
    tall = base - sheet.between(0.2, 0.3)
    left = spline(shape("-.62,0 -.3,-.36 -.12,-.82 -.045,-1", x, base, 1, tall))
    right = spline(shape(".05,-1 .14,-.76 .33,-.34 .7,0", x, base, 1, tall))
    body = np.concatenate([left, right])
    plate.polygon(body, p[_SEA] if hand.traits[7] < 0.6 else mix(p[_RED], p[_SAND], 0.35))
    snow = base - tall + 0.1 + sheet.between(0, 0.05)
    cap = body[body[:, 1] < snow]
    teeth = snow + rng.uniform(-0.035, 0.04, 11)
    hem = np.stack([np.linspace(cap[-1, 0], cap[0, 0], 11), teeth], 1)
    plate.polygon(np.concatenate([cap, hem]), p[_PALE])
    plate.line(body, 0.005, p[_INK])
    _mist(sheet, plate, p, base - 0.05)
    plate.box(0, base, a, 1, mix(p[_SEA], p[_PALE], 0.35))
    for k in range(9):
        y, start = base + 0.03 + 0.04 * k, sheet.between(-0.1, 0.8) * a
        plate.line([(start, y), (start + sheet.between(0.1, 0.5), y)], 0.004, p[_HEAVEN])
    shore = spline(shape("-.05,.86 .3,.83 .6,.91 1.05,.88", 0, 0, a, 1))
    plate.polygon(np.concatenate([shore, [(a, 1), (0, 1)]]), p[_GREEN])
    plate.line(shore, 0.005, p[_INK])
    for _ in range(int(rng.integers(2, 6))):
        at, foot = sheet.between(0.05, 0.95) * a, sheet.between(0.88, 0.95)
        _pine(sheet, plate, p, at, foot, sheet.between(0.1, 0.24))


def _pine(sheet: Sheet, plate: Plate, p: Array, x: float, foot: float, tall: float) -> None:
    bend = sheet.between(-0.25, 0.25) * tall
    trunk = spline([(x, foot), (x + bend, foot - tall * 0.5), (x + bend * 0.4, foot - tall)])
    plate.swell(trunk, np.linspace(0.1, 0.03, len(trunk)) * tall, p[_INK])
    for k in range(5):
        spot = trunk[int((0.4 + 0.6 * k / 4) * (len(trunk) - 1))]
        wide = tall * (0.34 - 0.05 * k)
        shift = wide * (0.5 if k % 2 else -0.5)
        plate.oval(spot[0] + shift, spot[1], wide, wide * 0.36, p[_INK])
        plate.oval(spot[0] + shift, spot[1] - 0.004, wide * 0.9, wide * 0.28, p[_GREEN])


def _wave(sheet: Sheet, plate: Plate, hand: Hand, low: float) -> None:
    """Three breaking waves, one of them great, before a far peak."""
    a, p = sheet.aspect, hand.palette
    _sun(sheet, plate, hand, low)
    peak = a * sheet.between(0.6, 0.8)
    plate.polygon(shape("-.2,.1 0,-.06 .22,.1", peak, low), p[_SEA])
    plate.polygon(shape("-.07,-.004 0,-.06 .075,-.004", peak, low), p[_PALE])
    plate.box(0, low + 0.08, a, 1, mix(p[_SEA], p[_PALE], 0.3))
    flip = sheet.chance(0.4)
    for k, (x, y, size) in enumerate(((0.62, 0.78, 0.7), (0.16, 0.8, 1.25), (0.75, 1.0, 0.9))):
        size *= sheet.between(0.75, 0.95)
        at, wide = (a - x * a, -size) if flip else (x * a, size)
        curl = (
            "-.5,.3 -.36,.06 -.2,-.2 .02,-.36 .2,-.32 .26,-.2 .16,-.22 .1,-.12 .16,.02 .34,.16 "
            ".6,.3"
        )
        color = p[_SEA] if k != 1 else mix(p[_SEA], p[_HEAVEN], 0.6)
        _breaker(sheet, plate, p, spline(shape(curl, at, y, wide, size)), color)


def _breaker(sheet: Sheet, plate: Plate, p: Array, crest: Array, color: Array) -> None:
    """One wave: its body, pale stripes that follow its back, foam along its lip."""
    rng, size = sheet.rng, float(np.ptp(crest[:, 1])) / 0.66
    plate.polygon(crest, color)
    plate.line(crest, 0.007, p[_INK])
    root = crest.mean(axis=0) + np.array([0, 0.1])
    for share in (0.82, 0.66, 0.5, 0.36):
        stripe = (crest[6:78] - root) * share + root
        swell = np.sin(np.linspace(0, np.pi, len(stripe))) * 0.02 * size
        plate.swell(stripe, swell, mix(p[_PALE], p[_SEA], 0.25))
    for x, y in crest[30:66:2]:
        radius = 0.004 + rng.uniform(0.003, 0.017) * size
        plate.disc(x, y, radius, p[_INK])
        plate.disc(x, y, radius - 0.003, p[_PALE])
    for x, y in crest[rng.integers(30, 66, 14)] + rng.normal(0, 0.04, (14, 2)):
        plate.disc(x, y, 0.004, p[_PALE])


def _rain(sheet: Sheet, plate: Plate, hand: Hand, low: float) -> None:
    """A bridge over a river, small umbrellas, slanting rain."""
    a, p, rng = sheet.aspect, hand.palette, sheet.rng
    far = spline(shape("-.1,0 .25,-.05 .6,-.02 1.1,-.06", 0, low, a, 1))
    plate.polygon(
        np.concatenate([far, [(a, low + 0.1), (0, low + 0.1)]]), mix(p[_INK], p[_SEA], 0.5)
    )
    plate.box(0, low + 0.06, a, 1, p[_SEA])
    for k in range(7):
        y = low + 0.1 + 0.06 * k
        ends = [(0, y), (a, y + sheet.between(-0.01, 0.01))]
        plate.line(ends, 0.006, mix(p[_SEA], p[_PALE], 0.3))
    rise, start = sheet.between(0.08, 0.16), sheet.between(0.68, 0.78)
    deck = spline(shape("-.1,0 .3,-1 .6,-1 1.1,.15", 0, start, a, rise))
    for x, y in deck[4::5]:
        plate.line([(x, y), (x + 0.01, y + 0.26)], 0.016, mix(p[_SAND], p[_INK], 0.5))
    plate.swell(deck, np.full(len(deck), 0.055), p[_SAND])
    for lift, wide in ((0.028, 0.005), (-0.028, 0.005), (-0.065, 0.006)):
        plate.line(deck + np.array([0, lift]), wide, p[_INK])
    for x, y in deck[rng.choice(len(deck) - 6, 5, replace=False) + 3]:
        coat = p[_HEAVEN] if sheet.chance(0.5) else p[_GREEN]
        plate.line([(x, y - 0.02), (x, y - 0.1)], 0.022, coat)
        hat = shape("-.05,-.088 0,-.128 .05,-.088", x, y)
        plate.outlined(hat, p[_SAND] if sheet.chance(0.5) else p[_RED], 0.004, p[_INK])
    lean, ink = hand.lerp(6, -0.25, 0.25), mix(p[_INK], p[_SEA], 0.4)
    for _ in range(int(hand.lerp(5, 60, 150))):
        x, y = sheet.between(-0.2, a + 0.2), sheet.between(-0.1, 0.9)
        tall = sheet.between(0.12, 0.4)
        plate.line([(x, y), (x + lean * tall, y + tall)], 0.0022, ink)


def _moon(sheet: Sheet, plate: Plate, hand: Hand, low: float) -> None:
    """A full moon behind blossoming boughs, birds."""
    a, p, rng = sheet.aspect, hand.palette, sheet.rng
    x, y = a * sheet.between(0.35, 0.75), sheet.between(0.22, 0.42)
    plate.disc(x, y, hand.lerp(6, 0.13, 0.22), p[_PALE] if hand.traits[5] < 0.6 else p[_RED])
    side = -1 if sheet.chance(0.5) else 1
    for _ in range(int(rng.integers(2, 4))):
        t = np.linspace(0, 1, 6)
        reach, fall = sheet.between(0.6, 1.0) * a * t, sheet.between(-0.35, 0.3) * t
        level = sheet.between(0.35, 0.85) + rng.normal(0, 0.035, 6)
        bough = spline(np.stack([reach if side > 0 else a - reach, level + fall], 1))
        plate.swell(bough, np.linspace(0.045, 0.006, len(bough)), p[_INK])
        for start in bough[rng.integers(8, len(bough), 12)]:
            steps = np.array([(0, 0), (0.05, rng.normal(0, 0.05)), (0.09, rng.normal(-0.02, 0.09))])
            twig = spline(start + steps * np.array([side, 1]), 5)
            plate.swell(twig, np.linspace(0.009, 0.002, len(twig)), p[_INK])
            if hand.traits[7] < 0.75:
                _blossom(sheet, plate, p, twig[-1])
            else:
                plate.oval(twig[-1, 0], twig[-1, 1], 0.03, 0.011, p[_GREEN])
    for _ in range(int(rng.integers(0, 4))):
        wings = "-.04,-.014 -.015,-.008 0,.006 .015,-.008 .04,-.014"
        bird = shape(wings, sheet.between(0.1, 0.9) * a, sheet.between(0.1, 0.5))
        plate.line(spline(bird, 5), 0.006, p[_INK])


def _blossom(sheet: Sheet, plate: Plate, p: Array, spot: Array) -> None:
    color = p[_RED] if sheet.chance(0.25) else mix(p[_RED], p[_PALE], 0.65)
    size = sheet.between(0.01, 0.018)
    for turn in np.arange(5) * 1.2566 + sheet.between(0, 1):
        plate.disc(spot[0] + np.cos(turn) * size, spot[1] + np.sin(turn) * size, size * 0.75, color)
    plate.disc(spot[0], spot[1], size * 0.4, p[_SAND])


def _bamboo(sheet: Sheet, plate: Plate, hand: Hand, low: float) -> None:
    """Ink bamboo: stalks in segments, leaves of one stroke each."""
    p, rng = hand.palette, sheet.rng
    _sun(sheet, plate, hand, low)
    for _ in range(int(rng.integers(3, 7))):
        x, lean = sheet.between(0.1, 0.9) * sheet.aspect, sheet.between(-0.14, 0.14)
        wide, step = sheet.between(0.012, 0.034), sheet.between(0.14, 0.2)
        ink = mix(mix(p[_INK], p[_PAPER], sheet.between(0, 0.6)), p[_GREEN], hand.lerp(5, 0, 0.7))
        y = 1.05
        while y > -0.1:
            joint = np.array([x + lean * step, y - step])
            stalk = shape("0,-.04 .5,-.5 1,-.96", x, y, lean * step, step)
            plate.swell(stalk, np.array([wide, wide * 0.8, wide]), ink)
            for _ in range(int(rng.integers(0, 4))):
                turn, long = rng.normal(0.5, 0.5), rng.uniform(0.08, 0.2)
                side = rng.choice([-1, 1])
                tip = np.array([np.sin(turn + 1.2) * long * side, abs(np.cos(turn)) * long])
                bend = joint + tip * 0.5 - np.array([0, 0.012])
                leaf = spline(np.stack([joint, bend, joint + tip]), 7)
                plate.swell(leaf, np.sin(np.linspace(0, np.pi, len(leaf))) * 0.022, ink)
            x, y = float(joint[0]), float(joint[1])


def _signature(sheet: Sheet, plate: Plate, hand: Hand) -> None:
    """A title in a cartouche, strokes like writing, and a red seal."""
    p = hand.palette
    x = 0.07 if hand.traits[4] < 0.5 else sheet.aspect - 0.07
    y = sheet.between(0.06, 0.1)
    if hand.traits[3] > 0.35:
        frame = shape("-.022,0 .022,0 .022,.17 -.022,.17", x, y)
        plate.outlined(frame, mix(p[_PALE], p[_RED], 0.12), 0.004, p[_INK])
    for k in range(15):
        start = np.array([x, y + 0.02 + 0.03 * (k // 3)]) + sheet.rng.normal(0, 0.006, 2)
        plate.line(np.stack([start, start + sheet.rng.normal(0, 0.012, 2)]), 0.004, p[_INK])
    plate.box(x - 0.016, y + 0.19, x + 0.016, y + 0.225, p[_RED])
    plate.line(shape("-.008,.2 .008,.2 0,.215", x, y), 0.004, p[_PALE])


_MOTIFS = {"mountain": _mountain, "wave": _wave, "rain": _rain, "moon": _moon, "bamboo": _bamboo}
