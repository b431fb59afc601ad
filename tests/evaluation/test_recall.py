"""Recall by distance: ties are no mistakes, claims are measured, guesses are never the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from artrec.errors import ConfigError
from artrec.evaluation import Streamed, recalls
from artrec.vectors import Block, BruteForce, TopK

LINE = np.array([[0.0], [1.0], [3.0], [3.0], [9.0]], np.float32)
NUMBERS = np.array([2, 4, 6, 8, 10])
ALL = Block(NUMBERS, LINE)


def blocks() -> Iterator[Block]:
    yield Block(NUMBERS[:2], LINE[:2])
    yield Block(NUMBERS[2:], LINE[2:])


@dataclass
class Told:
    """A searcher that answers what it was told, and claims that all of it is near."""

    lists: list[list[int]]

    def is_exact(self) -> bool:
        return False

    def search(self, queries: np.ndarray, k: int) -> TopK:  # type: ignore[type-arg]
        found = TopK.empty(len(queries), k)
        for row, ids in enumerate(self.lists):
            found.ids[row, : len(ids)] = ids[:k]
            found.distances[row, : len(ids)] = 0.0
        return found


class Lazy:
    """A searcher that finds all of it only when asked for many, as one that examines few does."""

    def is_exact(self) -> bool:
        return False

    def search(self, queries: np.ndarray, k: int) -> TopK:  # type: ignore[type-arg]
        return (TRUTH if k > 11 else Told([[2, 10, 4]])).search(queries, k)


TRUTH = Streamed(blocks, "euclidean")


def measured(lists: list[list[int]], queries: Block) -> dict[int, list[float]]:
    found = recalls(Told(lists), TRUTH, queries, blocks, "euclidean")
    return {k: share.tolist() for k, share in found.items()}


FIRST = Block(NUMBERS[:1], LINE[:1])


@pytest.mark.parametrize(
    ("found", "at_1", "at_10"),
    [
        ([2, 4, 6, 8, 10], 1.0, 1.0),
        ([4, 6, 8, 10], 1.0, 1.0),  # without the query itself
        ([2, 10, 4, 6, 8], 0.0, 1.0),  # the nearest comes second
        ([2, 4], 1.0, 0.25),
        ([2, 4, 4, 4, 4], 1.0, 0.25),  # said again and again
        ([2, 4, 6, 999, 12345], 1.0, 0.5),  # no such vectors
        ([], 0.0, 0.0),
    ],
)
def test_recall_of_a_literal_answer(found: list[int], at_1: float, at_10: float) -> None:
    """From 0 the four others lie at 1, 3, 3 and 9."""
    assert measured([found], FIRST) == {1: [at_1], 10: [at_10], 50: [at_10]}


def test_each_cut_is_measured_by_a_search_for_as_many() -> None:
    found = recalls(Lazy(), TRUTH, FIRST, blocks, "euclidean")
    assert {k: share.tolist() for k, share in found.items()} == {1: [0.0], 10: [0.5], 50: [1.0]}


def test_either_of_two_that_are_as_far_is_right() -> None:
    """From 9 the nearest others are the two at 3; which of them comes first is no matter."""
    query = Block(NUMBERS[4:], LINE[4:])
    assert measured([[10, 8]], query)[1] == measured([[10, 6]], query)[1] == [1.0]
    assert measured([[10, 4]], query)[1] == [0.0]


def test_one_vector_alone_has_nothing_to_find() -> None:
    found = recalls(Told([[2]]), Streamed(lambda: [FIRST], "euclidean"), FIRST, lambda: [FIRST],
                    "euclidean")  # fmt: skip
    assert {k: share.tolist() for k, share in found.items()} == {1: [1.0], 10: [1.0], 50: [1.0]}


def test_the_exact_searchers_agree_and_recall_each_other_wholly() -> None:
    random = np.random.default_rng(3)
    vectors = random.integers(1, 4, (300, 5)).astype(np.float32)
    numbers = np.arange(300) * 3 + 1
    whole = Block(numbers, vectors)
    force = BruteForce(vectors, numbers, "cosine")
    streamed = Streamed(lambda: [whole], "cosine")
    queries = Block(numbers[:40], vectors[:40])
    one, other = (each.search(queries.vectors, 51) for each in (force, streamed))
    assert (one.ids == other.ids).all()
    assert (one.distances == other.distances).all()
    for searcher, truth in ((force, streamed), (streamed, force)):
        found = recalls(searcher, truth, queries, lambda: [whole], "cosine")
        assert {share.min() for share in found.values()} == {1.0}


def test_what_is_not_exact_is_never_the_truth() -> None:
    with pytest.raises(ConfigError, match="Told is approximate and cannot be the truth"):
        recalls(TRUTH, Told([]), FIRST, blocks, "euclidean")
