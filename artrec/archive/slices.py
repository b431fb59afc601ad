"""Cutting a listing into slices: byte ranges of an archive that one task reads each.

The slice of a member is ``offset // slice_bytes``: it depends on nothing but the member, so the
same members fall into the same slices in any order, however many tasks or other members there
are. A member belongs to the slice in which it begins and may reach past its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from artrec.errors import ConfigError

__all__ = ["Slice", "cut_slices"]


@dataclass(frozen=True, slots=True)
class Slice:
    """Members with ``first <= offset < last``: how many, and their stored bytes in sum."""

    first: int
    last: int
    members: int
    bytes: int


def cut_slices(extents: Iterable[tuple[int, int]], slice_bytes: int) -> list[Slice]:
    """The slices, by offset, that hold at least one of ``extents``: (offset, stored bytes) each.

    Memory grows with the number of slices, not of members.
    """
    if slice_bytes < 1:
        raise ConfigError(f"a slice of {slice_bytes} bytes: it must be at least 1")
    sums: dict[int, tuple[int, int]] = {}
    for offset, stored in extents:
        number = offset // slice_bytes
        members, total = sums.get(number, (0, 0))
        sums[number] = (members + 1, total + stored)
    return [
        Slice(number * slice_bytes, (number + 1) * slice_bytes, members, total)
        for number, (members, total) in sorted(sums.items())
    ]
