"""Sections about what is published, how it is judged and shown."""

from __future__ import annotations

from pydantic import PositiveInt, field_validator

from artrec.config.section import Section, key

__all__ = [
    "CatalogSettings",
    "EvaluateSettings",
    "FINAL_GATES",
    "GATES",
    "GatesSettings",
    "ReportSettings",
    "USUAL_GATES",
]

USUAL_GATES = (
    *("usual_rejects", "usual_churn", "usual_drift", "usual_index_recall", "usual_table_recall"),
)
"""Those that compare tonight's figures with what the last releases had."""
GATES = (
    *("sources", "balance", "identity", "lists", "images", "shards", "vectors"),
    *("reject_rate", "reject_rates", "index_recall", "table_recall", "shrinkage", "drift"),
    *USUAL_GATES,
)
"""The checks that can refuse a release, in the order in which they are reported."""
FINAL_GATES = ("balance", "identity", "lists", "images", "shards")
"""Those that no override lets pass: such a release is not whole, or there is nothing in it."""


class CatalogSettings(Section):
    """The catalog and what is published with it."""

    embeddings: bool = key(True, "Write the embeddings table (large catalogs may drop it).")


class EvaluateSettings(Section):
    """Measuring a release before it is published."""

    queries: PositiveInt = key(
        2000, "Random images whose lists are judged; all, where there are fewer.", le=10_000
    )
    sample: PositiveInt = key(
        5000,
        "Random images among which the encoder is compared with histograms and pixels.",
        le=20_000,
    )
    map_points: PositiveInt = key(8000, "Random images on the flat map.", le=50_000)
    clusters: PositiveInt = key(
        6,
        "Clusters of all vectors, by k-means; as many as there are vectors, where these are fewer.",
        le=1000,
    )
    tsne: bool = key(
        False,
        "Beside the flat map one by t-SNE, of the same images; needs the extra maps, also on the "
        "executors, and about a minute for 8,000.",
    )
    near_bits: int = key(
        8, "Bits in which the perceptual hashes of near duplicates differ at most.", ge=0, le=16
    )
    near_distance: float = key(
        0.3,
        "How far one of two near duplicates stands from the other in its list, at most, in "
        "distances of two random vectors.",
        ge=0,
        le=1,
    )
    block_rows: PositiveInt = key(
        1024, "Queries that one task of the evaluation answers.", result=False, le=10_000
    )


class GatesSettings(Section):
    """Limits beyond which a release is refused; changing one measures nothing anew."""

    reject_rate: float = key(
        0.05, "Largest share of the listed members that may be rejects.", result=False, ge=0, le=1
    )
    reject_rates: dict[str, float] = key(
        {}, "The same for single reasons, by name, such as bad_crc.", result=False
    )
    index_recall: float = key(
        0.9,
        "Least recall at every cut of the index shards; the lower end of the interval counts.",
        result=False,
        ge=0,
        le=1,
    )
    table_recall: float = key(
        0.0,
        "Least recall of an approximate neighbor table (the lower end of the interval counts); 0: "
        "neighbors.recall. An exact table has to be right in every entry.",
        result=False,
        ge=0,
        le=1,
    )
    shrinkage: float = key(
        0.1,
        "Largest share by which the catalog may be smaller than the last release's.",
        result=False,
        ge=0,
        le=1,
    )
    source_shrinkage: float = key(
        0.2,
        "Largest share by which a source may have fewer members than in the last release; an empty "
        "one is refused in any case.",
        result=False,
        ge=0,
        le=1,
    )
    drift: float = key(
        0.2,
        "How far the mean vector may have moved since the last release, in mean distances of "
        "vectors from it; twice the error of the two samples is added.",
        result=False,
        ge=0,
    )
    memory: int = key(
        7,
        "Last releases with which the gates called usual compare tonight's figures; fewer than "
        "three say nothing, so 0 turns these gates off.",
        result=False,
        ge=0,
        le=100,
    )
    deviations: float = key(
        6.0,
        "How many of their median absolute deviations a figure may lie from their median; one of "
        "the rooms below, or one over the square root of what it is a share of, may be more.",
        result=False,
        ge=0,
    )
    usual_rejects: float = key(
        0.01,
        "How far the reject rate may lie above the median of the last releases in any case.",
        result=False,
        ge=0,
    )
    usual_churn: float = key(
        0.05,
        "The same for the share of neighbors, and of first ones, that changed beyond the share of "
        "images that are new, gone, or of another picture.",
        result=False,
        ge=0,
    )
    usual_drift: float = key(
        0.05, "The same for how far the mean vector moved.", result=False, ge=0
    )
    usual_index_recall: float = key(
        0.02, "The same for recall of the index, downwards.", result=False, ge=0
    )
    usual_table_recall: float = key(
        0.02, "The same for recall of an approximate neighbor table.", result=False, ge=0
    )
    override: dict[str, str] = key(
        {}, "Publish although these gates refuse: the gate's name, and why.", result=False
    )

    @field_validator("reject_rates")
    @classmethod
    def _shares(cls, rates: dict[str, float]) -> dict[str, float]:
        for reason, rate in rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"the share of {reason} must lie between 0 and 1")
        return rates

    @field_validator("override")
    @classmethod
    def _reasons(cls, override: dict[str, str]) -> dict[str, str]:
        for gate, reason in override.items():
            if gate not in GATES:
                raise ValueError(f"there is no gate {gate}; there are: {', '.join(GATES)}")
            if gate in FINAL_GATES:
                raise ValueError(
                    f"gate {gate} cannot be overridden: a release that it refuses is not whole; "
                    "find the cause"
                )
            if not reason.strip():
                raise ValueError(f"say why gate {gate} is overridden")
        return override


class ReportSettings(Section):
    """The report of a release."""

    queries: PositiveInt = key(12, "Images drawn at random to show their neighbors.", le=100)
    neighbors: PositiveInt = key(10, "Neighbors shown of each of them.", le=50)
    fresh: int = key(
        8, "New images shown with their neighbors, drawn at random; 0: none.", ge=0, le=100
    )
    turned: int = key(6, "Lists shown that changed most; 0: none.", ge=0, le=100)
    thumbnails: int = key(600, "Small pictures at most, beyond those that have to be.", ge=0)
    side: PositiveInt = key(160, "Longest side of a small picture, in pixels.", ge=32, le=512)
