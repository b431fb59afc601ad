"""artrec report: a stored report, written into a folder as things stand now."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from artrec.errors import StoreFormatError
from artrec.releases import (
    Draft,
    GateReport,
    GateResult,
    Run,
    RunRef,
    StageRuns,
    publish,
    record_run,
    write_artifact,
)
from artrec.report import Facts, Stage, read_facts, render
from artrec.storage import open_store
from tests.commands.conftest import Call
from tests.commands.small_store import publish_paintings, release_of
from tests.report.literal import bare, full

THUMB = "0123456789abcdef"
JPEG = b"\xff\xd8 a small picture \xff\xd9"


def put_report(draft: Draft, facts: Facts) -> StageRuns:
    """Record a report of these facts, as the stage does."""
    folder = f"runs/report/{draft.release_id}/attempt"
    files = {"thumbs/" + THUMB + ".jpg": JPEG, **render(facts)}
    artifacts = [
        write_artifact(draft.store, data, f"{folder}/{name}") for name, data in files.items()
    ]
    run = Run(
        stage="report", run_id=draft.release_id, tables={}, artifacts={"report": artifacts},
        inputs={}, settings={}, versions={}, counters={}, seconds=0.0,
    )  # fmt: skip
    refs = [RunRef.of(record_run(draft.store, run))]
    return draft.record(StageRuns(stage="report", inputs="x", tables={"report": refs}))


def facts_of(name: str) -> Facts:
    """With train at the end, where it does not belong."""
    facts = full([THUMB])
    stages = (*facts.stages, Stage(name="train", seconds=3.0))
    return facts.model_copy(update={"release": name, "stages": stages})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A release with a report, a draft that a gate refused, and one that is still open."""
    place = tmp_path / "store"
    store = publish_paintings(place, "2026-01-01")
    for name in ("2026-01-02", "refused", "open"):
        draft = Draft.begin(store, name)
        draft.hold(name)
        runs = put_report(draft, facts_of(name))
        if name == "2026-01-02":
            made = release_of(draft, 10, {"listed": 3, "stored": 2, "rejected": 1})
            publish(store, made.model_copy(update={"stages": {"report": runs}}), draft.base)
        elif name == "refused":
            gate = GateResult(gate="lists", passed=False, found="9 lists", expected="10")
            draft.keep_gates(GateReport(gates=[gate], counts={}))
    return place


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def written(folder: Path) -> Facts:
    return read_facts((folder / "data.json").read_bytes(), "data.json")


def test_the_report_of_the_current_release_is_written(
    artrec: Call, root: Path, tmp_path: Path
) -> None:
    to = tmp_path / "a new" / "folder"
    called = artrec("report", "--to", str(to), "--root", str(root))
    assert (called.code, called.out, called.err) == (0, f"{to}/index.html\n", "")
    pages = {"index.html", "new.html", "changed.html"}
    assert tree(to) == {*pages, "data.json", f"thumbs/{THUMB}.jpg"}
    assert (to / f"thumbs/{THUMB}.jpg").read_bytes() == JPEG
    found = written(to)
    assert (found.release, found.status) == ("2026-01-02", "published")
    assert "● </span> published" in (to / "index.html").read_text().replace("●<", "● <")


def test_the_release_s_gates_stand_beside_those_of_the_report(
    artrec: Call, root: Path, tmp_path: Path
) -> None:
    assert (
        artrec("report", "2026-01-02", "--to", str(tmp_path / "x"), "--root", str(root)).code == 0
    )
    gates = {gate.gate: gate.found for gate in written(tmp_path / "x").gates}
    assert gates == {"balance": "0 lost", "index_recall": "0.959", "drift": "0.31"}


def test_the_stages_stand_in_their_order_with_those_after_the_page(
    artrec: Call, root: Path, tmp_path: Path
) -> None:
    for name in ("2026-01-02", "open"):
        called = artrec("report", name, "--to", str(tmp_path / name), "--root", str(root))
        assert called.code == 0
    stages = {name: written(tmp_path / name).stages for name in ("2026-01-02", "open")}
    assert [stage.name for stage in stages["2026-01-02"]] == [
        "ingest", "train", "embed", "neighbors", "report", "publish",
    ]  # fmt: skip
    assert [stage.name for stage in stages["open"]][-1] == "report"
    created = json.loads((root / "releases/2026-01-02.json").read_text())["created"]
    assert stages["2026-01-02"][-1].notes["published"] == f"{created[:10]} {created[11:16]} UTC"


