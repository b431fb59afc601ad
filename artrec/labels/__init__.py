"""Labels of members: from their paths by a template, and from label lists.

``templates`` reads the path, ``lists`` the published lists, ``matching`` finds the member that a
row of a list is about, ``spelling`` keeps one spelling in one column; ``names`` is what they all
stand on. None of this is ever a key: a picture is found by its path and its bytes, and both stay
as they are.
"""

from __future__ import annotations

from artrec.labels.lists import LabelLists, ListRow, find_lists
from artrec.labels.matching import Matches, MemberPaths, RowPaths, Verdict, match
from artrec.labels.names import readable, repair, year_of
from artrec.labels.spelling import Spellings
from artrec.labels.templates import Labels, PathTemplate

__all__ = [
    "LabelLists",
    "Labels",
    "ListRow",
    "Matches",
    "MemberPaths",
    "PathTemplate",
    "RowPaths",
    "Spellings",
    "Verdict",
    "find_lists",
    "match",
    "readable",
    "repair",
    "year_of",
]
