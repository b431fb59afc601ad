"""Lists with fewer neighbors than asked for: counted by table; warned of where most lists are."""

from __future__ import annotations

from dataclasses import dataclass

from artrec import log
from artrec.releases import StageRuns

__all__ = ["Shortage", "shortages", "warn"]


@dataclass(frozen=True)
class Shortage:
    """A table of which some lists are shorter than ``k``, and what that comes of."""

    table: str
    k: int
    lists: int
    short: int
    why: str

    @property
    def is_most(self) -> bool:
        return 2 * self.short > self.lists

    @property
    def text(self) -> str:
        which = "all" if self.short == self.lists else f"{self.short:,} of {self.lists:,}"
        return f"{self.table}: {which} lists hold fewer than {self.k} neighbors: {self.why}"


def shortages(neighbors: StageRuns) -> list[Shortage]:
    """Of what neighbors recorded; a table without short lists is left out.

    Without a rule every list is full unless there are too few images.
    """
    found = []
    lists, k = neighbors.rows("neighbors_nested"), int(neighbors.notes.get("k", 0))
    if lists <= k:
        why = f"each image has {lists - 1} others" if lists > 1 else "there is no other image"
        found.append(Shortage("neighbors", k, lists, lists, why))
    for name, notes in sorted(neighbors.notes.get("tables", {}).items()):
        short = sum(count for key, count in notes.items() if key.startswith("short_"))
        why = f"neighbors_{name}_short says why of each"
        found.append(Shortage(f"neighbors_{name}", notes["k"], notes.get("lists", 0), short, why))
    return [each for each in found if each.short]


def warn(neighbors: StageRuns) -> None:
    """A line in the log for each table that is short more often than not."""
    for each in shortages(neighbors):
        if each.is_most:
            log.get(stage="neighbors").warning(each.text, lists=each.lists, short=each.short)
