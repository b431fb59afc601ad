"""The lease: one writer for one root, whoever dies, stalls or comes second."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
)

from artrec.errors import (
    ConditionFailed,
    StoreFormatError,
    StoreFull,
    StoreUnavailable,
    Superseded,
)
from artrec.releases import Draft, publish
from artrec.releases.lease import LEASE, Bid, Lease, holding, take
from artrec.storage import Entry, Store, open_store
from artrec.storage.local import LocalStore
from tests.releases.protocol import outcome, release, stage, tree

PERIOD = 60.0


@dataclass
class Time:
    """A clock that is set by the test."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def bid(store: Store, time: Callable[[], float], work: str = "artrec nightly") -> Bid:
    return Bid(store, work, PERIOD, time)


def held(store: Store, time: Callable[[], float], work: str = "artrec nightly") -> Lease:
    lease = bid(store, time, work).look()
    assert lease is not None
    return lease


def document(store: Store) -> dict[str, object]:
    found: dict[str, object] = json.loads(store.read(LEASE))
    return found


def put(store: Store, **change: object) -> None:
    """The lease as another process would have left it."""
    old = document(store) | change
    store.write(LEASE, json.dumps(old).encode(), if_etag=store.stat(LEASE).etag)


# -- taking, renewing, giving back ----------------------------------------------------------


def test_a_lease_says_who_holds_it(store: Store, time: Time) -> None:
    lease = held(store, time)
    found = document(store)
    assert (found["work"], found["pid"], found["period"]) == ("artrec nightly", os.getpid(), 60)
    assert (found["holder"], found["renewals"], found["released"]) == (lease.holder, 0, False)
    lease.renew()
    lease.renew()
    assert document(store) == found | {"renewals": 2}


def test_a_lease_that_was_given_back_is_free_at_once(store: Store, time: Time) -> None:
    first = held(store, time)
    first.release()
    assert document(store)["released"] is True
    second = held(store, time)
    assert document(store)["holder"] == second.holder != first.holder
    first.release()
    assert document(store)["holder"] == second.holder
    with pytest.raises(Superseded, match="given back"):
        first.confirm()


def test_a_second_writer_is_refused_when_it_sees_a_renewal(store: Store, time: Time) -> None:
    first, second = held(store, time), bid(store, time)
    assert second.look() is None
    time.now += PERIOD / 3
    assert second.look() is None
    first.renew()
    begun = str(document(store)["begun"])[:19].replace("T", " ")
    with pytest.raises(Superseded) as refused:
        second.look()
    assert str(refused.value) == (
        f"{store.url}: artrec nightly (process {os.getpid()} on {document(store)['host']}) has "
        f"held the store since {begun} UTC; one writes at a time: run this again when it has ended"
    )
    assert document(store)["holder"] == first.holder


def test_a_lease_that_is_given_back_while_it_is_watched_is_taken(store: Store, time: Time) -> None:
    first, second = held(store, time), bid(store, time)
    assert second.look() is None
    first.release()
    assert second.look() is not None


def test_a_silent_lease_is_taken_over_after_a_period_and_not_before(
    store: Store, time: Time
) -> None:
    first, second = held(store, time), bid(store, time)
    assert second.look() is None
    time.now += PERIOD
    assert second.look() is None
    time.now += 0.001
    taken = second.look()
    assert taken is not None
    assert document(store)["holder"] == taken.holder
    before = tree(store)
    for step in (first.confirm, first.renew, first.confirm):
        with pytest.raises(Superseded, match="this run has lost its lease: artrec nightly"):
            step()
    first.release()
    assert tree(store) == before


def test_the_period_that_is_waited_is_that_of_the_holder(store: Store, time: Time) -> None:
    assert Bid(store, "slow", 600.0, time).look() is not None
    second = bid(store, time)
    assert second.look() is None
    time.now += 599
    assert second.look() is None
    time.now += 2
    assert second.look() is not None


def test_of_two_that_take_over_one_gets_it_and_the_other_is_refused(
    store: Store, time: Time
) -> None:
    held(store, time)
    second, third = bid(store, time), bid(store, time)
    assert (second.look(), third.look()) == (None, None)
    time.now += PERIOD + 1
    assert second.look() is not None
    with pytest.raises(Superseded):
        third.look()