def test_a_refused_draft_shows_what_refused_it(artrec: Call, root: Path, tmp_path: Path) -> None:
    assert artrec("report", "refused", "--to", str(tmp_path / "x"), "--root", str(root)).code == 0
    found = written(tmp_path / "x")
    assert found.status == "refused"
    assert [gate.gate for gate in found.gates if gate.refuses] == ["lists"]
    page = (tmp_path / "x/index.html").read_text()
    assert "refused by 1 of 4 gates" in page
    assert "9 lists" in page


def test_a_draft_with_an_overridden_gate_is_not_refused(
    artrec: Call, root: Path, tmp_path: Path
) -> None:
    """Its job was killed between the gates and the swap."""
    gate = GateResult(
        gate="lists", passed=False, found="9 lists", expected="10", overridden="known to be so"
    )
    report = GateReport(gates=[gate], counts={})
    (root / "drafts/open/gates.json").write_bytes(report.to_bytes())
    assert artrec("report", "open", "--to", str(tmp_path / "x"), "--root", str(root)).code == 0
    assert written(tmp_path / "x").status == "draft"


def test_a_release_that_never_was_current_is_its_draft(
    artrec: Call, root: Path, tmp_path: Path
) -> None:
    made = json.loads((root / "releases/2026-01-02.json").read_text())
    (root / "releases/refused.json").write_text(json.dumps(made | {"release_id": "refused"}))
    assert artrec("report", "refused", "--to", str(tmp_path / "x"), "--root", str(root)).code == 0
    assert written(tmp_path / "x").status == "refused"


def test_an_open_draft_is_a_draft(artrec: Call, root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    called = artrec("report", "open", "--to", str(tmp_path / "empty"), "--root", str(root))
    assert called.code == 0
    assert written(tmp_path / "empty").status == "draft"


def test_a_folder_that_holds_something_is_left_alone(
    artrec: Call, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    for to in (tmp_path / "full", tmp_path / "full/mine.txt"):
        called = artrec("report", "--to", str(to), "--root", str(root))
        assert (called.code, called.out) == (2, "")
        said = f"artrec: {to} is there already: name a folder that is absent or empty\n"
        assert called.err == said
    assert tree(tmp_path / "full") == {"mine.txt"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["never"], "no release or draft never with a report; there are: 2026-01-01, 2026-01-02, "
                    "2026-01-02, open, refused"),
        (["2026-01-01"], "release 2026-01-01 was made without a report"),
    ],
)  # fmt: skip
def test_what_has_no_report_is_named(
    artrec: Call, root: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    called = artrec("report", *arguments, "--to", str(tmp_path / "x"), "--root", str(root))
    assert (called.code, called.out) == (2, "")
    assert called.err == f"artrec: {root}: {message}\n"
    assert not (tmp_path / "x").exists()


def test_without_a_folder_both_verbs_are_told_apart(artrec: Call, root: Path) -> None:
    called = artrec("report", "--root", str(root))
    assert called.code == 2
    assert "name it with --to" in called.err
    assert "artrec build-report" in called.err


def test_a_report_of_a_newer_artrec_is_refused(root: Path, tmp_path: Path, artrec: Call) -> None:
    (path,) = root.glob("runs/report/open/attempt/data.json")
    newer = json.loads(path.read_bytes()) | {"version": 99}
    os.unlink(path)
    path.write_text(json.dumps(newer))
    called = artrec("report", "open", "--to", str(tmp_path / "x"), "--root", str(root))
    assert called.code == StoreFormatError.exit_code == 3
    assert "a report of version 99" in called.err


def test_the_files_of_a_report_can_be_listed(artrec: Call, root: Path) -> None:
    called = artrec("files", "report", "--root", str(root))
    assert [Path(line).name for line in called.out.splitlines()] == [
        f"{THUMB}.jpg",
        "index.html",
        "new.html",
        "changed.html",
        "data.json",
    ]
    assert all(Path(line).is_file() for line in called.out.splitlines())


def test_a_release_shows_its_report_without_a_number_of_rows(artrec: Call, root: Path) -> None:
    called = artrec("releases", "show", "--root", str(root))
    lines = [line.split() for line in called.out.splitlines() if line.startswith("report ")]
    assert lines == [["report", "1"], ["report", "0.0"]]  # of its runs, and its seconds


def test_a_report_of_an_empty_release_can_be_read_from_a_store(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    draft = Draft.begin(store, "one")
    draft.hold("one")
    put_report(draft, bare())
    from artrec.commands.report import write_report

    assert write_report(store, "one", tmp_path / "x") == tmp_path / "x/index.html"
