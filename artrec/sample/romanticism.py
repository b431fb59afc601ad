"""Romanticism: small dark things before ridges in mist, storms and moons."""

from __future__ import annotations

import numpy as np

from artrec.sample.brushes import Plate, Points, brush, shape, smear
from artrec.sample.painting import Array, Hand, Sheet, mix, noise, profile, soft, vignette, weave
from artrec.sample.scenes import ACCENT, DARK, FAR, LOW, MID, SECOND, SKY, Scene

__all__ = ["romanticism"]


def romanticism(sheet: Sheet, hand: Hand, motif: str) -> Array:
    """Ridges in mist or a sea in storm under a great glowing sky, glazed and dark at the edges."""
    p = hand.palette
    scene = Scene(sheet, p, sheet.between(0.5, 0.66))
    sun = _glow(scene, hand)
    if motif == "storm":
        scene.water(sun)
        _waves(scene)
    elif motif == "moonlight":
        scene.hills(0.2, 0.7, mix(p[FAR], p[DARK], 0.3))
        scene.water(sun)
        _ridges(scene, hand, 2, 0.72)
    else:
        _ridges(scene, hand, 4 if motif == "summit" else 2, 0.5)
    image = smear(scene.paint + noise(sheet, 0.01, 1) * 0.03, scene.angle, 2, sheet.rng)
    restless = soft(np.abs(scene.rough), 0.2, 0.7)
    image = brush(
        sheet,
        image,
        image,
        scene.angle,
        size=(0.08, 0.02),
        cover=0.7,
        jitter=0.008,
        bristle=0.012,
        where=restless,
    )
    image = _staffage(sheet, p, image, motif, scene.horizon)
    image = mix(image, p[MID][:, None, None] * image, hand.lerp(2, 0.0, 0.18))
    return image * vignette(sheet, hand.lerp(3, 0.2, 0.55)) + weave(sheet, 0.007)


def _glow(scene: Scene, hand: Hand) -> float:
    """A sky of torn clouds lit from behind; the place of the light is returned."""
    sheet, p = scene.sheet, scene.palette
    at, height = sheet.between(0.25, 0.75) * sheet.aspect, scene.horizon * sheet.between(0.25, 0.85)
    away = np.hypot(sheet.x - at, (sheet.y - height) * 1.2)
    air = mix(p[SKY], p[LOW], np.exp(-((away / hand.lerp(0, 0.3, 0.6)) ** 2)))
    air = mix(air, p[ACCENT], np.exp(-((away / 0.16) ** 2)) * 0.9)
    drift = noise(sheet, hand.lerp(1, 0.3, 0.6), 5, stretch=1.8)
    lit = mix(p[FAR], p[LOW], np.exp(-((away / 0.45) ** 2)))
    air = mix(air, lit, soft(drift, -0.1, 0.7) * 0.75)
    air = mix(air, p[SKY] * 0.75, soft(-drift + away * 0.4, 0.3, 1.2) * 0.8)
    radius = 0.035 if hand.traits[4] > 0.5 else 0.0
    scene.paint = mix(air, np.clip(p[ACCENT] * 1.05, 0, 1), soft(radius - away, -0.012, 0.004))
    scene.angle = drift * 0.7
    return at


def _ridges(scene: Scene, hand: Hand, count: int, first: float) -> None:
    """Mountains behind mountains, each darker than the last, mist in the valleys."""
    sheet, p = scene.sheet, scene.palette
    for k in range(count):
        near = (k + 1) / count
        base = first + (1.02 - first) * near
        color = mix(mix(p[LOW], p[FAR], min(near * 1.6, 1)), p[DARK], near**1.5)
        rise = hand.lerp(5, 0.2, 0.4) * (1.1 - 0.4 * near)
        scene.hills(rise, hand.lerp(6, 0.45, 0.72), color, base)
        scene.over(soft(sheet.y - base, -0.01, 0.0), color)
        if k < count - 1:
            valley = np.exp(-(((sheet.y - base + 0.03) / 0.05) ** 2))
            mist = valley * soft(noise(sheet, 0.3, 2), -0.6, 0.9) * 0.7
            scene.over(mist, mix(p[LOW], p[FAR], 0.35))


def _waves(scene: Scene) -> None:
    sheet, p = scene.sheet, scene.palette
    for k in range(5):
        near = (k + 1) / 5
        crest = scene.horizon + 0.42 * near**1.3 - 0.09 * near * profile(sheet, 0.5, 3)
        depth = sheet.y - crest[None, :]
        body = mix(mix(p[FAR], p[MID], near), p[DARK], soft(depth, 0.0, 0.16 * near + 0.03) * 0.8)
        slope = np.broadcast_to(profile(sheet, 0.5) * 0.6, depth.shape)
        scene.over(soft(depth, -0.006, 0.006), body, slope)
        foam = np.exp(-((depth / (0.02 * near + 0.006)) ** 2)) * soft(scene.rough, -0.2, 0.6)
        scene.over(foam, mix(p[ACCENT], p[FAR], 0.25))


