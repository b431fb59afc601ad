"""What is told of neighbor lists as a whole, as frozen records."""

from __future__ import annotations

from pydantic import Field

from artrec.report.parts import Fact
from artrec.report.text import Text

__all__ = ["Approximate", "Churn", "Maintained", "Recalled", "Ruled"]


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
