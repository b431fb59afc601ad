"""What stands beside an Annoy file, since the file itself knows neither dimension nor metric."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from artrec.errors import ConfigError
from artrec.releases import Artifact
from artrec.releases.runs import Document

__all__ = ["ANNOY_METRICS", "Sidecar", "Tried", "Tuning", "new_index"]

ANNOY_METRICS: dict[str, Literal["angular", "dot", "euclidean"]] = {
    "cosine": "angular",
    "dot": "dot",
    "euclidean": "euclidean",
}
"""Annoy's name for each metric."""


class Tried(BaseModel):
    """A way to ask one shard, and what random queries found: of what all shards list together, the
    share that this one owes them, with a 95 % interval. ``cost`` is in microseconds, about.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    trees: int
    search_k: int
    recall: float
    low: float
    high: float
    cost: float


class Tuning(Tried):
    """How the shards of an index are best asked: ``search_k`` candidates for lists of ``k``.

    With ``exact`` they are scanned, since no way that was tried is cheaper, finds enough and fits:
    the recall is 1 then, ``search_k`` 0. ``bytes`` are mapped or held at most, of files that are
    scanned those of the vectors.
    """

    target: float
    memory: int
    bytes: int
    k: int
    queries: int
    exact: bool
    exact_cost: float
    tried: list[Tried]

    def depth(self, k: int) -> int:
        """Candidates for lists of ``k``: in proportion, beyond those that were tuned for."""
        return -(-self.search_k * max(k, self.k) // self.k)


class Sidecar(Document):
    """One shard: its Annoy file, the files that name its items, and what both were made with.

    Item i of the Annoy file is row i of ``item_files`` (table shard_items).
    """

    shard: int
    shards: int
    file: Artifact
    item_files: list[Artifact]
    items: int
    trees: int
    dim: int
    metric: str
    annoy_metric: str
    seed: int
    encoder: str
    versions: dict[str, str]
    tuning: Tuning | None = None

    @property
    def name(self) -> str:
        return f"shard {self.shard} of {self.shards}"


def new_index(dim: int, metric: str) -> Any:
    """An empty Annoy index. The package is loaded here, when the first one is wanted."""
    if metric not in ANNOY_METRICS:
        raise ConfigError(f"no Annoy metric for {metric}; there is {', '.join(ANNOY_METRICS)}")
    from annoy import AnnoyIndex

    return AnnoyIndex(dim, ANNOY_METRICS[metric])
