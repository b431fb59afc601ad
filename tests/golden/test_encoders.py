"""Encoders of every card format that was ever written give the vectors that they gave then."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from artrec.encoders.architectures import ARCHITECTURES
from artrec.encoders.card import CARD_FILE, WEIGHTS_FILE, encoder_id, read_encoder
from tests.golden.encoders import GOLDEN

FOLDERS = sorted(Path(__file__).parent.glob("v*/encoders/*"))


@pytest.mark.parametrize("folder", FOLDERS, ids=[f"{f.parts[-3]}-{f.name}" for f in FOLDERS])
def test_the_vectors_are_those_of_the_artrec_that_wrote_the_card(folder: Path) -> None:
    card, weights = (folder / CARD_FILE).read_bytes(), folder / WEIGHTS_FILE
    encoder = read_encoder(card, weights.read_bytes() if weights.exists() else None)
    golden = np.load(folder / GOLDEN)
    found = encoder.encode(golden["pictures"])
    assert found.shape == golden["vectors"].shape
    assert np.abs(golden["vectors"]).max() > 0.05
    assert np.abs(found - golden["vectors"]).max() < 1e-5
    assert encoder.id == encoder_id(card)


def test_there_is_one_of_every_architecture_of_this_version() -> None:
    known = {json.loads((f / CARD_FILE).read_bytes())["architecture"] for f in FOLDERS}
    assert known >= {"convolutional", "dense", "handmade", "separable", "small", "tiny"}
    assert known <= set(ARCHITECTURES)
