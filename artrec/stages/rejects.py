"""The closed list of reasons for which a member is no image, and the stage that gives each."""

from __future__ import annotations

from dataclasses import dataclass

from artrec import archive, picture

__all__ = ["ATTEMPTS", "REASONS", "Rejected", "TRANSIENT"]

REASONS: dict[str, str] = (
    dict.fromkeys((*sorted(archive.REASONS), *picture.REASONS), "ingest")
    | {
        "not_given": "embed",  # among vectors made elsewhere there is none for it
        "zero_vector": "embed",  # without a direction, so without a cosine
        "non_finite_vector": "embed",
        "vector_no_collision": "embed",  # 63 bits of the hash are shared with a smaller content
    }
    | {"forgotten": "ingest"}  # its content was taken down by artrec forget
    | {"duplicate_name": "inventory"}  # a later member has the same image_id
    | {
        "no_query_id": "query",  # a row of vectors without a name
        "no_vector": "query",  # null instead of a vector
        "no_set": "query",  # sets were asked for, and it is in none
        "zero_mean": "query",  # of a set: no direction, so no cosine
    }
)
"""Reason -> stage."""


TRANSIENT = ("changed", "decode_crashed", "decode_timeout", "out_of_memory", "vanished")
"""Reasons that may lie with the machine, or with the hour: a night with another listing or other
rules tries such a member again, ATTEMPTS times in all; one without change tries nothing."""

ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a member, or its picture, went no further; ``detail`` is for people."""

    reason: str
    detail: str

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"{self.reason!r} is not in the closed list of reasons")
