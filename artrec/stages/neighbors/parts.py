"""What a long join has done so far, as runs of its own: a later attempt goes on behind the last.

No release names them, so they are swept once the draft is no longer open.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from artrec import log
from artrec.digests import name_of
from artrec.failpoints import reached
from artrec.releases import Draft, Run, begin_run, find_run, record_run
from artrec.stages import RESULT_VERSIONS
from artrec.stages.frames import TaskReport
from artrec.stages.progress import Watch
from artrec.tables import Receipt

__all__ = ["Parts", "by_block", "gathered", "renewed"]


@dataclass(frozen=True)
class Parts:
    """The parts of a ``run`` that is under way."""

    draft: Draft
    run: Run

    def kept(
        self,
        name: str,
        work: Callable[[Run, float], Run],
        behind: Run | None = None,
        watch: Watch | None = None,
    ) -> Run:
        """A part, found or made: ``work`` gets it without files, and when it began.

        It is found only as what came ``behind`` these very files: another attempt's layout may
        order rows otherwise, on another machine, and lists name rows by their places.
        """
        files = behind.tables if behind is not None else {}
        before = [file.path for table in sorted(files) for file in files[table]]
        inputs = {"join": self.run.run_id, "part": name, "behind": name_of({"files": before})}
        part = begin_run("neighbors", RESULT_VERSIONS["neighbors"], inputs, {})
        found = find_run(self.draft.store, part.stage, part.run_id)
        if found is None:
            self.draft.confirm()
            made = work(part, time.monotonic())
            found = record_run(self.draft.store, made)
            logger = log.get(stage="neighbors", part=name)
            logger.info("part done", seconds=round(found.seconds, 2))
            if watch is not None:
                watch.finish(found.counters)
        elif watch is not None:
            watch.skip(found.counters)
        reached("neighbors.part")
        return found


def gathered(reports: Sequence[TaskReport]) -> tuple[dict[str, list[Receipt]], dict[str, Any]]:
    """Lists of blocks as a run has them: their files, and notes of which block has how many."""
    ordered = sorted(reports, key=lambda report: int(report.notes["block"]))
    files = [receipt for report in ordered for receipt in report.receipts]
    counts = [len(report.receipts) for report in ordered]
    blocks = [report.notes["block"] for report in ordered]
    return {"neighbor_first": files}, {"blocks": blocks, "neighbor_first": counts}


def by_block(run: Run, table: str) -> list[list[Receipt]]:
    """The files of each block that the run has of a table."""
    left = iter(run.receipts(table))
    return [list(islice(left, count)) for count in run.notes[table]]


def renewed(first: Sequence[list[Receipt]], run: Run) -> list[list[Receipt]]:
    """``first`` with the lists of those blocks that the run has."""
    lists = dict(zip(run.notes["blocks"], by_block(run, "neighbor_first"), strict=True))
    return [lists.get(block, before) for block, before in enumerate(first)]
