"""The lease: one writer for one root at a time.

``LEASE.json`` names its holder, who renews it three times in a period. Whoever else wants to write
watches it for one period of its own monotonic clock: where it changes, its holder is at work; where
it does not, it is taken over. Every step is a conditional write, so no two hold it at once, and it
is given back by such a write too: nobody deletes what may be another's by then. The swap of CURRENT
stays the safety net below.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from artrec import log
from artrec.errors import (
    ArtrecError,
    ConditionFailed,
    NotFound,
    StoreUnavailable,
    Superseded,
)
from artrec.releases.runs import Document, attempt_name, parse_document
from artrec.storage import Entry, Store
from artrec.storage.local import LocalStore

__all__ = ["Bid", "LEASE", "Lease", "LeaseState", "holding", "take"]

LEASE = "LEASE.json"
PATIENCE = 10.0  # seconds for a renewal that is under way when the lease is given back

Clock = Callable[[], float]


class LeaseState(Document):
    """Who writes to a store, and since when.

    ``place`` and ``started`` tell the process from any other that has had its ``pid``: the boot of
    the machine with the namespace of process ids, and when it started.
    """

    holder: str
    work: str
    host: str
    pid: int
    place: str
    started: int
    period: float
    renewals: int
    begun: datetime
    released: bool = False

    def __str__(self) -> str:
        return (
            f"{self.work} (process {self.pid} on {self.host}) has held the store since "
            f"{self.begun:%Y-%m-%d %H:%M:%S} UTC"
        )


class Bid:
    """A writer that asks for the lease of a store, one look after the other, until it has it."""

    def __init__(self, store: Store, work: str, period: float, now: Clock = time.monotonic) -> None:
        self._store, self._now = store, now
        place, started = _myself()
        self._mine = LeaseState(
            holder=attempt_name(),
            work=work,
            host=socket.gethostname(),
            pid=os.getpid(),
            place=place,
            started=started,
            period=period,
            renewals=0,
            begun=datetime.now(UTC),
        )
        self._seen: LeaseState | None = None
        self._since = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        period = (self._seen or self._mine).period
        return min(2.0, period / 20)

    def look(self) -> Lease | None:
        """The lease, where nobody holds it any more; None where only time can tell.

        Raises Superseded (8) where another writer is at work.
        """
        asked = self._now()
        found = _read(self._store)
        if found is None:
            return self._take(None)
        state, etag = found
        if state.released:
            return self._take(etag)
        if self._seen is None:
            if self._is_dead(state):
                return self._take_over(etag, state, "that process does not exist any more")
            self._seen, self._since = state, self._now()
            log.get().info("watching another writer", seconds=state.period, who=str(state))
            return None
        if state != self._seen:
            raise _held(self._store, state)
        if asked - self._since <= state.period:
            return None
        return self._take_over(etag, state, f"it was not renewed for {state.period:g} s")

    def _is_dead(self, state: LeaseState) -> bool:
        """For sure: a process of this very machine and namespace that is gone."""
        here = self._mine
        same = (state.host, state.place) == (here.host, here.place)
        local = isinstance(self._store, LocalStore)
        return local and bool(here.place) and same and _is_gone(state.pid, state.started)

    def _take_over(self, etag: str, state: LeaseState, why: str) -> Lease | None:
        lease = self._take(etag)
        if lease is not None:
            log.get().warning("took over the lease", why=why, of=str(state))
        return lease

    def _take(self, etag: str | None) -> Lease | None:
        written = self._now()
        try:
            entry = self._store.write(LEASE, self._mine.to_bytes(), if_etag=etag)
        except (ConditionFailed, NotFound):
            found = _read(self._store)
            if found is None or found[0].released:
                return None
            if found[0] != self._mine:  # else a retried write had already succeeded
                raise _held(self._store, found[0]) from None
            entry = self._store.stat(LEASE)
        return Lease(self._store, self._mine, entry, written, self._now)


class Lease:
    """A held lease. ``keep`` renews it in the background, ``confirm`` proves that it is ours."""

    def __init__(
        self, store: Store, state: LeaseState, entry: Entry, written: float, now: Clock
    ) -> None:
        self._store, self._state, self._entry = store, state, entry
        self._written, self._now = written, now
        self._lost: Superseded | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def holder(self) -> str:
        """The name of the attempt that holds it."""
        return self._state.holder

    @property
    def period(self) -> float:
        """Seconds for which it holds without being renewed."""
        return self._state.period

    @property
    def renewed(self) -> datetime:
        """When it was last written, by the clock of the store."""
        return self._entry.modified

    def keep(self) -> None:
        """Renew it every third of its period, in a thread that ends with the process."""
        self._thread = threading.Thread(target=self._renew_on, name="artrec lease", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """One conditional write; Superseded (8) if another holder is found."""
        with self._lock:
            if self._lost is not None:
                raise self._lost
            self._swap({"renewals": self._state.renewals + 1})

    def confirm(self, within: float = 0.0) -> None:
        """Go on only as the holder: Superseded (8) if it was taken.

        A renewal of the last ``within`` seconds is proof enough. A store that does not answer is
        asked again for what is left of a period; then nobody knows, and the run stops (6).
        """
        if self._lost is None and self._now() - self._written < within:
            return
        while True:
            try:
                return self.renew()
            except StoreUnavailable as error:
                if self._now() - self._written > self._state.period:
                    raise StoreUnavailable(
                        f"{self._store.url}: the lease could not be renewed for "
                        f"{self._state.period:g} s, so another run may have taken it; nothing was "
                        f"published, run the same command again ({error})"
                    ) from error
            self._stop.wait(min(1.0, self._state.period / 20))

    def release(self) -> None:
        """Give it back; nobody has to wait then. Errors are only told."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(PATIENCE)
        if not self._lock.acquire(timeout=PATIENCE):
            return
        try:
            if self._lost is None:
                self._swap({"released": True})
        except (ArtrecError, OSError) as error:
            log.get().warning("the lease was not given back", why=str(error))
        finally:
            self._lost = self._lost or Superseded("this lease was given back")
            self._lock.release()

    def _renew_on(self) -> None:
        while not self._stop.wait(self._state.period / 3):
            try:
                self.renew()
            except Superseded as error:
                log.get().warning("the lease is lost", why=str(error))
                return
            except (ArtrecError, OSError) as error:
                log.get().warning("the lease was not renewed", why=str(error))

    def _swap(self, change: dict[str, object]) -> None:
        """Write the changed state over our own; where an answer was lost it may stand there."""
        state = self._state.model_copy(update=change)
        for _ in range(4):
            written = self._now()
            try:
                entry = self._store.write(LEASE, state.to_bytes(), if_etag=self._entry.etag)
            except (ConditionFailed, NotFound):
                entry = self._own_entry()
                if _read(self._store) != (state, entry.etag):
                    self._entry = entry
                    continue
            self._state, self._entry, self._written = state, entry, written
            return
        raise StoreUnavailable(f"{self._store.url}/{LEASE}: it keeps changing")

    def _own_entry(self) -> Entry:
        """What stands there, if it is ours; else the lease is lost for good."""
        found = _read(self._store)
        if found is None or found[0].holder != self.holder:
            who = f"{found[0]}" if found else f"{LEASE} was deleted"
            self._lost = Superseded(
                f"{self._store.url}: this run has lost its lease: {who}. It stops and publishes "
                "nothing more; its draft is kept"
            )
            raise self._lost
        return self._store.stat(LEASE)


