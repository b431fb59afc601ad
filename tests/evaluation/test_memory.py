"""Gates with memory: literal histories, and figures at their limit and just beyond it."""

from __future__ import annotations

from typing import Any

import pytest

from artrec.config import GatesSettings
from artrec.evaluation import Cloud, Measured, Past, figures, judge
from artrec.releases import GateResult

COUNTS = {
    **{"listed": 100_000, "stored": 99_000, "rejected": 1_000, "lists": 99_000},
    **dict.fromkeys(("lost", "invented", "double", "double_ids"), 0),
    **{"vectors": 90, "distinct_vectors": 80, "non_finite": 0, "zero": 0, "flat": 0},
}
CHURN = {
    **{"images": 100_000, "new": 0, "gone": 0, "lists": 100_000, "first": 0},
    **{"entries": 1_000_000, "came": 0},
}


def past(name: str, *values: float, overridden: int | None = None) -> list[Past]:
    """Releases that had these values of a figure, the newest first."""
    gate = frozenset({"usual_rejects"})
    return [
        Past(release=f"r{n}", figures={name: each}, overridden=gate if n == overridden else set())
        for n, each in enumerate(values)
    ]


def judged(
    gate: str, history: list[Past], limits: GatesSettings | None = None, **changes: Any
) -> GateResult | None:
    counts = COUNTS | {name: changes.pop(name) for name in list(changes) if name in COUNTS}
    given = {"counts": counts, "queries": 10_000, "past": history} | changes
    found = judge(Measured.model_validate(given), limits or GatesSettings(reject_rate=1))
    return {each.gate: each for each in found}.get(gate)


@pytest.mark.parametrize(
    ("values", "rejected", "passes"),
    [
        ((0.01, 0.01, 0.01), 2_000, True),  # a constant history, and the room of .01
        ((0.01, 0.01, 0.01), 2_010, False),
        ((0.01, 0.02, 0.03, 0.04, 0.05), 9_000, True),  # median .03, deviation .01, six of them
        ((0.01, 0.02, 0.03, 0.04, 0.05), 9_010, False),
        ((0.01, 0.01, 0.9, 0.01), 2_000, True),  # one odd night changes nothing
        ((0.01, 0.01, 0.9, 0.01), 2_010, False),
        ((0.5, 0.5, 0.5), 0, True),  # better is not refused
        ((0.01,) * 4 + (0.9,) * 4, 2_010, False),  # seven are remembered, no more
    ],
)
def test_a_reject_rate_is_refused_far_above_what_the_last_releases_had(
    values: tuple[float, ...], rejected: int, passes: bool
) -> None:
    found = judged("usual_rejects", past("reject_rate", *values), rejected=rejected)
    assert found is not None
    assert found.passed == passes


def test_found_and_expected_name_the_history() -> None:
    found = judged("usual_rejects", past("reject_rate", 0.01, 0.012, 0.011), rejected=3_000)
    assert found is not None
    assert found.found == "reject rate 0.0300"
    assert found.expected == (
        "at most 0.0210: the last 3 releases, r2 to r0, had 0.0100 to 0.0120 (gates.usual_rejects)"
    )


@pytest.mark.parametrize("history", [past("reject_rate", 0.0, 0.0), past("drift", 0.0, 0.0, 0.0)])
def test_of_fewer_than_three_releases_nothing_is_usual(history: list[Past]) -> None:
    assert judged("usual_rejects", history, rejected=90_000) is None


def test_the_settings_say_how_far_how_many_and_whether_at_all() -> None:
    history = past("reject_rate", 0.01, 0.01, 0.01, 0.5, 0.5, 0.5, 0.5)
    for limits, passes in (
        (GatesSettings(reject_rate=1), True),
        (GatesSettings(reject_rate=1, memory=3), False),
        (GatesSettings(reject_rate=1, memory=3, usual_rejects=0.2), True),
        (GatesSettings(reject_rate=1, memory=0), None),
    ):
        found = judged("usual_rejects", history, limits, rejected=20_000)
        assert (found and found.passed) == passes
    restless = past("reject_rate", 0.01, 0.02, 0.03)
    for deviations, passes in ((6, True), (5, False)):
        given = GatesSettings(reject_rate=1, deviations=deviations)
        found = judged("usual_rejects", restless, given, rejected=7_500)
        assert found is not None
        assert found.passed == passes


def test_a_tiny_catalog_is_not_judged_by_one_file_more() -> None:
    """One reject of 16 is .0625, below 1 / sqrt(16) = .25; five of 16 are beyond it."""
    history = past("reject_rate", 0.0, 0.0, 0.0)
    for rejected, passes in ((1, True), (4, True), (5, False)):
        found = judged("usual_rejects", history, listed=16, rejected=rejected)
        assert found is not None
        assert found.passed == passes


