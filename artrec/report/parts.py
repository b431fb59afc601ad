"""What all facts are made of: frozen records, and the images that they are about.

A ``thumb`` is the beginning of a content's hash, and the name of a small picture below ``thumbs/``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from artrec.report.text import Text

__all__ = ["Fact", "Image", "Neighbor", "Thumb"]

Thumb = Annotated[str, Field(pattern=r"^[0-9a-f]{16}(-[a-z0-9]+)?$")]


class Fact(BaseModel):
    """A record of what is shown; what a newer artrec knows beside it is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class Image(Fact):
    """A row of the catalog, as much of it as is shown."""

    image_id: Text
    style: Text | None = None
    artist: Text | None = None
    title: Text | None = None
    thumb: Thumb | None = None


class Neighbor(Fact):
    """One entry of an image's list."""

    rank: int
    distance: float
    image: Image
