"""Each gate at its limit and just beyond it, and what the settings refuse to override."""

from __future__ import annotations

from typing import Any

import pytest

from artrec.config import FINAL_GATES, GATES, GatesSettings, load
from artrec.errors import ConfigError
from artrec.evaluation import Cloud, Measured, gates, judge
from artrec.releases import GateResult

COUNTS = {
    **{"listed": 100, "stored": 95, "rejected": 5, "lists": 95, "rejected_empty": 5},
    **dict.fromkeys(("lost", "invented", "double", "double_ids"), 0),
    **{"vectors": 90, "distinct_vectors": 80, "non_finite": 0, "zero": 0, "flat": 0},
}
CLOUD = Cloud(encoder="mine-1", count=200, mean=[0.0, 0.0], spread=2.0)


def results(limits: GatesSettings | None = None, **changes: Any) -> dict[str, GateResult]:
    counts = {name: changes.pop(name) for name in list(changes) if name in COUNTS}
    measured = Measured(counts=COUNTS | counts, **changes)
    return {each.gate: each for each in judge(measured, limits or GatesSettings())}


def refused(**changes: Any) -> list[tuple[str, str]]:
    return [(gate.gate, gate.found) for gate in results(**changes).values() if not gate.passed]


def test_a_sound_first_release_passes_the_gates_that_apply_to_it() -> None:
    found = results(table_recall=1.0, cloud=CLOUD)
    assert list(found) == [
        *("balance", "identity", "lists", "images", "vectors", "reject_rate", "table_recall"),
    ]
    assert all(each.passed and each.found and each.expected for each in found.values())


def test_lists_under_rules_are_one_for_each_image_and_full_or_explained() -> None:
    sound = {"in_style": {"lists": 95, "unexplained": 0}}
    (lists,) = [gate for gate in results(ruled=sound).values() if gate.gate == "lists"]
    assert (lists.passed, lists.found) == (True, "95 neighbor lists")
    assert lists.expected.endswith("in 1 tables under rules too, full or with a reason")
    for bad, found in (
        ({"lists": 94, "unexplained": 0}, "94 in neighbors_b, 0 entries unexplained"),
        ({"lists": 95, "unexplained": 3}, "95 in neighbors_b, 3 entries unexplained"),
    ):
        assert refused(ruled=sound | {"b": bad}) == [("lists", f"95 neighbor lists; {found}")]


def test_every_gate_of_the_settings_exists_and_no_other() -> None:
    assert tuple(gates._GATES) == GATES
    assert set(FINAL_GATES) < set(GATES)


