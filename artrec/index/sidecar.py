"""What stands beside an Annoy file, since the file itself knows neither dimension nor metric."""

from __future__ import annotations

from typing import Any, Literal

from artrec.errors import ConfigError
from artrec.releases import Artifact
from artrec.releases.runs import Document

__all__ = ["ANNOY_METRICS", "Sidecar", "new_index"]

ANNOY_METRICS: dict[str, Literal["angular", "dot", "euclidean"]] = {
    "cosine": "angular",
    "dot": "dot",
    "euclidean": "euclidean",
}
"""Annoy's name for each metric."""


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

    @property
    def name(self) -> str:
        return f"shard {self.shard} of {self.shards}"


def new_index(dim: int, metric: str) -> Any:
    """An empty Annoy index. The package is loaded here, when the first one is wanted."""
    if metric not in ANNOY_METRICS:
        raise ConfigError(f"no Annoy metric for {metric}; there is {', '.join(ANNOY_METRICS)}")
    from annoy import AnnoyIndex

    return AnnoyIndex(dim, ANNOY_METRICS[metric])
