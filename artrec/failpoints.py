"""Named points at which a test may kill the process, to prove that the next run goes on.

``ARTREC_FAILPOINT=name`` ends the process with SIGKILL when it reaches that point; ``name#3`` at
the third time. Without the variable a point costs one look-up.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

__all__ = ["POINTS", "reached"]

POINTS = (
    "inventory.listed",
    "draft.held",
    "inventory.uploaded",
    "inventory.run",
    "ingest.pending",
    "ingest.tasks",
    "ingest.segment",
    "ingest.compacting",
    "ingest.compacted",
    "ingest.recorded",
    "train.examples",
    "train.epoch",
    "train.run",
    "embed.pending",
    "embed.tasks",
    "embed.segment",
    "embed.compacting",
    "embed.compacted",
    "embed.recorded",
    "catalog.tables",
    "catalog.run",
    "catalog.vectors",
    "index.shards",
    "index.run",
    "neighbors.part",
    "neighbors.met",
    "neighbors.pool",
    "neighbors.run",
    "neighbors.table",
    "evaluate.measured",
    "evaluate.run",
    "evaluate.clusters",
    "evaluate.feed",
    "report.thumbnails",
    "report.run",
    "publish.gates",
    "publish.release",
    "publish.views",
    "publish.current",
    "rollback.current",
    "migrate.run",
    "sweep.delete",
)
"""In the order of a night; ``*.tasks`` and ``*.segment`` are reached once for each segment,
``train.epoch`` once for each epoch, ``neighbors.part`` once for each part of a join in pairs,
``neighbors.met`` where a table is kept up to date, ``*.compact*`` where segments are compacted. The
last ones are no night's: ``rollback.*``, ``migrate.run`` behind each run, ``sweep.*`` before each
removal.
"""

_seen: Counter[str] = Counter()


def reached(point: str) -> None:
    """Mark a point of the protocol; see the module's docstring."""
    wanted = os.environ.get("ARTREC_FAILPOINT")
    if not wanted:
        return
    if point not in POINTS:
        raise ValueError(f"{point} is not in POINTS")
    _seen[point] += 1
    name, _, time = wanted.partition("#")
    if name == point and _seen[point] == int(time or 1):
        os.kill(os.getpid(), signal.SIGKILL)
