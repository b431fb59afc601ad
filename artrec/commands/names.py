"""Names of files made of other people's words: they lead nowhere else, and no two are equal."""

from __future__ import annotations

import hashlib
import unicodedata

__all__ = ["Names", "safe_name"]

LONGEST = 120  # bytes of a name in UTF-8, its ending not counted; file systems take 255
_WRONG = frozenset('/\\:*?"<>|')
_TAKEN = {"con", "prn", "aux", "nul", *(f"{k}{n}" for k in ("com", "lpt") for n in range(1, 10))}


def safe_name(text: str) -> str:
    """The text as the name of one file anywhere; letters of all scripts stay.

    >>> safe_name("../été:1")
    '_été_1'
    """
    kept = unicodedata.normalize("NFC", text)
    kept = "".join("_" if c in _WRONG or not c.isprintable() else c for c in kept)
    kept = kept.strip(". ")
    if kept.partition(".")[0].lower() in _TAKEN:
        kept = f"_{kept}"
    if len(kept.encode()) > LONGEST:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        kept = kept.encode()[: LONGEST - 9].decode(errors="ignore").rstrip(". ") + f"-{digest}"
    return kept or "unnamed"


class Names:
    """Gives each name once, also where a file system takes letters for their capitals."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def fresh(self, text: str, ending: str = "") -> str:
        """A safe name of ``text`` that was not given yet, with the ending."""
        name, number = safe_name(text), 1
        while (found := f"{name}{f'-{number}' if number > 1 else ''}{ending}").casefold() in (
            self._taken
        ):
            number += 1
        self._taken.add(found.casefold())
        return found
