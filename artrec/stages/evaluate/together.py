"""Tasks of several kinds in one job: a job costs a fifth of a second, whatever it is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from artrec.releases import Draft
from artrec.stages.frames import Attempt, TaskReport

__all__ = ["ALONE", "Part", "Work", "is_small", "one_of", "split"]

ALONE = 100_000
"""Images of which one task makes what needs a whole table at once; more are shuffled by Spark."""

PICTURES, ENTRIES = 4, 50  # that one task reads of each of them, stored pictures and list entries

Work = Callable[[Attempt], TaskReport]


@dataclass(frozen=True)
class Part:
    """So many tasks of one kind, counted from 0."""

    count: int
    work: Work


def one_of(parts: Sequence[Part], attempt: Attempt) -> TaskReport:
    """One task, by its place among those of all parts; its file names stay its own by its id."""
    place = attempt.index
    for part in parts:
        if place < part.count:
            return part.work(replace(attempt, index=place))
        place -= part.count
    raise IndexError(f"there is no task {attempt.index}")


def split(parts: Sequence[Part], reports: Sequence[TaskReport]) -> list[list[TaskReport]]:
    """The reports of each part."""
    found, place = [], 0
    for part in parts:
        found.append(list(reports[place : place + part.count]))
        place += part.count
    return found


def is_small(draft: Draft) -> bool:
    """Whether one task holds the keys of each of the draft's tables."""
    rows = {
        ("inventory", "members"): 1,
        ("catalog", "catalog"): 1,
        ("ingest", "pictures"): PICTURES,
        ("neighbors", "neighbors_nested"): 1,
        ("neighbors", "neighbors"): ENTRIES,
    }
    return all(draft.need(stage).rows(table) <= n * ALONE for (stage, table), n in rows.items())
