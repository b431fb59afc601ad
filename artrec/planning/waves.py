"""From the seconds of all tasks together to those on the wall."""

from __future__ import annotations

import math

from artrec.planning.figures import Rates, Work

__all__ = ["at_once", "joined_rows", "shared_out", "slice_count"]

SHARE = 2  # as stages/slices.py
TASK = 0.03  # seconds between two tasks of a worker


def at_once(tasks: int, seconds: float, work: Work, rates: Rates) -> float:
    """Wall seconds of equal tasks: the last wave has cores without one."""
    if not tasks:
        return 0.0
    waves = math.ceil(tasks / work.cores)
    return waves * (seconds / tasks + rates.pace * TASK)


def slice_count(size: int, largest: int, unit: int, cores: int) -> int:
    """How many slices ``size`` bytes are cut into, as stages/slices.py does."""
    share = SHARE * cores
    count = max(0, size // largest - share)
    left = float(size - count * largest)
    while left > 0:
        left -= max(unit, min(largest, left / share))
        count += 1
    return count


def shared_out(tasks: int, seconds: float, work: Work, rates: Rates) -> float:
    """Wall seconds of tasks that get smaller, so that all cores end at once."""
    if not tasks:
        return 0.0
    whole = seconds + rates.pace * TASK * tasks
    return whole / min(tasks, work.cores)


def joined_rows(count: int, each: float, work: Work, rates: Rates) -> float:
    """Wall seconds of rows through Spark's own joins."""
    return rates.pace * count * each / work.cores
