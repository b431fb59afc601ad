"""What the gates look at: of tonight's draft, and of the releases before it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Cloud", "Measured", "Past"]


class Cloud(BaseModel):
    """A sample of an encoder's vectors: how many, their mean, their mean distance from it."""

    model_config = ConfigDict(frozen=True)

    encoder: str
    count: int
    mean: list[float]
    spread: float


class Past(BaseModel):
    """What is remembered of a release: its figures by name, as far as they can be compared with
    tonight's, and the gates that it was published in spite of."""

    model_config = ConfigDict(frozen=True)

    release: str
    figures: dict[str, float] = Field(default_factory=dict)
    overridden: frozenset[str] = frozenset()


class Measured(BaseModel):
    """What the gates look at; of the last releases only what there is to compare with.

    ``counts`` has listed, stored, rejected, rejected_<reason>, lost, invented, double, double_ids,
    lists, vectors, distinct_vectors, the vectors that are non_finite, zero or flat, and of an index
    indexed and shard_files_missing.
    ``sources`` are the members of each source. ``ruled`` has, for each table under a rule, its
    lists and their missing entries that are unexplained. ``index_recall`` holds, for each cut, the
    lower end of the interval; none without an index.
    ``table_recall`` is the share of right entries of an exact table; of an approximate one the
    lower end of its interval, and ``planned_recall`` what it was made for. ``queries`` is how many
    images were asked for these.
    ``churn`` counts images now, new, gone and of a changed picture; of images in both releases
    their lists, those with another first neighbor, their entries, and those that came.
    ``past`` are the last releases, the newest first.
    """

    model_config = ConfigDict(frozen=True)

    counts: dict[str, int]
    sources: dict[str, int] = Field(default_factory=dict)
    sources_before: dict[str, int] = Field(default_factory=dict)
    ruled: dict[str, dict[str, int]] = Field(default_factory=dict)
    index_recall: dict[int, float] = Field(default_factory=dict)
    table_recall: float | None = None
    exact: bool = True
    planned_recall: float | None = None
    queries: int = 0
    cloud: Cloud | None = None
    stored_before: int | None = None
    cloud_before: Cloud | None = None
    churn: dict[str, int] | None = None
    past: list[Past] = Field(default_factory=list)