@dataclass(frozen=True)
class Telling(LocalStore):
    """It tells of the first renewal."""

    renewed: threading.Event = field(default_factory=threading.Event)

    def write(self, path: str, data: bytes, if_etag: str | None = None) -> Entry:
        entry = LocalStore.write(self, path, data, if_etag)
        if json.loads(data)["renewals"]:
            self.renewed.set()
        return entry


def work_that_fails(store: Telling) -> None:
    with holding(store, "a test", 0.03):
        assert store.renewed.wait(60)
        raise ZeroDivisionError


def test_a_lease_is_renewed_while_a_block_lasts_and_given_back_on_errors(tmp_path: Path) -> None:
    store = Telling(str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        work_that_fails(store)
    assert document(store)["released"] is True
    assert not [t for t in threading.enumerate() if t.name == "artrec lease"]


def test_a_lease_that_somebody_deleted_is_lost(store: Store, time: Time) -> None:
    lease = held(store, time)
    store.delete(LEASE)
    with pytest.raises(Superseded, match=r"LEASE\.json was deleted"):
        lease.confirm()
    assert tree(store) == {}


def test_a_lease_of_a_newer_artrec_is_respected(store: Store, time: Time) -> None:
    held(store, time).release()
    put(store, format=2)
    with pytest.raises(StoreFormatError, match="written in format 2"):
        bid(store, time).look()


def test_a_recent_renewal_is_proof_enough_where_that_is_asked(store: Store, time: Time) -> None:
    lease = held(store, time)
    time.now += 5
    lease.confirm(within=10)
    assert document(store)["renewals"] == 0
    lease.confirm(within=5)
    assert document(store)["renewals"] == 1


# -- the dead -------------------------------------------------------------------------------

WRITER = """
import sys
from artrec.releases.lease import take
from artrec.storage import open_store
take(open_store(sys.argv[1]), "artrec nightly", 3600.0)
print("held", flush=True)
sys.stdin.read()
"""


def writer(root: Path) -> subprocess.Popen[str]:
    """A process that holds the lease for an hour, and does not renew it."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_lease_of_a_dead_process_of_this_machine_is_taken_at_once(
    store: Store, tmp_path: Path, time: Time
) -> None:
    with writer(tmp_path) as process:
        assert bid(store, time).look() is None  # it lives
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert bid(store, time).look() is not None  # a zombie by now
    assert document(store)["pid"] == os.getpid()


def test_another_process_with_that_number_is_not_taken_for_the_holder(
    store: Store, time: Time
) -> None:
    held(store, time)
    put(store, started=1)
    assert bid(store, time).look() is not None


@pytest.mark.parametrize(
    "elsewhere", [{"host": "other"}, {"place": "other/1"}, {"place": ""}, {"started": None}]
)
def test_a_process_of_another_place_is_never_judged(
    store: Store, tmp_path: Path, time: Time, elsewhere: dict[str, object]
) -> None:
    with writer(tmp_path) as process:
        process.kill()
    found = document(store)
    if elsewhere == {"started": None}:  # our own parent: alive, and what it was
        stat = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
        elsewhere = {"pid": os.getppid(), "started": int(stat[19])}
    put(store, **elsewhere)
    second = bid(store, time)
    assert second.look() is None
    assert document(store)["holder"] == found["holder"]


def test_a_stopped_holder_that_wakes_up_after_it_was_overtaken_publishes_nothing(
    store: Store, time: Time
) -> None:
    draft = Draft.begin(store, "slow")
    draft.guard(held(store, time))
    draft.hold("same")
    draft.record(stage("inventory"))
    second = bid(store, time, "artrec sweep")
    assert second.look() is None
    time.now += PERIOD + 1
    assert second.look() is not None
    with pytest.raises(Superseded, match="this run has lost its lease: artrec sweep"):
        publish(store, release("slow", draft.base), draft.base, draft.confirm)
    for work in (lambda: draft.record(stage("embed")), draft.confirm):
        with pytest.raises(Superseded):
            work()
    assert "CURRENT.json" not in tree(store)
    draft.finish(outcome(draft, "superseded"))
    assert f"drafts/{draft.attempt}/outcome.json" in tree(store)
    assert "drafts/slow/outcome.json" not in tree(store)


# -- answers that get lost ------------------------------------------------------------------


@dataclass(frozen=True)
class Flaky(LocalStore):
    """Writes fail with what stands in ``before``, or after they have succeeded, in ``after``."""

    before: list[Exception] = field(default_factory=list)
    after: list[Exception] = field(default_factory=list)

    def write(self, path: str, data: bytes, if_etag: str | None = None) -> Entry:
        if self.before:
            raise self.before.pop()
        entry = LocalStore.write(self, path, data, if_etag)
        if self.after:
            raise self.after.pop()
        return entry


def test_a_retried_taking_that_had_succeeded_is_a_success(tmp_path: Path, time: Time) -> None:
    store = Flaky(str(tmp_path), after=[ConditionFailed("a retry met its own success")])
    lease = held(store, time)
    lease.renew()
    assert document(store)["renewals"] == 1


@pytest.mark.parametrize("error", [ConditionFailed("retried"), StoreUnavailable("timed out")])
def test_a_renewal_whose_answer_got_lost_does_not_lose_the_lease(
    tmp_path: Path, time: Time, error: Exception
) -> None:
    store = Flaky(str(tmp_path))
    lease = held(store, time)
    store.after.append(error)
    lease.confirm()
    lease.confirm()
    assert document(store)["holder"] == lease.holder
    store.after.append(error)
    lease.release()
    if isinstance(error, ConditionFailed):
        assert document(store)["released"] is True


def test_a_holder_that_cannot_renew_for_a_period_stops(tmp_path: Path) -> None:
    store = Flaky(str(tmp_path))
    lease = take(store, "artrec nightly", 0.02)
    store.before.extend([StoreUnavailable("503")] * 10_000)
    with pytest.raises(
        StoreUnavailable,
        match=r"could not be renewed for 0\.02 s, so another run may have taken it",
    ):
        lease.confirm()


def test_a_full_disk_is_said_to_be_full(tmp_path: Path, time: Time) -> None:
    store = Flaky(str(tmp_path))
    lease = held(store, time)
    store.before.append(StoreFull("no space left"))
    with pytest.raises(StoreFull):
        lease.confirm()


# -- as a state machine ---------------------------------------------------------------------


class Writers(RuleBasedStateMachine):
    """Writers that come, renew, stall, die and go, in any order and with any time between.

    The model knows when each was last heard of. At most one can ever confirm that it holds.
    """

    bids, leases = Bundle("bids"), Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(self.folder.name)
        self.time = Time()
        self.holder: Lease | None = None
        self.heard = 0.0
        self.watched: dict[int, float] = {}
        self.served: set[int] = set()

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(seconds=st.sampled_from([1.0, 19.0, 20.0, 59.0, 60.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.time.now += seconds

    @rule(target=bids)
    def comes(self) -> Bid:
        return bid(self.store, self.time)

    @rule(target=leases, one=bids)
    def looks(self, one: Bid) -> object:
        if id(one) in self.served:
            return multiple()
        try:
            lease = one.look()
        except Superseded:
            assert self.holder is not None, "refused, though nobody holds it"
            return multiple()
        if lease is None:
            assert self.holder is not None
            watched = self.watched.setdefault(id(one), self.time.now)
            assert self.time.now - max(watched, self.heard) <= PERIOD, "it waits for ever"
            return multiple()
        if self.holder is not None:
            assert self.time.now - self.heard > PERIOD, "taken from a living holder"
        self.holder, self.heard = lease, self.time.now
        self.served.add(id(one))
        return lease

    @rule(lease=leases)
    def renews(self, lease: Lease) -> None:
        if lease is self.holder:
            lease.renew()
            self.heard = self.time.now
        else:
            with pytest.raises(Superseded):
                lease.renew()

    @rule(lease=leases)
    def goes(self, lease: Lease) -> None:
        lease.release()
        if lease is self.holder:
            self.holder = None

    @precondition(lambda self: self.holder is not None)
    @invariant()
    def the_store_names_the_holder(self) -> None:
        assert self.holder is not None
        found = document(self.store)
        assert (found["holder"], found["released"]) == (self.holder.holder, False)


Writers.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestWriters = Writers.TestCase
