"""Everything that a report shows, as frozen records: ``data.json`` beside the pages.

Lists are bounded by whoever gathers them; text is made harmless as it comes in.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from artrec.errors import StoreFormatError
from artrec.report.clusters import Clusters, MapView
from artrec.report.lists import Approximate, Churn, Maintained, Ruled
from artrec.report.morning import Morning
from artrec.report.parts import Fact, Image, Neighbor, Thumb
from artrec.report.text import Text
from artrec.report.training import Training

__all__ = [
    "Copy",
    "Duplicate",
    "Facts",
    "Gate",
    "Hub",
    "Measured",
    "NearGroup",
    "Point",
    "Query",
    "Reason",
    "Sample",
    "Stage",
    "Status",
    "VERSION",
    "read_facts",
]

VERSION = 1
"""Of ``data.json``; a newer one is refused."""

Status = Literal["draft", "published", "refused"]


class Query(Fact):
    """An image that was drawn at random, and the beginning of its list."""

    image: Image
    neighbors: tuple[Neighbor, ...]


class Hub(Fact):
    """An image that stands in many lists."""

    image: Image
    lists: int


class Duplicate(Fact):
    """One content under several names."""

    thumb: Thumb | None
    names: tuple[Text, ...]
    count: int


class Copy(Fact):
    """An image of a group of near duplicates, and how far it is from the group's middle."""

    image: Image
    bits: int
    distance: float | None = None


class NearGroup(Fact):
    """One picture in several sizes, compressions or cuts: some of its images, and how many."""

    copies: tuple[Copy, ...]
    count: int


class Point(Fact):
    """An image on the map."""

    x: float
    y: float
    image: Image


class Sample(Fact):
    """One rejected member."""

    image_id: Text
    detail: Text | None = None


class Reason(Fact):
    """Why members were rejected, how many, and some of them."""

    stage: Text
    reason: Text
    count: int
    samples: tuple[Sample, ...] = ()


class Stage(Fact):
    """What a stage did; ``kept_from`` names the release whose work it found done.

    What it was expected to take, seconds and the peak of a worker in bytes, is None where nobody
    planned, or nothing was to be done.
    """

    name: Text
    seconds: float
    counters: dict[Text, int] = Field(default_factory=dict)
    notes: dict[Text, Text] = Field(default_factory=dict)
    kept_from: Text | None = None
    expected_seconds: float | None = None
    expected_worker_bytes: int | None = None


class Gate(Fact):
    """A check that can refuse a release."""

    gate: Text
    passed: bool
    found: Text
    expected: Text
    overridden: Text | None = None

    @property
    def refuses(self) -> bool:
        return not self.passed and self.overridden is None


class Measured(Fact):
    """A row of the table ``evaluation``."""

    encoder: Text
    measure: Text
    pool: Text
    label: Text
    variant: Text
    average: Text
    group: Text
    k: int
    queries: int
    value: float | None
    low: float | None = None
    high: float | None = None


class Facts(Fact):
    """One release, as its report shows it."""

    version: int = VERSION
    release: Text
    created: datetime
    status: Status = "draft"
    previous: Text | None = None
    encoder: Text
    metric: Text
    dim: int
    k: int
    listed: int
    stored: int
    rejected: int
    reasons: tuple[Reason, ...] = ()
    stages: tuple[Stage, ...] = ()
    gates: tuple[Gate, ...] = ()
    training: Training | None = None
    approximate: Approximate | None = None
    measures: tuple[Measured, ...] = ()
    classes: tuple[Measured, ...] = ()
    queries: tuple[Query, ...] = ()
    ruled: tuple[Ruled, ...] = ()
    hubs: tuple[Hub, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    duplicate_names: int = 0
    near: tuple[NearGroup, ...] = ()
    churn: Churn | None = None
    morning: Morning | None = None
    maintained: Maintained | None = None
    points: tuple[Point, ...] = ()
    maps: tuple[MapView, ...] = ()
    clusters: Clusters | None = None
    settings: dict[Text, Text] = Field(default_factory=dict)
    versions: dict[Text, Text] = Field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """``data.json``."""
        return self.model_dump_json(exclude_none=True).encode()


def read_facts(data: bytes, where: str) -> Facts:
    """The facts in a ``data.json``; StoreFormatError if a newer artrec wrote it, or it is none."""
    try:
        found: Any = json.loads(data)
        version = found["version"] if isinstance(found, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise StoreFormatError(
                f"{where}: a report of version {version}, this artrec reads up to {VERSION}: "
                "use a newer artrec"
            )
        return Facts.model_validate(found)
    except (ValueError, KeyError, ValidationError) as error:
        raise StoreFormatError(f"{where}: not the data of a report: {error}") from None
