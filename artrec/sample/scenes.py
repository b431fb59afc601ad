"""Places: what a landscape shows before a style decides how it is painted.

The eight colours of a landscape palette have roles: sky above, sky at the horizon, distance, dark,
middle and light of the ground, and two accents.
"""

from __future__ import annotations

import math

import numpy as np

from artrec.sample.painting import Array, Sheet, mix, noise, profile, soft

__all__ = ["ACCENT", "DARK", "FAR", "LIGHT", "LOW", "MID", "SECOND", "SKY", "Scene", "landscape"]

SKY, LOW, FAR, DARK, MID, LIGHT, ACCENT, SECOND = range(8)


class Scene:
    """A place being laid out: its colours, the direction of its strokes, its horizon."""

    def __init__(self, sheet: Sheet, palette: Array, horizon: float) -> None:
        self.sheet, self.palette, self.horizon = sheet, palette, horizon
        self.rough = noise(sheet, 0.12, 3)
        self.paint = sheet.fill(palette[MID])
        self.angle = self.rough * 0.8
        self.things = np.zeros(sheet.x.shape, dtype=np.int32)

    def over(self, mask: Array, color: Array, angle: Array | float | None = None) -> None:
        """Lay one thing over the rest; a thing with a stroke angle has an outline too."""
        self.paint = mix(self.paint, color, mask)
        if angle is not None:
            there = mask > 0.5
            turn = np.asarray(angle, dtype=np.float32)
            self.angle = np.where(there, turn, self.angle)
            self.things = np.where(there, self.things.max() + 1, self.things)

    def lines(self) -> Array:
        """Where one thing ends and another begins: a plane of 0 and 1."""
        edge = np.zeros(self.things.shape, dtype=np.float32)
        edge[:, 1:] = self.things[:, 1:] != self.things[:, :-1]
        edge[1:] = np.maximum(edge[1:], self.things[1:] != self.things[:-1])
        return edge

    def sky(self, clouds: float = 0.6) -> None:
        sheet, p = self.sheet, self.palette
        fall = np.clip(sheet.y / max(self.horizon, 0.05), 0, 1) ** 1.3
        air = mix(p[SKY], p[LOW], fall)
        drift = noise(sheet, 0.3, 4, stretch=2.2)
        bright = np.clip(p[LOW] * 0.6 + 0.42, 0, 1)
        air = mix(air, bright, soft(drift, 0.1, 0.9) * clouds)
        air = mix(air, p[FAR], soft(-drift, 0.5, 1.3) * clouds * 0.5)
        self.over(soft(self.horizon - sheet.y, -0.01, 0.01), air)
        self.angle = np.where(sheet.y < self.horizon, drift * 0.5, self.angle)

    def sun(self, height: float, radius: float) -> float:
        """A low disc with its glow; its place across the sheet is returned."""
        sheet, p = self.sheet, self.palette
        at = sheet.between(0.2, 0.8) * sheet.aspect
        away = np.hypot(sheet.x - at, sheet.y - height)
        self.over(np.exp(-((away / 0.28) ** 2)) * 0.55, p[LOW])
        self.over(soft(radius - away, -0.008, 0.008), p[ACCENT])
        return at

    def hills(self, rise: float, rough: float, color: Array, base: float | None = None) -> None:
        """A ridge between its outline and the horizon, paler towards its foot."""
        sheet = self.sheet
        foot = self.horizon if base is None else base
        top = foot - rise * (0.55 + 0.45 * profile(sheet, rough))
        mask = soft(sheet.y - top[None, :], -0.006, 0.006) * soft(foot - sheet.y, -0.012, 0.002)
        lit = mix(np.asarray(color), self.palette[LOW], soft(self.rough, 0.0, 1.6) * 0.45)
        self.over(mask, lit, self.rough * 0.5 + 0.3)

    def ground(self) -> None:
        """Fields below the horizon, their furrows drawn together in the distance."""
        sheet, p = self.sheet, self.palette
        depth = np.clip((sheet.y - self.horizon) / (1 - self.horizon), 0.002, 1)
        furrow = np.sin(np.log(depth) * 5.0 + self.rough * 1.6 + sheet.x * sheet.between(-1, 1))
        color = mix(p[MID], p[LIGHT], soft(furrow + self.rough * 0.8, -0.6, 1.2))
        color = mix(color, p[DARK], soft(-self.rough + depth * 0.3, 0.5, 1.3) * 0.6)
        color = mix(color, p[FAR], (1 - soft(depth, 0, 0.35)) * 0.5)
        self.over(soft(sheet.y - self.horizon, -0.004, 0.004), color, self.rough * 0.35)

    def tree(self, at: float, foot: float, across: float, tall: float) -> None:
        """A crown lit from the upper left on a short trunk."""
        sheet, p = self.sheet, self.palette
        right, down = (sheet.x - at) / across, (sheet.y - foot + tall * 0.55) / (tall * 0.5)
        crown = soft(1 - right**2 - down**2 + self.rough * 0.75, 0.0, 0.14)
        trunk = soft(across * 0.09 - np.abs(sheet.x - at + self.rough * 0.01), -0.004, 0.004)
        trunk = trunk * soft(sheet.y - foot + tall * 0.4, 0, 0.01) * soft(foot - sheet.y, 0, 0.01)
        self.over(trunk, p[DARK] * 0.8, math.pi / 2)
        light = np.clip(0.42 - 0.3 * right - 0.34 * down + self.rough * 0.45, 0, 1)
        leaves = mix(
            mix(p[DARK], p[MID], soft(light, 0.1, 0.55)), p[LIGHT], soft(light, 0.6, 1.0) * 0.8
        )
        self.over(crown, leaves, self.rough * 2.5)

    def trees(self, count: int, foot: float, tall: float) -> None:
        for _ in range(count):
            size = tall * self.sheet.between(0.55, 1.1)
            at = self.sheet.between(0, self.sheet.aspect)
            self.tree(at, foot, size * self.sheet.between(0.3, 0.55), size)

    def poplars(self, count: int, foot: float, tall: float) -> None:
        start, gap = self.sheet.between(0.05, 0.4), self.sheet.between(0.1, 0.16)
        for k in range(count):
            size = tall * self.sheet.between(0.8, 1.1)
            self.tree(start + k * gap, foot, size * 0.13, size)

    def water(self, sun: float | None = None) -> None:
        """All below the horizon mirrors what is above it, broken by ripples."""
        sheet, p = self.sheet, self.palette
        edge = int(self.horizon * sheet.height)
        rows, cols = np.indices(sheet.x.shape, dtype=np.float32)
        ripple = noise(sheet, 0.035, 2, stretch=7.0)
        depth: Array = np.maximum((rows - edge) / sheet.height, 0)
        sway = ripple * (4 + 40 * depth)
        from_row = np.clip(2 * edge - rows - 1 + np.abs(sway) * 0.4, 0, max(edge - 1, 0))
        from_col = np.clip(cols + sway, 0, sheet.width - 1)
        mirror = self.paint[:, from_row.astype(np.intp), from_col.astype(np.intp)]
        mirror = mix(mirror, (p[SKY] + p[MID]) / 2, 0.22 + np.clip(depth * 0.5, 0, 0.4))
        mirror = mix(mirror, p[LOW], soft(ripple, 0.35, 1.1) * 0.5)
        if sun is not None:
            path = np.exp(-(((sheet.x - sun) / (0.03 + depth * 0.16)) ** 2))
            mirror = mix(mirror, p[ACCENT], path * soft(ripple, -0.15, 0.35))
        self.over(soft(sheet.y - self.horizon, -0.003, 0.003), mirror, ripple * 0.12)

    def flowers(self, near: float, amount: float) -> None:
        """Specks of both accents, thicker towards the viewer."""
        sheet, p = self.sheet, self.palette
        depth = np.clip((sheet.y - near) / max(1 - near, 0.05), 0, 1)
        specks = sheet.rng.random(sheet.x.shape, dtype=np.float32)
        patch = soft(noise(sheet, 0.2, 2), -0.2, 0.5)
        grow = soft(noise(sheet, 0.02, 1), 0.35, 0.45) * soft(depth, 0.0, 0.25)
        self.over(grow * patch * amount, mix(p[ACCENT], p[SECOND], soft(specks, 0.6, 0.7)))

    def bank(self) -> None:
        """Near land in one lower corner."""
        sheet, p = self.sheet, self.palette
        across = sheet.x / sheet.aspect
        if sheet.chance(0.5):
            across = 1 - across
        top = 1.02 - sheet.between(0.15, 0.34) * (1 - across / sheet.between(0.5, 1.1))
        grass = mix(p[DARK], p[LIGHT], soft(self.rough, -0.3, 1.1))
        mask = soft(sheet.y - top + self.rough * 0.03, -0.01, 0.02)
        self.over(mask, grass, self.rough * 0.5 - 1.2)

    def houses(self, count: int, foot: float, size: float) -> None:
        sheet, p = self.sheet, self.palette
        at = sheet.between(0.05, 0.35) * sheet.aspect
        for _ in range(count):
            wide, tall = size * sheet.between(0.7, 1.3), size * sheet.between(0.6, 1.1)
            right = (sheet.x - at) / wide
            wall = soft(0.5 - np.abs(right), 0, 0.04) * soft(foot - sheet.y, 0, 0.008)
            wall *= soft(sheet.y - foot + tall, 0, 0.008)
            slope = foot - tall - size * 0.55 * (0.62 - np.abs(right)) / 0.62
            roof = soft(sheet.y - slope, 0, 0.012) * soft(foot - tall * 0.95 - sheet.y, 0, 0.008)
            roof *= soft(0.62 - np.abs(right), 0, 0.03)
            front = mix(sheet.fill(p[LOW] * 0.5 + 0.48), p[FAR], soft(right, -0.1, 0.2) * 0.6)
            self.over(wall, front, math.pi / 2)
            self.over(roof, p[ACCENT] if sheet.chance(0.6) else p[SECOND], 0.5)
            row, step = np.abs((sheet.y - foot + tall * 0.6) / tall), np.abs(right % 0.33 - 0.16)
            self.over(wall * soft(0.11 - row, 0, 0.02) * soft(0.07 - step, 0, 0.02), p[DARK])
            at += wide * sheet.between(0.8, 1.5)

    def boats(self, count: int, lowest: float) -> None:
        """Hulls with sails, smaller towards the horizon."""
        sheet, p = self.sheet, self.palette
        for _ in range(count):
            foot = sheet.between(self.horizon + 0.02, max(lowest, self.horizon + 0.05))
            size = 0.09 + 0.35 * (foot - self.horizon)
            at = sheet.between(0.1, 0.9) * sheet.aspect
            right, up = (sheet.x - at) / size, (foot - sheet.y) / size
            hull = soft(0.42 + up * 0.5 - np.abs(right), 0, 0.05) * soft(up + 0.02, 0, 0.04)
            hull *= soft(0.17 - up, 0, 0.04)
            lean = 0.55 * (1 - (up - 0.2) / 1.15)
            sail = soft(lean - right, 0, 0.05) * soft(right + 0.02 + lean * 0.25, 0, 0.05)
            sail *= soft(up - 0.2, 0, 0.04) * soft(1.3 - up, 0, 0.05)
            cloth = p[LOW] * 0.4 + 0.58 if sheet.chance(0.6) else p[ACCENT]
            self.over(sail, cloth, math.pi / 2)
            self.over(sail * soft(-right, -0.1, 0.2) * 0.4, p[FAR])
            self.over(hull, p[DARK], 0.0)
            glint = soft(0.4 - np.abs(right + self.rough * 0.2), 0, 0.2) * soft(-up, 0, 0.05)
            self.over(glint * soft(up + 0.9, 0, 0.6) * 0.55, mix(cloth, p[DARK], 0.4), 0.0)

    def path(self) -> None:
        sheet, p = self.sheet, self.palette
        depth = np.clip((sheet.y - self.horizon) / (1 - self.horizon), 0, 1)
        goal, start = sheet.between(0.3, 0.7), sheet.between(0.2, 0.8)
        middle = (goal + (start - goal) * depth + 0.1 * np.sin(depth * 5)) * sheet.aspect
        wide = 0.01 + 0.2 * depth**1.4 + self.rough * 0.012
        mask = soft(wide - np.abs(sheet.x - middle), 0, 0.02) * soft(depth, 0, 0.02)
        self.over(mask, mix(p[LOW], p[LIGHT], 0.3), self.rough * 0.3)

    def stacks(self, count: int) -> None:
        """Stacks of hay with their shadows."""
        sheet, p = self.sheet, self.palette
        for k in range(count):
            size = sheet.between(0.13, 0.24) / (1 + 0.6 * k)
            foot, at = self.horizon + size * 1.1, sheet.between(0.15, 0.85) * sheet.aspect
            right, up = (sheet.x - at) / size, (foot - sheet.y) / size
            shade = soft(1 - ((right - 0.8) / 1.4) ** 2 - (up / 0.22) ** 2, 0, 0.3)
            self.over(shade * 0.7, p[FAR] * 0.6 + p[DARK] * 0.4, 0.0)
            side = np.where(up > 0.62, (1.25 - up) * 1.05, 0.5 + up * 0.15)
            mask = soft(side - np.abs(right) + self.rough * 0.04, 0, 0.06) * soft(up, 0, 0.06)
            lit = mix(p[LIGHT], p[SECOND], soft(-right, 0.1, 0.5) * 0.4)
            hay = mix(lit, mix(p[DARK], p[ACCENT], 0.45), soft(right + self.rough * 0.2, -0.2, 0.4))
            self.over(mask, hay, 1.2 + self.rough * 0.3)