def test_an_approximate_table_is_held_to_what_it_was_made_for_unless_the_settings_say_else() -> (
    None
):
    low = {"table_recall": 0.97, "exact": False, "planned_recall": 0.98}
    made, given = results(**low), results(GatesSettings(table_recall=0.9), **low)
    assert made["table_recall"].expected == (
        "at least 0.98 (neighbors.recall): the table is approximate"
    )
    assert given["table_recall"].passed
    assert given["table_recall"].expected.startswith("at least 0.9 (gates.table_recall)")
    exact = results(GatesSettings(table_recall=0.9), table_recall=0.97)
    assert not exact["table_recall"].passed


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lost": 1}, [("balance", "1 lost, 0 invented, 0 double")]),
        ({"invented": 2}, [("balance", "0 lost, 2 invented, 0 double")]),
        ({"double": 3}, [("balance", "0 lost, 0 invented, 3 double")]),
        ({"double_ids": 1}, [("identity", "1 image ids more than once")]),
        ({"lists": 94}, [("lists", "94 neighbor lists")]),
        ({"stored": 0, "lists": 0}, [("images", "0 images")]),
        ({"non_finite": 1}, [("vectors", "1 not finite, 0 zero, 0 of one number")]),
        ({"zero": 1}, [("vectors", "0 not finite, 1 zero, 0 of one number")]),
        ({"flat": 1}, [("vectors", "0 not finite, 0 zero, 1 of one number")]),
        (
            {"vectors": 7, "distinct_vectors": 1},
            [("vectors", "0 not finite, 0 zero, 0 of one number, all 7 vectors equal")],
        ),
        ({"vectors": 1, "distinct_vectors": 1}, []),
        ({"rejected": 6}, [("reject_rate", "0.0600 (6 of 100)")]),
        ({"index_recall": {1: 0.9, 10: 0.9}}, []),
        ({"index_recall": {1: 0.95, 10: 0.89}}, [("index_recall", "recall@10 not below 0.8900")]),
        ({"table_recall": 0.999}, [("table_recall", "0.999000 of the entries as they should be")]),
        ({"table_recall": 0.98, "exact": False, "planned_recall": 0.98}, []),
        (
            {"table_recall": 0.97, "exact": False, "planned_recall": 0.98},
            [("table_recall", "recall not below 0.9700")],
        ),
        ({"sources": {"a": 80, "b": 5}, "sources_before": {"a": 100}}, []),  # 20 fewer of 100
        (
            {"sources": {"a": 79, "b": 5}, "sources_before": {"a": 100, "b": 5, "c": 3}},
            [("sources", "79 members in a, 0 members in c")],
        ),
        ({"sources": {"a": 1}, "sources_before": {"a": 1, "b": 0}}, []),
        ({"stored_before": 105}, []),  # 10 fewer of 105 are 9.5 %
        ({"stored_before": 106}, [("shrinkage", "95 images")]),  # 11 of 106 are 10.4 %
        ({"stored_before": 50}, []),
    ],
)
def test_a_gate_refuses_what_is_beyond_its_limit_and_says_what_it_found(
    changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert refused(**changes) == expected


@pytest.mark.parametrize(("x", "passes"), [(0.8, True), (0.79, True), (0.81, False)])
def test_drift_is_measured_in_units_of_the_spread(x: float, passes: bool) -> None:
    """Limit 0.2 + 2 sqrt(1/200 + 1/200) = 0.4, times the spread of 2: 0.8."""
    moved = Cloud(encoder="mine-1", count=200, mean=[0.0, x - 1e-9], spread=1.0)
    found = results(cloud=moved, cloud_before=CLOUD)["drift"]
    assert found.passed == passes
    assert found.found == f"mean vector moved by {x / 2:.3f} of the spread"


def test_vectors_of_another_encoder_are_not_compared() -> None:
    other = CLOUD.model_copy(update={"encoder": "other-1", "mean": [9.0, 9.0]})
    assert "drift" not in results(cloud=other, cloud_before=CLOUD)


def test_one_single_picture_that_was_exchanged_has_drifted_without_bounds() -> None:
    one, other = (Cloud(encoder="m", count=1, mean=[x], spread=0.0) for x in (1.0, 2.0))
    assert not results(cloud=one, cloud_before=other)["drift"].passed
    assert results(cloud=one, cloud_before=one)["drift"].passed


def test_reasons_with_a_limit_of_their_own_are_judged_each() -> None:
    limits = GatesSettings(reject_rates={"empty": 0.04, "bad_crc": 0.0})
    found = results(limits)["reject_rates"]
    assert not found.passed
    assert found.found == "empty 0.0500 (5 of 100)"
    assert found.expected == "empty at most 0.04 (gates.reject_rates)"
    assert results(GatesSettings(reject_rates={"empty": 0.05}))["reject_rates"].passed


def test_an_override_is_noted_only_where_its_gate_refuses() -> None:
    limits = GatesSettings(override={"reject_rate": "known", "shrinkage": "wanted"})
    found = results(limits, rejected=50, stored_before=100)
    assert found["reject_rate"].overridden == "known"
    assert not found["reject_rate"].passed
    assert not found["reject_rate"].refuses
    assert found["shrinkage"].passed
    assert found["shrinkage"].overridden is None


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("gates.override.recall=why", "there is no gate recall; there are: sources,"),
        ("gates.override.balance=why", "gate balance cannot be overridden: a release that it"),
        ("gates.override.identity=why", "gate identity cannot be overridden"),
        ("gates.override.drift=", "say why gate drift is overridden"),
        ("gates.override.drift=  ", "say why gate drift is overridden"),
        ("gates.reject_rates.empty=1.5", "the share of empty must lie between 0 and 1"),
        ("gates.reject_rate=2", "gates.reject_rate"),
    ],
)
def test_settings_refuse_an_override_that_makes_no_sense(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(None, [assignment], {})


def test_a_reason_may_be_any_text() -> None:
    settings, origins = load(None, ["gates.override.drift=new scans: all of them, 2026"], {})
    assert settings.gates.override == {"drift": "new scans: all of them, 2026"}
    assert origins["gates.override.drift"].startswith("--set")
    assert "gates.override" not in settings.results()


def test_an_empty_source_is_refused_whatever_share_may_be_lost() -> None:
    limits = GatesSettings(source_shrinkage=1.0)
    found = results(limits, sources={"a": 0, "b": 1}, sources_before={"a": 9, "b": 9})["sources"]
    assert (found.passed, found.found) == (False, "0 members in a")
    assert found.expected == "at least 1 in a, which had 9 (gates.source_shrinkage)"
