"""artrec outcome: what an orchestrator branches on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artrec.commands.outcome import RETRIED, judged
from artrec.releases import Draft, Outcome
from artrec.storage import open_store
from tests.commands.conftest import Call

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def left(
    root: Path, name: str, code: int = 0, status: str = "done", folder: str = "", hours: int = 0
) -> None:
    """The word of a job that was to make release ``name``, so many hours after noon."""
    outcome = Outcome(
        status=status,
        exit_code=code,
        message="a sentence",
        release_id=name,
        current="2026-01-01",
        ended=NOON + timedelta(hours=hours),
    )
    path = root / "drafts" / (folder or name) / "outcome.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(outcome.to_bytes())


@pytest.mark.parametrize(
    ("code", "status", "verdict", "retry"),
    [
        (0, "done", "done", False),
        (0, "unchanged", "unchanged", False),
        (1, "failed", "failed", True),
        (2, "failed", "failed", False),
        (3, "failed", "failed", False),
        (4, "failed", "failed", False),
        (5, "failed", "refused", False),
        (6, "failed", "resumable", True),
        (7, "failed", "failed", False),
        (8, "failed", "locked", True),
        (130, "failed", "resumable", True),
        (143, "failed", "resumable", True),
    ],
)
def test_each_code_has_its_verdict(
    artrec: Call, tmp_path: Path, code: int, status: str, verdict: str, retry: bool
) -> None:
    left(tmp_path, "2026-01-02", code, status)
    called = artrec("outcome", "2026-01-02", "--root", str(tmp_path), "--json")
    assert called.code == 0
    assert json.loads(called.out) == {
        "status": status,
        "exit_code": code,
        "message": "a sentence",
        "release_id": "2026-01-02",
        "current": "2026-01-01",
        "ended": "2026-01-02T12:00:00Z",
        "changes": None,
        "verdict": verdict,
        "retry": retry,
    }
    assert artrec("outcome", "2026-01-02", "--root", str(tmp_path), "--exit").code == code


@pytest.mark.parametrize("status", ["published", "unchanged", "done"])
def test_a_release_that_is_current_is_published_whatever_a_later_job_found(status: str) -> None:
    facts = {"release_id": "a", "current": "a", "message": "", "ended": NOON, "exit_code": 0}
    assert judged(Outcome(status=status, **facts))["verdict"] == "published"


def test_without_a_name_it_is_that_of_the_latest_job(artrec: Call, tmp_path: Path) -> None:
    left(tmp_path, "2026-01-02")
    left(tmp_path, "2026-01-03", 6)
    called = artrec("outcome", "--root", str(tmp_path))
    assert called.code == 0
    words = [line.split() for line in called.out.splitlines()]
    assert ["release_id", "2026-01-03"] in words
    assert ["verdict", "resumable"] in words


def test_the_word_of_a_job_that_lost_its_lease_is_found_by_its_release(
    artrec: Call, tmp_path: Path
) -> None:
    left(tmp_path, "2026-01-02", 6)
    left(tmp_path, "2026-01-02", 8, folder="20260102T120000-0123", hours=1)
    called = artrec("outcome", "2026-01-02", "--root", str(tmp_path), "--json")
    assert json.loads(called.out)["verdict"] == "locked"


@pytest.mark.parametrize("since", ["2026-01-02T12:00:01Z", "2026-01-02 14:00:01+02:00"])
def test_an_older_word_than_asked_for_does_not_count(
    artrec: Call, tmp_path: Path, since: str
) -> None:
    left(tmp_path, "2026-01-02", 6)
    asked = ("outcome", "2026-01-02", "--root", str(tmp_path))
    called = artrec(*asked, "--since", since, "--exit")
    assert (called.code, called.out) == (2, "")
    assert "no outcome of release 2026-01-02 since 2026-01-02 12:00:01 UTC" in called.err
    assert artrec(*asked, "--since", "2026-01-02T12:00:00", "--exit").code == 6
    assert "is no time such as" in artrec(*asked, "--since", "noon").err


def test_a_draft_s_own_outcome_is_read(artrec: Call, tmp_path: Path) -> None:
    draft = Draft.begin(open_store(str(tmp_path)), "tonight")
    outcome = Outcome(
        status="unchanged",
        exit_code=0,
        message="unchanged",
        release_id="tonight",
        current=None,
        ended=NOON,
    )
    draft.finish(outcome)
    assert json.loads(artrec("outcome", "tonight", "--root", str(tmp_path), "--json").out) == (
        judged(outcome)
    )


def test_the_codes_that_are_tried_again_are_those_of_the_readme() -> None:
    text = (Path(__file__).parents[2] / "jobs/README.md").read_text(encoding="utf-8")
    assert f"tried again after {', '.join(map(str, RETRIED[:-1]))} and {RETRIED[-1]}" in (
        " ".join(text.split())
    )