def _river(scene: Scene) -> None:
    scene.sky()
    scene.hills(0.1, 0.5, scene.palette[FAR])
    if scene.sheet.chance(0.35):
        scene.poplars(int(scene.sheet.rng.integers(4, 9)), scene.horizon + 0.01, 0.36)
    scene.trees(5, scene.horizon + 0.01, 0.2)
    scene.water()
    scene.boats(int(scene.sheet.rng.integers(0, 3)), 0.75)
    if scene.sheet.chance(0.7):
        scene.bank()
        scene.flowers(0.75, 0.5)


def _field(scene: Scene) -> None:
    scene.sky()
    scene.hills(0.12, 0.45, scene.palette[FAR])
    scene.ground()
    scene.trees(4, scene.horizon + 0.02, 0.16)
    if scene.sheet.chance(0.5):
        scene.stacks(int(scene.sheet.rng.integers(1, 4)))
    else:
        scene.flowers(scene.horizon + 0.1, 0.95)
        scene.trees(1, scene.horizon + 0.2, 0.5)


def _garden(scene: Scene) -> None:
    scene.horizon *= 0.55
    scene.sky(0.3)
    scene.ground()
    scene.trees(6, scene.horizon + 0.1, 0.42)
    scene.path()
    scene.flowers(scene.horizon + 0.12, 1.0)
    scene.trees(2, scene.sheet.between(0.6, 0.9), 0.6)


