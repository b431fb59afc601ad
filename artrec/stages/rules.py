"""What the settings mean for a picture: the limits and rules it is read by. Needs no Spark."""

from __future__ import annotations

from typing import Any

from artrec import picture
from artrec.config import IngestSettings
from artrec.digests import name_of
from artrec.encoders import Encoder
from artrec.encoders.device import Movable, Precision

__all__ = [
    "MEMBER_KEY",
    "decoder_name",
    "ingest_rules",
    "picture_limits",
    "picture_recipe",
    "vector_no",
    "vectors_identity",
]

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
    if precision != "float32" and isinstance(encoder, Movable):  # the others know but one
        seen["precision"] = precision
    return encoder.id if seen == usual else f"{encoder.id}-{name_of(seen, 6)}"


def vector_no(content_sha256: bytes) -> int:
    """The number of a content's vector: the first 63 bits of its hash."""
    return int.from_bytes(content_sha256[:8], "big") >> 1
