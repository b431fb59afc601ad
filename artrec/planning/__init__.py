"""What a night will cost: formulas over counts, bytes, cores and rates; nothing is measured here.

Bytes are counted, seconds and memory estimated. What was measured afterwards has the same form.
"""

from __future__ import annotations

from artrec.planning.figures import Figures, Prices, Rates, RuledWork, Work, cost, total
from artrec.planning.formulas import START_SECONDS, expected, expected_tables
from artrec.planning.joining import JoinCost, Joins, Upkeep, joins_of
from artrec.planning.joins import block_count, exact_seconds_by_sample, resolved, seen_blocks
from artrec.planning.maintaining import Change

__all__ = [
    "Change",
    "Figures",
    "JoinCost",
    "Joins",
    "Prices",
    "Rates",
    "RuledWork",
    "START_SECONDS",
    "Upkeep",
    "Work",
    "block_count",
    "cost",
    "exact_seconds_by_sample",
    "expected",
    "expected_tables",
    "joins_of",
    "resolved",
    "seen_blocks",
    "total",
]
