"""What is told of a training, as frozen records."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, model_validator

from artrec.report.parts import Fact, Thumb
from artrec.report.text import Text

__all__ = ["Curve", "Reconstruction", "Step", "Training"]

_KIND = re.compile(r"\A(hand-made|trained): ")


class Curve(Fact):
    """What training measured, epoch by epoch."""

    measure: Text
    points: tuple[tuple[int, float | None], ...]


class Step(Fact):
    """What the decoder made of an example after an epoch."""

    epoch: int
    error: float | None
    picture: Thumb


class Reconstruction(Fact):
    """A held-out example beside what the decoder made of it; the pictures are thumbs."""

    error: float | None
    original: Thumb
    reconstruction: Thumb
    difference: Thumb
    steps: tuple[Step, ...] = ()


class Training(Fact):
    """Which encoder was trained, how, and which one was ``chosen`` then, and why.

    A release can have an encoder that is neither: settings or the release before it named it.
    """

    trained: Text | None = None
    chosen: Text | None = None
    why: Text | None = None
    notes: dict[Text, Text] = Field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    reconstructions: tuple[Reconstruction, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _by_notes(cls, given: Any) -> Any:
        """Which encoders stands in the notes of a training's record; said once, it is no note."""
        if not isinstance(given, dict) or not isinstance(given.get("notes", {}), dict):
            return given
        notes = dict(given.get("notes", {}))
        named = {
            "trained": notes.pop("trained", None),
            "chosen": notes.pop("encoder_id", None),
            "why": notes.pop("why", None),
        }
        found = {key: given.get(key) or value for key, value in named.items()}
        if isinstance(found["why"], str):  # begins with the kind of what it took
            found["why"] = _KIND.sub("", found["why"])
        return {**given, **found, "notes": notes}
