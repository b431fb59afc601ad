"""What the index will cost: shards built and tuned, or kept."""

from __future__ import annotations

import math

from artrec.planning.figures import MB, WRITING, Figures, Rates, Work
from artrec.planning.joining import PYTHON
from artrec.planning.waves import at_once

__all__ = ["index_figures"]

TABLE_GROUP = 32 * MB  # of other tables, as tables/writing.py
COMPARED = 0.5e-6  # a vector's number, in the catalog and in a shard that is kept
READ = 8e-9  # a byte of vectors read
TREE = 3.5e-7  # a vector, for each tree and each halving
ASKED = 3.5e-7  # a vector's number, by all queries and ways of a trial, if it is hard
TRIAL = 400  # queries of a trial


def index_figures(work: Work, rates: Rates) -> Figures:
    """Of building the shards, or of keeping them and setting what came beside them."""
    if work.beside is not None:
        return _kept_index(work, work.beside, rates)
    rows, shards = work.images, work.shards
    each = rows / shards
    busy = rows * work.trees * TREE * math.log2(each + 2) * work.dim / 154
    size = rows * (4 * work.dim + 16 + 14 * work.trees)
    trial = _trial(work, rates)
    in_shard = int(each * (8 * work.dim + 30 * max(work.trees, work.trial_trees)))
    return Figures(
        images=rows,
        bytes_read=4 * work.dim * (rows + 3 * int(each) * bool(work.trial_trees)),
        requests=8 * shards + 8,
        tasks=shards + bool(work.trial_trees),
        seconds=trial + at_once(shards, rates.pace * busy, work, rates),
        worker_bytes=PYTHON + in_shard,
        bytes_written=size,
    )


def _kept_index(work: Work, side: int, rates: Rates) -> Figures:
    """Numbers of shards and catalog compared, and the vectors read from which the new ones come."""
    rows, shards = work.images, work.shards
    busy = rows * (COMPARED + READ * 4 * work.dim) + WRITING * 4 * work.dim * side
    return Figures(
        images=side,
        bytes_read=rows * (4 * work.dim + 24),
        requests=12 * shards + 8,
        tasks=shards,
        seconds=at_once(shards, rates.pace * busy, work, rates),
        worker_bytes=PYTHON + 3 * TABLE_GROUP + 40 * rows // shards,
        bytes_written=side * (4 * work.dim + 16),
    )


def _trial(work: Work, rates: Rates) -> float:
    """One shard built with the most trees, and asked; the true lists of what asks it."""
    if not work.trial_trees:
        return 0.0
    each = work.images / work.shards
    built = each * work.trial_trees * TREE * math.log2(each + 2) * work.dim / 154
    return rates.pace * (built + ASKED * each * work.dim) + 2 * TRIAL * each * rates.pair
