"""The comparison of two encoders, by numbers that can be counted out on paper."""

from __future__ import annotations

import numpy as np
import pytest

from artrec.encoders.contest import (
    ENOUGH,
    Score,
    altered,
    by_copies,
    by_label,
    has_enough,
    verdict,
)


def at(*degrees: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    turns = np.radians(degrees)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def test_each_example_with_a_partner_asks_among_all_others() -> None:
    # at 0, 10, 30, 31, 90 and 200 degrees; the nearest of each: a-a, a-a, b-a!, a-b!, c alone, None
    vectors = at(0, 10, 30, 31, 90, 200)
    labels = ["a", "a", "b", "a", "c", None]
    found = by_label("artist", vectors, labels)
    # b and c have no partner: three queries, of which the third finds b first
    assert (found.label, found.queries, found.at_1) == ("artist", 3, pytest.approx(2 / 3))
    # each has two partners among its five others
    assert found.at_5 == pytest.approx(2 / 5)


def test_copies_ask_for_their_originals() -> None:
    originals = at(0, 90, 180)
    found = by_copies(originals, at(5, 170, 175))
    assert (found.queries, found.at_1, found.at_5) == (3, pytest.approx(2 / 3), None)


def test_there_are_enough_where_twenty_share_a_label() -> None:
    assert has_enough(["a"] * ENOUGH + ["b"])
    assert not has_enough(["a"] * ENOUGH + [None]), "one label tells no encoder from another"
    assert has_enough(["a", "b"] * 10 + [None] * 5)
    assert not has_enough(["a"] * 19 + ["b", None, None])
    assert not has_enough([None] * 50)


def test_an_altered_copy_is_mirrored_and_less_its_margins() -> None:
    picture = np.zeros((1, 16, 16, 3), np.uint8)
    picture[:, :, :8] = 200
    picture[:, :2] = 255  # the upper margin, which is cropped
    found = altered(picture)
    assert found.shape == picture.shape
    below = found[0, 2:]  # the first rows are mixed with what lies beyond the crop
    assert below[:, 1].tolist() == [[0, 0, 0]] * 14
    assert below[:, 14].tolist() == [[200, 200, 200]] * 14
    assert below.max() < 230


def score(at_1: float, at_5: float | None = 0.5, queries: int = 30) -> Score:
    return Score("artist" if at_5 is not None else "copies", queries, at_1, at_5)


def test_the_trained_encoder_wins_by_being_better() -> None:
    won, why = verdict(score(0.6), score(0.5))
    assert won
    assert why == (
        "trained: on 30 held-out examples that ask one another, by artist, the trained encoder "
        "reached precision@1 0.600 and precision@5 0.500, the hand-made one precision@1 0.500 and "
        "precision@5 0.500"
    )
    assert verdict(score(0.6, None), score(0.5, None))[0]


@pytest.mark.parametrize(
    ("trained", "handmade"),
    [
        (score(0.5), score(0.5)),
        (score(0.4), score(0.5)),
        (score(0.6, 0.4), score(0.5, 0.5)),
        (score(0.5, None), score(0.5, None)),
    ],
)
def test_the_hand_made_encoder_stays_near_a_tie(trained: Score, handmade: Score) -> None:
    won, why = verdict(trained, handmade)
    assert not won
    assert why.endswith("the trained one would have to be better")
    assert f"{trained.at_1:.3f}" in why
    assert f"{handmade.at_1:.3f}" in why


def test_too_few_examples_say_nothing() -> None:
    won, why = verdict(score(1.0, queries=19), score(0.0, queries=19))
    assert not won
    assert "fewer than 20 say nothing" in why


def test_an_encoder_for_euclidean_distance_is_asked_by_it() -> None:
    """By direction the far one would be the nearer of the two."""
    vectors = np.array([[1, 0], [5, 0], [1, 1]] * 10, np.float32)
    vectors += np.arange(30, dtype=np.float32)[:, None] // 3 * 20
    copies = vectors + np.float32(0.25)
    assert by_copies(vectors, copies, "euclidean").at_1 == 1
    labels = [f"{n // 3}" for n in range(30)]
    assert by_label("artist", vectors, labels, "euclidean").at_1 == 1
    assert by_label("artist", vectors, labels).at_1 < 0.5
