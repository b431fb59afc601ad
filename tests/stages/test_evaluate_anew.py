"""evaluate in other ways: of a night from nothing, and of tables that no single task holds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from artrec.releases import Draft, Run, StageRuns, begin_run
from artrec.stages import RESULT_VERSIONS
from artrec.stages.evaluate import _inputs, agreeing, coding, together
from artrec.stages.evaluate.assessing import Assessment
from artrec.stages.frames import Attempt, TaskReport
from artrec.storage import open_store
from artrec.tables import read_table
from tests.nights import Night

Rows = list[dict[str, Any]]

TABLES = (
    *("evaluated_images", "chosen_images", "exact_lists", "retrieval", "evaluation"),
    *("hubs", "duplicates", "near_duplicates", "coordinates"),
)


def measured_anew(spark: SparkSession, made: Night, root: Path) -> tuple[Run, dict[str, Rows]]:
    """The release's own tables measured once more in a copy of its store, nothing kept."""
    shutil.copytree(
        made.root, root, ignore=lambda at, _: ["evaluate"] if at.endswith("runs") else []
    )
    store = open_store(str(root))
    rules = made.settings()
    draft = Draft.begin(store, "anew")
    for runs in made.document["stages"].values():
        draft.record(StageRuns.model_validate(runs))
    run = begin_run("evaluate", RESULT_VERSIONS["evaluate"], _inputs(rules, draft), {})
    found = Assessment(spark, rules, draft, run, None).measured(0.0)
    return found, {
        table: [row for batch in read_table(store, found.receipts(table))
                for row in batch.to_pylist()] for table in (*TABLES, "floor_vectors")
    }  # fmt: skip


def told(rows: Rows) -> list[str]:
    return sorted(map(repr, rows))


@pytest.mark.parametrize(
    "alone",
    [pytest.param(together.ALONE, marks=pytest.mark.long), 0],
    ids=["by single tasks", "by Spark"],
)
def test_a_nights_evaluation_is_that_of_one_from_nothing(
    spark: SparkSession,
    next_release: Night,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alone: int,
) -> None:
    """And it is the same whether tasks hold whole tables or Spark brings them together."""
    monkeypatch.setattr(together, "ALONE", alone)
    run, found = measured_anew(spark, next_release, tmp_path / "root")
    for table in TABLES:
        assert told(found[table]) == told(next_release.rows(table)), table
    assert told(found["floor_vectors"]) == told(next_release.rows("floor_vectors"))
    assert run.counters["decoded"] == len(found["floor_vectors"])  # none was kept
    notes = next_release.document["stages"]["evaluate"]["notes"]
    assert run.notes["counts"] == notes["counts"]


SCHEMA = pa.schema(
    [("vector_no", pa.int64()), ("image_id", pa.string()), ("image_code", pa.int64()),
     ("place", pa.int32()), ("sample_place", pa.int32())]
)  # fmt: skip


def rows_of(codes: list[int]) -> pa.Table:
    names = [f"{code}.jpg" for code in codes]
    empty = [None] * len(codes)
    return pa.table([codes, names, codes, empty, empty], schema=SCHEMA)


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=30),
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 9),
)  # fmt: skip
@settings(deadline=None)
def test_what_is_drawn_from_parts_is_drawn_from_all(
    codes: list[int], fresh: int, sample: int, size: int
) -> None:
    draw = coding.Draw(fresh, sample, "tonight")
    parts = [
        coding.drawn(rows_of(codes[at : at + size]), draw) for at in range(0, len(codes), size)
    ]
    together = coding.drawn(pa.concat_tables([rows_of([]), *parts]), draw)
    whole = coding.drawn(rows_of(codes), draw)
    assert together.to_pylist() == whole.to_pylist()
    places = [row["place"] for row in whole.to_pylist()]
    assert sorted(places) == list(range(len(whole)))
    nth = sorted(
        row["sample_place"] for row in whole.to_pylist() if row["sample_place"] is not None
    )
    assert nth == list(range(min(sample, len(codes))))
    assert min(fresh, len(codes)) <= len(whole) <= fresh + sample


def test_the_sample_stays_and_the_queries_change_with_the_night() -> None:
    """Of 1,000 images, ten came: the sample of 100 loses about one."""
    before, after = rows_of(list(range(1000))), rows_of(list(range(1010)))
    drawn = [
        coding.drawn(rows, coding.Draw(100, 100, seed)).to_pylist()
        for rows, seed in ((before, "one"), (after, "two"))
    ]
    samples, queries = (
        [{row["image_id"] for row in rows if row[name] is not None and row[name] < 100}
         for rows in drawn] for name in ("sample_place", "place")
    )  # fmt: skip
    assert len(samples[0] & samples[1]) >= 97
    assert len(queries[0] & queries[1]) < 30


def pair_of(true: list[list[tuple[str, float]]], own: list[list[tuple[str, float]]]) -> Any:
    def rows(lists: list[list[tuple[str, float]]]) -> pa.Table:
        return pa.table({
            "ids": pa.array([[name for name, _ in each] for each in lists], pa.list_(pa.string())),
            "distances": pa.array([[far for _, far in each] for each in lists],
                                  pa.list_(pa.float32())),
        })  # fmt: skip

    return agreeing._Pair.of(rows(true), rows(own))


def test_an_entry_is_right_at_its_rank_with_its_distance() -> None:
    """Of five places: one right, a swap, another distance, and one that is missing."""
    pair = pair_of(
        [[("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)], [], [("a", 1)]],
        [[("a", 1), ("c", 2), ("b", 3), ("d", 4.5)], [("x", 1)], [("a", 1), ("b", 2)]],
    )
    assert pair.agreeing() == {"queries": 3, "right": 2, "entries": 8, "true": 6}


def test_a_share_counts_entries_wherever_they_stand_and_whoever_is_as_near_as_the_last() -> None:
    pair = pair_of(
        [[("a", 1), ("b", 2), ("c", 3), ("d", 3)], [], [("a", 1), ("b", 2)], [("a", 1)]],
        [[("b", 2), ("z", 3), ("a", 1.5)], [("x", 1)], [], [("y", 1), ("z", 1)]],
    )
    assert np.array_equal(pair.shares(), [0.5, 1.0, 0.0, 1.0])


def test_tasks_of_several_kinds_keep_their_own_places() -> None:
    def work(name: str) -> Any:
        return lambda attempt: TaskReport(notes={"did": (name, attempt.index, attempt.id)})

    parts = [together.Part(2, work("a")), together.Part(0, work("b")), together.Part(1, work("c"))]
    reports = [together.one_of(parts, Attempt(n, 0, 10 + n)) for n in range(3)]
    found = [[report.notes["did"] for report in own] for own in together.split(parts, reports)]
    assert found == [[("a", 0, 10), ("a", 1, 11)], [], [("c", 0, 12)]]
    with pytest.raises(IndexError):
        together.one_of(parts, Attempt(3, 0, 13))
