"""Sweeping: what is kept stays whole, wherever a sweep ends and whoever reads meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Condition, Thread

import numpy as np
import pytest

from artrec.encoders import checkpoints
from artrec.errors import NotFound, StoreFormatError, Superseded
from artrec.releases import (
    Draft,
    Lease,
    Outcome,
    StageRuns,
    abandon,
    artifacts_of,
    current_release,
    find_run,
    holding,
    list_releases,
    read_base,
    read_release,
    record_run,
    rollback,
    write_artifact,
)
from artrec.releases.runs import RunRef
from artrec.releases.sweep import KINDS, Rules, Sweep, carry_out, give_up, plan_sweep
from artrec.releases.verify import verify
from artrec.storage import Store, open_store
from artrec.storage.local import LocalStore
from artrec.tables import read_table
from tests.commands.small_store import PAINTINGS, publish_paintings, stage_runs, write_run
from tests.releases.protocol import outcome, tree

NAMES = ("one", "two", "three", "four")
LATER = timedelta(hours=2)


def rules(keep: int = 2, **more: object) -> Rules:
    return Rules(keep=keep, age=timedelta(hours=1), **more)  # type: ignore[arg-type]


def planned(store: Store, wanted: Rules | None = None) -> Sweep:
    """What a sweep two hours from now would remove."""
    return plan_sweep(store, wanted or rules(), datetime.now(UTC) + LATER)


def swept(store: Store, wanted: Rules | None = None) -> Sweep:
    with holding(store, "a sweep", 60.0) as lease:
        plan = planned(store, wanted)
        carry_out(store, plan, lease)
    return plan


def assert_whole(store: Store, *names: str) -> None:
    assert sorted(list_releases(store)) == sorted(names)
    for name in names:
        assert verify(store, name)[1] == []


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four releases of real files, to be copied."""
    root = tmp_path_factory.mktemp("four") / "root"
    for number, name in enumerate(NAMES):
        publish_paintings(root, name, PAINTINGS[: 10 + number])
    return root


@pytest.fixture
def root(four: Path, tmp_path: Path) -> Path:
    return shutil.copytree(four, tmp_path / "root")


@pytest.fixture
def store(root: Path) -> Store:
    return open_store(str(root))


def open_draft(store: Store, name: str = "draft") -> Draft:
    draft = Draft.begin(store, name)
    draft.hold(name)
    draft.begin_work()
    return draft


def labels(store: Store, draft: Draft, text: str) -> RunRef:
    """A run of one row, in the folder of the draft's attempt."""
    row = {
        "source": "main", "entry": 0, "style": text, "artist": None, "title": None, "year": None,
        "genre": None, "split": None, "license": None, "extra": None,
    }  # fmt: skip
    return write_run(store, "inventory", {"labels": [row]}, draft.attempt)


# -- what is removed and what is kept -------------------------------------------------------


def test_the_newest_releases_are_kept_whole_and_the_rest_is_gone(store: Store) -> None:
    before = tree(store)
    plan = planned(store)
    assert tree(store) == before
    assert plan.kept == ["four", "three"]
    assert plan.counts()["releases"][0] == 4  # two times JSON and views
    assert plan.counts()["runs"][0] == 8
    assert plan.counts()["files"][0] == 18  # of each: six of tables, three of the index
    swept(store)
    assert_whole(store, "three", "four")
    after = tree(store)
    del after["LEASE.json"]
    assert {path: before[path] for path in after} == after
    assert not [path for path in after if path.startswith(("drafts/one", "drafts/two"))]
    assert planned(store).counts() == dict.fromkeys(KINDS, (0, 0))


def test_counts_and_bytes_are_those_of_what_goes(store: Store) -> None:
    before = tree(store)
    plan = swept(store)
    gone = {path: data for path, data in before.items() if path not in tree(store)}
    counts = plan.counts().values()
    assert sum(n for n, _ in counts) == len(gone)
    assert sum(size for _, size in counts) == sum(map(len, gone.values()))


