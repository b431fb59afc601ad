"""artrec rollback, sweep, releases abandon: what changes a store beside the stages."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import FrameType

from artrec import log
from artrec.commands.show import as_json, grid
from artrec.commands.stores import store_of
from artrec.config import Settings, load
from artrec.errors import UsageError
from artrec.releases import (
    Lease,
    Ledger,
    abandon,
    holding,
    ledger_of,
    read_base,
    read_release,
    rollback,
)
from artrec.releases.sweep import Rules, Sweep, carry_out, give_up, plan_sweep
from artrec.storage import Store, open_store

__all__ = [
    "Wanted",
    "not_empty",
    "show_abandoned",
    "show_rollback",
    "show_sweep",
    "writing",
]


@dataclass(frozen=True)
class Wanted:
    """What was asked of a sweep."""

    config: str | None
    keep: int | None
    older_than: float
    abandon: bool
    encoders: bool
    yes: bool


def show_rollback(root: str | None, release: str | None, json: bool) -> None:
    """Make another release current and say which one."""
    store = store_of(root)
    not_empty(store)
    with writing(store, "artrec rollback", load()[0]) as lease:
        before, now = rollback(store, release, lease.confirm)
    ingest = read_release(store, now.release).stages.get("ingest")
    shows = Ledger.read(store).name != ledger_of(ingest.notes if ingest else {})
    if json:
        found = {"release": now.release, "before": before.release, "previous": now.previous}
        as_json({**found, "may_show_forgotten": True} if shows else found)
        return
    print(
        f"release {now.release} is current in {store.url}, it was {before.release}; the next night "
        f"builds on it. Forward again: artrec rollback {before.release}"
    )
    if shows:
        print(
            f"release {now.release} was made before pictures were forgotten and may show them; the "
            "next night leaves them out"
        )


def show_abandoned(root: str | None, draft: str) -> None:
    """Give a draft up."""
    store = store_of(root)
    not_empty(store)
    with writing(store, "artrec releases abandon", load()[0]):
        abandon(store, draft, read_base(store))
    print(f"draft {draft} is abandoned: no night goes on with it, artrec sweep may remove it")


def show_sweep(root: str | None, wanted: Wanted, json: bool) -> None:
    """Say what is removed, or would be without ``--yes``."""
    settings, _ = load(wanted.config)
    store = open_store(root or settings.store.root, settings.store.options)
    not_empty(store)
    rules = _rules(settings, wanted)
    if not wanted.yes:
        # by our own clock: nothing is written, so the store does not tell its own
        _tell(store, plan_sweep(store, rules, datetime.now(UTC)), done=False, json=json)
        return
    with writing(store, "artrec sweep", settings) as lease:
        if wanted.abandon:
            give_up(store, lease)
        plan = plan_sweep(store, rules, lease.renewed)
        carry_out(store, plan, lease)
    _tell(store, plan, done=True, json=json)


def _rules(settings: Settings, wanted: Wanted) -> Rules:
    youngest = timedelta(seconds=settings.store.sweep_seconds)
    return Rules(
        keep=wanted.keep or settings.store.keep_releases,
        age=max(youngest, timedelta(days=wanted.older_than)),
        open_drafts=not wanted.abandon,
        used=frozenset({settings.encoder.id}) if wanted.encoders else None,
    )


def _tell(store: Store, plan: Sweep, done: bool, json: bool) -> None:
    counts = plan.counts()
    if json:
        found = {kind: {"objects": n, "bytes": size} for kind, (n, size) in counts.items()}
        as_json({"removed": done, "kept": plan.kept, "open": plan.open, "kinds": found})
        return
    print(f"kept releases: {', '.join(plan.kept) or 'none'}")
    if plan.open:
        print(f"kept open drafts: {', '.join(plan.open)} (--abandon gives them up)")
    grid(
        ["removed" if done else "would be removed", "objects", "bytes"],
        [(kind, f"{n:,}", f"{size:,}") for kind, (n, size) in counts.items()],
    )
    if not done:
        print("nothing was removed; --yes removes it")


def not_empty(store: Store) -> None:
    """A mistyped root gets no lease: that would begin a store."""
    if next(iter(store.list()), None) is None:
        raise UsageError(f"{store.url}: no release has been published here")


@contextmanager
def writing(store: Store, work: str, settings: Settings) -> Iterator[Lease]:
    """Hold the lease; a termination gives it back too."""
    log.setup()
    if threading.current_thread() is not threading.main_thread():
        with holding(store, work, settings.store.lease_seconds) as lease:
            yield lease
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        with holding(store, work, settings.store.lease_seconds) as lease:
            yield lease
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
