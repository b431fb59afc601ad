"""Is it any good? Retrieval by labels, floors, recall, the shape of the vectors, and the gates.

Everything here is pure: arrays in, numbers out. ``stages/evaluate.py`` brings the arrays.
"""

from __future__ import annotations

from artrec.evaluation.gates import judge, judge_sources
from artrec.evaluation.measured import Cloud, Measured, Past
from artrec.evaluation.memory import figures
from artrec.evaluation.recall import RECALL_CUTS, Streamed, recalls
from artrec.evaluation.retrieval import Answers, averages, chance, interval, values
from artrec.evaluation.scan import NOTHING, VARIANTS, Images, Scan

__all__ = [
    "Answers",
    "Cloud",
    "Images",
    "Measured",
    "NOTHING",
    "Past",
    "RECALL_CUTS",
    "Scan",
    "Streamed",
    "VARIANTS",
    "averages",
    "chance",
    "figures",
    "interval",
    "judge",
    "judge_sources",
    "recalls",
    "values",
]
