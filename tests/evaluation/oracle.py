"""Lists with exclusions and their measures by the definitions, one image after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.brute_force import distance

__all__ = ["Image", "average_precision", "csd", "listed", "may_stand", "precision"]


@dataclass(frozen=True)
class Image:
    """One image: its name, the number and numbers of its vector, and what is known of it."""

    name: str
    number: int
    vector: tuple[float, ...]
    style: str | None = None
    artist: str | None = None
    phash: int | None = None
    title: str | None = None


def may_stand(query: Image, other: Image, variant: str) -> bool:
    """Whether a variant lets ``other`` stand in the list of ``query``."""
    if query.name == other.name:
        return False
    same_artist = query.artist is not None and query.artist == other.artist
    same_title = query.title is not None and query.title == other.title
    same_hash = query.phash is not None and query.phash == other.phash
    duplicate = query.number == other.number or same_hash or (same_artist and same_title)
    wrong = {
        "all": False,
        "no_same_artist": same_artist,
        "no_duplicates": duplicate,
        "no_same_artist_or_duplicates": same_artist or duplicate,
    }
    return not wrong[variant]


def listed(query: Image, images: Sequence[Image], variant: str, metric: str, k: int) -> list[Image]:
    """The first k by (distance, vector_no, image_id)."""
    order = sorted(
        (distance(metric, query.vector, other.vector), other.number, other.name)
        for other in images
        if may_stand(query, other, variant)
    )
    by_name = {image.name: image for image in images}
    return [by_name[name] for _, _, name in order[:k]]


def precision(hits: Sequence[bool], candidates: int, k: int) -> float:
    return sum(hits[:k]) / min(k, candidates)


def average_precision(hits: Sequence[bool], k: int) -> float:
    at_hits = [sum(hits[:rank]) / rank for rank in range(1, k + 1) if any(hits[rank - 1 : rank])]
    return sum(at_hits) / len(at_hits) if at_hits else 0.0


def csd(hits: Sequence[bool], candidates: int, k: int) -> float:
    ranks = range(1, min(k, candidates) + 1)
    return sum(sum(hits[:rank]) / rank for rank in ranks) / len(ranks)
