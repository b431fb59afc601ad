"""What a night writes of its own cost, against its account and the files that lie there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artrec.releases import Planned, Release, read_release
from artrec.stages import forecast
from artrec.stages.listing import Listing
from artrec.stages.outlook import Outlook
from artrec.stages.session import Options, execute
from artrec.storage import open_store
from tests.nights import Night, opened


def plan_of(night: Night) -> dict[str, Any]:
    found: dict[str, Any] = night.document["plan"]
    return found


def test_a_release_holds_what_was_expected_beside_what_was_measured(release: Night) -> None:
    plan, stages = plan_of(release), release.document["stages"]
    assert set(plan["measured"]) == set(stages)
    assert set(plan["expected"]) == {*stages, "publish"}
    assert plan["cores"] == 2
    assert plan["rates"]["pictures"] > 0
    for name, measured in plan["measured"].items():
        assert measured["seconds"] == pytest.approx(stages[name]["seconds"], abs=0.001), name
        assert measured["driver_bytes"] > 50 << 20
        peak = stages[name]["counters"].get("worker_peak_bytes", 0)
        assert measured["worker_bytes"] == peak
    assert all(each["seconds"] > 0 for each in plan["expected"].values())


SCRATCH = {"recall_queries", "shard_answers", "near_pairs", "fitted"}
"""What tasks leave for each other; no run has them, and sweep takes them."""


def test_bytes_written_are_those_of_the_files_that_a_stage_left(release: Night) -> None:
    def lying(stage: str) -> int:
        refs = [
            ref for refs in release.document["stages"][stage]["tables"].values() for ref in refs
        ]
        runs = {f"runs/{ref['stage']}/{ref['run_id']}" for ref in refs}
        files = [path for run in runs for path in (release.root / run).rglob("*")]
        return sum(
            path.stat().st_size
            for path in files
            if path.is_file()
            and path.name != "run.json"
            and not SCRATCH & {path.parent.name, path.parent.parent.name}
        )

    measured = plan_of(release)["measured"]
    for stage in ("inventory", "neighbors", "index", "evaluate", "report"):
        assert measured[stage]["bytes_written"] == lying(stage) > 0, stage


def test_of_a_table_that_grows_only_what_is_new_counts(release: Night, next_release: Night) -> None:
    plan = plan_of(next_release)
    assert plan["expected"]["ingest"]["images"] == 6
    assert plan["measured"]["ingest"]["images"] == next_release.account["stages"]["ingest"]["read"]
    sizes = [path.stat().st_size for path in next_release.files("pictures")]
    old = {path.name for path in release.files("pictures")}
    new = [path.stat().st_size for path in next_release.files("pictures") if path.name not in old]
    assert 0 < sum(new) <= plan["measured"]["ingest"]["bytes_written"] < sum(sizes) + sum(new)


def test_the_draft_keeps_its_first_plan_when_the_night_is_gone_on_with(release: Night) -> None:
    path = release.root / "drafts/first/plan.json"
    kept = Planned.model_validate_json(path.read_bytes())
    draft = opened(release.settings(), "again")
    assert forecast.foresee(release.settings(), draft, 2) is None  # nothing is begun, nor written
    assert not (release.root / "drafts/again").exists()
    assert kept.expected.keys() == plan_of(release)["expected"].keys()
    assert kept.measured.keys() == {*plan_of(release)["measured"], "publish"}


def test_a_release_of_before_there_were_plans_is_read(release: Night, tmp_path: Path) -> None:
    old = {key: value for key, value in release.document.items() if key != "plan"}
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases/old.json").write_text(json.dumps(old))
    found = read_release(open_store(str(tmp_path)), "old")
    assert isinstance(found, Release)
    assert found.plan is None


def test_the_report_and_the_account_show_both(release: Night) -> None:
    pages = list((release.root / "runs/report").rglob("data.json"))
    (facts,) = [json.loads(page.read_bytes()) for page in pages]
    expected = plan_of(release)["expected"]
    shown = {stage["name"]: stage for stage in facts["stages"]}
    for name in ("ingest", "evaluate"):
        assert shown[name]["expected_seconds"] == expected[name]["seconds"]
        assert shown[name]["expected_worker_bytes"] == expected[name]["worker_bytes"]
    stages = release.account["stages"]
    assert stages["embed"]["expected_seconds"] == round(expected["embed"]["seconds"], 2)


def planned(capsys: pytest.CaptureFixture[str], *assignments: str) -> Any:
    capsys.readouterr()
    options = Options(assignments=assignments, verbosity="quiet", as_json=True, dry_run=True)
    assert execute("nightly", options) == 0
    return json.loads(capsys.readouterr().out)["plan"]


def test_a_dry_run_states_seconds_memory_bytes_requests_tasks_and_no_money_without_prices(
    release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (*release.assignments[:-1], f"store.root={tmp_path / 'root'}", "plan.cores=2")
    plan = planned(capsys, *asked)
    assert plan["cores"] == 2
    ingest = plan["stages"]["ingest"]
    assert ingest["images"] == release.account["stages"]["ingest"]["read"]
    assert ingest["bytes_read"] == release.account["stages"]["inventory"]["listed_bytes"]
    for name in ("seconds", "requests", "tasks", "worker_bytes", "driver_bytes", "bytes_written"):
        assert ingest[name] > 0, name
    assert ingest["money"] is plan["total"]["money"] is None
    assert plan["total"]["requests"] == sum(s["requests"] for s in plan["stages"].values())


def test_prices_make_money_of_it_and_a_text_for_people_has_a_line_for_each_stage(
    release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = ("plan.sample_seconds=0", "plan.cores=10", "plan.price_hour=3.6")
    asked = (*release.assignments[:-1], f"store.root={tmp_path / 'root'}", *rates)
    plan = planned(capsys, *asked)
    for stage in plan["stages"].values():
        assert stage["money"] == pytest.approx(stage["seconds"] * 10 * 0.001)
    assert execute("nightly", Options(assignments=asked, dry_run=True)) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index(next(line for line in lines if line.startswith("stage "))) :]
    assert table[0].split() == [
        *("stage", "seconds", "read", "written", "requests", "tasks", "worker", "driver", "money")
    ]
    assert [line.split()[0] for line in table[1:-4]] == [*plan["stages"], "all"]
    assert "on 10 cores" in table[-4]
    assert table[-3].startswith("neighbors: exact, since ")
    assert table[-3].endswith("; neighbors.method=approximate takes the other one")
    for line, name in zip(table[-2:], ("exact", "approximate"), strict=True):
        assert line.split()[0] == name
        assert all(word in line for word in ("of one core", "MB shuffled", "MB a worker"))
    assert "for a recall of 0.98 (neighbors.recall)" in table[-1]
    assert plan["joins"]["method"] == "exact"


def test_nothing_is_sampled_where_nothing_is_to_be_done(
    release: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(capsys, *release.assignments)
    assert plan["rates"]["pictures"] == 0
    assert [name for name, each in plan["stages"].items() if each["seconds"]] == ["inventory"]


def test_a_night_that_reads_little_is_planned_by_the_last_releases_rates(release: Night) -> None:
    last = read_release(open_store(str(release.root)), "first")
    assert last.plan is not None
    nothing: Any = {"counts": {}, "sizes": np.ones(100, np.int64), "lists": frozenset()}
    listing = Listing(open_store(str(release.root)), counters={"listed": 100})
    for unread, same, known in ((5, True, True), (6, True, False), (5, False, False)):
        kept = {"embed": same}
        outlook = Outlook(unread=np.arange(100) < unread, kept=kept, trains=False, **nothing)
        found = forecast._known_rates(last, listing, outlook)
        assert found == (last.plan.rates if known else None)
    assert forecast._known_rates(None, listing, outlook) is None


def test_an_unchanged_night_writes_no_plan(release: Night, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    draft = opened(release.settings(), "third")
    assert draft.planned() is None
    asked = (*release.assignments[:-1], f"store.root={root}")
    options = Options(assignments=asked, verbosity="quiet", release="first", as_json=True)
    before = (root / "drafts/first/plan.json").read_bytes()
    assert execute("nightly", options) == 0
    assert (root / "drafts/first/plan.json").read_bytes() == before


def test_a_plan_says_whether_the_neighbor_table_is_kept_up_to_date_and_why(
    release: Night, next_release: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    more = (f"store.root={release.root}", "plan.sample_seconds=0")
    asked = (*next_release.assignments[:-1], *more)
    upkeep = planned(capsys, *asked)["joins"]["upkeep"]
    assert (upkeep["added"], upkeep["gone"], upkeep["kept_up"]) == (6, 5, True)
    assert execute("nightly", Options(assignments=asked, dry_run=True)) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("  kept up to date: with 6 added and 5 gone at most, upkeep takes ")
    assert last.endswith("; up to neighbors.rebuild_share = 0.5 it is done")
    assert planned(capsys, *asked, "neighbors.k=4")["joins"]["upkeep"] is None
    notes = next_release.document["stages"]["neighbors"]["notes"]
    assert notes["maintained"]["since"] == "first"
