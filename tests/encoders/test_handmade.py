"""The hand-made descriptor against its definition, written out in loops."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from artrec.encoders import Encoder, Preprocess, load_builtin
from artrec.encoders.card import Card, pack, read_encoder
from artrec.encoders.handmade import CARD, HANDMADE
from artrec.errors import ConfigError

Pixels = NDArray[np.uint8]


def handmade(
    size: tuple[int, int] = (11, 9),
    tensors: dict[str, NDArray[np.float32]] | None = None,
    dim: int = 154,
    **parameters: Any,
) -> Encoder:
    """The encoder with other parameters, for pictures of another size."""
    card = Card(
        name="test",
        architecture="handmade",
        dim=dim,
        metric="cosine",
        preprocess=Preprocess(size=size),
        parameters=parameters,
    )
    return read_encoder(*pack(card, tensors or {}))


def pictures(count: int, size: tuple[int, int] = (11, 9), seed: int = 0) -> Pixels:
    """Noise with plain areas, so that all patterns occur."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 256, (count, *size, 3), dtype=np.uint8)
    values[:, : size[0] // 2, : size[1] // 2] = (200, 30, 90)
    return values


def gray(picture: Pixels) -> list[list[int]]:
    return [[(77 * r + 150 * g + 29 * b + 128) >> 8 for r, g, b in row] for row in picture.tolist()]


def patterns(picture: Pixels) -> list[int]:
    """Counts of the 26 patterns: the ring's points to sixteenths of a pixel, exact after that."""
    bright = gray(picture)
    counts = [0] * 26
    for y in range(3, len(bright) - 3):
        for x in range(3, len(bright[0]) - 3):
            ring = []
            for point in range(24):
                down = round(48 * math.sin(2 * math.pi * point / 24)) / 16
                right = round(48 * math.cos(2 * math.pi * point / 24)) / 16
                top, left = math.floor(down), math.floor(right)
                below, beside = down - top, right - left
                value = 0.0
                for rows, part in ((top, 1 - below), (top + 1, below)):
                    for columns, share in ((left, 1 - beside), (left + 1, beside)):
                        if part * share:
                            value += bright[y + rows][x + columns] * part * share
                ring.append(value >= bright[y][x])
            changes = sum(ring[point] != ring[point - 1] for point in range(24))
            counts[sum(ring) if changes <= 2 else 25] += 1
    return counts


def edges(picture: Pixels, root: bool) -> list[int]:
    bright = gray(picture)
    counts = [0] * 32
    for y in range(1, len(bright) - 1):
        for x in range(1, len(bright[0]) - 1):
            across = along = 0
            for step, weight in ((-1, 1), (0, 2), (1, 1)):
                across += weight * (bright[y + step][x + 1] - bright[y + step][x - 1])
                along += weight * (bright[y + 1][x + step] - bright[y - 1][x + step])
            share = math.hypot(across, along) / 1020
            counts[min(31, int(32 * (math.sqrt(share) if root else share)))] += 1
    return counts


def expected(picture: Pixels, power: float, weights: list[float], root: bool) -> list[float]:
    colours: list[int] = []
    for channel in range(3):
        colours += np.bincount(picture[..., channel].ravel() // 8, minlength=32).tolist()
    vector: list[float] = []
    for block, weight in zip(
        (colours, patterns(picture), edges(picture, root)), weights, strict=True
    ):
        powered = [count**power if count else 0.0 for count in block]
        length = math.sqrt(sum(value * value for value in powered))
        vector += [weight * value / length for value in powered]
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


@pytest.mark.parametrize(
    ("power", "weights", "bins"),
    [(0.35, [1, 1, 1], "root"), (1.0, [1, 1, 1], "linear"), (0.5, [2, 1, 2], "linear")],
)
def test_the_numbers_are_the_three_histograms(
    power: float, weights: list[float], bins: str
) -> None:
    batch = pictures(3)
    found = handmade(power=power, weights=weights, edges=bins).encode(batch)
    assert found.shape == (3, 154)
    assert found.dtype == np.float32
    for picture, vector in zip(batch, found, strict=True):
        assert vector == pytest.approx(expected(picture, power, weights, bins == "root"), abs=1e-6)


def test_the_built_in_encoder_is_the_one_with_this_id() -> None:
    encoder = load_builtin("handmade")
    assert encoder.id == HANDMADE == "handmade-1628d4bd3c9e"
    assert (encoder.dim, encoder.metric) == (154, "cosine")
    assert encoder.preprocess == Preprocess(size=(256, 256), fit="stretch", filter="lanczos")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("handmade-plain", (1, 1, 1)),
        ("handmade-plain-211", (2, 1, 1)),
        ("handmade-plain-212", (2, 1, 2)),
    ],
)
def test_the_plain_numbers_come_in_three_weightings(name: str, parts: tuple[int, int, int]) -> None:
    """Shares of a histogram, each of length 1, times its weight: as those who built them did."""
    encoder = load_builtin(name)
    assert re.fullmatch(f"{name}-[0-9a-f]{{12}}", encoder.id)
    (found,) = encoder.encode(np.random.default_rng(3).integers(0, 256, (1, 256, 256, 3), np.uint8))
    blocks = [found[:96], found[96:122], found[122:]]
    lengths = np.array([np.linalg.norm(each) for each in blocks])
    assert lengths / lengths[1] == pytest.approx(np.array(parts) / parts[1], rel=1e-5)
    assert np.linalg.norm(found) == pytest.approx(1, rel=1e-6)


