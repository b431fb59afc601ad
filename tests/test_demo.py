"""The one command of the README, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ARTREC_")}
    return subprocess.run(
        ["bash", str(ROOT / "jobs/demo.sh"), "--set", "train.steps=20", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("a user's folder")
    done = demo(folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, done.stdout


def test_the_demo_ends_with_an_account_that_balances(first: tuple[Path, str]) -> None:
    folder, out = first
    assert f"{folder}/artrec-demo/sample.zip: 606 members" in out
    assert "unfinished" not in out
    assert "listed 606 = stored 600 + rejected 6" in out
    assert "\nThe encoder taken is " in out
    table = out[out.index("\nstage ") : out.index("\nThe encoder taken")]
    assert max(len(line) for line in table.splitlines()) < 150
    assert "images/s" in out
    current = json.loads((folder / "artrec-demo/store/CURRENT.json").read_text())
    assert f"release {current['release']} is current" in out


def test_the_lines_the_demo_prints_can_be_run(first: tuple[Path, str]) -> None:
    folder, out = first
    lines = out[out.index("Look at it:") :].splitlines()[1:3]
    for line in lines:
        ran = subprocess.run(line, shell=True, cwd=folder, capture_output=True)
        assert ran.returncode == 0, ran.stderr
        assert len(ran.stdout.splitlines()) > 10
    assert "…" not in ran.stdout.decode()  # DuckDB's, of names that are cut
    shown = [row.split("│")[1:-1] for row in ran.stdout.decode().splitlines() if "│" in row]
    assert [name.strip() for name in shown[0]] == ["image", "rank", "neighbor", "distance"]
    assert len({row[2].strip() for row in shown if row[2].strip().endswith(".jpg")}) > 5


def test_the_demo_again_publishes_nothing_and_says_so(first: tuple[Path, str]) -> None:
    folder, _ = first
    before = sorted((folder / "artrec-demo/store").rglob("*.*"))
    done = demo(folder)
    assert done.returncode == 0
    assert "Nothing has changed since release" in done.stdout
    assert sorted((folder / "artrec-demo/store").rglob("*.*")) == before


def test_the_result_as_json_is_the_last_line_whatever_was_logged(first: tuple[Path, str]) -> None:
    folder, _ = first
    done = demo(folder, "--json")
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "unchanged"