def test_no_empty_folders_are_left(root: Path, store: Store) -> None:
    swept(store)
    assert [path for path in root.rglob("*") if path.is_dir() and not [*path.iterdir()]] == []


def test_what_is_current_after_a_rollback_is_kept_with_the_one_before_it(store: Store) -> None:
    rollback(store, "two")
    assert swept(store, rules(keep=1)).kept == ["four", "one", "two"]
    assert_whole(store, "one", "two", "four")
    assert rollback(store)[1].release == "one"


def test_runs_that_two_releases_share_outlive_one_of_them(root: Path, store: Store) -> None:
    first, last = (read_release(store, name) for name in ("one", "four"))
    swept(store, rules(keep=1))
    publish_paintings(root, "five", PAINTINGS[:13])  # the members of four, another catalog
    five = read_release(store, "five")
    assert five.refs("members") == last.refs("members") != first.refs("members")
    swept(store, rules(keep=1))
    assert_whole(store, "four", "five")


def test_nothing_young_is_removed(store: Store) -> None:
    assert plan_sweep(store, rules(), datetime.now(UTC)).counts() == dict.fromkeys(KINDS, (0, 0))
    days = Rules(keep=1, age=timedelta(days=3))
    now = datetime.now(UTC)
    assert plan_sweep(store, days, now + timedelta(days=2)).counts()["releases"] == (0, 0)
    assert plan_sweep(store, days, now + timedelta(days=4)).counts()["releases"][0] == 4


def test_files_of_attempts_that_ended_early_are_orphans(root: Path, store: Store) -> None:
    (run,) = root.glob(f"runs/{read_release(store, 'four').refs('catalog')[0].path[5:]}")
    orphan = run.parent / "another-attempt/catalog/x.parquet"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"12345")
    assert plan_sweep(store, rules(), datetime.now(UTC)).counts()["orphans"] == (0, 0)
    assert swept(store).counts()["orphans"] == (1, 5)
    assert not orphan.exists()
    assert_whole(store, "three", "four")


def test_what_dead_writers_were_writing_is_removed_from_a_local_store(
    root: Path, store: Store
) -> None:
    part = root / "runs/.artrec-part-x7"
    part.write_bytes(b"half")
    assert swept(store).counts()["unfinished"] == (1, 4)
    assert not part.exists()


def test_files_that_another_run_goes_on_with_are_kept(root: Path, store: Store) -> None:
    """As the shards of an index, of which a night adds only some."""
    old = read_release(store, "one").refs("catalog")[0]
    shard = write_artifact(store, b"shard", f"runs/{old.stage}/{old.run_id}/x/shard.ann")
    new = read_release(store, "four").refs("neighbors")[0]
    run = find_run(store, new.stage, new.run_id)
    assert run is not None
    store.delete(new.path)
    record_run(store, run.model_copy(update={"artifacts": {"shards": [shard]}}))
    swept(store, rules(keep=1))
    assert [store.read(each.path) for each in artifacts_of(store, [new], "shards")] == [b"shard"]
    assert_whole(store, "three", "four")
    assert find_run(store, old.stage, old.run_id) is None


def test_encoders_are_kept_unless_they_are_asked_for(store: Store) -> None:
    for name in ("line-1", "mine-2", "old-3"):
        store.write(f"encoders/{name}/config.json", b"{}")
    assert planned(store).counts()["encoders"] == (0, 0)
    swept(store, rules(used=frozenset({"mine-2", ""})))
    found = [path for path in tree(store) if path.startswith("encoders/")]
    assert found == ["encoders/line-1/config.json", "encoders/mine-2/config.json"]


def test_a_store_whose_kept_release_lacks_a_run_is_not_swept(store: Store) -> None:
    gone = read_release(store, "three").refs("catalog")[0].path
    store.delete(gone)
    with pytest.raises(StoreFormatError, match=f"{gone} is missing.*nothing was removed"):
        planned(store)


