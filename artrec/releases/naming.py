"""What a draft is called: the name that was asked for, else the open draft's, else the date."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime

from artrec.errors import NotFound, ReleaseConflict
from artrec.releases.heads import DraftHead, is_abandoned, open_heads, read_head
from artrec.releases.published import Base, Release
from artrec.releases.runs import read_document
from artrec.storage import Store

__all__ = ["Names", "is_component", "today"]


@dataclass(frozen=True)
class Names:
    """The names of a store, to a draft that began on ``base``."""

    store: Store
    base: Base

    def settled(self, asked: str | None, inputs: str) -> str:
        """``--release``, else the open draft of these inputs, else the date.

        Raises ReleaseConflict (8) if the name asked for is held by other inputs.
        """
        name = asked and self._explicit(asked, inputs)
        if name is None:
            same = (h for h in open_heads(self.store, self.base) if h.inputs == inputs)
            name = next((head.release_id for head in same), None) or self._candidate(inputs)
        return name

    def free(self, inputs: str) -> str:
        """The date, with a number where other inputs hold it."""
        names = (today() if n == 1 else f"{today()}.{n}" for n in itertools.count(1))
        return next(name for name in names if not self.is_taken(name, inputs))

    def is_taken(self, name: str, inputs: str) -> bool:
        """Whether another draft has it, or a release."""
        head = read_head(self.store, name)
        if head is not None and self.is_mine(head, inputs):
            return False
        return head is not None or self.release_inputs(name) is not None

    def is_mine(self, head: DraftHead, inputs: str) -> bool:
        """Whether it is a draft to go on with."""
        same = head.inputs == inputs and head.base_etag == self.base.etag
        return same and not is_abandoned(self.store, head.release_id)

    def release_inputs(self, name: str) -> str | None:
        """The inputs of the release of that name, if there is one."""
        try:
            return read_document(self.store, f"releases/{name}.json", Release).inputs
        except NotFound:
            return None

    def check_base(self, head: DraftHead) -> None:
        """ReleaseConflict (8) for a draft that was abandoned, or began on what is past."""
        name = head.release_id
        if is_abandoned(self.store, name):
            raise ReleaseConflict(
                f"draft {name} was abandoned; begin a new one with another --release"
            )
        if head.base_etag != self.base.etag and self.base.release_id != name:
            now = self.base.release_id
            found = f"{now or 'nothing'} is current now"
            if head.base_release == now:
                found = "CURRENT was changed since, as by a rollback"
            raise ReleaseConflict(
                f"draft {name} was begun on {head.base_release or 'an empty store'}, but {found}; "
                "begin a new one with another --release"
            )

    def held_by_others(self, name: str) -> ReleaseConflict:
        """What is said of a name that other inputs hold."""
        return ReleaseConflict(
            f"{self.store.url}: the name {name} is held by other inputs (another archive or other "
            "settings); give this release another name with --release"
        )

    def _explicit(self, name: str, inputs: str) -> str:
        head = read_head(self.store, name)
        if self.release_inputs(name) is not None:
            if self.base.release_id == name and self.release_inputs(name) == inputs:
                return name
            if head is None or head.inputs != inputs:
                raise self.held_by_others(name)
        if head is not None:
            if head.inputs != inputs:
                raise self.held_by_others(name)
            self.check_base(head)
        return name

    def _candidate(self, inputs: str) -> str:
        """Tonight's date; where nothing new is expected it only names the outcome."""
        if self.base.release is not None and self.base.release.inputs == inputs:
            return today()
        return self.free(inputs)


def is_component(name: str) -> bool:
    """Whether it is a single path component."""
    return bool(name) and name.isprintable() and "/" not in name and not name.startswith(".")


def today() -> str:
    """The date by UTC."""
    return f"{datetime.now(UTC):%Y-%m-%d}"
