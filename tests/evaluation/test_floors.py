"""The two floors on pictures of a few colours."""

from __future__ import annotations

import numpy as np

from artrec.evaluation.floors import SIDE, centered, histogram, thumbnail


def test_a_histogram_has_64_colours_and_its_shares_sum_to_one() -> None:
    """A quarter of pure red (3, 0, 0), the rest grey 100 (1, 1, 1): bins 48 and 21."""
    pixels = np.full((SIDE, SIDE, 3), 100, np.uint8)
    pixels[: SIDE // 4] = (255, 0, 0)
    found = histogram(pixels)
    assert found.shape == (64,)
    assert {at: float(found[at]) for at in np.flatnonzero(found)} == {48: 0.25, 21: 0.75}


def test_a_thumbnail_holds_the_means_of_areas() -> None:
    """The first 4 x 4 area: half of it 255, half 0; the next one is all 51."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:2, :4] = 255
    pixels[:4, 4:8] = 51
    found = thumbnail(pixels)
    assert found.shape == (768,)
    assert found[:7].tolist() == np.array([0.5] * 3 + [0.2] * 3 + [0], np.float32).tolist()


def test_centred_vectors_have_length_one_or_are_the_mean_itself() -> None:
    """Mean (2, 0): (-1, 0), (1, 0) and what was the mean."""
    given = np.array([[1, 0], [3, 0], [2, 0]], np.float32)
    assert centered(given).tolist() == [[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]


def test_equal_pictures_leave_zeros_not_noise() -> None:
    same = np.repeat(np.random.default_rng(0).random((1, 64)), 7, axis=0).astype(np.float32)
    assert not centered(same).any()
    assert not centered(same[:1]).any()