def test_with_a_release_that_was_published_all_the_same_another_history_begins() -> None:
    history = past("reject_rate", 0.3, 0.3, 0.3, 0.01, 0.01, 0.01, 0.01, overridden=2)
    found = judged("usual_rejects", history, rejected=30_000)
    assert found is not None
    assert found.passed
    assert "the last 3 releases, r2 to r0" in found.expected
    short = past("reject_rate", 0.3, 0.3, 0.01, 0.01, 0.01, overridden=1)
    assert judged("usual_rejects", short, rejected=90_000) is None
    others = [each.model_copy(update={"overridden": frozenset({"drift"})}) for each in history]
    found = judged("usual_rejects", others, rejected=30_000)
    assert found is not None
    assert not found.passed


@pytest.mark.parametrize(
    ("churn", "expected"),
    [
        ({"came": 60_000}, (0.06, 0.0)),
        ({"came": 300_000, "first": 30_000, "new": 30_000}, (0.0, 0.0)),  # 30 % are new
        ({"came": 360_000, "first": 31_000, "new": 30_000}, (0.06, 0.01)),
        ({"came": 200_000, "changed_pictures": 10_000}, (0.0, 0.0)),  # went and came
        ({"came": 250_000, "lists": 80_000, "gone": 20_000, "first": 24_000}, (0.05, 0.1)),
    ],
)
def test_churn_is_what_the_images_own_changes_do_not_explain(
    churn: dict[str, int], expected: tuple[float, float]
) -> None:
    """Of 100,000 images before or now: new / now + gone / before + 2 changed / now."""
    found = figures(Measured(counts=COUNTS, churn=CHURN | churn))
    assert (found["churn"].value, found["first_churn"].value) == pytest.approx(expected)


def test_churn_is_refused_by_entries_or_by_first_neighbors() -> None:
    history = [Past(release=f"r{n}", figures={"churn": 0.01, "first_churn": 0.0}) for n in range(3)]
    for churn, said in (
        ({"came": 60_000, "first": 5_000}, None),  # .06 is .05 beyond .01
        ({"came": 60_100}, "entries changed 0.0601 beyond the images' own changes"),
        ({"first": 5_010}, "first neighbors changed 0.0501 beyond the images' own"),
    ):
        found = judged("usual_churn", history, churn=CHURN | churn)
        assert found is not None
        assert found.passed == (said is None)
        assert said in (None, found.found)
    assert judged("usual_churn", history) is None  # not compared, as with another encoder
    kept = CHURN | {"lists": 0}
    assert judged("usual_churn", history, churn=kept) is None


def test_drift_is_refused_far_beyond_what_it_was() -> None:
    """Of 10,000 vectors each: noise 2 sqrt(2 / 10,000) = .0283, below the room of .05."""
    before = Cloud(encoder="m", count=10_000, mean=[0.0], spread=1.0)
    history = past("drift", 0.02, 0.02, 0.02)
    for moved, passes in ((0.07, True), (0.0701, False)):
        now = before.model_copy(update={"mean": [moved - 1e-9]})
        found = judged("usual_drift", history, cloud=now, cloud_before=before)
        assert found is not None
        assert found.passed == passes
    few = before.model_copy(update={"count": 50})  # 2 sqrt(2 / 50) = .4
    now = few.model_copy(update={"mean": [0.41]})
    found = judged("usual_drift", history, cloud=now, cloud_before=few)
    assert found is not None
    assert found.passed


@pytest.mark.parametrize(
    ("gate", "changes"),
    [
        ("usual_index_recall", lambda low: {"index_recall": {1: 0.99, 10: low}}),
        ("usual_table_recall", lambda low: {"table_recall": low, "exact": False}),
    ],
)
def test_recall_is_refused_far_below_what_it_was(gate: str, changes: Any) -> None:
    history = past(gate.removeprefix("usual_"), 0.97, 0.96, 0.98)  # median .97, deviation .01
    for low, passes in ((0.911, True), (0.909, False), (1.0, True)):
        found = judged(gate, history, **changes(low))
        assert found is not None
        assert found.passed == passes
        assert found.expected.startswith("at least 0.9100: the last 3 releases, r2 to r0, had")


def test_an_exact_table_has_a_gate_of_its_own_and_no_history() -> None:
    history = past("table_recall", 1.0, 1.0, 1.0)
    assert judged("usual_table_recall", history, table_recall=0.5) is None


def test_it_is_overridden_like_any_other() -> None:
    limits = GatesSettings(reject_rate=1, override={"usual_rejects": "new scans"})
    found = judged("usual_rejects", past("reject_rate", 0, 0, 0), limits, rejected=50_000)
    assert found is not None
    assert (found.passed, found.overridden, found.refuses) == (False, "new scans", False)