def test_there_is_no_other_built_in_encoder() -> None:
    with pytest.raises(ConfigError, match="no built-in encoder 'resnet'; there is handmade"):
        load_builtin("resnet")


def test_the_built_in_encoder_stays_as_it_is() -> None:
    """Values of a plain picture by hand: a constant has one bin in each block.

    Three equal bins share the colour block: 1 / sqrt(3) of 1 / sqrt(3); the others are 1 / sqrt(3).
    """
    vector = load_builtin("handmade").encode(np.full((1, 256, 256, 3), 255, dtype=np.uint8))[0]
    # bin 31 of each colour; all 24 points as bright as the middle; no edge at all
    filled = {31: 1 / 3, 63: 1 / 3, 95: 1 / 3, 96 + 24: 3**-0.5, 96 + 26: 3**-0.5}
    assert {int(place): vector[place] for place in np.flatnonzero(vector)} == pytest.approx(filled)


def test_a_vector_is_the_same_to_the_bit_in_every_batch() -> None:
    encoder = load_builtin("handmade")
    batch = np.random.default_rng(1).integers(0, 256, (9, 256, 256, 3), dtype=np.uint8)
    together = encoder.encode(batch)
    assert np.array_equal(together, encoder.encode(batch))
    for number in range(9):
        assert np.array_equal(together[number], encoder.encode(batch[number : number + 1])[0])
    assert np.array_equal(together[::-1], encoder.encode(batch[::-1]))


def test_no_pictures_give_no_vectors() -> None:
    assert handmade().encode(pictures(0)).shape == (0, 154)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(0, 255)] * 3), st.floats(0.05, 1))
def test_a_constant_picture_has_a_vector_of_length_one(
    colour: tuple[int, int, int], power: float
) -> None:
    batch = np.full((1, 11, 9, 3), colour, dtype=np.uint8)
    assert np.linalg.norm(handmade(power=power).encode(batch)) == pytest.approx(1, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_turning_a_picture_by_right_angles_changes_nothing(seed: int, turns: int) -> None:
    encoder = handmade((12, 12))
    batch = pictures(2, (12, 12), seed)
    turned = np.rot90(batch, turns, axes=(1, 2))
    assert np.array_equal(encoder.encode(batch), encoder.encode(turned))


def test_weights_are_those_of_the_blocks_under_cosine() -> None:
    vector = handmade(weights=[2, 1, 0]).encode(pictures(1))[0].astype(float)
    colour, texture, edge = np.split(vector, [96, 122])
    assert np.linalg.norm(colour) == pytest.approx(2 / math.sqrt(5))
    assert np.linalg.norm(texture) == pytest.approx(1 / math.sqrt(5))
    assert not edge.any()


def test_a_center_and_a_projection_come_after_the_blocks() -> None:
    plain = handmade().encode(pictures(5)).astype(np.float64)
    random = np.random.default_rng(2)
    center = random.normal(0, 0.1, 154).astype(np.float32)
    projection = random.normal(0, 1, (154, 7)).astype(np.float32)
    found = handmade(
        tensors={"center": center, "projection": projection}, dim=7, center=True, projection=True
    ).encode(pictures(5))
    wanted = (plain - center) @ projection
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    "batch",
    [np.zeros((1, 9, 11, 3), np.uint8), np.zeros((11, 9, 3), np.uint8), np.zeros((1, 11, 9, 3))],
)
def test_pictures_of_another_shape_or_type_are_refused(batch: Any) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(n, 11, 9, 3\)"):
        handmade().encode(batch)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"power": 0}, "power"),
        ({"power": 2}, "power"),
        ({"weights": [0, 0, 0]}, "one of the weights must be above 0"),
        ({"weights": [1, -1, 1]}, "weights"),
        ({"edges": "round"}, "edges"),
        ({"bins": 64}, "bins"),
        ({"size": (6, 9)}, "under 7"),
        ({"dim": 153}, "gives 154 numbers, the card says 153"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        handmade(**parameters)


def test_a_scale_is_refused_since_bytes_are_counted() -> None:
    scaled = CARD.model_copy(
        update={"preprocess": CARD.preprocess.model_copy(update={"scale": 1 / 255})}
    )
    with pytest.raises(ConfigError, match="no scale, mean or std"):
        read_encoder(*pack(scaled, {}))