def _staffage(sheet: Sheet, p: Array, image: Array, motif: str, horizon: float) -> Array:
    """A ship, a wanderer, a ruin or an oak: something small and dark before the distance."""
    plate, at = Plate(sheet, image), sheet.between(0.22, 0.78) * sheet.aspect
    if motif == "storm":
        _ship(sheet, plate, p, at, horizon + 0.04)
        return plate.array()
    foot = sheet.between(0.8, 0.88)
    edge = np.linspace(-0.05, sheet.aspect + 0.05, 60)
    crags = np.interp(edge, np.linspace(0, 2, 30), sheet.rng.uniform(-1, 1, 30))
    rock = foot + 0.7 * (edge - at) ** 2 + 0.02 * crags
    rock = np.where(np.abs(edge - at) < 0.08, foot, rock)
    ground = np.stack([edge, rock], 1)
    plate.polygon(np.concatenate([ground, [(edge[-1], 1.1), (edge[0], 1.1)]]), p[DARK])
    figure = {"ruin": _ruin, "summit": _wanderer}.get(motif, _oak)
    figure(sheet, plate, p, at, foot + 0.01)
    return plate.array()


def _ship(sheet: Sheet, plate: Plate, p: Array, at: float, foot: float) -> None:
    size, lean = sheet.between(0.7, 1.3), sheet.between(-0.35, 0.35)
    turn = np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]]) * size

    def put(points: Points) -> Array:
        turned: Array = np.asarray(points) @ turn + np.array([at, foot])
        return turned

    for x, tall in ((-0.055, 0.17), (0.0, 0.22), (0.055, 0.18)):
        plate.line(put([(x, 0), (x, -tall)]), 0.005, p[DARK])
        for text in (".19,.3 -.19,.3 -.15,.58 .15,.58", ".14,.62 -.14,.62 -.11,.86 .11,.86"):
            cloth = mix(p[LOW], p[DARK], sheet.between(0.3, 0.6))
            plate.polygon(put(shape(text, x, 0, tall, -tall)), cloth)
    plate.line(put([(0.08, -0.02), (0.15, -0.06)]), 0.004, p[DARK])
    plate.polygon(put(shape("-.1,-.035 -.08,.02 .07,.02 .11,-.025 0,-.012", 0, 0)), p[DARK])


def _ruin(sheet: Sheet, plate: Plate, p: Array, at: float, foot: float) -> None:
    """A gable with a pointed window, and what is left of the walls beside it."""
    rng, stone = sheet.rng, mix(p[DARK], p[FAR], 0.14)
    tall, half = sheet.between(0.34, 0.46), sheet.between(0.09, 0.12)
    t = np.linspace(0, 1, 9)
    left = at - half * (1 - 0.75 * t) + rng.uniform(-0.008, 0.008, 9)
    right = at + half * (1 - 0.6 * t) + rng.uniform(-0.012, 0.012, 9)
    outline = np.concatenate(
        [
            [(at - half, foot)],
            np.stack([left, foot - tall * (0.55 + 0.45 * t)], 1),
            np.stack([right, foot - tall * (0.4 + 0.5 * t)], 1)[::-1],
            [(at + half, foot)],
        ]
    )
    plate.polygon(outline, stone)
    bow = "-1,0 -1,.5 -.97,.6 -.87,.7 -.7,.8 -.45,.9 0,1 .45,.9 .7,.8 .87,.7 .97,.6 1,.5 1,0"
    sill = foot - tall * 0.2
    plate.polygon(shape(bow, at, sill, half * 0.42, -tall * 0.52), mix(p[LOW], p[FAR], 0.35))
    plate.line(shape("0,0 0,1", at, sill, 1, -tall * 0.52), 0.007, stone)
    for k in (-2.7, -2.1, -1.5, 1.5, 2.1, 2.7):
        stump = shape(
            "-.012,-.1 -.011,1 .012,.9 .013,-.1",
            at + half * k,
            foot,
            1,
            -tall * sheet.between(0.1, 0.4),
        )
        plate.polygon(stump, stone)


def _wanderer(sheet: Sheet, plate: Plate, p: Array, at: float, foot: float) -> None:
    coat, size = mix(p[DARK], p[MID], 0.15), sheet.between(0.8, 1.15)
    cut = (
        "-.02,0 -.026,-.045 -.018,-.1 0,-.112 .018,-.1 .03,-.05 .02,-.045 .018,0 .004,0 0,-.03 "
        "-.006,0"
    )
    plate.polygon(shape(cut, at, foot, size), coat)
    plate.disc(at, foot - 0.123 * size, 0.014 * size, mix(p[DARK], p[SECOND], 0.5))
    plate.line(shape(".03,-.06 .045,0", at, foot, size), 0.005, coat)


def _oak(sheet: Sheet, plate: Plate, p: Array, at: float, foot: float) -> None:
    """A bare tree: each branch forks until it is a twig."""
    rise, trunk = -np.pi / 2 + sheet.between(-0.2, 0.2), sheet.between(0.12, 0.16)
    branches = [(np.array([at, foot + 0.01]), rise, trunk, 0.032)]
    while branches:
        start, turn, length, width = branches.pop()
        kink = turn + sheet.between(-0.35, 0.35)
        middle = start + np.array([np.cos(turn), np.sin(turn)]) * length * 0.5
        end = middle + np.array([np.cos(kink), np.sin(kink)]) * length * 0.5
        widths = np.array([1, 0.8, 0.62]) * width
        plate.swell(np.stack([start, middle, end]), widths, p[DARK])
        if width > 0.0045:
            for side in (-1, 1):
                fork = kink + side * sheet.between(0.25, 0.75) - 0.12 * np.cos(kink) * side
                branches.append((end, fork, length * sheet.between(0.66, 0.86), width * 0.62))
