"""The sample: what it looks at, and what it makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from artrec.archive import open_archive
from artrec.encoders import load_builtin
from artrec.planning import Rates
from artrec.stages.sampling import _load, busy, sample
from artrec.storage import open_store
from tests.nights import settings_of
from tests.pictures import picture, write_zip

ENCODER = load_builtin("handmade")


@pytest.mark.parametrize(
    ("cores", "load", "here", "longer"),
    [
        (2, 0.0, 2, 1.0),
        (2, 0.5, 2, 1.0),  # its own
        (2, 8.5, 2, 5.0),  # eight others: two tasks have a fifth of the machine each
        (200, 8.5, 2, 1.0),  # of another machine
    ],
)
def test_others_on_this_machine_take_their_share(
    cores: int, load: float, here: int, longer: float
) -> None:
    assert busy(cores, load, here) == longer


def test_a_night_that_has_just_ended_is_not_taken_for_other_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (4.0, 1.0, 1.0))
    assert _load([0.0, 1.0, 0.5]) == 0.5
    assert _load([9.0, 7.0]) == 4.0
    assert _load([]) == 4.0


def test_a_sample_measures_pictures_and_knows_their_size(tmp_path: Path) -> None:
    members = [(f"a/{n}.jpg", picture(n, size=(90, 40))) for n in range(6)]
    write_zip(tmp_path / "a.zip", members)
    archive = open_archive(open_store(str(tmp_path)), "a.zip")
    listed = list(archive.members())
    settings = settings_of("plan.sample_seconds=60")
    rates = sample([(archive, listed[:3]), (archive, listed[3:])], settings, ENCODER, 50, 2)
    assert rates.pictures == 6
    assert rates.pixels == 3600
    usual = Rates()
    for name in ("pace", "examine", "encode", "decode", "pair"):
        assert getattr(rates, name) > 0
        assert getattr(rates, name) != getattr(usual, name)


def test_a_sample_of_no_seconds_looks_at_nothing() -> None:
    settings = settings_of("plan.sample_seconds=0")
    assert sample([], settings, ENCODER, 50, 2) == Rates()


def test_what_is_no_picture_is_timed_and_no_error(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", [("a.jpg", b"no picture"), ("b.jpg", b"none either")])
    archive = open_archive(open_store(str(tmp_path)), "a.zip")
    rates = sample([(archive, list(archive.members()))], settings_of(), ENCODER, 0, 2)
    assert rates.pictures == 0
    assert rates.encode == pytest.approx(Rates().encode * rates.pace)
