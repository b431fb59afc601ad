"""The ledger of pictures that were taken down: a small document for each, of their hash alone.

They lie in ``forgotten/`` of a store, are created and never changed, and no sweep touches them.
A name is not kept: whoever sends the same bytes again, under any name, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from artrec.digests import name_of
from artrec.errors import UsageError
from artrec.releases.runs import Document, create, read_document
from artrec.storage import Store

__all__ = ["FOLDER", "Forgotten", "Ledger", "entries", "forget", "ledger_of"]

FOLDER = "forgotten"
SHA256 = re.compile(r"[0-9a-f]{64}")


class Forgotten(Document):
    """One content that this store must not hold: the sha256 of its bytes, why, and since when."""

    sha256: str
    reason: str
    when: datetime


@dataclass(frozen=True)
class Ledger:
    """The hashes of all that was taken down; they travel to tasks, 32 bytes each."""

    hashes: frozenset[bytes]

    @classmethod
    def read(cls, store: Store) -> Ledger:
        """As the store has it now: the names of the documents say it all."""
        names = (entry.path.rpartition("/")[2] for entry in store.list(FOLDER))
        stems = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return cls(frozenset(bytes.fromhex(each) for each in stems if SHA256.fullmatch(each)))

    @property
    def name(self) -> str:
        """Equal for equal ledgers, and empty for the empty one."""
        if not self.hashes:
            return ""
        return name_of({"forgotten": sorted(each.hex() for each in self.hashes)})

    @property
    def inputs(self) -> dict[str, str]:
        """What it adds to the inputs of a stage: nothing, as long as nothing was forgotten."""
        return {"forgotten": self.name} if self.hashes else {}

    def vector_numbers(self) -> frozenset[int]:
        """The numbers that the vectors of these contents have, or had."""
        return frozenset(int.from_bytes(each[:8], "big") >> 1 for each in self.hashes)


def ledger_of(notes: dict[str, object]) -> str:
    """The name of the ledger that a stage's record was made under."""
    return str(notes.get("forgotten", ""))


def forget(store: Store, sha256: str, reason: str) -> Forgotten | None:
    """Enter a content; None where it stands there already, with its first reason."""
    if not SHA256.fullmatch(sha256):
        raise UsageError(f"{sha256!r} is not a sha256: 64 hexadecimal digits are")
    entry = Forgotten(sha256=sha256, reason=reason, when=datetime.now(UTC))
    return entry if create(store, f"{FOLDER}/{sha256}.json", entry) else None


def entries(store: Store, only: Iterable[str] = ()) -> Iterator[Forgotten]:
    """All entries in the order of their hashes, or those of some hashes."""
    wanted = set(only)
    for found in store.list(FOLDER):
        stem = found.path.rpartition("/")[2].removesuffix(".json")
        if SHA256.fullmatch(stem) and (not wanted or stem in wanted):
            yield read_document(store, found.path, Forgotten)
