"""A lease that is held: renewed, proven, given back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from artrec import log
from artrec.errors import ArtrecError, ConditionFailed, NotFound, StoreUnavailable, Superseded
from artrec.releases.lease.state import LEASE, LeaseState, read_state
from artrec.storage import Entry, Store

__all__ = ["Clock", "Lease"]

PATIENCE = 10.0  # seconds for a renewal that is under way when the lease is given back

Clock = Callable[[], float]


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
                if read_state(self._store) != (state, entry.etag):
                    self._entry = entry
                    continue
            self._state, self._entry, self._written = state, entry, written
            return
        raise StoreUnavailable(f"{self._store.url}/{LEASE}: it keeps changing")

    def _own_entry(self) -> Entry:
        """What stands there, if it is ours; else the lease is lost for good."""
        found = read_state(self._store)
        if found is None or found[0].holder != self.holder:
            who = f"{found[0]}" if found else f"{LEASE} was deleted"
            self._lost = Superseded(
                f"{self._store.url}: this run has lost its lease: {who}. It stops and publishes "
                "nothing more; its draft is kept"
            )
            raise self._lost
        return self._store.stat(LEASE)
