"""Compaction: runs of the live rows take the place of segments that hold too much else.

The appending stages never renumber: keys are hashes, so whoever reads a table finds the same rows
in other files. Segments that older releases name stay where they are until a sweep. What a stage
was made from is told by all rows that it ever appended, so a compaction makes nothing else anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from artrec import log
from artrec.config import Settings
from artrec.digests import Digest, add, less
from artrec.failpoints import reached
from artrec.releases import Draft, Run, RunRef, StageRuns, ledger_of
from artrec.stages.compaction.choosing import Segment, choose, is_due, segments_of
from artrec.stages.compaction.rewriting import rewritten

__all__ = ["Living", "compact", "noted"]


@dataclass(frozen=True)
class Living:
    """What a stage still needs of its segments, as frames that are read only if need be.

    ``rows`` is about how many rows of each table are live, without asking Spark. ``live`` are
    frames of them by table, with ``file`` and ``row_group``; ``forbidden`` those of rows that no
    file may go on holding. ``facts`` name the live rows. ``strays`` tells, when nothing was newly
    forgotten, whether there are forbidden rows all the same.
    """

    version: int
    rows: Mapping[str, int]
    live: Callable[[], dict[str, DataFrame]]
    forbidden: Callable[[], list[DataFrame]]
    facts: Mapping[str, Any]
    slice_bytes: int
    segment_bytes: int
    strays: Callable[[], bool] = bool
    kept: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Values of the key's second column that are in use, by table."""


def noted(draft: Draft, stage: StageRuns) -> StageRuns:
    """The record with what it takes over from the last release's: rows that are told no more."""
    base = draft.base.release.stages.get(stage.stage) if draft.base.release else None
    buried = base.notes.get("buried") if base else None
    notes = {**({"buried": buried} if buried else {}), **draft.ledger.inputs}
    return stage.model_copy(update={"notes": {**stage.notes, **notes}})


def compact(
    spark: SparkSession, settings: Settings, draft: Draft, stage: StageRuns, living: Living
) -> StageRuns:
    """The record of an appending stage, with compacted segments where they are due."""
    held = segments_of(draft.store, stage)
    base = draft.base.release.stages.get(stage.stage) if draft.base.release else None
    anew = draft.ledger.name != ledger_of(base.notes if base else {})
    if not (anew or is_due(held, living.rows, settings.store) or living.strays()):
        return stage
    live = living.live()
    counts: dict[str, int] = {}
    for frame in live.values():
        counts |= _by_file(frame)
    forbidden = {file for frame in living.forbidden() for file in _by_file(frame)}
    chosen = choose(held, counts, forbidden, settings.store)
    if not chosen:
        return stage
    made = rewritten(spark, draft, stage, living, live, chosen)
    reached(f"{stage.stage}.compacted")
    return _replaced(stage, chosen, made)


def _by_file(frame: DataFrame) -> dict[str, int]:
    """How many rows lie in each file: as many numbers as there are files."""
    return {row.file: int(row["count"]) for row in frame.groupBy("file").count().collect()}


def _replaced(stage: StageRuns, chosen: list[Segment], made: list[Run]) -> StageRuns:
    old = {each.run.path for each in chosen}
    new = [RunRef.of(run) for run in made]
    tables: dict[str, list[RunRef]] = {}
    buried: dict[str, Digest] = dict(stage.notes.get("buried", {}))
    dropped = kept = 0
    for name, refs in stage.tables.items():
        tables[name] = [ref for ref in refs if ref.path not in old]
        tables[name] += [ref for ref in new if name in ref.rows]
        before = add(each.run.digest(name) for each in chosen)
        after = add(run.digest(name) for run in made)
        buried[name] = add([buried.get(name, {}), less(before, after)])
        dropped, kept = dropped + before["rows"] - after["rows"], kept + after["rows"]
    log.get(stage=stage.stage).info("compacted", segments=len(chosen), dropped=dropped, kept=kept)
    counters = {"compacted_segments": len(chosen), "compacted_rows": kept, "dropped_rows": dropped}
    return stage.model_copy(
        update={
            "tables": tables,
            "counters": {**stage.counters, **counters},
            "notes": {**stage.notes, "buried": buried},
            "seconds": stage.seconds + sum(run.seconds for run in made),
        }
    )