def test_a_store_that_a_newer_artrec_wrote_to_is_not_swept(root: Path, store: Store) -> None:
    path = root / "releases/one.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2', 1))
    with pytest.raises(StoreFormatError, match="written in format 2"):
        planned(store)


def test_views_whose_release_is_gone_are_removed(store: Store) -> None:
    store.delete("releases/one.json")
    swept(store)
    assert "releases/one.sql" not in tree(store)


def write_superseded(store: Store, name: str) -> None:
    """A release that stands there since its swap was refused; it is the newest one."""
    four = read_release(store, "four")
    made = four.model_copy(update={"release_id": name, "created": datetime.now(UTC)})
    store.write(made.path, made.to_bytes())


def test_a_release_that_never_was_current_is_none_of_the_newest_and_goes(store: Store) -> None:
    write_superseded(store, "slow")
    assert swept(store).kept == ["four", "three"]
    assert_whole(store, "three", "four")


def test_a_release_whose_night_may_go_on_to_its_swap_is_kept(store: Store) -> None:
    draft = open_draft(store, "late")
    draft.record(stage_runs("inventory", labels(store, draft, "late")))
    write_superseded(store, "late")
    swept(store)
    assert_whole(store, "three", "four", "late")


def test_a_young_release_is_kept_with_the_older_runs_that_it_names(
    root: Path, store: Store
) -> None:
    for path in root.glob("runs/**/*"):
        if path.is_file():
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 7200))
    plan = plan_sweep(store, rules(keep=1), datetime.now(UTC))
    assert plan.kept == ["four", "one", "three", "two"]
    assert plan.counts() == dict.fromkeys(KINDS, (0, 0))


def test_an_encoder_stays_as_long_as_the_run_that_made_it(store: Store) -> None:
    """A training that is asked for again finds its run, and goes on with the encoder."""
    open_draft(store)
    store.write("encoders/mine-2/config.json", b"{}")
    ref = write_run(store, "train", {"curves": []})
    run = find_run(store, "train", ref.run_id)
    assert run is not None
    store.delete(ref.path)
    record_run(store, run.model_copy(update={"notes": {"encoder_id": "mine-2"}}))
    swept(store, rules(used=frozenset()))
    assert "encoders/mine-2/config.json" in tree(store)
    swept(store, rules(used=frozenset(), open_drafts=False))
    assert "encoders/mine-2/config.json" not in tree(store)


# -- drafts ---------------------------------------------------------------------------------


def test_what_an_open_draft_has_got_so_far_is_kept(store: Store) -> None:
    draft = open_draft(store)
    finished, cut, recorded = (labels(store, draft, text) for text in ("segment", "cut", "done"))
    draft.plan("ingest", cut)
    draft.record(stage_runs("inventory", recorded))
    draft.keep_gates(StageRuns(stage="none", inputs="", tables={}))
    assert swept(store, rules(keep=1)).open == ["draft"]
    for ref in (finished, cut, recorded):
        run = find_run(store, ref.stage, ref.run_id)
        assert run is not None
        assert [row["style"] for b in read_table(store, run.receipts("labels")) for row in
                b.to_pylist()] != []  # fmt: skip
    again = Draft.begin(store, "draft")
    again.hold("draft")
    assert again.need("inventory").tables["labels"] == [recorded]


def test_what_a_run_of_an_open_draft_needs_to_go_on_is_kept(store: Store) -> None:
    """A training that was killed has no record yet, only checkpoints in its folder."""
    open_draft(store)
    arrays = {"weights": np.ones(3, np.float32)}
    epoch = checkpoints.Epoch(
        epoch=1, train_loss=1, held_out_loss=1, learning_rate=1, seconds=1, reading_seconds=1
    )
    folder = "runs/train/under-way/checkpoints"
    checkpoints.write(store, folder, checkpoints.Progress(epochs=(epoch,)), arrays)
    assert swept(store).counts()["orphans"] == (0, 0)
    found = checkpoints.read_latest(store, folder)
    assert found is not None
    assert found[0].epochs == (epoch,)
    assert swept(store, rules(open_drafts=False)).counts()["orphans"][0] == 1
    assert checkpoints.read_latest(store, folder) is None


