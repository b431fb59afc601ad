"""Lists that a rule, or a small catalog, leaves short are told."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from artrec.releases import RunRef, StageRuns
from artrec.stages.shortage import shortages, warn


def recorded(images: int, k: int, **tables: dict[str, Any]) -> StageRuns:
    """What neighbors records of so many images, with notes of tables under rules."""
    rows = {"neighbors_nested": images}
    ref = RunRef(stage="neighbors", run_id="a", rows=rows)
    notes = {"k": k, **({"tables": tables} if tables else {})}
    return StageRuns(stage="neighbors", inputs="", tables={"neighbors_nested": [ref]}, notes=notes)


RULED = {
    "a": {"k": 50, "lists": 1144, "rows": 32032, "short_few_left": 1144},
    "b": {"k": 5, "lists": 1144, "short_no_label": 1000, "short_few_candidates": 4},
    "c": {"k": 5, "lists": 1144, "short_no_label": 3},
    "full": {"k": 2, "lists": 1144, "rows": 2288},
}


def test_short_lists_are_counted_by_table_whatever_their_reason() -> None:
    found = shortages(recorded(1144, 50, **RULED))
    assert [(each.table, each.short, each.is_most) for each in found] == [
        ("neighbors_a", 1144, True),
        ("neighbors_b", 1004, True),
        ("neighbors_c", 3, False),
    ]
    assert found[0].text == (
        "neighbors_a: all lists hold fewer than 50 neighbors: neighbors_a_short says why of each"
    )
    assert found[1].text.startswith("neighbors_b: 1,004 of 1,144 lists hold fewer than 5 neighbors")


@pytest.mark.parametrize(
    ("images", "k", "text"),
    [
        (4, 500, "neighbors: all lists hold fewer than 500 neighbors: each image has 3 others"),
        (4, 4, "neighbors: all lists hold fewer than 4 neighbors: each image has 3 others"),
        (1, 1, "neighbors: all lists hold fewer than 1 neighbors: there is no other image"),
        (4, 3, None),
    ],
)
def test_a_k_that_no_list_can_reach_is_told(images: int, k: int, text: str | None) -> None:
    found = shortages(recorded(images, k))
    assert [each.text for each in found] == ([text] if text else [])


def test_the_log_warns_of_tables_of_which_most_lists_are_short() -> None:
    structlog.reset_defaults()
    with capture_logs() as lines:
        warn(recorded(1144, 50, **RULED))
    assert [(line["log_level"], line["event"].split(":")[0], line["short"]) for line in lines] == [
        ("warning", "neighbors_a", 1144),
        ("warning", "neighbors_b", 1004),
    ]
