"""Measures of literal lists, their averages and intervals."""

from __future__ import annotations

import numpy as np
import pytest

from artrec.evaluation import Answers, averages, chance, interval, values


def answers(hits: list[list[int]], candidates: list[int], groups: str = "") -> Answers:
    """Lists by the ranks of their hits."""
    places = np.zeros((len(hits), 100), np.bool_)
    for row, ranks in enumerate(hits):
        places[row, np.array(ranks, int) - 1] = True
    relevant = np.maximum(1, places.sum(axis=1))
    return Answers(list(groups or "x" * len(hits)), places, np.array(candidates), relevant)


def test_measures_of_one_list() -> None:
    """Hits at ranks 1, 3 and 8 of a long list.

    precision@1 1/1, @5 2/5, @10 3/10, @100 3/100.
    At the hits 1/1, 2/3, 3/8: their mean is (1 + 2/3 + 3/8) / 3.
    precision@1..10 is 1 1/2 2/3 2/4 2/5 2/6 2/7 3/8 3/9 3/10, and map_csd their mean.
    """
    found = {key: each.tolist() for key, each in values(answers([[1, 3, 8]], [500])).items()}
    csd = (1 + 1 / 2 + 2 / 3 + 2 / 4 + 2 / 5 + 2 / 6 + 2 / 7 + 3 / 8 + 3 / 9 + 3 / 10) / 10
    assert found == {
        ("precision", 1): [1.0],
        ("precision", 5): [0.4],
        ("precision", 10): [0.3],
        ("precision", 100): [0.03],
        ("map", 10): [pytest.approx((1 + 2 / 3 + 3 / 8) / 3)],
        ("map_csd", 10): [pytest.approx(csd)],
    }


def test_a_list_without_hits_is_worth_nothing() -> None:
    assert {each.item() for each in values(answers([[]], [40])).values()} == {0.0}
    only_late = values(answers([[11]], [40]))
    assert (only_late["map", 10].item(), only_late["map_csd", 10].item()) == (0.0, 0.0)
    assert only_late["precision", 100].item() == 1 / 40


def test_a_short_list_is_judged_by_what_it_can_hold() -> None:
    """Three candidates, hits at ranks 1 and 3: @1 1/1, @5 and beyond 2/3.

    map (1 + 2/3) / 2; map_csd (1 + 1/2 + 2/3) / 3.
    """
    found = values(answers([[1, 3]], [3]))
    assert [found["precision", k].item() for k in (1, 5, 10, 100)] == [1, 2 / 3, 2 / 3, 2 / 3]
    assert found["map", 10].item() == pytest.approx((1 + 2 / 3) / 2)
    assert found["map_csd", 10].item() == pytest.approx((1 + 1 / 2 + 2 / 3) / 3)


def test_chance_is_the_share_of_the_label_among_the_candidates() -> None:
    given = Answers(["a", "a"], np.zeros((2, 100), np.bool_), np.array([10, 4]), np.array([3, 1]))
    assert chance(given).tolist() == [0.3, 0.25]


def test_micro_is_over_queries_and_macro_over_classes() -> None:
    """a: 1 1 0 -> 2/3; b: 0 -> 0. Micro 2/4, macro (2/3 + 0) / 2."""
    found = list(averages(list("aaba"), np.array([1.0, 1.0, 0.0, 0.0]), 1.0))
    shown = [(each.average, each.group, each.queries, each.value) for each in found]
    assert shown == [
        ("micro", "", 4, 0.5),
        ("macro", "", 4, pytest.approx(1 / 3)),
        ("class", "a", 3, pytest.approx(2 / 3)),
        ("class", "b", 1, 0.0),
    ]
    assert len(list(averages(list("aaba"), np.ones(4), 1.0, classes=False))) == 2


def test_no_queries_have_no_average() -> None:
    assert list(averages([], np.zeros(0), 1.0)) == []


def test_the_interval_is_that_of_wilson() -> None:
    """81 of 263, the worked example of Newcombe (1998), method 3: 0.2553 to 0.3662."""
    low, high = interval(81 / 263, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_a_perfect_share_of_few_is_not_certain_and_of_all_it_is() -> None:
    """n / (n + 1.96^2) for 20 of 20: 0.8389. Of half a population the same as of 40: 0.9124."""
    assert interval(1.0, 20) == (pytest.approx(0.8389, abs=1e-4), 1.0)
    assert interval(1.0, 20, 0.5) == (pytest.approx(0.9124, abs=1e-4), 1.0)
    assert interval(0.9, 20, 1.0) == (0.9, 0.9)
    assert interval(0.9, 20, 3.0) == (0.9, 0.9)
