"""Expressionism: masks, crooked streets and burning hills in colours that shout."""

from __future__ import annotations

import numpy as np

from artrec.sample.brushes import Plate, brush, relief, shape, smear, spline
from artrec.sample.painting import Array, Hand, Sheet, mix, noise, ramp, weave

__all__ = ["expressionism"]

# What each of the eight colours is for.
_NIGHT, _FIRE, _DEEP, _INK, _GREEN, _YELLOW, _RED, _VIOLET = range(8)


def expressionism(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """Figures in black contours under a sky in bands, all drawn out along swirling strokes."""
    p, swirl = hand.palette, noise(sheet, hand.lerp(0, 0.35, 0.7), 2)
    angle = swirl * hand.lerp(1, 1.2, 2.6) + hand.lerp(2, -0.6, 0.6)
    bands = 0.5 + 0.5 * np.sin(swirl * hand.lerp(3, 4, 9) + sheet.y * hand.lerp(4, 2, 7))
    air = ramp(p[[_NIGHT, _DEEP, _FIRE, _YELLOW]], bands * (1.1 - 0.5 * sheet.y))
    plate = Plate(sheet, air)
    _MOTIFS[motif](sheet, plate, hand)
    drawn = plate.array()
    fine = 1.0 if motif == "hills" else 0.6
    size = hand.lerp(5, 0.05, 0.12) * fine, hand.lerp(6, 0.013, 0.03) * fine
    image = brush(
        sheet, drawn, drawn, angle, size=size, cover=1.5, jitter=0.045, bristle=0.04, curve=0.6
    )
    streaks = smear(noise(sheet, 0.012, 1), angle, 4, sheet.rng)
    image = mix(drawn, image, 0.55 + 0.3 * fine) + streaks * 0.12
    return relief(image, 0.25) + weave(sheet, 0.01)


def _mask(sheet: Sheet, plate: Plate, hand: Hand) -> None:
    """A long face in two colours, contoured in black."""
    p, a, ink = hand.palette, sheet.aspect, hand.palette[_INK]
    x, y, size = a * sheet.between(0.44, 0.56), sheet.between(0.4, 0.46), sheet.between(0.2, 0.25)
    lean = sheet.between(-0.14, 0.14)

    def at(text: str, right: float = 0.0) -> Array:
        points = shape(text, right * size, 0, size, size * 1.25)
        return np.stack([x + points[:, 0] - points[:, 1] * lean, y + points[:, 1]], 1)

    coat = spline(at("-2.2,2.6 -1.5,1.5 -.35,1.05 .35,1.05 1.5,1.5 2.2,2.6"))
    plate.polygon(coat, p[_VIOLET] if sheet.chance(0.5) else p[_DEEP])
    plate.line(coat, 0.016, ink)
    plate.polygon(at("-.35,.6 .35,.6 .45,1.25 0,1.5 -.45,1.25"), p[_FIRE])
    hair = spline(at("-.9,.7 -1,-.4 -.5,-1.15 .4,-1.2 1,-.5 .85,.6"))
    plate.polygon(hair, p[(_INK, _FIRE, _RED)[hand.choose(7, 3)]])
    face = spline(at("0,-.9 -.6,-.6 -.72,0 -.45,.65 0,.95 .45,.62 .7,0 .6,-.6 0,-.9"))
    plate.polygon(face, mix(p[_YELLOW], p[_FIRE], sheet.between(0, 0.35)))
    half = spline(at(".05,-.88 0,-.3 .16,.25 0,.95 .45,.62 .7,0 .6,-.6 .05,-.88"))
    plate.polygon(half, mix(p[_GREEN], p[_YELLOW], sheet.between(0, 0.3)))
    plate.line(face, 0.014, ink)
    for eye in (-0.32, 0.32):
        white = spline(at("-.2,-.08 0,-.2 .2,-.06 0,.02 -.2,-.08", eye), 6)
        plate.polygon(white, mix(p[_YELLOW], np.ones(3), 0.55))
        pupil = at("0,-.09", eye)[0]
        plate.disc(pupil[0], pupil[1], size * 0.085, ink)
        plate.line(spline(at("-.24,-.26 0,-.38 .24,-.26", eye), 6), 0.014, ink)
    plate.line(at(".04,-.25 -.13,.3 .08,.33"), 0.012, ink)
    plate.polygon(spline(at("-.22,.56 0,.49 .22,.55 0,.68 -.22,.56"), 6), p[_RED])
    plate.line(at("-.24,.57 .24,.56"), 0.007, ink)


def _street(sheet: Sheet, plate: Plate, hand: Hand) -> None:
    """Houses that lean in over a crooked street, lit windows, hurrying figures."""
    rng, p, a = sheet.rng, hand.palette, sheet.aspect
    gap = a * sheet.between(0.4, 0.6)
    for side in (-1, 1):
        for k in range(4):
            _house(sheet, plate, p, gap + side * (0.02 + 0.09 * k) * a, side, k)
    road = [(gap - 0.03, 0.66), (gap + 0.03, 0.66), (a * 0.95, 1.02), (a * 0.08, 1.02)]
    plate.polygon(road, mix(p[_FIRE], p[_NIGHT], sheet.between(0.2, 0.8)))
    for _ in range(int(rng.integers(2, 7))):
        near = rng.random()
        foot, tall = 0.72 + 0.26 * near, 0.1 + 0.2 * near
        x = gap + rng.normal(0, 0.05 + 0.14 * near)
        coat = shape("0,0 -.2,-.3 -.12,-.85 .12,-.85 .2,-.25", x, foot, tall)
        plate.polygon(coat, mix(p[_INK], p[_VIOLET], 0.3 * near))
        head = p[_YELLOW] if sheet.chance(0.6) else p[_GREEN]
        plate.disc(x, foot - tall * 0.93, tall * 0.1, head)


def _house(sheet: Sheet, plate: Plate, p: Array, inner: float, side: int, k: int) -> None:
    outer = inner + side * 0.17 * sheet.aspect
    top, lean = 0.42 - 0.1 * k - sheet.between(0, 0.1), side * sheet.between(-0.14, 0.02)
    foot, ridge = 0.68 + 0.08 * k, (inner + outer) / 2 + lean
    wall = [(inner, foot), (inner + lean, top), (ridge, top - 0.09), (outer + lean, top)]
    color = p[int(sheet.rng.choice([_NIGHT, _DEEP, _GREEN, _RED, _VIOLET]))]
    color = mix(color, p[_INK], sheet.between(0.1, 0.5))
    plate.outlined([*wall, (outer, foot + 0.2)], color, 0.01, p[_INK])
    for row in range(3):
        rise = 0.28 + 0.22 * row
        x, y = inner + (outer - inner) * 0.42 + lean * rise, foot + 0.084 - (foot - top) * rise
        pane = shape("-.016,-.03 .016,-.026 .018,.02 -.014,.022", x, y)
        plate.polygon(pane, p[_YELLOW] if sheet.chance(0.6) else p[_INK])


def _hills(sheet: Sheet, plate: Plate, hand: Hand) -> None:
    """Rolling hills under a wheel of a sun, dark flames of trees."""
    rng, p, a = sheet.rng, hand.palette, sheet.aspect
    x, y, radius = (
        a * sheet.between(0.15, 0.85),
        sheet.between(0.14, 0.3),
        sheet.between(0.05, 0.08),
    )
    for share, ring in ((2.3, _FIRE), (1.6, _RED), (1.0, _YELLOW)):
        plate.disc(x, y, radius * share, p[ring])
    for k in range(4):
        levels = 0.45 + 0.15 * k + rng.uniform(-0.09, 0.09, 6)
        crest = spline(np.stack([np.linspace(-0.1, 1.1, 6) * a, levels], 1))
        color = p[int(rng.choice([_DEEP, _GREEN, _VIOLET, _NIGHT, _FIRE]))]
        plate.polygon(np.concatenate([crest, [(a * 1.1, 1.1), (-0.1 * a, 1.1)]]), color)
        plate.line(crest, 0.012, p[_INK])
        for _ in range(int(rng.integers(0, 3))):
            at, tall = rng.uniform(0.05, 0.95) * a, rng.uniform(0.12, 0.3)
            foot = float(np.interp(at, crest[:, 0], crest[:, 1])) + 0.03
            flame = spline(shape("-.02,0 -.2,-.35 .02,-1 .17,-.4 .02,0", at, foot, tall))
            plate.polygon(flame, mix(p[_INK], p[_GREEN], sheet.between(0, 0.4)))


_MOTIFS = {"portrait": _mask, "street": _street, "hills": _hills}
