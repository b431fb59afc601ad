"""data.json: read back as it was written, and refused where it is newer or something else."""

from __future__ import annotations

import json
import math

import pytest
from pydantic import ValidationError

from artrec.errors import StoreFormatError
from artrec.report import Image, Reconstruction, Training, read_facts
from tests.report.literal import bare, full


def test_facts_read_back_are_the_facts() -> None:
    for facts in (bare(), full(["0123456789abcdef"] * 4)):
        assert read_facts(facts.to_bytes(), "data.json") == facts


def test_which_encoder_was_trained_and_taken_is_read_from_the_notes_of_the_training() -> None:
    notes = {"encoder_id": "handmade-1", "trained": "conv-1", "best_epoch": "8"}
    found = Training.model_validate({"notes": notes | {"why": "hand-made: on 9 held-out examples"}})
    assert (found.trained, found.chosen) == ("conv-1", "handmade-1")
    assert (found.why, found.notes) == ("on 9 held-out examples", {"best_epoch": "8"})
    assert Training.model_validate(json.loads(found.model_dump_json())) == found


def test_fields_that_a_later_version_adds_do_no_harm() -> None:
    data = json.loads(bare().to_bytes()) | {"weather": "fair"}
    assert read_facts(json.dumps(data).encode(), "data.json") == bare()


def test_a_newer_version_is_refused() -> None:
    data = json.loads(bare().to_bytes()) | {"version": 2}
    with pytest.raises(StoreFormatError, match="version 2, this artrec reads up to 1"):
        read_facts(json.dumps(data).encode(), "there/data.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"version": 1}', b"\xff", b"null"])
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(StoreFormatError, match=r"there/data\.json: not the data of a report"):
        read_facts(data, "there/data.json")


@pytest.mark.parametrize(
    "thumb", ["../../etc/passwd", "0123456789abcdef\n", "0123456789ABCDEF", "x", "javascript:1"]
)
def test_a_thumb_is_a_hash_and_nothing_else(thumb: str) -> None:
    with pytest.raises(ValidationError):
        Image(image_id="a", thumb=thumb)


def test_numbers_that_are_none_are_written_as_none() -> None:
    thumb = "0123456789abcdef"
    sides = {"original": thumb, "reconstruction": thumb, "difference": thumb}
    found = Reconstruction(error=math.nan, **sides)
    facts = full([thumb]).model_copy(update={"training": None})
    assert json.loads(found.model_dump_json())["error"] is None
    assert b"NaN" not in facts.to_bytes()
