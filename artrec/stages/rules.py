"""What the settings mean for a picture: the limits and rules it is read by. Needs no Spark."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from artrec import picture
from artrec.config import IngestSettings
from artrec.digests import name_of
from artrec.encoders import Encoder
from artrec.encoders.device import Precision, precision_of

__all__ = [
    "MEMBER_KEY",
    "TAIL_BITS",
    "decoder_name",
    "ingest_rules",
    "is_held_out",
    "picture_limits",
    "picture_recipe",
    "vector_no",
    "vectors_identity",
]

TAIL_BITS = 52
"""Of a content's hash, the last ones: which side of a training it is on."""

MEMBER_KEY = ("source", "raw_name", "occurrence", "bytes", "fingerprint")
"""What tells one member's content from another's without reading it."""


def decoder_name(settings: IngestSettings) -> str:
    """Version of the decoder and of the rules it works by: one decides who is a picture."""
    return f"{picture.DECODER_VERSION}-{name_of(_limits_facts(settings), 8)}"


def picture_recipe(settings: IngestSettings) -> str:
    """How pictures are stored: as they are, or bounded."""
    return picture.recipe(settings.max_side or None)


def picture_limits(settings: IngestSettings) -> picture.Limits:
    """The settings' limits as the decoder takes them."""
    return picture.Limits(
        bytes=settings.max_bytes,
        pixels=settings.max_pixels,
        side=settings.max_picture_side,
        formats=tuple(settings.formats),
        background=settings.background,
    )


def _limits_facts(settings: IngestSettings) -> dict[str, Any]:
    names = ("formats", "max_bytes", "max_pixels", "max_picture_side", "background")
    return {name: getattr(settings, name) for name in names}


def ingest_rules(settings: IngestSettings) -> dict[str, Any]:
    """What a member's verdict depends on besides its bytes."""
    return {"recipe": picture_recipe(settings), "decoder": decoder_name(settings)}


def is_held_out(contents: pa.ChunkedArray, share: float) -> NDArray[np.bool_]:
    """Which of these contents a training that holds out such a share does not see.

    Of a training of few pictures, all of which this would let it see, it holds out one.
    """
    tails = [int.from_bytes(c[-8:], "big") % 2**TAIL_BITS for c in contents.to_pylist()]
    return np.array(tails, np.int64) < int(share * 2**TAIL_BITS)


def vectors_identity(
    encoder: Encoder, settings: IngestSettings, precision: Precision = "float32"
) -> str:
    """What vectors are kept under: the encoder, and what else changes pixels or numbers."""
    plain = IngestSettings()
    seen: dict[str, Any] = {
        "recipe": picture_recipe(settings),
        "background": settings.background,
    }
    usual = {"recipe": picture_recipe(plain), "background": plain.background}
    computed = precision_of(encoder, precision)
    if computed != "float32":
        seen["precision"] = computed
    return encoder.id if seen == usual else f"{encoder.id}-{name_of(seen, 6)}"


def vector_no(content_sha256: bytes) -> int:
    """The number of a content's vector: the first 63 bits of its hash."""
    return int.from_bytes(content_sha256[:8], "big") >> 1