def take(store: Store, work: str, period: float) -> Lease:
    """The lease of a store, after watching another holder for a period if there is one.

    ConfigError for a store that does not refuse what it should: no lease can be held there.
    """
    store.check(f"runs/check/{attempt_name()}/check")  # where sweep finds what a kill leaves
    bid = Bid(store, work, period)
    while (lease := bid.look()) is None:
        time.sleep(bid.pause)
    return lease


@contextmanager
def holding(store: Store, work: str, period: float) -> Iterator[Lease]:
    """The lease for the length of a block, renewed all the while and given back at its end."""
    lease = take(store, work, period)
    try:
        lease.keep()
        yield lease
    finally:
        lease.release()


def _held(store: Store, state: LeaseState) -> Superseded:
    return Superseded(
        f"{store.url}: {state}; one writes at a time: run this again when it has ended"
    )


def _read(store: Store) -> tuple[LeaseState, str] | None:
    """The lease as it stands, with its etag."""
    while True:
        try:
            etag = store.stat(LEASE).etag
            data = store.read(LEASE, etag=etag)
        except NotFound:
            return None
        except ConditionFailed:  # renewed between the two calls
            continue
        return parse_document(data, f"{store.url}/{LEASE}", LeaseState), etag


def _myself() -> tuple[str, int]:
    """(this boot with our namespace of process ids, our start); empty where none is told.

    Containers may share a host's name, but then their processes have numbers of their own.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.stat("/proc/self/ns/pid").st_ino
        return f"{boot}/{space}", _started(os.getpid()) or 0
    except (OSError, ValueError):
        return "", 0


def _started(pid: int) -> int | None:
    """When a process started, in ticks since the boot; None for one that has ended."""
    state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None if state in "ZX" else int(numbers[18])


def _is_gone(pid: int, started: int) -> bool:
    """Whether no process has this number, or it is another one's by now."""
    try:
        os.kill(pid, 0)
        return _started(pid) != started
    except ProcessLookupError:
        return True
    except (OSError, ValueError):  # it is there, and not ours to look at
        return False
