"""The parts of a join under a rule, joined: packs each alone, blocks with those of their group.

A pack is a join of its own. A block meets itself, which bounds the lists of its rows; then tasks
let pairs of blocks meet. What they find goes through a shuffle by block, and is merged there:
lists under a rule merge in any order (:mod:`artrec.vectors.rules.lists`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.planning.joins import deal_pairs, pairs_between
from artrec.releases import Draft
from artrec.stages.frames import (
    Attempt,
    TaskReport,
    add_counters,
    parallelism,
    run_tasks,
)
from artrec.stages.neighbors.laying import Laying, Scratch
from artrec.stages.neighbors.packing import SHUFFLED, merge_by_block
from artrec.stages.neighbors.ruled.dealing import Group, Plan
from artrec.stages.neighbors.ruled.packing import merged_lists, packed_lists
from artrec.stages.neighbors.ruled.pools import pool_batch
from artrec.stages.neighbors.ruled.rows import Parts, Rows, read_rows, read_seeds
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.stages.progress import Marks, Watch
from artrec.stages.session import describe
from artrec.stages.workers import light
from artrec.tables import Receipt, open_file
from artrec.vectors import Layout, Tiling
from artrec.vectors.distance import Floats
from artrec.vectors.rules import ruled_join, take
from artrec.vectors.rules.bounds import Bounds, bound_rows
from artrec.vectors.rules.join import are_few, entity_lists, limited
from artrec.vectors.rules.lists import Flat
from artrec.vectors.rules.meeting import RuledSide, meet_ruled
from artrec.vectors.rules.pools import finished

__all__ = ["Work", "join_parts"]

Run = tuple[int, int, int]
"""A group by its place, and pairs of its blocks from one to another number."""


@dataclass(frozen=True)
class Work:
    """What the tasks of a join know; ``laying`` and ``first`` where there are blocks."""

    scratch: Scratch
    asked: Asked
    parts: Parts
    plan: Plan
    laying: Laying | None = None
    first: dict[int, list[Receipt]] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Places of a list: one more than a pool has, which says whether it was cut."""
        return self.asked.size + 1

    def rows(self, part: int) -> Rows:
        return read_rows(self.scratch, self.parts.rows[part])

    def layout(self) -> Layout:
        assert self.laying is not None
        return self.laying.read(self.scratch)

    def group_of(self, part: int) -> Group:
        return next(group for group in self.plan.groups if part in group.parts)

    def side(self, part: int) -> RuledSide:
        """A block that has met itself, ready for others."""
        kinds, _ = self.rows(part).kinds(self.asked.rule)
        found = self.found(part)
        values = limited(self.group_of(part).values, len(kinds))
        bounds = Bounds.unknown(len(kinds), values)
        bounds.full[:], bounds.own[:] = found.ceilings, found.own
        if found.of_values.size:
            bounds.values[:] = found.of_values
        most, width = self.asked.most, self.width
        assert self.laying is not None
        frame = self.laying.frame(self.scratch)
        side = RuledSide(frame, kinds, bounds, width, most, are_few(values, most, width))
        side.know(take(*found.entries, len(kinds), width, most))
        return side

    def found(self, part: int) -> Found:
        """What a block found in itself."""
        files = (open_file(self.scratch.store, file).read() for file in self.first[part])
        return Found.of(pa.concat_tables(files))


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Of each kind of a block the bounds and entries from its meeting with itself."""

    ceilings: Floats
    own: Floats
    of_values: Floats
    entries: Flat

    @classmethod
    def of(cls, rows: pa.Table) -> Found:
        def numbers(name: str, kind: Any) -> Any:
            return np.asarray(rows.column(name).combine_chunks().flatten(), kind)

        counts = np.asarray(rows.column("others").combine_chunks().value_lengths())
        at = np.repeat(np.arange(len(rows)), counts)
        entries = (at, numbers("distances", np.float32), numbers("others", np.int64))
        return cls(
            np.asarray(rows.column("ceiling"), np.float32),
            np.asarray(rows.column("own"), np.float32),
            numbers("of_values", np.float32).reshape(len(rows), -1),
            (*entries, numbers("values", np.int32)),
        )


def join_parts(spark: SparkSession, work: Work, draft: Draft, every: float) -> list[TaskReport]:
    """The pools of all entities that are in a group: reports with files of ruled_pools.

    Progress is told ``every`` so many seconds.
    """
    name = f"neighbors_{work.asked.name}"
    packs = [part for part in work.parts.rows if part < work.plan.packs]
    blocks = [part for group in work.plan.groups for part in work.parts.of(group)]
    runs = _runs(work, parallelism(spark))
    total = len(packs) + len(blocks) + sum(high - low for _, low, high in runs)
    watch = Watch(draft, "neighbors", total, ("meetings",), "meetings", every)
    describe(spark, f"{name}: {len(packs)} packs of small groups")
    with watch.watching(part=f"{work.asked.name}: packs") as marks:
        done = run_tasks(spark, len(packs), partial(_join_pack, work, sorted(packs)), marks)
    watch.finish(add_counters(report.counters for report in done))
    if not blocks:
        return done
    describe(spark, f"{name}: {len(blocks)} blocks, each with itself")
    with watch.watching(part=f"{work.asked.name}: blocks") as marks:
        met = run_tasks(spark, len(blocks), partial(_meet_itself, work, blocks), marks)
    watch.finish(add_counters(report.counters for report in met))
    first = {part: report.receipts for part, report in zip(blocks, met, strict=True)}
    describe(spark, f"{name}: pairs of blocks")
    with watch.watching(part=f"{work.asked.name}: pairs") as marks:
        merged = _meet_and_merge(spark, replace(work, first=first), blocks, runs, marks)
    counters = [report.model_copy(update={"receipts": []}) for report in met]
    return [*done, *counters, *merged]


def _join_pack(work: Work, packs: Sequence[int], attempt: Attempt) -> TaskReport:
    rows, asked = work.rows(packs[attempt.index]), work.asked
    metric = work.scratch.metric
    entities = rows.as_entities()
    pools = ruled_join(entities, asked.rule, k=asked.size, metric=metric, spare=asked.spare)
    with work.scratch.writer("ruled_pools", f"pack-{attempt.stem}") as writer:
        writer.write(pool_batch(rows.entities, pools, rows.entities))
    counters = {"meetings": 1, "entities": len(rows.entities)}
    return TaskReport(receipts=writer.receipts, counters=counters)


def _meet_itself(work: Work, blocks: Sequence[int], attempt: Attempt) -> TaskReport:
    part = blocks[attempt.index]
    rows, rule, width = work.rows(part), work.asked.rule, work.width
    most = work.asked.most
    kinds, kind_of = rows.kinds(rule)
    cells = np.empty(len(kinds), np.int64)
    cells[kind_of] = rows.cells
    group, layout = work.group_of(part), work.layout()
    files = [file for each in work.parts.of(group) for file in work.parts.seeds.get(each, [])]
    seeds = read_seeds(work.scratch, files, len(rule.never))
    values = limited(group.values, len(kinds))
    bounds = bound_rows(layout, kinds, cells, seeds, width, most, values)
    few = are_few(values, most, width)
    side = RuledSide(layout.frame, kinds, bounds, width, most, few)
    meet_ruled(side, side, Tiling())
    side.tighten()
    with work.scratch.writer("ruled_first", f"first-{part:06d}-{attempt.stem}") as writer:
        writer.write(_first(side, bounds, few))
    return TaskReport(receipts=writer.receipts, counters={"meetings": 1})


def _first(side: RuledSide, bounds: Bounds, few: bool) -> pa.RecordBatch:
    """Rows of ruled_first; limits of single values where these are few: else lists fill anyway."""
    lists = side.lists()
    kept = lists.ids >= 0
    offsets = np.append(0, np.cumsum(lists.counts)).astype(np.int32)
    limits = bounds.values if few else bounds.values[:, :0]
    steps = np.arange(len(limits) + 1, dtype=np.int32) * limits.shape[1]
    columns = {
        "row": pa.array(np.arange(len(lists.ids), dtype=np.int32)),
        "ceiling": pa.array(side.ceilings),
        "own": pa.array(bounds.own),
        "of_values": pa.ListArray.from_arrays(steps, pa.array(limits.reshape(-1))),
        "others": pa.ListArray.from_arrays(offsets, pa.array(lists.ids[kept])),
        "distances": pa.ListArray.from_arrays(offsets, pa.array(lists.distances[kept])),
        "values": pa.ListArray.from_arrays(offsets, pa.array(lists.values[kept])),
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _meet_and_merge(
    spark: SparkSession, work: Work, blocks: Sequence[int], runs: Sequence[Run], marks: Marks
) -> list[TaskReport]:
    """Let pairs of blocks meet, and merge what is found by block."""

    @light
    def met(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                yield from _meet_pairs(work, runs[index])
                marks.leave(index, {"meetings": runs[index][2] - runs[index][1]})

    every = spark.createDataFrame([(part, b"") for part in blocks], SHUFFLED)
    if runs:
        rows = spark.range(0, len(runs), 1, len(runs))
        every = every.unionByName(rows.mapInArrow(met, SHUFFLED))
    return merge_by_block(every, len(blocks), partial(_merge, work))


def _runs(work: Work, cores: int) -> list[Run]:
    """Runs of pairs that take about as long, for a task each."""
    runs: list[Run] = []
    for place, group in enumerate(work.plan.groups):
        blocks = len(work.parts.of(group))
        if blocks > 1:
            dealt = deal_pairs(blocks, group.rows, cores, 0, blocks * (blocks - 1) // 2)
            runs += [(place, low, high) for low, high in dealt]
    return runs


def _meet_pairs(work: Work, run: Run) -> Iterator[pa.RecordBatch]:
    place, low, high = run
    parts = work.parts.of(work.plan.groups[place])
    pairs = pairs_between(len(parts), low, high)
    for one, others in groupby(pairs, key=lambda pair: pair[0]):
        side = work.side(parts[one])
        for _, other in others:
            met = work.side(parts[other])
            meet_ruled(side, met, Tiling())
            yield from packed_lists(parts[other], met.lists())
        yield from packed_lists(parts[one], side.lists())


def _merge(work: Work, part: int, packed: Iterable[bytes], attempt: Attempt) -> TaskReport:
    rows, rule, width = work.rows(part), work.asked.rule, work.width
    most = work.asked.most
    kinds, kind_of = rows.kinds(rule)
    found = merged_lists(packed, len(kinds), width, most, work.found(part).entries)
    metric = work.scratch.metric
    lists = entity_lists(rows.entities, kinds, kind_of, found, metric, most)
    nothing = np.zeros(len(rows.entities), np.int64)
    pools = finished(lists, rule, most, nothing, nothing.astype(np.bool_))
    with work.scratch.writer("ruled_pools", f"pool-{part:06d}-{attempt.stem}") as writer:
        writer.write(pool_batch(rows.entities, pools))
    return TaskReport(receipts=writer.receipts, counters={"entities": len(rows.entities)})
