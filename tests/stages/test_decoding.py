"""Decoding in a task: a first attempt in the worker, a later one in a child, to the same pixels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest

from artrec import picture
from artrec.config import IngestSettings
from artrec.encoders import Preprocess
from artrec.evaluation.floors import SIDE
from artrec.stages.decoding import Decode, decode_here, decoder, shrinker
from artrec.stages.evaluate import surveying
from artrec.stages.rejects import Rejected
from artrec.stages.rules import picture_limits
from tests.pictures import picture as painted

SETTINGS = IngestSettings(max_pixels=100_000)
WANTED = Preprocess(size=(30, 20), fit="crop", filter="box")

Maker = Callable[[bool], AbstractContextManager[Decode]]
MAKERS: dict[str, Maker] = {
    "decoder": lambda in_child: decoder(WANTED, SETTINGS, in_child),
    "shrinker": lambda in_child: shrinker(32, SETTINGS, in_child),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_child_gives_the_same_pixels_and_the_same_reasons(name: str) -> None:
    data = painted(1, size=(160, 120))
    bad = {
        "not_a_picture": b"<html>",
        "truncated": data[: len(data) // 2],
        "too_many_pixels": painted(2, size=(400, 300)),
    }
    with MAKERS[name](False) as here, MAKERS[name](True) as far:
        near = here(data)
        assert isinstance(near, np.ndarray)
        assert np.array_equal(near, far(data))
        for reason, each in bad.items():
            found = here(each)
            assert isinstance(found, Rejected)
            assert found.reason == reason
            assert far(each) == found


def test_each_gives_what_was_asked_for() -> None:
    data = painted(1, size=(160, 120))
    limits = picture_limits(SETTINGS)
    with decoder(WANTED, SETTINGS, False) as decode, shrinker(32, SETTINGS, False) as shrink:
        expected = picture.decode(data, limits, (30, 20), "crop", "box")
        assert np.array_equal(decode(data), expected)
        assert np.array_equal(decode_here(WANTED, limits, data), expected)
        small = shrink(data)
    assert isinstance(small, np.ndarray)
    assert small.shape == (24, 32, 3)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("in_child", [False, True])
def test_a_picture_is_decoded_here_under_a_watchdog_or_in_a_child_and_not_both(
    name: str, in_child: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[float] = []
    own = picture.watchdog
    monkeypatch.setattr(picture, "watchdog", lambda s, n: (watched.append(s), own(s, n))[1])
    with MAKERS[name](in_child) as decode:
        decode(painted(1))
    assert watched == ([] if in_child else [float(SETTINGS.decode_seconds)])


def test_what_can_no_longer_be_decoded_is_black_to_the_floors() -> None:
    lost = surveying._floor_row(7, Rejected("truncated", "half of it"))
    assert lost.equals(surveying._floor_row(7, np.zeros((SIDE, SIDE, 3), np.uint8)))
    assert not lost.equals(surveying._floor_row(7, np.full((SIDE, SIDE, 3), 9, np.uint8)))
