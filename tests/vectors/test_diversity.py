from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artrec.errors import ConfigError, InputError
from artrec.vectors import METRICS, exact
from artrec.vectors.rules import mmr

LINE = np.array([[1], [2], [3], [-4], [8]], dtype=np.float32)  # the query is at 0
FAR = np.array([1, 2, 3, 4, 8], dtype=np.float32)


def test_a_small_list_is_ranked_again_as_by_hand() -> None:
    # After 1: gains for 2, 3, -4, 8 are 1-2, 2-3, 5-4, 7-8 (halved): -4. After it: -1, -1, -1
    # for 2, 3 and 8, and the first of them.
    assert mmr(FAR, LINE, 0.5, 3, "euclidean").tolist() == [0, 3, 1]


def test_with_relevance_alone_the_list_stays_as_it_is() -> None:
    assert mmr(FAR, LINE, 1.0, 5, "euclidean").tolist() == [0, 1, 2, 3, 4]
    assert mmr(FAR, LINE, 1.0, 2, "euclidean").tolist() == [0, 1]


def test_without_relevance_each_is_the_farthest_from_those_taken() -> None:
    # 8 is 7 from 1; then -4, 5 from 1; then 3, 2 from 1; then 2.
    assert mmr(FAR, LINE, 0.0, 9, "euclidean").tolist() == [0, 4, 3, 2, 1]


def by_definition(
    query: list[float], candidates: list[list[float]], weight: float, k: int
) -> list[int]:
    """Carbonell and Goldstein's formula with cosines."""

    def cosine(a: list[float], b: list[float]) -> float:
        one, other = (np.array([v], dtype=np.float32) for v in (a, b))
        return 1 - float(exact("cosine", one, other)[0])

    taken: list[int] = []
    while len(taken) < min(k, len(candidates)):
        left = [i for i in range(len(candidates)) if i not in taken]
        scores = {
            i: weight * cosine(query, candidates[i])
            - (1 - weight) * max((cosine(candidates[i], candidates[j]) for j in taken), default=0)
            for i in left
        }
        if not taken:
            scores = {i: cosine(query, candidates[i]) for i in left}
        taken.append(max(left, key=lambda i: (round(scores[i], 9), -i)))
    return taken


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 12), st.floats(0.05, 0.95))
def test_it_is_the_formula_with_cosines(seed: int, size: int, k: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    query, made = rng.standard_normal(4), rng.standard_normal((size, 4))
    candidates = made.astype(np.float32)
    asked = np.repeat(query.astype(np.float32)[None], size, axis=0)
    far = exact("cosine", asked, candidates)
    order = np.argsort(far, kind="stable")
    found = mmr(far[order], candidates[order], weight, k, "cosine").tolist()
    assert found == by_definition(asked[0].tolist(), candidates[order].tolist(), weight, k)


@pytest.mark.parametrize("metric", METRICS)
def test_equals_go_to_the_first_and_nothing_is_taken_twice(metric: str) -> None:
    made = np.array([[1, 1]] * 4, dtype=np.float32)
    far = np.full(4, 0.5, dtype=np.float32)
    assert mmr(far, made, 0.3, 4, metric).tolist() == [0, 1, 2, 3]
    assert mmr(far[:0], made[:0], 0.3, 4, metric).tolist() == []


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(ConfigError, match="from 0 to 1"):
        mmr(FAR, LINE, 1.5, 3, "euclidean")
    with pytest.raises(ConfigError, match="k at least 1"):
        mmr(FAR, LINE, 0.5, 0, "euclidean")
    with pytest.raises(InputError, match="empty places"):
        mmr(np.array([math.inf] * 5, dtype=np.float32), LINE, 0.5, 1, "euclidean")
    with pytest.raises(InputError, match="4 distances came for 5 candidates"):
        mmr(FAR[:4], LINE, 0.5, 1, "euclidean")
