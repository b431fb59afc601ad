"""Jobs hold the lease of their store for as long as they may write."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from artrec.releases import holding
from artrec.releases.lease import LEASE
from artrec.stages import NAMES, neighbors
from artrec.stages.session import Options, execute
from artrec.storage import open_store
from tests.nights import PAINTINGS, Night, tree
from tests.pictures import write_zip

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FEW = PAINTINGS[:4]


def lease(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / LEASE).read_bytes())
    return found


def options(*assignments: str, release: str | None = None, **more: Any) -> Options:
    return Options(assignments=assignments, release=release, verbosity="quiet", **more)


@pytest.mark.parametrize("release", ["tonight", None])
def test_a_second_job_exits_with_8_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], release: str | None
) -> None:
    source, root = write_zip(tmp_path / "a.zip", FEW), tmp_path / "root"
    asked = (f"sources.main.url={source}", f"store.root={root}", "store.lease_seconds=600")
    with holding(open_store(str(root)), "artrec nightly", 0.5):
        for job in ("nightly", "inventory"):
            assert execute(job, options(*asked, release=release)) == 8
            assert "artrec nightly (process " in capsys.readouterr().err
    assert tree(root) == {}


def test_a_stage_of_an_open_draft_waits_for_nobody_either(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, root = write_zip(tmp_path / "a.zip", FEW), tmp_path / "root"
    asked = (f"sources.main.url={source}", f"store.root={root}")
    assert execute("inventory", options(*asked)) == 0
    assert (lease(root)["work"], lease(root)["released"]) == ("artrec inventory", True)
    before = tree(root)
    with holding(open_store(str(root)), "artrec ingest", 0.5):
        assert execute("ingest", options(*asked)) == 8
    assert "artrec ingest (process " in capsys.readouterr().err
    assert tree(root) == before


def test_who_only_reads_takes_no_lease(release: Night, tmp_path: Path) -> None:
    root = shutil.copytree(release.root, tmp_path / "root")
    (root / LEASE).unlink()
    asked = (*release.assignments[:-1], f"store.root={root}")
    assert execute("nightly", options(*asked, dry_run=True)) == 0
    for name in NAMES[1:]:
        assert execute(name, options(*asked)) == 0  # no draft is open
    assert not (root / LEASE).exists()


def test_a_job_that_fails_leaves_its_outcome_and_gives_the_lease_back(tmp_path: Path) -> None:
    root = tmp_path / "root"
    asked = (f"sources.main.url={tmp_path}/nowhere.zip", f"store.root={root}")
    assert execute("nightly", options(*asked, release="tonight")) == 4
    assert json.loads((root / "drafts/tonight/outcome.json").read_bytes())["exit_code"] == 4
    assert lease(root)["released"] is True


def test_a_published_night_held_the_lease_under_the_name_of_its_files(release: Night) -> None:
    found = lease(release.root)
    assert (found["work"], found["released"]) == ("artrec nightly", True)
    assert {path.parts[-3] for path in release.files("catalog")} == {found["holder"]}
    assert found["renewals"] > 0


def test_a_night_whose_lease_was_taken_publishes_nothing_and_keeps_its_draft(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, root = write_zip(tmp_path / "a.zip", FEW), tmp_path / "root"
    asked = (f"sources.main.url={source}", f"store.root={root}")
    plain = neighbors.run

    def overtaken(*arguments: Any) -> Any:
        result = plain(*arguments)
        theirs = lease(root) | {"holder": "theirs", "work": "artrec sweep"}
        (root / LEASE).write_text(json.dumps(theirs))
        return result

    with monkeypatch.context() as patch:
        patch.setattr(neighbors, "run", overtaken)
        assert execute("nightly", options(*asked, release="tonight")) == 8
    assert "this run has lost its lease: artrec sweep (process " in capsys.readouterr().err
    assert not (root / "CURRENT.json").exists()
    assert lease(root)["holder"] == "theirs"
    assert (root / "drafts/tonight/neighbors.json").exists()
    outcomes = list(root.glob("drafts/*/outcome.json"))
    assert [path.parent.name == "tonight" for path in outcomes] == [False]
    (root / LEASE).unlink()
    assert execute("nightly", options(*asked, release="tonight")) == 0
    assert json.loads((root / "CURRENT.json").read_bytes())["release"] == "tonight"
