"""Two submitters at once: one wins, the other is told, and what is current is whole."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Thread

import pytest

from artrec.errors import Superseded
from artrec.releases import Draft, current_release, list_releases, publish, read_base
from artrec.releases.verify import verify
from artrec.storage import open_store
from tests.commands.small_store import PAINTINGS, publish_paintings, record_paintings, release_of
from tests.services.s3 import Server

RACES, PROCESSES = 200, 50
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store may be."""
    if request.param == "local":
        return str(tmp_path)
    server: Server = request.getfixturevalue("s3_server")
    return server.store("root").url


def _submit(root: str, name: str, images: int, start: Barrier, ended: dict[str, str]) -> None:
    """A night past the lease: nothing but the swap keeps it from the other."""
    try:
        draft = Draft.begin(open_store(root), name)
        start.wait(60)
        counts = record_paintings(draft, PAINTINGS[:images])
        publish(draft.store, release_of(draft, 10, counts), draft.base)
        ended[name] = "won"
    except Superseded:
        ended[name] = "superseded"
    except BaseException as error:
        ended[name] = repr(error)


def _race(root: str, number: int) -> None:
    start, ended = Barrier(2), dict[str, str]()
    names = [f"{number:03d}-a", f"{number:03d}-b"]
    before = read_base(open_store(root)).release_id
    threads = [
        Thread(target=_submit, args=(root, name, 3 + (2 * number + which) % 12, start, ended))
        for which, name in enumerate(names)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended.values()) == ["superseded", "won"], ended
    (winner,) = (name for name in names if ended[name] == "won")
    store = open_store(root)
    current = current_release(store)
    assert (current.release_id, current.previous) == (winner, before)
    assert verify(store, winner)[1] == []
    (loser,) = {*names} - {winner}
    assert store.stat(f"drafts/{loser}/draft.json")  # kept, with all that was found


def test_of_two_nights_past_the_lease_exactly_one_wins(root: str) -> None:
    for number in range(RACES // 20):
        _race(root, number)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_of_two_nights_past_the_lease_exactly_one_wins_200_times(root: str) -> None:
    for number in range(RACES):
        _race(root, number)


@contextmanager
def submitter(root: str, name: str, images: int) -> Iterator[subprocess.Popen[str]]:
    script = REPOSITORY / "tests/releases/submitter.py"
    process = subprocess.Popen(
        [sys.executable, str(script), root, name, str(images)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _first_to_end(processes: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """The winner waits for us, so whoever ends first has been refused."""
    pid = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    assert pid is not None
    (found,) = (process for process in processes if process.pid == pid.si_pid)
    return found


def _process_race(root: str, number: int) -> None:
    names = [f"{number:02d}-a", f"{number:02d}-b"]
    with submitter(root, names[0], 5) as one, submitter(root, names[1], 7) as other:
        refused = _first_to_end([one, other])
        _, said = refused.communicate()
        winner = other if refused is one else one
        name = names[winner is other]
        assert refused.returncode == 8, said
        assert f"night {name} (process {winner.pid} on " in said
        assert "one writes at a time: run this again when it has ended" in said
        out, said = winner.communicate()
        assert (winner.returncode, out) == (0, "held\n"), said
    store = open_store(root)
    assert current_release(store).release_id == name
    assert verify(store, name)[1] == []
    assert list(store.list(f"drafts/{names[name == names[0]]}")) == [], "the refused one wrote"


def test_of_two_processes_at_once_one_is_refused_with_8(root: str) -> None:
    _process_race(root, 0)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_of_two_processes_at_once_one_is_refused_with_8_50_times(root: str) -> None:
    for number in range(PROCESSES):
        _process_race(root, number)
    assert len(list_releases(open_store(root))) == PROCESSES


def test_a_night_after_one_that_was_killed_goes_on_at_once(tmp_path: Path) -> None:
    publish_paintings(tmp_path, "old", PAINTINGS[:4])
    with submitter(str(tmp_path), "new", 5) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "held\n"
        killed.kill()
    with submitter(str(tmp_path), "new", 5) as again:
        _, said = again.communicate()
        assert again.returncode == 0
        assert "that process does not exist any more" in said
        assert f"night new (process {killed.pid} on " in said
    store = open_store(str(tmp_path))
    assert current_release(store).release_id == "new"
    assert verify(store, "new")[1] == []


def test_a_night_on_s3_after_one_that_was_killed_waits_for_its_lease_to_end(
    s3_server: Server,
) -> None:
    """Two machines may be copies of one another, and only a disk is surely of one machine."""
    store = s3_server.store("root")
    with submitter(store.url, "new", 5) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "held\n"
        killed.kill()
    with submitter(store.url, "new", 5) as again:
        _, said = again.communicate()
        assert again.returncode == 0, said
        assert "it was not renewed for 1.5 s" in said
    assert current_release(store).release_id == "new"
    assert verify(store, "new")[1] == []
