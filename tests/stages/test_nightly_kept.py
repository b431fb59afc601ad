"""A whole second night that keeps the first one's shards: gates, recall, plan, and readers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from artrec.commands.files import files_of
from artrec.commands.outside import lookup_picture, open_index
from artrec.releases import read_release
from artrec.releases.verify import verify
from artrec.stages.session import Options, execute
from artrec.storage import open_store
from tests.nights import Night, night
from tests.pictures import picture

KEPT = "index.rebuild_share=1"


def test_a_dry_run_says_that_shards_are_kept(
    release: Night, next_release: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where that is certain: by the shares of what may have come and what is gone."""
    asked = (*next_release.assignments[:-1], f"store.root={release.root}")
    plan = planned(capsys, *asked, KEPT)
    at_most = {"vectors beside them at most": 6, "vectors masked at most": 5}
    assert plan["stages"]["index"] == {"shards kept": 3, **at_most}
    assert (
        plan["plan"]["stages"]["index"]["images"],
        plan["plan"]["stages"]["index"]["tasks"],
    ) == (6, 3)
    listed = plan["stages"]["inventory"]["members listed"]
    for more in ((), (KEPT, "index.seed=3"), (KEPT, "index.side_rows=5")):
        counts = planned(capsys, *asked, *more)["stages"]["index"]
        assert counts == {"vectors to index at most": listed}


def planned(capsys: pytest.CaptureFixture[str], *assignments: str) -> Any:
    capsys.readouterr()
    options = Options(assignments=assignments, verbosity="quiet", as_json=True, dry_run=True)
    assert execute("nightly", options) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.long
def test_a_night_that_keeps_the_shards_is_published_with_both_runs(
    release: Night, next_release: Night, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(release.root, root)
    tonight = night(root, "second", *next_release.assignments[:-1], KEPT)
    stages = tonight.document["stages"]
    index, before = stages["index"], release.document["stages"]["index"]
    assert index["tables"]["shard_items"] == before["tables"]["shard_items"]
    live = {row["vector_no"]: row["embedding"] for row in tonight.rows("live_vectors")}
    had = {row["vector_no"] for row in release.rows("live_vectors")}
    side = {row["vector_no"]: row["embedding"] for row in tonight.rows("side_vectors")}
    masked = {row["vector_no"] for row in tonight.rows("masked_items")}
    assert side == {number: live[number] for number in live.keys() - had}
    assert masked == had - live.keys()
    assert side
    assert masked
    assert tonight.document["counts"]["indexed"] == len(live)
    gates = {gate["gate"]: gate for gate in tonight.document["gates"]}
    assert gates["shards"]["passed"]
    assert gates["index_recall"]["passed"]
    rows = [row for row in tonight.rows("evaluation") if row["measure"] == "index_recall"]
    assert {row["value"] for row in rows} == {1.0}
    plan = tonight.document["plan"]
    assert plan["expected"]["index"]["images"] >= plan["measured"]["index"]["images"] == len(side)

    store = open_store(str(root))
    counts, faults = verify(store, "second")
    assert faults == []
    assert len(files_of(store, "shards")) == 6
    assert open_index(store, read_release(store, None)).count == len(live)
    for number in (60, 61, 62, 0, 7):  # newcomers, and two of the first night
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(picture(number))
        found = lookup_picture(store, path, 5)
        assert found["neighbors"][0]["same_picture"]
        assert found["neighbors"] == lookup_picture(store, path, 5, exact=True)["neighbors"]
    gone = tmp_path / "gone.jpg"
    gone.write_bytes(picture(3))
    assert not any(each["same_picture"] for each in lookup_picture(store, gone, 50)["neighbors"])
    assert counts["files"] > 0
