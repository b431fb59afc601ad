"""Everything that a report shows, as frozen records: ``data.json`` beside the pages.

Lists are bounded by whoever gathers them; text is made harmless as it comes in.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from artrec.errors import StoreFormatError
from artrec.report.clusters import Clusters, MapView
from artrec.report.morning import Morning
from artrec.report.parts import Fact, Image, Neighbor, Thumb
from artrec.report.text import Text

__all__ = [
    "Approximate",
    "Churn",
    "Copy",
    "Curve",
    "Duplicate",
    "Facts",
    "Gate",
    "Hub",
    "Maintained",
    "Measured",
    "NearGroup",
    "Point",
    "Query",
    "Reason",
    "Recalled",
    "Reconstruction",
    "Ruled",
    "Sample",
    "Stage",
    "Status",
    "Step",
    "Training",
    "VERSION",
    "read_facts",
]

VERSION = 1
"""Of ``data.json``; a newer one is refused."""

Status = Literal["draft", "published", "refused"]
_KIND = re.compile(r"\A(hand-made|trained): ")


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


class Churn(Fact):
    """The lists beside those of the release ``since``; ``why`` they are not compared, or counts.

    Of images in both: their lists, those that changed, and in their first; entries, neighbors that
    came and went. ``kinds`` counts what became of images; insert, delete and update are the entries
    of the change feed.
    """

    since: Text
    why: Text | None = None
    images: int = 0
    new: int = 0
    gone: int = 0
    lists: int = 0
    changed: int = 0
    first: int = 0
    entries: int = 0
    came: int = 0
    went: int = 0
    kinds: dict[Text, int] = Field(default_factory=dict)
    insert: int = 0
    delete: int = 0
    update: int = 0


class Maintained(Fact):
    """The neighbor table was kept up to date from that of the release ``since``: vectors that came
    and went, lists that were joined anew, and what it took beside a whole join.
    """

    since: Text
    added: int
    gone: int
    recomputed: int
    products: int
    whole_products: int


class Ruled(Fact):
    """A neighbor table under a rule; ``reasons`` count its short lists."""

    name: Text
    rule: Text
    k: int
    lists: int
    rows: int
    reasons: dict[Text, int] = Field(default_factory=dict)

    @property
    def short(self) -> int:
        return sum(self.reasons.values())

    @property
    def full(self) -> float | None:
        """The share of its lists that have ``k`` entries."""
        return 1 - self.short / self.lists if self.lists else None


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


class Recalled(Fact):
    """Recall of the lists of some random rows, with its 95 % interval; means by density."""

    mean: float
    low: float
    high: float
    rows: int
    by_density: dict[Text, float] = Field(default_factory=dict)


class Approximate(Fact):
    """How an approximate neighbor table was made: what it was to reach, from how many cells near
    its own each list was filled, how many of all each vector looked at beside (0: none), in how
    many ``rounds`` neighbors of a neighbor were offered to each other, and what that cost by the
    exact join (``exact_seconds`` as a sample says).
    """

    target: float
    near: int
    probes: int
    rounds: int = 0
    cells: int
    recall: Recalled
    products: int
    exact_products: int
    seconds: float
    exact_seconds: float


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
