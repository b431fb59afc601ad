"""What reads a training's examples is checked before any work, and is no matter of its result."""

from __future__ import annotations

from pathlib import Path

import pytest

from artrec.encoders.reader import check_engine
from artrec.errors import ConfigError
from artrec.sample import write_sample
from artrec.stages.session import Options, execute, running


def has_petastorm() -> bool:
    try:
        check_engine("petastorm")
    except ConfigError:
        return False
    return True


@pytest.mark.skipif(has_petastorm(), reason="petastorm is here, and its pyarrow")
def test_a_night_that_would_train_by_petastorm_stops_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def started(*arguments: object) -> None:
        raise AssertionError("Spark was started")

    monkeypatch.setattr(running, "start_spark", started)
    write_sample(tmp_path / "paintings.zip", 3)
    asked = (
        f"sources.main.url={tmp_path / 'paintings.zip'}",
        f"store.root={tmp_path / 'root'}",
        "train.reader=petastorm",
    )
    assert execute("nightly", Options(assignments=asked, verbosity="quiet")) == 3
    said = capsys.readouterr().err
    assert "artrec[petastorm]" in said
    assert "train.reader=arrow" in said
    assert not (tmp_path / "root/runs").exists()
