"""Going back: one swap, after which nights build on what is current."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from artrec.errors import ReleaseConflict, Superseded, UsageError
from artrec.releases import Draft, current_release, publish, read_base, read_release, rollback
from artrec.releases.published import Current
from artrec.storage import Entry, Store, open_store
from artrec.storage.local import LocalStore
from tests.commands.small_store import PAINTINGS, publish_paintings
from tests.releases.protocol import release, stage, tree

NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three releases of real files, each made on the one before; to be copied."""
    root = tmp_path_factory.mktemp("three") / "root"
    for number, name in enumerate(NAMES):
        publish_paintings(root, name, PAINTINGS[: 10 + number])
    return root


@pytest.fixture
def root(three: Path, tmp_path: Path) -> Path:
    return shutil.copytree(three, tmp_path / "root")


@pytest.fixture
def store(root: Path) -> Store:
    return open_store(str(root))


def pointer(store: Store) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.read("CURRENT.json"))
    return found


def test_readers_are_led_to_the_release_before(store: Store) -> None:
    before = tree(store)
    old, new = rollback(store)
    assert (old.release, new.release) == ("three", "two")
    assert current_release(store) == read_release(store, "two")
    after = tree(store)
    changed = [path for path in after if after[path] != before.get(path)]
    assert (changed, {*before} - {*after}) == (["CURRENT.json"], set())


def test_going_back_twice_is_two_releases_back_and_no_further(store: Store) -> None:
    assert [rollback(store)[1].release for _ in range(2)] == ["two", "one"]
    with pytest.raises(UsageError, match="release one is the first, there is none before it"):
        rollback(store)
    assert pointer(store)["swaps"] == 5


def test_one_goes_back_and_forward_by_name(store: Store) -> None:
    for name, previous in (("one", None), ("three", "two"), ("two", "one")):
        rollback(store, name)
        found = pointer(store)
        assert (found["release"], found["previous"]) == (name, previous)
    with pytest.raises(UsageError, match="release two is current already"):
        rollback(store, "two")


@pytest.mark.parametrize("name", ["four", "../CURRENT", "one.sql", ""])
def test_a_release_that_is_not_there_is_refused_with_those_that_are(
    store: Store, name: str
) -> None:
    before = tree(store)
    with pytest.raises(UsageError, match=r"there are: one, three, two|is current already"):
        rollback(store, name or "three")
    assert tree(store) == before


def test_a_release_that_never_was_current_is_refused(store: Store) -> None:
    three = read_release(store, "three")
    slow = three.model_copy(update={"release_id": "slow", "previous": "two"})
    store.write(slow.path, slow.to_bytes())
    before = tree(store)
    with pytest.raises(UsageError, match=r"slow was never current.*run that job again, or choose"):
        rollback(store, "slow")
    assert tree(store) == before


def test_what_a_rollback_led_away_from_is_gone_forward_to_through_damaged_documents(
    root: Path, store: Store
) -> None:
    rollback(store, "one")
    (root / "releases/two.json").write_text("damaged")
    assert rollback(store, "three")[1].rolled_back == ("one",)


def test_a_release_whose_runs_are_gone_is_refused(store: Store) -> None:
    gone = read_release(store, "two").refs("neighbors")[0].path
    store.delete(gone)
    before = tree(store)
    with pytest.raises(UsageError, match=f"two is not whole: 1 of its 4 runs are gone.*{gone}"):
        rollback(store)
    assert tree(store) == before


def test_a_damaged_current_release_is_left_behind(root: Path, store: Store) -> None:
    (root / "releases/three.json").write_text("damaged")
    assert rollback(store)[1].release == "two"
    assert current_release(store).release_id == "two"


def test_the_next_night_builds_on_what_is_current_now(root: Path, store: Store) -> None:
    rollback(store)
    publish_paintings(root, "four", PAINTINGS)
    assert read_release(store, "four").previous == pointer(store)["previous"] == "two"
    assert rollback(store)[1].release == "two"


def test_a_night_that_began_before_a_rollback_is_refused_and_its_draft_kept(store: Store) -> None:
    draft = Draft.begin(store, "slow")
    draft.hold("slow")
    draft.record(stage("inventory", inputs="slow"))
    rollback(store, "two")
    rollback(store, "three")
    assert draft.base.release_id == current_release(store).release_id
    with pytest.raises(Superseded, match="three was published since this draft began from three"):
        publish(store, release("slow", draft.base, "run-9", "slow"), draft.base)
    assert current_release(store).release_id == "three"
    assert {"drafts/slow/draft.json", "drafts/slow/inventory.json"} <= {*tree(store)}
    again = Draft.begin(store, "slow")
    with pytest.raises(ReleaseConflict, match="begun on three, but CURRENT was changed since"):
        again.hold("slow")


def test_no_two_states_of_the_pointer_have_equal_bytes(store: Store) -> None:
    """A store whose ETag is a checksum would take an old state for a new one."""
    seen = [store.read("CURRENT.json")]
    for name in ("two", "three", "two", "three"):
        rollback(store, name)
        seen.append(store.read("CURRENT.json"))
    assert len(set(seen)) == 5


class Crowded(LocalStore):
    """Somebody else swaps CURRENT right before we do."""

    def write(self, path: str, data: bytes, if_etag: str | None = None) -> Entry:
        if path == "CURRENT.json":
            rollback(LocalStore(self.root), "one")
        return LocalStore.write(self, path, data, if_etag)


def test_of_two_rollbacks_at_once_one_is_refused(root: Path, store: Store) -> None:
    with pytest.raises(Superseded, match="CURRENT was changed by another run at the same time"):
        rollback(Crowded(str(root)))
    assert current_release(store).release_id == "one"


def test_a_lost_lease_stops_a_rollback_before_its_swap(store: Store) -> None:
    def lost() -> None:
        raise Superseded("the lease is lost")

    before = tree(store)
    with pytest.raises(Superseded, match="the lease is lost"):
        rollback(store, None, lost)
    assert tree(store) == before


def test_an_empty_store_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no release has been published here"):
        rollback(open_store(str(tmp_path / "empty")))


def test_a_pointer_from_before_swaps_were_counted_is_read(root: Path, store: Store) -> None:
    old = pointer(store)
    del old["swaps"]
    (root / "CURRENT.json").write_text(json.dumps(old))
    assert read_base(store).swaps == 0
    assert rollback(store)[1] == Current(**pointer(store))
    assert pointer(store)["swaps"] == 1
