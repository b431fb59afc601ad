"""Neighbor tables under rules: within a value, never the same, at most m of a value, copies once.

The conditions hold inside the exact join, so lists are full wherever they can be, and each says why
if it is not. Diversity is another thing: a re-ranking of an exact list.
"""

from __future__ import annotations

from artrec.vectors.rules.diversity import mmr
from artrec.vectors.rules.join import permitted, ruled_join
from artrec.vectors.rules.lists import FREE, Lists, merge_lists, take
from artrec.vectors.rules.pools import SHORTAGES, RuledPools, published, shortages, without
from artrec.vectors.rules.rule import Entities, Rule
from artrec.vectors.rules.update import Updated, admitted, renumbered, update
from artrec.vectors.rules.visiting import Met, Party, Visit

__all__ = [
    "Entities",
    "FREE",
    "Lists",
    "Met",
    "Party",
    "Rule",
    "RuledPools",
    "SHORTAGES",
    "Updated",
    "Visit",
    "admitted",
    "merge_lists",
    "mmr",
    "permitted",
    "published",
    "renumbered",
    "ruled_join",
    "shortages",
    "take",
    "update",
    "without",
]
