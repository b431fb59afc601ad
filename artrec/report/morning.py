"""What a night changed, and what nights cost: the part of a report that is read in the morning."""

from __future__ import annotations

from datetime import datetime

from artrec.report.parts import Fact, Image, Neighbor
from artrec.report.text import Text

__all__ = ["Became", "Beside", "Entry", "Fresh", "Morning", "NightCost", "Renamed", "Turned"]


class Renamed(Fact):
    """An image that changed; ``other_id`` is where a moved one was, or the one a double is of."""

    image_id: Text
    other_id: Text | None = None


class Became(Fact):
    """What became of images: a kind, how many, and some of them."""

    kind: Text
    count: int
    samples: tuple[Renamed, ...] = ()


class Fresh(Fact):
    """An image that the last release did not have, and the beginning of its list."""

    image: Image
    kind: Text
    neighbors: tuple[Neighbor, ...] = ()


class Entry(Fact):
    """A neighbor that came, at its rank, or went, at the rank it had."""

    rank: int
    distance: float
    image: Image
    gone: bool = False
    """Whether it is no image any more."""


class Turned(Fact):
    """A list that changed: how many neighbors ``came`` and ``went``, and the nearest of each."""

    image: Image
    came: int
    went: int
    entered: tuple[Entry, ...] = ()
    left: tuple[Entry, ...] = ()


class Beside(Fact):
    """A figure of tonight beside the last release's, and the range that the last ``nights`` had;
    ``share`` where it is one."""

    name: Text
    now: float | None
    before: float | None = None
    low: float | None = None
    high: float | None = None
    nights: int = 0
    share: bool = False


class NightCost(Fact):
    """What a release took, up to its report, and was expected to; money at the prices of its
    settings. Nothing is known of one that nobody planned."""

    release: Text
    created: datetime | None = None
    images: int = 0
    seconds: float | None = None
    expected_seconds: float | None = None
    written: int | None = None
    expected_written: int | None = None
    expected_read: int | None = None
    money: float | None = None
    expected_money: float | None = None


class Morning(Fact):
    """Tonight beside the release ``since``; None of a first release. ``why`` the lists do not
    compare.

    ``hubs`` are new among those in the most lists. ``orphans`` stand in no list now: images that
    are new, or stood in one. ``nights`` ends with tonight.
    """

    since: Text | None = None
    why: Text | None = None
    became: tuple[Became, ...] = ()
    hubs: tuple[Image, ...] = ()
    orphans: tuple[Image, ...] = ()
    new_orphans: int = 0
    beside: tuple[Beside, ...] = ()
    fresh: tuple[Fresh, ...] = ()
    all_fresh: int = 0
    turned: tuple[Turned, ...] = ()
    all_turned: int = 0
    nights: tuple[NightCost, ...] = ()
