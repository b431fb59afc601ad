"""artrec rollback, sweep, releases abandon and diff, and drafts in the list."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from artrec.releases import Draft, current_release, holding, list_releases
from artrec.storage import open_store
from tests.commands.conftest import Call
from tests.commands.small_store import PAINTINGS, publish_paintings

WRITING = [
    ["rollback"],
    ["sweep", "--yes"],
    ["releases", "abandon", "draft"],
]
every_writer = pytest.mark.parametrize("command", WRITING, ids=[c[0] for c in WRITING])


@pytest.fixture
def root(store_root: Path) -> Path:
    """Two releases, 2026-01-02 and next, and the open draft ``draft`` on the second."""
    publish_paintings(store_root, "next", PAINTINGS[:12])
    draft = Draft.begin(open_store(str(store_root)), "draft")
    draft.hold("draft")
    draft.begin_work()
    return store_root


def lease(root: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((root / "LEASE.json").read_bytes())
    return found


# -- rollback -------------------------------------------------------------------------------


def test_rollback_says_what_is_current_now(artrec: Call, root: Path) -> None:
    called = artrec("rollback", "--root", str(root))
    assert (called.code, called.err) == (0, "")
    assert called.out == (
        f"release 2026-01-02 is current in {root}, it was next; the next night builds on it. "
        "Forward again: artrec rollback next\n"
    )
    assert current_release(open_store(str(root))).release_id == "2026-01-02"
    found = json.loads(artrec("rollback", "next", "--root", str(root), "--json").out)
    assert found == {"release": "next", "before": "2026-01-02", "previous": "2026-01-02"}
    assert (lease(root)["work"], lease(root)["released"]) == ("artrec rollback", True)


def test_rollback_from_the_first_release_is_a_usage_error(artrec: Call, store_root: Path) -> None:
    called = artrec("rollback", "--root", str(store_root))
    assert (called.code, called.out) == (2, "")
    assert called.err == (
        f"artrec: {store_root}: release 2026-01-02 is the first, there is none before it\n"
    )
    assert lease(store_root)["released"] is True


# -- sweep ----------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTREC_STORE__SWEEP_SECONDS", "0")


@pytest.mark.usefixtures("at_once")
def test_sweep_only_tells_what_it_would_remove_unless_it_is_told_to(
    artrec: Call, root: Path
) -> None:
    publish_paintings(root, "last", PAINTINGS[:10])
    before = sorted(root.rglob("*"))
    called = artrec("sweep", "--root", str(root), "--keep", "1")
    assert (called.code, called.err) == (0, "")
    lines = [line.split() for line in called.out.splitlines()]
    assert ["kept", "releases:", "last,", "next"] in lines
    assert [line[:2] for line in lines if line[0] == "releases"] == [["releases", "2"]]
    assert lines[-1] == ["nothing", "was", "removed;", "--yes", "removes", "it"]
    assert sorted(root.rglob("*")) == before
    called = artrec("sweep", "--root", str(root), "--keep", "1", "--yes", "--json")
    found = json.loads(called.out)
    assert (found["removed"], found["kept"], found["open"]) == (True, ["last", "next"], [])
    assert {kind: each["objects"] for kind, each in found["kinds"].items()} == {
        "releases": 2, "drafts": 6, "runs": 4, "files": 6 + 3, "orphans": 0, "encoders": 0,
        "unfinished": 0, "versions": 0,
    }  # fmt: skip
    assert list_releases(open_store(str(root))) == ["last", "next"]
    assert lease(root)["released"] is True


@pytest.mark.usefixtures("at_once")
def test_sweep_keeps_open_drafts_unless_they_are_given_up(artrec: Call, root: Path) -> None:
    called = artrec("sweep", "--root", str(root), "--yes")
    assert "kept open drafts: draft (--abandon gives them up)" in called.out
    assert (root / "drafts/draft/draft.json").exists()
    told = json.loads(artrec("sweep", "--root", str(root), "--abandon", "--json").out)
    assert told["kinds"]["drafts"]["objects"] == 1
    assert artrec("sweep", "--root", str(root), "--abandon", "--yes").code == 0
    assert not (root / "drafts/draft/draft.json").exists()


def test_what_is_younger_than_an_hour_or_the_days_asked_for_is_not_swept(
    artrec: Call, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_paintings(root, "last", PAINTINGS[:10])

    def removed(*more: str) -> int:
        called = artrec("sweep", "--root", str(root), "--keep", "1", "--json", *more)
        return int(json.loads(called.out)["kinds"]["releases"]["objects"])

    assert removed() == 0
    monkeypatch.setenv("ARTREC_STORE__SWEEP_SECONDS", "0")
    assert removed("--older-than", "1") == 0
    assert removed() == 2
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 90_000))
    assert removed("--older-than", "1") == 2
    assert removed("--older-than", "1.5") == 0


# -- drafts ---------------------------------------------------------------------------------


def test_open_drafts_are_named_below_the_releases(artrec: Call, root: Path) -> None:
    lines = artrec("releases", "list", "--root", str(root)).out.splitlines()
    assert lines[-1] == "open drafts: draft (artrec releases list --drafts)"
    listed = json.loads(artrec("releases", "list", "--drafts", "--json", "--root", str(root)).out)
    assert [(each["draft"], each["on"]) for each in listed] == [
        ("2026-01-02", None), ("next", "2026-01-02"), ("draft", "next"),
    ]  # fmt: skip
    assert listed[-1]["state"] == "open"


def test_an_abandoned_draft_is_not_joined_any_more(artrec: Call, root: Path) -> None:
    called = artrec("releases", "abandon", "draft", "--root", str(root))
    assert (called.code, called.err) == (0, "")
    listed = artrec("releases", "list", "--drafts", "--root", str(root)).out.splitlines()
    assert listed[-1].split()[:2] == ["draft", "abandoned"]
    assert "open drafts" not in artrec("releases", "list", "--root", str(root)).out
    store = open_store(str(root))
    assert Draft.reopen(store, None) is None
    joined = Draft.begin(store, None)
    joined.hold("draft")
    assert joined.release_id != "draft"
    assert artrec("embed", "--release", "draft", "--set", f"store.root={root}").err == (
        "artrec: draft draft was abandoned; begin a new one with another --release\n"
    )
    assert artrec("releases", "abandon", "draft", "--root", str(root)).code == 0


@pytest.mark.parametrize(("name", "found"), [("next", "it is published"), ("no", "there is none")])
def test_only_an_open_draft_can_be_abandoned(
    artrec: Call, root: Path, name: str, found: str
) -> None:
    called = artrec("releases", "abandon", name, "--root", str(root))
    assert called.code == 2
    assert called.err == (
        f"artrec: {root}: draft {name} is not open, {found}; open drafts: draft\n"
    )


def test_a_store_without_drafts_says_so(artrec: Call, tmp_path: Path) -> None:
    called = artrec("releases", "list", "--drafts", "--root", str(tmp_path))
    assert (called.code, called.out) == (0, f"{tmp_path}: no drafts\n")


# -- the lease ------------------------------------------------------------------------------


@every_writer
def test_who_changes_a_store_waits_for_nobody_who_is_at_work(
    artrec: Call, root: Path, command: list[str]
) -> None:
    before = sorted(root.rglob("*"))
    with holding(open_store(str(root)), "artrec nightly", 0.5):
        called = artrec(*command, "--root", str(root))
    assert (called.code, called.out) == (8, "")
    said = called.err.splitlines()[-1]
    assert said.startswith(f"artrec: {root}: artrec nightly (process {os.getpid()} on ")
    assert sorted(root.rglob("*")) == sorted([*before, root / "LEASE.json"])
    assert artrec(*command, "--root", str(root)).code == 0


@every_writer
def test_nothing_is_written_to_a_root_that_is_no_store(
    artrec: Call, tmp_path: Path, command: list[str]
) -> None:
    called = artrec(*command, "--root", str(tmp_path / "mistyped"))
    assert (called.code, called.out) == (2, "")
    assert called.err == f"artrec: {tmp_path}/mistyped: no release has been published here\n"
    assert list(tmp_path.iterdir()) == []


# -- diff -----------------------------------------------------------------------------------


def test_two_equal_releases_do_not_differ(artrec: Call, finished: Path) -> None:
    found = json.loads(
        artrec(
            "releases", "diff", "2026-01-02", "2026-01-02", "--root", str(finished), "--json"
        ).out
    )
    assert [found[name] for name in ("facts", "settings", "versions", "counts", "rows")] == [{}] * 5
    assert {each["count"] for name in ("images", "lists") for each in found[name].values()} == {0}
    assert found["entries"] == {"inserted": 0, "deleted": 0}


def test_a_diff_tells_images_and_lists_that_changed(artrec: Call, store_root: Path) -> None:
    """The last one goes, one comes, one gets another picture and one another label; k is 3."""
    gone, kept = PAINTINGS[-1], PAINTINGS[:-1]
    came = replace(gone, image_id="a/new.jpg", place=gone.place + 1)
    relabelled = replace(kept[0], style="Other")
    tonight = (relabelled, *kept[1:], came)

    def repaint(rows: dict[str, list[dict[str, object]]]) -> None:
        rows["catalog"][1]["content_sha256"] = bytes(32)

    publish_paintings(store_root, "next", tonight, k=3, change=repaint)
    arguments = ("releases", "diff", "2026-01-02", "next", "--root", str(store_root))
    found = json.loads(artrec(*arguments, "--json").out)
    assert found["facts"] == {"k": [10, 3]}
    assert found["rows"] == {"neighbors": [140, 42]}
    assert found["images"] == {
        "added": {"count": 1, "first": ["a/new.jpg"]},
        "gone": {"count": 1, "first": [gone.image_id]},
        "with_other_picture": {"count": 1, "first": [kept[1].image_id]},
        "with_other_labels": {"count": 1, "first": [relabelled.image_id]},
    }
    assert {name: each["count"] for name, each in found["lists"].items()} == {
        "added": 1, "gone": 1, "changed": 13, "with_other_first": 0,
    }  # fmt: skip
    assert found["lists"]["changed"]["first"] == sorted(p.image_id for p in kept)[:5]
    # each list of 13 loses 7 of 10; the lists of the one that went and came count in full
    assert found["entries"] == {"inserted": 3, "deleted": 13 * 7 + 10}
    told = [line.split() for line in artrec(*arguments).out.splitlines()]
    assert ["k", "10", "3"] in told
    assert ["images", "added", "1", "a/new.jpg"] in told
    assert ["neighbors", "deleted", "101"] in told


def test_a_diff_of_what_is_not_there_is_a_usage_error(artrec: Call, finished: Path) -> None:
    called = artrec("releases", "diff", "2026-01-02", "other", "--root", str(finished))
    assert called.code == 2
    assert called.err.endswith("no release other; there are: 2026-01-02\n")
