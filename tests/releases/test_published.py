"""Publishing: one swap, made against what was current when the draft began."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier, Thread

import duckdb
import pytest

from artrec.errors import (
    ConditionFailed,
    NotFound,
    StoreFormatError,
    Superseded,
    UsageError,
)
from artrec.releases import (
    Base,
    Release,
    current_release,
    duckdb_views,
    list_releases,
    publish,
    read_base,
    read_release,
    table_receipts,
    were_current,
)
from artrec.storage import Entry, Store, open_store
from artrec.storage.local import LocalStore
from tests.commands.small_store import publish_paintings
from tests.releases.protocol import back, night, release, tree

CURRENT = "CURRENT.json"


def swap(store: Store, name: str) -> None:
    """What a rollback does: CURRENT names an older release."""
    entry = store.stat(CURRENT)
    old = json.loads(store.read(CURRENT))
    sha256 = hashlib.sha256(store.read(f"releases/{name}.json")).hexdigest()
    new = old | {"release": name, "previous": old["release"], "sha256": sha256}
    store.write(CURRENT, json.dumps(new).encode(), if_etag=entry.etag)


# -- publish --------------------------------------------------------------------------------


def test_readers_are_led_from_current_to_the_release(store: Store) -> None:
    made = release("mine", read_base(store))
    assert publish(store, made, read_base(store)) == made
    data = tree(store)
    assert sorted(data) == [CURRENT, "releases/mine.json", "releases/mine.sql"]
    assert json.loads(data[CURRENT]) == {
        "format": 1,
        "release": "mine",
        "previous": None,
        "sha256": hashlib.sha256(data["releases/mine.json"]).hexdigest(),
        "swaps": 1,
        "rolled_back": [],
    }
    assert current_release(store) == made == read_release(store, None)


def test_each_release_names_the_one_before(store: Store) -> None:
    for name in ("one", "two", "three"):
        night(store, name, run=name, inputs=name)
    assert [read_release(store, n).previous for n in ("one", "two", "three")] == [
        None,
        "one",
        "two",
    ]
    assert json.loads(store.read(CURRENT))["previous"] == "two"
    assert list_releases(store) == ["one", "three", "two"]


def test_a_release_of_an_interrupted_attempt_is_adopted(store: Store) -> None:
    base = read_base(store)
    first = release("mine", base)
    store.write(first.path, first.to_bytes())
    second = release("mine", base)
    assert second.created > first.created
    assert publish(store, second, base) == first
    assert current_release(store) == first


def test_views_of_an_interrupted_attempt_are_kept(store: Store) -> None:
    base = read_base(store)
    first = release("mine", base)
    store.write(first.path, first.to_bytes())
    store.write("releases/mine.sql", b"-- made before")
    publish(store, release("mine", base), base)
    assert store.read("releases/mine.sql") == b"-- made before"
    assert current_release(store) == first


def test_a_release_of_that_name_with_other_runs_is_not_adopted(store: Store) -> None:
    base = read_base(store)
    first = release("mine", base, run="run-1")
    store.write(first.path, first.to_bytes())
    before = tree(store)
    with pytest.raises(Superseded, match="release mine exists with other contents"):
        publish(store, release("mine", base, run="run-2"), base)
    assert tree(store) == before


def test_a_swap_after_another_publication_is_refused(store: Store) -> None:
    night(store, "zero")
    base = read_base(store)
    night(store, "fast", run="run-2", inputs="fast")
    before = tree(store)
    with pytest.raises(
        Superseded,
        match=r"fast was published since this draft began from zero; release slow is not",
    ):
        publish(store, release("slow", base, "run-3"), base)
    assert tree(store) == before  # no release that looks like one
    assert Superseded.exit_code == 8


def test_a_swap_after_a_first_publication_is_refused(store: Store) -> None:
    base = read_base(store)
    night(store, "fast")
    before = store.read(CURRENT)
    with pytest.raises(Superseded, match="fast was published since this draft began from an empty"):
        publish(store, release("slow", base), base)
    assert store.read(CURRENT) == before


def test_a_swap_after_a_rollback_is_refused_even_to_what_it_began_from(store: Store) -> None:
    night(store, "one")
    night(store, "two", run="run-2", inputs="two")
    base = read_base(store)
    swap(store, "one")
    swap(store, "two")
    assert read_base(store).release_id == base.release_id == "two"
    before = store.read(CURRENT)
    with pytest.raises(Superseded, match="two was published since"):
        publish(store, release("three", base, "run-3"), base)
    assert store.read(CURRENT) == before


def test_a_job_that_lost_its_lease_writes_no_release(store: Store) -> None:
    def lost() -> None:
        raise Superseded("the lease is lost")

    with pytest.raises(Superseded, match="the lease is lost"):
        publish(store, release("mine", read_base(store)), read_base(store), lost)
    assert tree(store) == {}


def test_a_swap_is_refused_where_current_is_gone(store: Store) -> None:
    night(store, "one")
    base = read_base(store)
    store.delete(CURRENT)
    with pytest.raises(Superseded, match="nothing was published since this draft began from one"):
        publish(store, release("two", base, "run-2"), base)
    assert CURRENT not in tree(store)


@dataclass(frozen=True)
class Crowded(LocalStore):
    """Another night publishes right before a swap of CURRENT, when nothing can be taken back."""

    others: list[str] = field(default_factory=list)

    def write(self, path: str, data: bytes, if_etag: str | None = None) -> Entry:
        if path == CURRENT and self.others:
            name = self.others.pop()
            night(open_store(self.root), name, run=name, inputs=name)
        return LocalStore.write(self, path, data, if_etag)


def superseded(root: Path, name: str, by: str) -> Store:
    """A store with a release that another one kept from its swap."""
    store = Crowded(str(root), [by])
    base = read_base(store)
    with pytest.raises(Superseded, match=f"{by} was published since this draft began"):
        publish(store, release(name, base, name, name), base)
    return open_store(str(root))


def test_what_was_current_is_known_and_what_never_was_too(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    assert were_current(store) == set()
    night(store, "one", run="one", inputs="one")
    superseded(tmp_path, "slow", by="two")
    assert list_releases(store) == ["one", "slow", "two"]
    assert were_current(store) == {"one", "two"}
    back(store, "one")  # nobody has begun on two
    assert were_current(store) == {"one", "two"}
    night(store, "three", run="three", inputs="three")
    back(store, "one")
    back(store, "three")
    assert were_current(store) == {"one", "two", "three"}
    assert read_base(store).rolled_back == ("two", "one")


@dataclass(frozen=True)
class Retrying(LocalStore):
    """Its first swap of CURRENT succeeds, and is answered as if it had failed."""

    answers: list[str] = field(default_factory=list)

    def write(self, path: str, data: bytes, if_etag: str | None = None) -> Entry:
        entry = LocalStore.write(self, path, data, if_etag)
        if path == CURRENT and not self.answers:
            self.answers.append("refused")
            raise ConditionFailed(f"{path}: a retry met its own success")
        return entry


@pytest.mark.parametrize("before", [0, 1])
def test_a_retried_swap_that_had_succeeded_is_a_success(tmp_path: Path, before: int) -> None:
    if before:
        night(open_store(str(tmp_path)), "zero")
    store = Retrying(str(tmp_path))
    base = read_base(store)
    publish(store, release("mine", base, "run-2"), base)
    assert store.answers == ["refused"]
    assert current_release(store).release_id == "mine"


def test_publishing_the_same_again_is_no_conflict_of_contents(store: Store) -> None:
    base = read_base(store)
    made = release("mine", base)
    publish(store, made, base)
    assert publish(store, release("mine", base), base) == made


RACES = 200


def test_of_two_publishers_exactly_one_wins_each_time(store: Store) -> None:
    barrier = Barrier(2)
    base = read_base(store)

    def run(name: str, ended: list[str]) -> None:
        made = release(name, base, name, name)
        barrier.wait()
        try:
            publish(store, made, base)
            ended.append(name)
        except Superseded:
            ended.append("superseded")
        except BaseException as error:
            ended.append(repr(error))

    for number in range(RACES):
        ended: list[str] = []
        names = [f"{number:03d}-a", f"{number:03d}-b"]
        threads = [Thread(target=run, args=(name, ended)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winner, loser = sorted(ended)
        assert (winner in names, loser) == (True, "superseded"), ended
        before, base = base, read_base(store)
        assert base.release is not None
        assert (base.release_id, base.release.previous) == (winner, before.release_id)


# -- reading --------------------------------------------------------------------------------


def test_an_empty_store_has_no_base(store: Store) -> None:
    assert read_base(store) == Base(None, None)
    assert list_releases(store) == []
    with pytest.raises(UsageError, match="no release has been published here"):
        current_release(store)


@dataclass(frozen=True)
class Swapped(LocalStore):
    """Between asking for CURRENT's etag and reading it, something happens once."""

    between: list[Callable[[], None]] = field(default_factory=list)

    def read(
        self, path: str, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> bytes:
        if path == CURRENT and self.between:
            self.between.pop()()
        return LocalStore.read(self, path, offset, length, etag)


def test_a_swap_while_the_base_is_read_is_seen_whole(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    night(store, "one")
    night(store, "two", run="run-2", inputs="two")
    base = read_base(Swapped(str(tmp_path), [lambda: swap(store, "one")]))
    assert base.release_id == "one"
    assert base.etag == store.stat(CURRENT).etag


def test_an_altered_release_is_refused_as_a_base(store: Store) -> None:
    night(store, "mine")
    path = "releases/mine.json"
    text = store.read(path).replace(b'"cosine"', b'"euclid"')
    store.write(path, text, if_etag=store.stat(path).etag)
    with pytest.raises(StoreFormatError, match=r"mine\.json: altered since it was published"):
        read_base(store)


def test_a_current_that_names_a_missing_release_is_not_an_empty_store(store: Store) -> None:
    night(store, "mine")
    store.delete("releases/mine.json")
    with pytest.raises(NotFound, match=r"mine\.json"):
        read_base(store)


def test_a_table_is_made_up_of_its_stage_s_runs(store: Store) -> None:
    made = release("mine", read_base(store), "run-7")
    assert [ref.run_id for ref in made.refs("vectors")] == ["run-7"]
    assert made.refs("neighbors") == []
    with pytest.raises(UsageError, match=r"mine has no table neighbors; it has: ingested, members"):
        table_receipts(store, made, "neighbors")


def test_views_open_whatever_the_root_is_called(tmp_path: Path) -> None:
    root = tmp_path / 'it\'s; a "root"'
    store = publish_paintings(root, "mine")
    made: Release = current_release(store)
    assert duckdb_views(store, made) == (root / "releases" / "mine.sql").read_text()
    connection = duckdb.connect()
    connection.execute(duckdb_views(store, made))
    found = connection.sql("SELECT count(*) FROM catalog JOIN embeddings USING (image_id)")
    assert found is not None
    assert found.fetchall() == [(14,)]
