"""Art Nouveau: whiplash curves, flat colour and gold in a frame, three subjects."""

from __future__ import annotations

import numpy as np

from artrec.sample.brushes import Plate, shape, spline
from artrec.sample.painting import Array, Hand, Sheet, mix, noise, soft

__all__ = ["art_nouveau_modern"]

# What each of the eight colours is for.
_CREAM, _GOLD, _TEAL, _LINE, _OLIVE, _ROSE, _RUST, _IVORY = range(8)


def art_nouveau_modern(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """Hair, stems or feathers in lines that swing and tighten, within a border, flecked gold."""
    p = hand.palette
    fall = soft(sheet.y + noise(sheet, 0.4, 2) * 0.15, 0.1, 1.1)
    ground = mix(p[_CREAM], mix(p[_TEAL], p[_CREAM], hand.lerp(0, 0.0, 0.7)), fall)
    plate = Plate(sheet, ground)
    _MOTIFS[motif](sheet, plate, hand)
    _frame(sheet, plate, hand)
    image = plate.array()
    gilt = np.exp(-(((image - p[_GOLD][:, None, None]) ** 2).sum(axis=0) / 0.02))
    fleck = soft(noise(sheet, 0.012, 1), 0.2, 0.8) * gilt * hand.lerp(1, 0.1, 0.5)
    image = mix(image, np.clip(p[_GOLD] * 1.35, 0, 1), fleck)
    return image + noise(sheet, 0.01, 1) * 0.015 + noise(sheet, 0.3, 2) * 0.012


def _frame(sheet: Sheet, plate: Plate, hand: Hand) -> None:
    """A double border, with rings in the corners where there is room."""
    p, a = hand.palette, sheet.aspect
    rim, kind = hand.lerp(2, 0.025, 0.06), hand.choose(3, 3)
    color = p[(_GOLD, _OLIVE, _RUST)[kind]]
    plate.box(0, 0, a, rim, color)
    plate.box(0, 1 - rim, a, 1, color)
    plate.box(0, 0, rim, 1, color)
    plate.box(a - rim, 0, a, 1, color)
    for inset, wide in ((rim, 0.007), (rim + 0.014, 0.003)):
        far, foot = a - inset, 1 - inset
        corners = [(inset, inset), (far, inset), (far, foot), (inset, foot), (inset, inset)]
        plate.line(corners, wide, p[_LINE])
    if kind == 1:
        return
    size = rim * (1.6 if kind else 1.1)
    for x in (rim, a - rim):
        for y in (rim, 1 - rim):
            _rings(plate, p, x, y, size, ((1, _LINE), (0.85, _GOLD), (0.55, _TEAL), (0.25, _IVORY)))


def _rings(
    plate: Plate, p: Array, x: float, y: float, size: float, rings: tuple[tuple[float, int], ...]
) -> None:
    for share, color in rings:
        plate.disc(x, y, size * share, p[color])


def _whiplash(
    plate: Plate, start: Array, turn: float, length: float, curl: float, width: float, color: Array
) -> Array:
    """A line whose curvature swings and then tightens; its tip ``[2]`` is returned."""
    t = np.linspace(0, 1, 46)
    bend = curl * (np.sin(t * np.pi * 2.1) * 1.3 + 3.2 * t**4)
    heading = turn + np.cumsum(bend) / len(t) * 2
    steps = np.stack([np.cos(heading), np.sin(heading)], 1) * (length / len(t))
    path = start + np.cumsum(steps, axis=0)
    plate.swell(path, width * np.sin(np.linspace(0.25, np.pi * 0.97, len(t))) + 0.0015, color)
    return np.asarray(path[-1])


def _lady(sheet: Sheet, plate: Plate, hand: Hand) -> None:
    """A head before a halo, hair in flowing strands, a patterned robe."""
    p = hand.palette
    x, y = sheet.aspect * sheet.between(0.45, 0.55), sheet.between(0.33, 0.38)
    size, look = sheet.between(0.085, 0.105), -1 if sheet.chance(0.5) else 1
    hair = p[(_RUST, _LINE, _GOLD)[hand.choose(6, 3)]]
    _halo(plate, hand, x, y, size * hand.lerp(4, 2.3, 3.2))
    for k in range(16):
        root = np.array([x + (k - 7.5) * size * 0.13, y - size * 0.3])
        curl, shade = look * sheet.between(0.5, 1.6), hair if k % 3 else mix(hair, p[_LINE], 0.4)
        turn = np.pi / 2 + (k - 7.5) * 0.14
        _whiplash(plate, root, turn, sheet.between(0.5, 0.85), curl, 0.03, shade)
    _robe(sheet, plate, hand, x, y, size)
    _face(plate, p, x, y, size, look)
    for k in range(12):
        side, crown = 1 if k % 2 else -1, np.array([x + look * size * 0.1, y - size * 1.02])
        turn = np.pi / 2 - side * sheet.between(0.75, 1.35)
        curl, shade = side * sheet.between(0.7, 1.7), hair if k % 3 else mix(hair, p[_GOLD], 0.5)
        _whiplash(plate, crown, turn, sheet.between(0.35, 0.75), curl, 0.026, shade)
    for k in range(5):
        turn = -np.pi / 2 + (k - 2) * 0.42
        spot_x, spot_y = x + np.cos(turn) * size * 0.85, y + np.sin(turn) * size * 1.1
        _flower(plate, p, spot_x, spot_y, size * 0.26, p[(_ROSE, _IVORY, _GOLD)[k % 3]])


def _halo(plate: Plate, hand: Hand, x: float, y: float, size: float) -> None:
    rings = ((1.08, _LINE), (1.05, _GOLD), (0.9, _LINE), (0.88, _IVORY), (0.72, _TEAL))
    _rings(plate, hand.palette, x, y, size, rings)
    count = int(hand.lerp(5, 12, 26))
    for turn in np.arange(count) * 2 * np.pi / count:
        bead_x, bead_y = x + np.cos(turn) * size * 0.975, y + np.sin(turn) * size * 0.975
        plate.disc(bead_x, bead_y, size * 0.05, hand.palette[_RUST])


def _robe(sheet: Sheet, plate: Plate, hand: Hand, x: float, y: float, size: float) -> None:
    p = hand.palette
    shoulders = shape("-2.1,2.7 -.5,1.7 .5,1.7 2.1,2.7", x, y, size)
    hem = np.array([(x - size * 3.2, 1.05), (x + size * 3.2, 1.05)])
    cut = spline(np.concatenate([hem[:1], shoulders, hem[1:]]))
    plate.polygon(cut, p[_ROSE] if hand.traits[7] < 0.5 else p[_GOLD])
    for row in range(9):
        for col in range(9):
            right = (col - 4 + 0.5 * (row % 2)) * 0.62
            if abs(right) < 1.2 + 0.32 * row:
                spot_x, spot_y = x + right * size, y + size * (2.8 + row * 0.55)
                plate.disc(
                    spot_x, spot_y, size * 0.2, p[int(sheet.rng.choice([_TEAL, _RUST, _OLIVE]))]
                )
                plate.disc(spot_x, spot_y, size * 0.1, p[_IVORY])
    plate.line(cut, 0.007, p[_LINE])


def _face(plate: Plate, p: Array, x: float, y: float, size: float, look: int) -> None:
    """Neck, oval, lowered eyes, mouth."""
    skin = mix(p[_IVORY], p[_ROSE], 0.22)
    neck = shape("-.33,.6 .33,.6 .55,1.9 0,2.3 -.55,1.9", x, y, size)
    plate.polygon(neck, mix(skin, p[_LINE], 0.12))
    plate.oval(x, y, size * 0.8, size * 1.05, p[_LINE])
    plate.oval(x, y, size * 0.76, size * 1.01, skin)
    for side in (-1, 1):
        eye = x + side * size * 0.32 + look * size * 0.06
        plate.line(spline(shape("-.2,0 0,.09 .2,0", eye, y, size), 5), 0.006, p[_LINE])
        plate.line(spline(shape("-.22,-.22 0,-.32 .22,-.22", eye, y, size), 5), 0.005, p[_LINE])
    nose = shape(".05,-.1 .13,.32 0,.36", x, y, look * size, size)
    plate.line(nose, 0.004, mix(p[_LINE], p[_ROSE], 0.5))
    lips = spline(shape("-.16,.6 0,.54 .16,.6 0,.69 -.16,.6", x, y, size), 5)
    plate.polygon(lips, mix(p[_RUST], p[_ROSE], 0.3))


def _flower(plate: Plate, p: Array, x: float, y: float, size: float, color: Array) -> None:
    for turn in np.arange(5) * 1.2566:
        petal_x, petal_y = x + np.cos(turn) * size * 0.7, y + np.sin(turn) * size * 0.7
        plate.disc(petal_x, petal_y, size * 0.62, p[_LINE])
        plate.disc(petal_x, petal_y, size * 0.54, color)
    plate.disc(x, y, size * 0.36, p[_GOLD])


def _lily(sheet: Sheet, plate: Plate, hand: Hand) -> None:
    """Lilies on long stems before a moon."""
    p, a, rng = hand.palette, sheet.aspect, sheet.rng
    x, y = a * sheet.between(0.35, 0.65), sheet.between(0.28, 0.42)
    rings = ((1.03, _LINE), (1, _GOLD), (0.86, _IVORY))
    _rings(plate, p, x, y, hand.lerp(4, 0.2, 0.34), rings)
    for _ in range(int(rng.integers(6, 12))):
        root, turn = (
            np.array([sheet.between(0.15, 0.85) * a, 1.02]),
            -np.pi / 2 + rng.normal(0, 0.3),
        )
        leaf = mix(p[_OLIVE], p[_TEAL], sheet.between(0, 0.8))
        _whiplash(plate, root, turn, sheet.between(0.4, 0.75), rng.normal(0, 0.8), 0.05, leaf)
    for k in range(int(rng.integers(3, 6))):
        root, turn = np.array([sheet.between(0.2, 0.8) * a, 1.02]), -np.pi / 2 + rng.normal(0, 0.12)
        length, curl = sheet.between(0.5, 0.82), rng.normal(0, 0.35)
        tip = _whiplash(plate, root, turn, length, curl, 0.012, p[_OLIVE] * 0.8)
        _bloom(sheet, plate, p, tip, p[(_IVORY, _ROSE, _RUST)[(k + hand.choose(7, 3)) % 3]])


def _bloom(sheet: Sheet, plate: Plate, p: Array, tip: Array, color: Array) -> None:
    for petal in (-1.0, -0.5, 0.5, 1.0, 0.0):
        turn, long = -np.pi / 2 + petal * 0.85, sheet.between(0.12, 0.17)
        out = np.array([np.cos(turn), np.sin(turn)]) * long
        droop = np.array([petal * 0.045, 0.02 * abs(petal)])
        curve = spline(np.stack([tip, tip + out * 0.6, tip + out + droop]), 8)
        swell = np.sin(np.linspace(0.1, np.pi, len(curve)))
        plate.swell(curve, swell * 0.054 + 0.004, p[_LINE])
        plate.swell(curve, swell * 0.044, color)
    for x in (-0.04, 0.0, 0.04):
        end = tip + np.array([x, -0.11])
        plate.line(np.stack([tip, end]), 0.003, p[_LINE])
        plate.disc(end[0], end[1], 0.007, p[_GOLD])


def _peacock(sheet: Sheet, plate: Plate, hand: Hand) -> None:
    """A fan of feathers, each with its eye."""
    p = hand.palette
    root = np.array([sheet.aspect * sheet.between(0.4, 0.6), sheet.between(0.86, 0.98)])
    rows = int(hand.lerp(4, 4, 7))
    for row in range(rows):
        reach = (0.88 - 0.72 * row / rows) * sheet.between(0.95, 1.05)
        count = int(hand.lerp(5, 11, 17)) - row
        for k in range(count):
            turn = -np.pi / 2 + ((k + 0.5 * (row % 2)) / max(count - 1, 1) - 0.5) * 2.5
            tip = root + np.array([np.cos(turn), np.sin(turn)]) * reach
            bow = root + np.array([np.cos(turn + 0.1), np.sin(turn + 0.1)]) * reach * 0.6
            plate.line(spline(np.stack([root, bow, tip]), 8), 0.004, p[_LINE])
            size = 0.058 - 0.003 * row
            eye = ((1.0, _LINE), (0.9, _GOLD), (0.7, _OLIVE), (0.5, _TEAL), (0.28, _LINE))
            for share, color in eye:
                plate.oval(tip[0], tip[1], size * share * 0.85, size * share, p[color])
    neck = spline(shape("-.05,.1 -.07,-.1 .03,-.22 -.02,-.32", root[0], root[1]))
    plate.swell(neck, np.linspace(0.14, 0.04, len(neck)), p[_LINE])
    plate.swell(neck, np.linspace(0.125, 0.03, len(neck)), p[_TEAL])
    x, y = neck[-1]
    plate.disc(x, y, 0.03, p[_TEAL])
    plate.polygon(shape("-.02,-.012 -.075,.012 -.02,.014", x, y), p[_GOLD])
    plate.disc(x - 0.008, y - 0.006, 0.007, p[_IVORY])


_MOTIFS = {"lady": _lady, "lily": _lily, "peacock": _peacock}
