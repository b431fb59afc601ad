"""What a neighbor table under a rule will cost, as a multiple of the join without one.

The factors are those of joins of 40,000 vectors of 128 numbers, in which those who are near are
mostly those who are not allowed (``tests/bench/README.md``); how many images share a value is not
known beforehand, so within is taken to halve the pairs, as eight styles do.
"""

from __future__ import annotations

from artrec.planning.figures import MB, Figures, Rates, RuledWork, Work
from artrec.planning.waves import at_once, joined_rows

__all__ = ["ruled_figures", "with_tables"]

FIXED = 2.0  # seconds of a table with next to nothing in it
RULED = 1.37  # the same join by the code that looks at labels
NEVER, COUNTED, WITHIN, FLAGGED = 1.25, 1.86, 0.5, 0.66
HALF = 0.5  # of all ordered pairs: each product is computed once
CODED = 0.15e-3  # an image through the joins that find its codes and its part
ENTRY = 2.2e-6  # a list's entry from the pool to the tables
PICKED = 0.9e-9  # a number of a candidate that maximal marginal relevance compares
STEP = 60e-6  # a step of it, whatever it compares
NAMED = 350  # bytes of an image at the peak, while a task makes the file of all names


def _factor(table: RuledWork) -> float:
    """Seconds of the join by those of one without a rule."""
    found = RULED
    for condition, times in (
        (table.within, WITHIN),
        (table.never, NEVER),
        (table.counted, COUNTED),
        (table.flagged, FLAGGED),
    ):
        found *= times if condition else 1.0
    return found


def _share(table: RuledWork, work: Work) -> float:
    """The products of keeping a table up to date, as a share of a whole join's; 1 for one of these.

    What came meets all; that few lists are joined anew is what spare entries are for.
    """
    change = work.change
    if not table.kept or change is None or not change.after:
        return 1.0
    share = change.added / (HALF * change.after)
    return share if share < work.rebuild_share else 1.0


def ruled_figures(table: RuledWork, work: Work, rates: Rates) -> Figures:
    """What one table takes by itself."""
    rows, size = work.images, 4 * work.dim * work.images
    blocks = -(-rows // work.block_rows) if rows > work.block_rows else 1
    tasks = 1 if blocks == 1 else max(2 * blocks, 6 * work.cores)
    busy = _factor(table) * HALF * float(rows) ** 2 * rates.pair * _share(table, work)
    picking = rows * table.k * (STEP + PICKED * table.candidates * work.dim)
    picking = rates.pace * picking if table.candidates else 0.0
    entries = rows * (table.k + table.pool)
    seconds = at_once(tasks, busy, work, rates) + picking / work.cores
    seconds += joined_rows(rows, CODED, work, rates) + joined_rows(entries, ENTRY, work, rates)
    block = min(rows, work.block_rows)
    return Figures(
        images=rows,
        bytes_read=(3 + blocks) * size + 24 * entries,
        requests=60 + 8 * tasks,
        tasks=tasks + 12 * work.cores,
        seconds=seconds + rates.pace * FIXED,
        worker_bytes=240 * MB
        + block * (8 * (4 * work.dim + 8) + 150 * (table.pool + 1))
        + NAMED * rows,
        bytes_written=size + 14 * entries + 12 * rows * table.pool,
    )


def with_tables(neighbors: Figures, tables: dict[str, Figures]) -> Figures:
    """The stage with its tables under rules: sums, and of memory the largest."""
    every = [neighbors, *tables.values()]
    summed = ("bytes_read", "requests", "tasks", "bytes_written", "seconds")
    found = {name: sum(getattr(each, name) for each in every) for name in summed}
    peak = max(each.worker_bytes for each in every)
    return neighbors.model_copy(update={**found, "worker_bytes": peak})
