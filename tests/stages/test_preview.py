"""--dry-run: its counts against what the night then does, and that it writes nothing.

It starts no Spark; the releases that it is compared with do.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from artrec.stages import NAMES
from artrec.stages.session import Options, execute
from tests.nights import ADDED, CHANGED, REMOVED, RENAMED, TRUNCATED, Night, tree


def options(*assignments: str, **more: Any) -> Options:
    return Options(assignments=assignments, verbosity="quiet", **more)


def planned(capsys: pytest.CaptureFixture[str], *assignments: str, stage: str = "nightly") -> Any:
    capsys.readouterr()
    assert execute(stage, options(*assignments, dry_run=True, as_json=True)) == 0
    return json.loads(capsys.readouterr().out)


def test_a_dry_run_on_an_empty_store_counts_all_and_writes_nothing(
    release: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    plan = planned(capsys, *release.assignments[:-1], f"store.root={root}")
    assert list(tmp_path.iterdir()) == []
    assert plan["current"] is None
    stages, done = plan["stages"], release.account["stages"]
    assert list(stages) == list(NAMES)
    listed = done["inventory"]["listed"]
    assert stages["inventory"] == {"members listed": listed, "new": listed, "gone": 0}
    assert stages["ingest"]["members to read"] == done["ingest"]["read"]
    assert stages["ingest"]["bytes to read"] == done["inventory"]["listed_bytes"]
    assert stages["embed"]["pictures to encode at most"] >= done["embed"]["encoded"]
    assert stages["catalog"]["members to account for"] == listed
    assert stages["index"]["vectors to index at most"] >= done["index"]["items"]
    assert stages["neighbors"]["pairs to compare at most"] >= done["neighbors"]["pairs"]
    rows = stages["publish"]["neighbor rows at most"]
    assert rows >= len(release.rows("neighbors", ["rank"]))
    assert stages["publish"]["releases"] == 1


def test_a_dry_run_of_the_second_night_counts_what_it_will_do(
    release: Night,
    next_release: Night,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    before = tree(tmp_path)
    plan = planned(capsys, *next_release.assignments[:-1], f"store.root={root}")
    assert tree(tmp_path) == before
    assert plan["current"] == "first"
    stages, done = plan["stages"], next_release.account["stages"]
    assert stages["inventory"] == {
        "members listed": done["inventory"]["listed"],
        "new": 6,
        "gone": len({RENAMED[0], CHANGED, TRUNCATED, *REMOVED}),
    }
    assert stages["ingest"]["members to read"] == done["ingest"]["read"] == 6
    sizes = {
        row["raw_name"].decode(): row["stored_bytes"]
        for row in next_release.rows("members", ["raw_name", "stored_bytes"])
    }
    new = {RENAMED[1], CHANGED, TRUNCATED, *(name for name, _ in ADDED)}
    assert stages["ingest"]["bytes to read"] == sum(sizes[name] for name in new)
    assert stages["embed"]["pictures to encode at most"] == 6
    assert stages["publish"]["releases"] == 1


NOTHING_NEW = {
    "ingest": {"members to read": 0, "bytes to read": 0},
    "embed": {"pictures to encode at most": 0},
}


def test_a_dry_run_of_an_unchanged_night_has_nothing_to_do(
    release: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(release.root)
    plan = planned(capsys, *release.assignments)
    assert tree(release.root) == before
    listed = release.document["counts"]["listed"]
    assert plan["stages"] == {
        "inventory": {"members listed": listed, "new": 0, "gone": 0},
        **NOTHING_NEW,
        "catalog": {"members to account for": 0},
        "index": {"vectors to index at most": 0},
        "neighbors": {"lists to make at most": 0, "pairs to compare at most": 0},
        "evaluate": {"queries at most": 0},
        "report": {"reports": 0},
        "publish": {"releases": 0, "neighbor rows at most": 0},
    }


def test_a_dry_run_knows_which_stages_changed_rules_touch(
    release: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = release.document["counts"]["listed"]
    plan = planned(capsys, *release.assignments, "neighbors.k=2")["stages"]
    assert {name: plan[name] for name in NOTHING_NEW} == NOTHING_NEW
    assert plan["catalog"] == {"members to account for": 0}
    assert plan["index"] == {"vectors to index at most": 0}
    assert plan["neighbors"]["lists to make at most"] == listed
    assert plan["publish"] == {"releases": 1, "neighbor rows at most": 2 * listed}
    plan = planned(capsys, *release.assignments, "index.trees=3")["stages"]
    assert plan["index"] == {"vectors to index at most": listed}
    assert plan["neighbors"]["lists to make at most"] == 0
    assert plan["publish"]["releases"] == 1
    plan = planned(capsys, *release.assignments, "report.queries=2")["stages"]
    assert (plan["report"], plan["publish"]["releases"]) == ({"reports": 1}, 1)
    assert plan["neighbors"]["lists to make at most"] == 0
    plan = planned(capsys, *release.assignments, "ingest.max_pixels=3100")["stages"]
    assert plan["ingest"]["members to read"] == listed
    for seen in ("ingest.background=[0, 0, 0]", "embed.precision=bfloat16"):
        plan = planned(capsys, *release.assignments, seen)["stages"]
        assert plan["embed"] == {"pictures to encode at most": listed}
        assert plan["neighbors"]["lists to make at most"] == listed
    plan = planned(capsys, *release.assignments, "evaluate.queries=7")["stages"]
    assert plan["neighbors"]["lists to make at most"] == 0
    assert plan["evaluate"] == {"queries at most": 7}
    assert plan["publish"] == {"releases": 1, "neighbor rows at most": 0}
    plan = planned(capsys, *release.assignments, "neighbors.block_rows=9", "gates.drift=3")
    assert plan["stages"]["publish"]["releases"] == 0


def test_members_read_on_any_earlier_night_are_not_counted_again(
    next_release: Night, release: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    """Back to the first night's archive: all that it holds was read then."""
    root = f"store.root={next_release.root}"
    plan = planned(capsys, *release.assignments[:-1], root)["stages"]
    assert {name: plan[name] for name in NOTHING_NEW} == NOTHING_NEW
    assert (plan["inventory"]["new"], plan["inventory"]["gone"]) == (5, 6)
    assert plan["publish"]["releases"] == 1


def test_a_dry_run_of_one_stage_speaks_of_that_stage(
    release: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(planned(capsys, *release.assignments, stage="embed")["stages"]) == ["embed"]
    assert execute("nightly", options(*release.assignments, dry_run=True)) == 0
    out = capsys.readouterr().out
    assert "current release: first" in out
    assert "  ingest: 0 members to read, 0 bytes to read\n" in out


def test_a_dry_run_refuses_what_a_run_would_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (f"sources.a.url={tmp_path / 'no.zip'}", f"store.root={tmp_path / 'root'}")
    assert execute("nightly", options(*asked, dry_run=True)) == 4
    assert "no.zip" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
