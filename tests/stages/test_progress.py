"""Progress: words that tasks leave, what the driver makes of them, and the lines it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog
from pyspark.sql import SparkSession
from structlog.testing import capture_logs

from artrec.stages.frames import Attempt, TaskReport, run_tasks
from artrec.stages.progress import Marks, Watch
from artrec.storage import open_store


class Stub:
    """As much of a draft as a watch looks at."""

    release_id, attempt = "tonight", "me"

    def __init__(self, root: Path) -> None:
        self.store = open_store(str(root))


def watch(root: Path, **more: Any) -> Watch:
    given: dict[str, Any] = {"total": 100, "done_by": ("read",), "begun": 0.0, **more}
    draft: Any = Stub(root)
    return Watch(draft, "ingest", **given)


def names(root: Path) -> list[str]:
    return [entry.path for entry in open_store(str(root)).list("drafts")]


class Twice:
    """An event that is over at the second look: nobody waits in a test."""

    def __init__(self) -> None:
        self.looks, self.waited = 0, 0.0

    def wait(self, seconds: float) -> bool:
        self.looks, self.waited = self.looks + 1, seconds
        return self.looks > 1


def test_the_name_of_a_word_says_all_and_it_is_removed_when_counted(tmp_path: Path) -> None:
    marks = watch(tmp_path).marks
    marks.leave(7, {"read": 20, "stored": 17, "rejected": 3})
    assert names(tmp_path) == ["drafts/tonight/progress/me/ingest-00007-20-3"]
    assert list(marks.collect()) == [(7, 20, 3)]
    assert names(tmp_path) == []


def test_a_task_that_says_it_twice_counts_once(tmp_path: Path) -> None:
    seen = watch(tmp_path)
    with seen.watching():
        for _ in range(2):
            seen.marks.leave(1, {"read": 20, "rejected": 3})
            seen._look()
        seen.marks.leave(2, {"read": 5})
    assert seen.state(10.0) == {
        **{"done": 25, "of": 100, "unit": "pictures", "rejected": 3},
        **{"per_second": 2.5, "seconds_left": 30},
    }


def test_what_an_earlier_attempt_did_is_done_and_no_part_of_the_rate(tmp_path: Path) -> None:
    seen = watch(tmp_path)
    seen.skip({"read": 40, "rejected": 4})
    assert seen.state(10.0) == {"done": 40, "of": 100, "unit": "pictures", "rejected": 4}
    seen.finish({"read": 20, "rejected": 1})
    found = seen.state(10.0)
    assert (found["done"], found["rejected"]) == (60, 5)
    assert (found["per_second"], found["seconds_left"]) == (2.0, 20)


def test_the_report_of_a_job_counts_more_than_the_words_of_its_tasks(tmp_path: Path) -> None:
    seen = watch(tmp_path)
    with seen.watching():
        seen.marks.leave(0, {"read": 10})
    seen.finish({"read": 50})
    assert seen.state(10.0)["done"] == 50


def test_without_a_terminal_there_is_a_line_now_and_then(tmp_path: Path) -> None:
    seen = watch(tmp_path, every=30.0)
    seen.context = {"segment": "2/3", "run": "abc"}
    seen.marks.leave(0, {"read": 10, "rejected": 1})
    over: Any = Twice()
    structlog.reset_defaults()
    with capture_logs() as lines:
        seen._tell(over)
    (line,) = lines
    assert over.waited == 30.0
    assert (line["event"], line["log_level"]) == ("progress", "info")
    assert (line["stage"], line["segment"], line["run"]) == ("ingest", "2/3", "abc")
    assert (line["done"], line["of"], line["rejected"]) == (10, 100, 1)
    assert line["seconds_left"] > 0


def test_on_a_terminal_there_is_a_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    seen = watch(tmp_path)
    seen.context = {"segment": "2/3", "run": "abc"}
    seen.marks.leave(0, {"read": 10, "rejected": 1})
    over: Any = Twice()
    seen._draw(over)
    shown = capsys.readouterr().err
    assert "ingest 2/3" in shown
    assert "10 of 100 pictures" in shown
    assert "1 rejected" in shown


def test_a_store_that_fails_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "drafts").write_text("no folder")
    seen = watch(tmp_path)
    with seen.watching():
        seen.marks.leave(0, {"read": 10})
    seen.finish({"read": 10})
    assert seen.state(1.0)["done"] == 10


def test_tasks_of_spark_leave_word_and_nothing_stays(spark: SparkSession, tmp_path: Path) -> None:
    def work(attempt: Attempt) -> TaskReport:
        return TaskReport(counters={"read": 10 + attempt.index, "rejected": 1})

    seen, met = watch(tmp_path), []
    with seen.watching() as marks:
        reports = run_tasks(spark, 3, work, marks)
        met = names(tmp_path)
    assert [each.rpartition("/")[2] for each in met] == [
        *("ingest-00000-10-1", "ingest-00001-11-1", "ingest-00002-12-1")
    ]
    assert [report.counters["read"] for report in reports] == [10, 11, 12]
    assert names(tmp_path) == []
    assert seen.state(1.0)["done"] == 33


def test_where_nothing_is_counted_a_task_counts_for_one(tmp_path: Path) -> None:
    marks = Marks(open_store(str(tmp_path)), "drafts/x", "evaluate", ())
    marks.leave(3, {"queries": 9})
    assert list(marks.collect()) == [(3, 1, 0)]
