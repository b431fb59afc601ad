"""Asking for the lease of a store until it is had."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from artrec import log
from artrec.errors import ConditionFailed, NotFound, Superseded
from artrec.releases.lease.held import Clock, Lease
from artrec.releases.lease.processes import is_gone, this_process
from artrec.releases.lease.state import LEASE, LeaseState, read_state
from artrec.releases.runs import attempt_name
from artrec.storage import Store
from artrec.storage.local import LocalStore

__all__ = ["Bid", "holding", "take"]


class Bid:
    """A writer that asks for the lease of a store, one look after the other, until it has it."""

    def __init__(self, store: Store, work: str, period: float, now: Clock = time.monotonic) -> None:
        self._store, self._now = store, now
        place, started = this_process()
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
        found = read_state(self._store)
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
        return local and bool(here.place) and same and is_gone(state.pid, state.started)

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
            found = read_state(self._store)
            if found is None or found[0].released:
                return None
            if found[0] != self._mine:  # else a retried write had already succeeded
                raise _held(self._store, found[0]) from None
            entry = self._store.stat(LEASE)
        return Lease(self._store, self._mine, entry, written, self._now)


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
