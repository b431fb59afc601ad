from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from artrec.stages import account
from artrec.storage import open_store
from tests.nights import Night


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["a.jpg", "b.jpg", "c.jpg"], "b.jpg"),
        (["a.jpg", "\x1b]0;x\x07.jpg", "c.jpg"], "c.jpg"),
        (["a\u202e.jpg"], "IMAGE_ID"),
    ],
)
def test_the_image_to_look_up_has_a_name_that_a_terminal_shows_and_does_not_obey(
    release: Night, monkeypatch: pytest.MonkeyPatch, names: list[str], shown: str
) -> None:
    def catalog(*_: Any) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"image_id": names})

    monkeypatch.setattr(account, "read_table", catalog)
    draft: Any = type("Draft", (), {"store": open_store(str(release.root))})()
    assert account._an_image(draft, "first") == shown


def test_the_reason_for_the_encoder_stands_below_the_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    why = "hand-made: on 60 held-out examples, by artist, " + "the trained encoder reached " * 5
    notes = {"trained": "conv-1", "why": why, "best_loss": 0.012345, "encoder_id": "handmade"}
    stages = {"train": {"seconds": 3.0, "epochs": 8, "notes": notes}}
    facts = {"status": "done", "release": "first", "stages": stages}
    nothing: Any = None
    account._print("nightly", nothing, nothing, facts)
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].split("  ")[-1].strip() == "8 epochs, best loss 0.01235"
    assert [row for row in rows if "held-out" in row] == [f"The encoder taken is {why}."]
    assert max(len(row) for row in rows if "held-out" not in row) < 80


def test_short_lists_and_what_was_found_again_stand_in_the_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stages = {
        "neighbors": {"seconds": 2.0, "vectors": 1144, "short_lists": {"neighbors_a": 1144}},
        "evaluate": {"seconds": 0.2, "queries": 1144, "found_from": "first"},
    }
    nothing: Any = None
    facts = {"status": "done", "release": "second", "stages": stages}
    account._print("nightly", nothing, nothing, facts)
    rows = capsys.readouterr().out.splitlines()
    assert [row.strip().split("  ")[-1].strip() for row in rows[1:3]] == [
        "1,144 vectors; lists below k: 1,144 of neighbors_a",
        "nothing to measure: as in release first; judged anew",
    ]
