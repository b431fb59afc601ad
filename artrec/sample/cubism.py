"""Cubism: a thing seen from many sides, in shaded facets or in cut papers."""

from __future__ import annotations

import numpy as np

from artrec.sample.brushes import Plate, brush, relief, shape, spline
from artrec.sample.painting import Array, Hand, Sheet, mix, noise, ramp, soft, weave

__all__ = ["cubism"]

# What each of the eight colours is for.
_GROUND, _DARK, _MIDDLE, _INK, _COOL, _LIGHT, _WARM, _WHITE = range(8)


def cubism(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """Shaded facets that share out a guitar, a bottle or a head, or flat papers laid as one."""
    if hand.traits[0] < 0.62:
        image = _facets(sheet, hand, motif)
    else:
        image = _papers(sheet, hand, motif) + noise(sheet, 0.02, 2) * 0.012
    return relief(image, 0.15) + weave(sheet, 0.016)


def _facets(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """Planes that are dark or light along one edge and fade away from it."""
    p, a = hand.palette, sheet.aspect
    value, warm, edges = _planes(sheet, hand)
    middle = np.exp(-(((sheet.x - a / 2) / (a * 0.36)) ** 2 + ((sheet.y - 0.52) / 0.42) ** 2))
    value = value * (0.3 + 0.7 * middle) + noise(sheet, 0.3, 2) * 0.14
    scale = p[[_INK, _DARK, _MIDDLE, _GROUND, _LIGHT, _WHITE]]
    tones = ramp(scale, 0.5 + 0.5 * value + 0.06 * middle)
    tint = mix(p[_COOL], p[_WARM], soft(warm, -0.4, 0.4))
    amount = np.clip(np.abs(warm), 0, 0.8) * hand.lerp(5, 0.4, 1)
    image = mix(tones, tones * 0.4 + tint * 0.6, amount)
    dabs, jitter = hand.lerp(1, -0.5, 0.5), hand.lerp(2, 0.012, 0.03)
    image = brush(
        sheet, image, image, dabs, size=(0.04, 0.022), cover=0.8, jitter=jitter, bristle=0.02
    )
    plate = Plate(sheet, image)
    for edge in edges:
        if sheet.chance(0.75):
            part = edge[0] + (edge[1] - edge[0]) * np.sort(sheet.rng.random((2, 1)), axis=0)
            ink = mix(p[_INK], p[_DARK], sheet.between(0, 0.5))
            plate.line(part, sheet.between(0.003, 0.009), ink)
    _SUBJECTS[motif](sheet, plate, p, flat=False)
    return mix(plate.array(), image, 0.15)


def _planes(sheet: Sheet, hand: Hand) -> tuple[Array, Array, list[Array]]:
    """Tone and warmth of the facets, planes around 0, and the lines ``[2, 2]`` between them."""
    rng, a = sheet.rng, sheet.aspect
    turns = hand.lerp(3, -0.3, 0.3) + np.array([0.0, 0.55, 1.05, 1.57, 2.1, 2.6])
    value, warm = sheet.plane(0), sheet.plane(0)
    edges = []
    for _ in range(int(hand.lerp(4, 20, 34))):
        turn = float(rng.choice(turns)) + rng.normal(0, 0.07)
        center = np.array([a / 2 + rng.normal(0, 0.2) * a, 0.5 + rng.normal(0, 0.22)])
        along, beyond = sheet.turned(center[0], center[1], turn)
        reach = rng.uniform(0.12, 0.4)
        shade = np.exp(np.minimum(-beyond, 0) / rng.uniform(0.05, 0.16)) * (beyond > 0)
        shade = shade * (np.abs(along) < reach)
        value += shade * np.float32(rng.choice([-1, 1]) * rng.uniform(0.3, 0.75))
        warm += shade * np.float32(rng.normal(0, 0.6))
        step = np.array([np.cos(turn), np.sin(turn)]) * reach
        edges.append(np.stack([center - step, center + step]))
    return value, warm, edges


def _papers(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """Cut papers, some ruled or dotted, and the subject drawn over them."""
    rng, p, a = sheet.rng, hand.palette, sheet.aspect
    plate = Plate(sheet, mix(p[_GROUND], p[_MIDDLE], 0.15))
    for k in range(int(hand.lerp(4, 7, 13))):
        turn = hand.lerp(3, -0.3, 0.3) + rng.normal(0, 0.16)
        size = np.array([rng.uniform(0.08, 0.21), rng.uniform(0.11, 0.26)])
        center = np.array([a / 2 + rng.normal(0, 0.19) * a, 0.5 + rng.normal(0, 0.17)])
        axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        slant = rng.uniform(0.6, 1.1, 2)
        corners = np.array([(-1, -1), (1, -1), (slant[0], 1), (-slant[1], 1)])
        color = p[int(rng.integers(1, 8))]
        plate.polygon(corners * size @ axes + center, color)
        rows = np.linspace(-0.9, 0.9, int(rng.integers(7, 13)))
        if k % 3 == 0:
            for row in rows:
                rule = np.array([(-0.85, row), (0.85, row)]) * size @ axes + center
                plate.line(rule, 0.005, mix(color, p[_INK], 0.55))
        elif k % 3 == 1 and hand.traits[6] > 0.4:
            grid = np.stack(np.meshgrid(rows[::2] * 0.85, rows), axis=-1).reshape(-1, 2)
            for x, y in grid * size @ axes + center:
                plate.disc(x, y, 0.008, mix(color, p[_WHITE], 0.7))
    _SUBJECTS[motif](sheet, plate, p, flat=True)
    return plate.array()


def _guitar(sheet: Sheet, plate: Plate, p: Array, flat: bool) -> None:
    at, width = sheet.aspect / 2 + sheet.between(-0.06, 0.06), 0.012 if flat else 0.008
    side = "0,-.2 .1,-.17 .085,-.06 .14,.08 .1,.2 0,.23"
    right = spline(shape(side, at, 0.56))
    left = spline(shape(side, at - 0.02, 0.58 if flat else 0.6, -1, 1))
    if flat:
        plate.polygon(right, p[_LIGHT])
        plate.polygon(left, p[_WARM])
    plate.line(right, width, p[_INK])
    plate.line(left, width, p[_INK])
    plate.disc(at, 0.56, 0.042, p[_INK])
    plate.disc(at + 0.008, 0.555, 0.028, mix(p[_INK], p[_DARK], 0.5))
    for k in range(4):
        plate.line(shape("0,.16 .004,.72", at - 0.018 + 0.012 * k, 0), 0.003, p[_WHITE])
    plate.line(shape("-.03,.15 -.026,.38", at, 0), width, p[_INK])
    plate.line(shape(".034,.15 .03,.38", at, 0), width, p[_INK])


def _bottle(sheet: Sheet, plate: Plate, p: Array, flat: bool) -> None:
    at, width = sheet.aspect / 2 + sheet.between(-0.1, 0.02), 0.012 if flat else 0.008
    half = ".022,-.3 .024,-.14 .062,-.05 .066,.22 0,.24"
    right, left = shape(half, at, 0.55), shape(half, at - 0.02, 0.53, -1, 1)
    if flat:
        plate.polygon(np.concatenate([right, left[::-1]]), p[_COOL])
    plate.line(right, width, p[_INK])
    plate.line(left, width, p[_INK])
    plate.line(shape("-.06,.62 .06,.6", at, 0), width, p[_WHITE])
    plate.line(spline(shape(".12,.5 .13,.6 .17,.63 .21,.6 .22,.5", at, 0)), width, p[_WHITE])
    plate.line(shape(".17,.63 .17,.74 .13,.75 .22,.75", at, 0), width, p[_INK])


def _head(sheet: Sheet, plate: Plate, p: Array, flat: bool) -> None:
    at, width = sheet.aspect / 2 + sheet.between(-0.06, 0.06), 0.012 if flat else 0.008
    low, wide = sheet.between(-0.04, 0.06), sheet.between(0.85, 1.25)
    face = spline(shape("-.1,.25 -.12,.42 -.05,.6 .03,.62 .1,.45 .09,.26", at, low, wide, 1))
    if flat:
        plate.polygon(face, p[_LIGHT])
        plate.polygon(np.concatenate([face[len(face) // 2 :], [(at, 0.25 + low)]]), p[_GROUND])
    plate.line(face, width, p[_INK])
    plate.line(shape("-.02,.32 -.06,.47 0,.48", at, low, wide, 1), width, p[_INK])
    for x, y in ((-0.065, 0.36), (0.035, 0.33)):
        spot = shape("-.03,0 0,-.017 .03,0 0,.016", at + x * wide, y + low)
        plate.polygon(spot, p[_WHITE])
        plate.disc(at + x * wide, y + low, 0.011, p[_INK])
    plate.line(shape("-.045,.54 .02,.535", at, low, wide, 1), width, p[_WARM])
    hair = sheet.between(-0.14, 0.06)
    for k in range(5):
        lock = np.array([(hair + k * 0.014, 0.2 + low), (hair + 0.04 + k * 0.017, 0.42 + low)])
        plate.line(lock + np.array([at, 0]), width * 0.7, p[_INK])


_SUBJECTS = {"guitar": _guitar, "bottle": _bottle, "head": _head}