def _harbour(scene: Scene) -> None:
    scene.sky(0.8)
    sun = scene.sun(
        scene.horizon * scene.sheet.between(0.3, 0.75), scene.sheet.between(0.03, 0.055)
    )
    scene.hills(0.07, 0.8, mix(scene.palette[FAR], scene.palette[DARK], 0.4))
    scene.water(sun)
    scene.boats(int(scene.sheet.rng.integers(2, 6)), 0.85)


def _village(scene: Scene) -> None:
    scene.sky()
    scene.hills(0.2, 0.5, scene.palette[FAR])
    scene.ground()
    scene.trees(3, scene.horizon + 0.04, 0.25)
    scene.houses(int(scene.sheet.rng.integers(2, 5)), scene.horizon + 0.1, 0.15)
    scene.path()
    scene.trees(2, scene.horizon + 0.3, 0.45)


_MOTIFS = {
    "river": _river,
    "field": _field,
    "garden": _garden,
    "harbour": _harbour,
    "village": _village,
}


def landscape(sheet: Sheet, palette: Array, motif: str) -> Scene:
    """A river, field, garden, harbour or village in the colours of a palette.

    It is laid out at half the sheet's size, strokes and dots being wider than two pixels.
    """
    small = Sheet.of(sheet.rng, (sheet.width + 1) // 2, (sheet.height + 1) // 2)
    scene = Scene(small, palette, sheet.between(0.34, 0.52))
    _MOTIFS[motif](scene)
    rows = np.arange(sheet.height) // 2
    cols = np.arange(sheet.width) // 2
    scene.paint = scene.paint[:, rows[:, None], cols]
    scene.angle, scene.rough = (a[rows[:, None], cols] for a in (scene.angle, scene.rough))
    scene.things = scene.things[rows[:, None], cols]
    scene.sheet = sheet
    return scene