@pytest.mark.parametrize("how", ["marked", "given up", "overtaken"])
def test_an_abandoned_draft_goes_with_its_runs(root: Path, store: Store, how: str) -> None:
    draft = open_draft(store)
    ref = labels(store, draft, "lost")
    draft.record(stage_runs("inventory", ref))
    if how == "marked":
        abandon(store, "draft", read_base(store))
    elif how == "overtaken":
        publish_paintings(root, "five", PAINTINGS)
    elif how == "given up":
        assert planned(store, rules(open_drafts=False)).counts()["drafts"][0] > 6
        with holding(store, "a sweep", 60.0) as lease:
            give_up(store, lease)
    plan = swept(store)
    assert plan.open == []
    assert not [path for path in tree(store) if path.startswith("drafts/draft/")]
    assert find_run(store, ref.stage, ref.run_id) is None


def test_outcomes_of_nights_that_published_nothing_are_removed(store: Store) -> None:
    night = Draft.begin(store, None)
    night.finish(outcome(night))
    path = f"drafts/{night.release_id}/outcome.json"
    assert Outcome.model_validate_json(store.read(path)).message == "done"
    swept(store)
    assert path not in tree(store)
    assert "drafts/four/draft.json" in tree(store)


# -- killed in the middle -------------------------------------------------------------------


class Killed(BaseException):
    """Nothing below handles it, as nothing handles SIGKILL."""


@dataclass(frozen=True)
class Mortal(LocalStore):
    """It dies at one of its removals."""

    left: list[None] = field(default_factory=list)

    def delete(self, path: str) -> None:
        if not self.left:
            raise Killed
        self.left.pop()
        LocalStore.delete(self, path)


def assert_nothing_dangles(store: Store) -> None:
    """Whatever release or run can be opened, all that it names is there."""
    for name in list_releases(store):
        assert verify(store, name)[1] == []
    for entry in store.list("runs"):
        if entry.path.endswith("/run.json"):
            _, stage, name, _ = entry.path.split("/")
            run = find_run(store, stage, name)
            assert run is not None
            for receipts in run.tables.values():
                assert all(store.stat(each.path).bytes == each.bytes for each in receipts)


def test_a_sweep_that_is_killed_at_any_removal_leaves_nothing_dangling(
    root: Path, store: Store
) -> None:
    """Each attempt plans anew and gets one removal further; the last one is left in peace."""
    total = sum(count for count, _ in planned(store).counts().values())
    assert total == 40
    for _ in range(total):
        mortal = Mortal(str(root), [None])
        with pytest.raises(Killed):
            _sweep_on(mortal)
        assert_nothing_dangles(store)
    swept(store)
    assert planned(store).counts() == dict.fromkeys(KINDS, (0, 0))
    assert_whole(store, "three", "four")


def _sweep_on(store: Store) -> None:
    """One more attempt, which plans anew."""
    plan = planned(store)
    assert sum(count for count, _ in plan.counts().values())
    with holding(store, "a sweep", 60.0) as lease:
        carry_out(store, plan, lease)
    raise Killed  # at its last one, after it


SWEEP = "import sys; from artrec.cli import main; sys.argv[0] = 'artrec'; main()"


