"""The perceptual hash against its definition, written out."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from artrec.picture import perceptual_hash


def shapes(seed: int, side: int = 256) -> Image.Image:
    """A smooth picture: a few random waves."""
    random = np.random.default_rng(seed)
    place = np.linspace(0, 2 * np.pi, side)
    total = np.zeros((side, side))
    for _ in range(6):
        down, right, phase = random.uniform((0.3, 0.3, 0), (3, 3, 6))
        total += np.sin(down * place[:, None] + right * place[None, :] + phase)
    total -= total.min()
    return Image.fromarray((total / total.max() * 255).astype(np.uint8))


def differing(first: int, second: int) -> int:
    return ((first ^ second) & (2**64 - 1)).bit_count()


def test_the_bits_are_low_frequencies_above_their_median() -> None:
    image = shapes(1, side=32)  # no shrinking, so the pixels are the 32x32 values
    pixels = np.asarray(image).astype(float).tolist()
    waves = []
    for down in range(1, 9):
        for right in range(1, 9):
            total = 0.0
            for y in range(32):
                for x in range(32):
                    total += (
                        pixels[y][x]
                        * math.cos((2 * y + 1) * down * math.pi / 64)
                        * math.cos((2 * x + 1) * right * math.pi / 64)
                    )
            waves.append(total)
    median = (sorted(waves)[31] + sorted(waves)[32]) / 2
    found = perceptual_hash(image) & (2**64 - 1)
    for number, wave in enumerate(waves):
        if abs(wave - median) > 1:  # nearer than the rounding of the cosines, either is right
            assert (found >> (63 - number)) & 1 == (wave > median), number


def test_another_size_or_compression_changes_few_bits() -> None:
    image = shapes(2)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    assert differing(perceptual_hash(image), perceptual_hash(Image.open(stream))) <= 8
    assert differing(perceptual_hash(image), perceptual_hash(image.resize((100, 70)))) <= 8


def test_unrelated_pictures_differ_in_about_half_of_the_bits() -> None:
    hashes = [perceptual_hash(shapes(seed)) for seed in range(3, 13)]
    distances = [differing(a, b) for n, a in enumerate(hashes) for b in hashes[:n]]
    assert 20 < sum(distances) / len(distances) < 44


def test_an_even_picture_has_no_bit_set() -> None:
    assert perceptual_hash(Image.new("RGB", (50, 40), (9, 200, 77))) == 0
    assert perceptual_hash(Image.new("L", (1, 1), 255)) == 0


def test_the_first_bit_is_the_sign_of_a_signed_integer() -> None:
    hashes = [perceptual_hash(shapes(seed)) for seed in range(20)]
    assert min(hashes) < 0 < max(hashes)
    assert all(-(2**63) <= value < 2**63 for value in hashes)
