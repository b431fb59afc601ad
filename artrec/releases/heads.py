"""What stands in a draft's folder: how it was begun, how its job ended, whether it is given up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from artrec.errors import NotFound, UsageError
from artrec.releases.history import were_current
from artrec.releases.published import Base, list_releases
from artrec.releases.runs import Document, create, read_document
from artrec.storage import Store

__all__ = [
    "Abandoned",
    "CLOCK_STEP",
    "DraftHead",
    "Outcome",
    "abandon",
    "all_heads",
    "draft_state",
    "find_outcome",
    "is_abandoned",
    "open_heads",
    "read_head",
    "read_outcome",
]

CLOCK_STEP = timedelta(seconds=2)
"""Stores round the times of their objects; all are of the store's own clock."""


class DraftHead(Document):
    """What a draft was begun with; a later attempt goes on only with the same."""

    release_id: str
    inputs: str
    base_release: str | None
    base_etag: str | None
    begun: datetime


class Outcome(Document):
    """How a job ended, for those who cannot see its exit code.

    ``status`` is done (a stage), published, unchanged (nothing to publish), or failed. ``changes``
    counts, of a published night, what became of images and of entries of the lists.
    """

    status: str
    exit_code: int
    message: str
    release_id: str
    current: str | None
    ended: datetime
    changes: dict[str, Any] | None = None


class Abandoned(Document):
    """Word that nobody shall go on with a draft."""

    when: datetime


def read_head(store: Store, name: str) -> DraftHead | None:
    """What the draft of that name was begun with."""
    try:
        return read_document(store, f"drafts/{name}/draft.json", DraftHead)
    except NotFound:
        return None


def read_outcome(store: Store, name: str) -> Outcome | None:
    """How the latest job under that name ended."""
    try:
        return read_document(store, f"drafts/{name}/outcome.json", Outcome)
    except NotFound:
        return None


def find_outcome(store: Store, name: str | None, since: datetime | None = None) -> Outcome | None:
    """How the latest job ended that was to make release ``name``, or any, not before ``since``.

    A job that had lost its name or lease left its word under the name of its attempt.
    """
    entries = [e for e in store.list("drafts") if e.path.endswith("/outcome.json")]
    for entry in sorted(entries, key=lambda entry: entry.modified, reverse=True):
        outcome = read_document(store, entry.path, Outcome)
        if name in (None, outcome.release_id) and (since is None or outcome.ended >= since):
            return outcome
    return None


def is_abandoned(store: Store, name: str) -> bool:
    """Whether the draft was given up by ``abandon``."""
    try:
        return store.stat(f"drafts/{name}/abandoned.json") is not None
    except NotFound:
        return False


def all_heads(store: Store, since: datetime | None = None) -> Iterator[DraftHead]:
    """All drafts in the order of their names, or those written ``since`` then."""
    for entry in store.list("drafts"):
        if entry.path.endswith("/draft.json") and (since is None or entry.modified >= since):
            yield read_document(store, entry.path, DraftHead)


def open_heads(store: Store, base: Base) -> list[DraftHead]:
    """Drafts that could still become the next release: none is older than CURRENT."""
    since = base.modified and base.modified - CLOCK_STEP
    return [head for head in all_heads(store, since) if draft_state(store, head, base) == "open"]


def draft_state(store: Store, head: DraftHead, base: Base) -> str:
    """open, abandoned, unchanged, published, or overtaken by another release or a rollback."""
    if head.base_etag == base.etag and not is_abandoned(store, head.release_id):
        outcome = read_outcome(store, head.release_id)
        return "unchanged" if outcome is not None and outcome.status == "unchanged" else "open"
    if _was_published(store, head, base):
        return "published"
    return "abandoned" if is_abandoned(store, head.release_id) else "overtaken"


def _was_published(store: Store, head: DraftHead, base: Base) -> bool:
    """By its release, as a later job of that name may have left another word; else by its word."""
    name = head.release_id
    if name == base.release_id:
        return True
    outcome = read_outcome(store, name)
    if outcome is not None and outcome.status == "published":
        return True
    return name in list_releases(store) and name in were_current(store)


def abandon(store: Store, name: str, base: Base) -> DraftHead:
    """Give an open draft up: no night joins it, and ``sweep`` may remove it."""
    head = read_head(store, name)
    state = draft_state(store, head, base) if head is not None else "missing"
    if head is None or state not in ("open", "abandoned"):
        known = ", ".join(each.release_id for each in open_heads(store, base)) or "none"
        found = "there is none" if head is None else f"it is {state}"
        raise UsageError(f"{store.url}: draft {name} is not open, {found}; open drafts: {known}")
    create(store, f"drafts/{name}/abandoned.json", Abandoned(when=datetime.now(UTC)))
    return head