def test_the_process_is_killed_and_the_same_command_goes_on(root: Path, store: Store) -> None:
    command = [sys.executable, "-c", SWEEP, "sweep", "--root", str(root), "--keep", "1", "--yes"]
    surroundings = os.environ | {"ARTREC_STORE__SWEEP_SECONDS": "0"}
    for point in ("sweep.delete", "sweep.delete#9", ""):
        ended = subprocess.run(
            command,
            env=surroundings | {"ARTREC_FAILPOINT": point},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == (-signal.SIGKILL if point else 0), ended.stderr
        assert_nothing_dangles(store)
    assert "that process does not exist any more" in ended.stderr
    assert_whole(store, "three", "four")


def test_a_sweep_that_loses_its_lease_stops(store: Store) -> None:
    plan = planned(store)
    with holding(store, "a sweep", 60.0) as lease:
        store.delete("LEASE.json")
        lease._written -= 60  # as long ago as that
        before = tree(store)
        with pytest.raises(Superseded):
            carry_out(store, plan, lease)
    assert tree(store) == before


# -- readers meanwhile ----------------------------------------------------------------------


@dataclass
class Reader:
    """Follows CURRENT to the last row, again and again, in a thread of its own."""

    store: Store
    turn: Condition = field(default_factory=Condition)
    whole: int = 0
    gone: int = 0
    wrong: list[str] = field(default_factory=list)
    ended: bool = False

    def run(self) -> None:
        while not self.ended:
            try:
                found = self._read()
            except BaseException as error:
                found = repr(error)
            with self.turn:
                if found == "whole":
                    self.whole += 1
                elif found == "gone":
                    self.gone += 1
                else:
                    self.wrong.append(found)
                self.turn.notify_all()

    def _read(self) -> str:
        release = current_release(self.store)
        try:
            rows = {table: [*self._rows(release, table)] for table in ("catalog", "embeddings")}
        except NotFound as error:
            try:
                read_release(self.store, release.release_id)
            except Exception:
                return "gone"  # it was swept as a whole while we read, and says so
            return f"{release.release_id} is there, but {error}"
        counts = {len(each) for each in rows.values()} | {release.counts["stored"]}
        names = {row["first_release"] for row in rows["catalog"]}
        same = {r["image_id"] for r in rows["catalog"]} == {
            r["image_id"] for r in rows["embeddings"]
        }
        mixed = len(counts) > 1 or names != {release.release_id} or not same
        return f"a mixture: {counts}, {names}" if mixed else "whole"

    def _rows(self, release: object, table: str) -> Iterator[dict[str, object]]:
        from artrec.releases import table_receipts

        for batch in read_table(self.store, table_receipts(self.store, release, table)):  # type: ignore[arg-type]
            yield from batch.to_pylist()

    def wait_for_a_whole_one(self) -> None:
        with self.turn:
            seen = self.whole
            assert self.turn.wait_for(lambda: self.whole > seen or self.wrong, 60)


def _publish_roll_back_and_sweep(root: Path, store: Store, reader: Reader, nights: int) -> None:
    for number in range(nights):
        publish_paintings(root, f"night-{number:02d}", PAINTINGS[: 3 + number % 11])
        if number % 3 == 2:
            rollback(store)
        if number % 2:
            swept(store, rules(keep=2))
        if number % 5 == 0:
            reader.wait_for_a_whole_one()
    reader.wait_for_a_whole_one()


def test_readers_see_whole_releases_through_50_publishes_rollbacks_and_sweeps(
    root: Path, store: Store
) -> None:
    reader = Reader(open_store(str(root)))
    publish_paintings(root, "night--1", PAINTINGS[:5])
    thread = Thread(target=reader.run)
    thread.start()
    try:
        _publish_roll_back_and_sweep(root, store, reader, 50)
    finally:
        reader.ended = True
        thread.join()
    assert reader.wrong == []
    assert reader.whole >= 11
    assert len(list_releases(store)) < 10


def test_a_lease_in_hand_tells_the_time_of_the_store(store: Store) -> None:
    with holding(store, "a sweep", 60.0) as lease:
        assert isinstance(lease, Lease)
        assert lease.renewed == store.stat("LEASE.json").modified
