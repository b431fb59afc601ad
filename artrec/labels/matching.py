"""Which member a row of a label list is about: by path alone, in three steps.

A row belongs to the member whose whole path it is; else to the one whose path ends with it; else
to the one whose path does so but for letter case, damaged accents and the extension. A member
found in an earlier step is out of the later ones. A row that fits members with several paths is
about none of them. Paths are compared by 64-bit digests: of a million rows and members, two
differing paths count as one with a chance of 5e-8.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from artrec.labels.lists import LabelList, ListRow
from artrec.labels.names import exact_path, loose_path

__all__ = ["Matches", "MemberPaths", "RowPaths", "Verdict", "match"]

Numbers = np.ndarray[Any, np.dtype[Any]]

_DEEPEST = 255


class Verdict(IntEnum):
    """What became of a row; the name is its reason in the table label_misses."""

    used = 0
    no_member = 1
    ambiguous = 2
    repeated = 3  # an earlier row gives the member the same class
    other_class = 4  # an earlier row gives the member another class
    other_split = 5  # used or repeated, but on the other side than the style lists


class RowPaths:
    """The rows of the lists as numbers, in their order: 26 bytes a row, and no text."""

    def __init__(self) -> None:
        self.exact, self.loose = array("Q"), array("Q")
        self.depth, self.list_no = array("B"), array("B")
        self.line, self.index = array("I"), array("I")

    def add(self, list_no: int, row: ListRow) -> None:
        """Append a row of the list with this number."""
        path = exact_path(row.path)
        self.exact.append(_key(path))
        self.loose.append(_key(loose_path(path)))
        self.depth.append(min(path.count("/") + 1, _DEEPEST))
        self.list_no.append(list_no)
        self.line.append(row.line)
        self.index.append(row.index)

    def depths(self) -> list[int]:
        """The numbers of path components that occur."""
        return sorted(set(self.depth))


class MemberPaths:
    """The members as numbers, in their order: 8 bytes each and 16 for each of ``depths``."""

    def __init__(self, depths: Sequence[int]) -> None:
        self.whole = array("Q")
        self.ends = {depth: array("Q") for depth in depths}
        self.loose = {depth: array("Q") for depth in depths}

    def add(self, name: str) -> None:
        """Append a member by its path."""
        path = exact_path(name)
        parts = path.split("/")
        self.whole.append(_key(path))
        for depth, ends in self.ends.items():
            end = "/".join(parts[-depth:]) if len(parts) >= depth else None
            ends.append(0 if end is None else _key(end))
            self.loose[depth].append(0 if end is None else _key(loose_path(end)))


@dataclass(frozen=True, slots=True)
class Matches:
    """``rows[field]`` has for each member the row that gives it its class, or -1.

    ``verdicts`` has a ``Verdict`` for each row; ``also[field]`` the further classes of a member.
    """

    rows: dict[str, Numbers]
    verdicts: Numbers
    also: dict[str, dict[int, list[int]]]

    def listed(self) -> Numbers:
        """For each member, whether any list names it."""
        found: Numbers = np.any([rows >= 0 for rows in self.rows.values()], axis=0)
        return found


def match(lists: Sequence[LabelList], rows: RowPaths, members: MemberPaths) -> Matches:
    """Find the member of each row, and of several rows for one member the first."""
    matches = Matches({}, np.full(len(rows.exact), Verdict.no_member, np.uint8), {})
    list_no, index = np.asarray(rows.list_no), np.asarray(rows.index)
    for field in sorted({each.field for each in lists}, key=lambda field: field != "style"):
        numbers = [number for number, each in enumerate(lists) if each.field == field]
        places = np.flatnonzero(np.isin(list_no, numbers))
        row, member, ambiguous = _pairs(places, rows, members)
        matches.verdicts[ambiguous] = Verdict.ambiguous
        first = _first(row, member, len(rows.exact), len(members.whole))
        same = index[row] == index[first[member]]
        late = np.where(same, Verdict.repeated, Verdict.other_class)
        matches.verdicts[row] = np.where(first[member] == row, Verdict.used, late)
        matches.rows[field] = first
        matches.also[field] = _also(row[~same], member[~same], index)
        _mark_other_split(matches, lists, list_no, row[same], member[same])
    return matches


def _pairs(rest: Numbers, rows: RowPaths, members: MemberPaths) -> tuple[Numbers, Numbers, Numbers]:
    """Rows with a member, their members, and the rows that fit several."""
    found: list[tuple[Numbers, Numbers]] = [(rest[:0], rest[:0])]
    several = [rest[:0]]
    whole = np.asarray(members.whole)
    free = np.ones(len(whole), bool)
    for wanted, keys, depth in _steps(rows, members):
        asked = rest if depth is None else rest[np.asarray(rows.depth)[rest] == depth]
        places = np.flatnonzero(free & (keys != 0))
        row, member, ambiguous = _fitting(wanted, asked, keys, places, whole)
        found.append((row, member))
        several.append(ambiguous)
        free[member] = False
        rest = np.setdiff1d(rest, np.concatenate([row, ambiguous]))
    row, member = (np.concatenate(each) for each in zip(*found, strict=True))
    return row, member, np.concatenate(several)


def _steps(rows: RowPaths, members: MemberPaths) -> Iterator[tuple[Numbers, Numbers, int | None]]:
    """From the strictest comparison on: keys of rows and of members, and the depth they have."""
    exact, loose = np.asarray(rows.exact), np.asarray(rows.loose)
    yield exact, np.asarray(members.whole), None
    deepest_first = sorted(members.ends, reverse=True)
    for depth in deepest_first:
        yield exact, np.asarray(members.ends[depth]), depth
    for depth in deepest_first:
        yield loose, np.asarray(members.loose[depth]), depth


def _fitting(
    wanted: Numbers, asked: Numbers, keys: Numbers, places: Numbers, whole: Numbers
) -> tuple[Numbers, Numbers, Numbers]:
    """Of the rows ``asked``: those with a member among ``places``, their members; the ambiguous.

    Members with one and the same path count as one: the row is about each of them.
    """
    if not len(places):
        return asked[:0], asked[:0], asked[:0]
    at = places[np.argsort(keys[places], kind="stable")]
    low = np.searchsorted(keys[at], wanted[asked], "left")
    count = np.searchsorted(keys[at], wanted[asked], "right") - low
    hit = count > 0
    asked, low, count = asked[hit], low[hit], count[hit]
    paths = whole[at]
    changes = np.concatenate([[0], np.cumsum(paths[1:] != paths[:-1])])
    several = changes[low + count - 1] != changes[low]
    row, low, count = asked[~several], low[~several], count[~several]
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(row, count), at[np.repeat(low, count) + within], asked[several]


def _first(row: Numbers, member: Numbers, rows: int, members: int) -> Numbers:
    first = np.full(members, rows, np.int64)
    np.minimum.at(first, member, row)
    first[first == rows] = -1
    return first


def _also(row: Numbers, member: Numbers, index: Numbers) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for place in np.argsort(row, kind="stable"):
        others = found.setdefault(int(member[place]), [])
        if (other := int(index[row[place]])) not in others:
            others.append(other)
    return found


def _mark_other_split(
    matches: Matches, lists: Sequence[LabelList], list_no: Numbers, row: Numbers, member: Numbers
) -> None:
    """The split of a member is that of its style row."""
    if "style" not in matches.rows:
        return
    side = np.array([each.split == "train" for each in lists])[list_no]
    style = matches.rows["style"][member]
    other = (style >= 0) & (side[row] != side[style])
    matches.verdicts[row[other]] = Verdict.other_split


def _key(text: str) -> int:
    """64 bits of a path, never 0: that is the key of members without so many folders."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") or 1
