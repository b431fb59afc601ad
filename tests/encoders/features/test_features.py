"""Hand-made blocks against their definitions, written out in loops over pixels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from artrec.encoders.features import BLOCKS, Coded, colours, gradients, patches, patterns, raw
from artrec.encoders.features.fisher import fit_codebook, sampled
from artrec.encoders.features.planes import bright, halved, opponent

Pixels = NDArray[np.uint8]
Plane = list[list[int]]


def pictures(count: int, size: tuple[int, int] = (67, 64), seed: int = 0) -> Pixels:
    """Noise, a ramp and a plain area, so that all patterns occur."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 256, (count, *size, 3), dtype=np.uint8)
    values[:, : size[0] // 2, : size[1] // 2] = (200, 30, 90)
    values[:, size[0] // 2 :, : size[1] // 2] = np.arange(size[1] // 2)[:, None] * 3
    return values


def slow_opponent(picture: Pixels) -> list[Plane]:
    rows = picture.tolist()
    return [
        [[(r + g + b) // 3 for r, g, b in row] for row in rows],
        [[(r - g + 255) // 2 for r, g, b in row] for row in rows],
        [[(r + g - 2 * b + 510) // 4 for r, g, b in row] for row in rows],
    ]


def slow_bright(picture: Pixels) -> Plane:
    return [[(77 * r + 150 * g + 29 * b + 128) >> 8 for r, g, b in row] for row in picture.tolist()]


def slow_halved(plane: Plane) -> Plane:
    return [
        [
            (sum(plane[y + dy][x + dx] for dy in (0, 1) for dx in (0, 1)) + 2) // 4
            for x in range(0, len(plane[0]) - 1, 2)
        ]
        for y in range(0, len(plane) - 1, 2)
    ]


def slow_patterns(picture: Pixels) -> list[float]:
    """Neighbors from the upper left, clockwise; the first counts 1, the last 128."""
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
    planes, found = slow_opponent(picture), []
    for scale in range(4):
        if scale:
            planes = [slow_halved(plane) for plane in planes]
        for plane in planes:
            counts: Counter[int] = Counter()
            for y in range(1, len(plane) - 1):
                for x in range(1, len(plane[0]) - 1):
                    bits = [plane[y + dy][x + dx] >= plane[y][x] for dy, dx in ring]
                    counts[sum(2**bit for bit, is_set in enumerate(bits) if is_set)] += 1
            found += [counts[code] / counts.total() for code in range(256)]
    return found


def slow_gradient(plane: Plane, y: int, x: int) -> tuple[float, float]:
    height, width = len(plane), len(plane[0])
    across = plane[y][x + 1] - plane[y][x - 1] if 0 < x < width - 1 else 0
    down = plane[y + 1][x] - plane[y - 1][x] if 0 < y < height - 1 else 0
    return math.hypot(across, down), math.atan2(down, across)


def slow_cell(
    plane: Plane, top: int, left: int, height: int, width: int, directions: int, full: float,
    weight: Callable[[float], float],
) -> list[float]:  # fmt: skip
    """Of one cell: each pixel's weight goes to the two nearest directions."""
    found = [0.0] * directions
    for y in range(top, top + height):
        for x in range(left, left + width):
            magnitude, angle = slow_gradient(plane, y, x)
            step = angle % full / full * directions
            low = math.floor(step)
            found[low % directions] += weight(magnitude) * (1 - (step - low)) / (height * width)
            found[(low + 1) % directions] += weight(magnitude) * (step - low) / (height * width)
    return found


def slow_gradients(picture: Pixels) -> list[float]:
    plane, found = slow_bright(picture), []
    for scale in range(3):
        if scale:
            plane = slow_halved(plane)
        # what no whole cell of the finest grid holds is out before anything is measured
        height, width = len(plane) // 4, len(plane[0]) // 4
        inner = [row[: width * 4] for row in plane[: height * 4]]
        for parts in (1, 2, 4):
            tall, wide = height * 4 // parts, width * 4 // parts
            for row in range(parts):
                for column in range(parts):
                    place = (row * tall, column * wide, tall, wide)
                    found += slow_cell(inner, *place, 16, math.pi, math.sqrt)
    return found


def slow_colours(picture: Pixels) -> list[float]:
    planes = [slow_halved(plane) for plane in slow_opponent(picture)]
    planes[1:] = [[[2 * value - 128 for value in row] for row in plane] for plane in planes[1:]]
    steps = [[[min(255, max(0, v)) // 16 for v in row] for row in plane] for plane in planes]
    tall, wide = len(steps[0]) // 2, len(steps[0][0]) // 2
    found: list[float] = []
    for first, second in ((0, 1), (0, 2), (1, 2)):
        quarters: list[list[float]] = []
        for top in (0, tall):
            for left in (0, wide):
                counts = [0.0] * 256
                for y in range(top, top + tall):
                    for x in range(left, left + wide):
                        counts[steps[first][y][x] * 16 + steps[second][y][x]] += 1 / (tall * wide)
                quarters.append(counts)
        found += [sum(each) / 4 for each in zip(*quarters, strict=True)]
        found += [value for quarter in quarters for value in quarter]
    return found


def slow_moments(picture: Pixels) -> list[float]:
    """The cosine transform by its formula; products of all pairs of answers."""
    frequencies = [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (3, 0)]
    cosine = [[math.cos(math.pi * k * (2 * x + 1) / 16) for x in range(8)] for k in range(4)]
    planes, found = slow_opponent(picture), []
    for scale, step in enumerate((5, 3, 2)):
        if scale:
            planes = [slow_halved(plane) for plane in planes]
        rows = []
        for top in range(0, len(planes[0]) - 7, step):
            for left in range(0, len(planes[0][0]) - 7, step):
                answers = []
                for plane in planes:
                    for down, across in frequencies:
                        total = sum(
                            plane[top + y][left + x] * cosine[down][y] * cosine[across][x]
                            for y in range(8)
                            for x in range(8)
                        )
                        answers.append(total / 4 / math.sqrt(2) ** ((down == 0) + (across == 0)))
                roots = [answer / math.sqrt(abs(answer) + 1) for answer in answers]
                rows.append(roots + [abs(root) for root in roots])
        means = np.array(rows)
        products = means.T @ means / len(rows)
        found += [products[a][b] for a in range(54) for b in range(a, 54)]
        found += means[:, 27:].mean(axis=0).tolist()
    return found


@pytest.mark.parametrize(
    ("block", "slow"),
    [
        ("patterns", slow_patterns),
        ("gradients", slow_gradients),
        ("colours", slow_colours),
        ("moments", slow_moments),
    ],
)
@pytest.mark.parametrize("size", [(64, 64), (67, 70)])
def test_a_block_is_what_its_definition_says(
    block: str, slow: Callable[[Pixels], list[float]], size: tuple[int, int]
) -> None:
    batch = pictures(2, size)
    found = raw(block, batch)
    assert found.shape == (2, BLOCKS[block].numbers)
    assert found.dtype == np.float32
    for picture, numbers in zip(batch, found, strict=True):
        tolerance = 1e-4 if block == "moments" else 1e-5
        assert numbers == pytest.approx(slow(picture), rel=1e-4, abs=tolerance)


def test_planes_are_what_their_definitions_say() -> None:
    every = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3), axis=-1).reshape(1, -1, 52, 3)
    batch = every.astype(np.uint8)
    assert opponent(batch)[0].tolist() == slow_opponent(batch[0])
    assert bright(batch)[0].tolist() == slow_bright(batch[0])
    plane = pictures(1, (7, 9))[..., 0]
    assert halved(plane)[0].tolist() == slow_halved(plane[0].tolist())


def test_pixel_patches_are_squares_of_the_picture() -> None:
    batch = pictures(2, (64, 48))
    found = patches.pixel_patches(batch)
    assert found.shape == (2, 10 * 7, 192)
    patch = 2 * 7 + 3  # the third row, the fourth column: at 12 down, 18 right
    rows = batch[1].tolist()
    expected = [rows[12 + y][18 + x][c] for y in range(8) for x in range(8) for c in range(3)]
    assert found[1, patch].tolist() == expected


def test_edge_patches_are_cells_of_gradients_of_bounded_length() -> None:
    batch = pictures(2, (64, 64))
    found = patches.edge_patches(batch)
    assert found.shape == (2, 25, 128)
    plane = slow_halved(slow_bright(batch[0]))
    cells = [
        slow_cell(plane, 4 * (1 + row), 4 * (2 + column), 4, 4, 8, 2 * math.pi, float)
        for row in range(4)
        for column in range(4)
    ]
    numbers = [number for cell in cells for number in cell]
    length = math.sqrt(sum(number**2 for number in numbers)) + 5
    expected = [math.sqrt(min(number / length, 0.25)) for number in numbers]
    assert found[0, 1 * 5 + 2] == pytest.approx(expected, abs=1e-3)


def test_a_flat_picture_has_no_edges() -> None:
    flat = np.full((1, 64, 64, 3), 77, np.uint8)
    assert not gradients.gradient_means(flat).any()
    assert not patches.edge_patches(flat).any()
    shares = patterns.pattern_shares(flat).reshape(12, 256)
    assert (shares[:, 255] == 1).all()
    assert colours.colour_shares(flat).max() == 1


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_a_pictures_numbers_are_the_same_in_every_batch(block: str) -> None:
    batch, made = pictures(5, (64, 64)), BLOCKS[block]
    codebook = None
    if isinstance(made, Coded):
        some = sampled([made.patches(pictures(40, (64, 64), 3))], 40, 0)
        codebook = fit_codebook(some, made.dim, made.gaussians, 0)
    together = raw(block, batch, codebook)
    assert together.shape == (5, made.numbers)
    for place in range(5):
        alone = raw(block, batch[place : place + 1], codebook)[0]
        assert together[place] == pytest.approx(alone, rel=1e-4, abs=1e-5)
    assert raw(block, batch[:0], codebook).shape == (0, made.numbers)
