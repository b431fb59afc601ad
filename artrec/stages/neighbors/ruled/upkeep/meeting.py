"""Ranges of entities meet the visitors: their pools are kept up to date, visitors find theirs.

A task for each range reads its vectors and pools, lets the visitors pass, block by block, writes
the pools that stay, and as visitors of the next round those who need to be joined anew. What
visitors find goes, packed, through a shuffle by their blocks, and a task for each block makes pools
of it. Copies of a vector stand apart from their ranges, all together, so that of each the first
that a visitor may have is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.schemas import rule_tables
from artrec.stages.blocks import vector_blocks
from artrec.stages.frames import Attempt, TaskReport, reported
from artrec.stages.neighbors.laying import Scratch
from artrec.stages.neighbors.packing import SHUFFLED, merge_by_block, told
from artrec.stages.neighbors.ruled.packing import merged_lists, packed_lists
from artrec.stages.neighbors.ruled.pools import pool_batch
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.stages.neighbors.ruled.upkeep.facts import Facts, facts_of
from artrec.stages.neighbors.ruled.upkeep.guests import read_guests, write_guests
from artrec.stages.progress import Marks
from artrec.stages.workers import light
from artrec.tables import Receipt, read_range
from artrec.vectors import Tiling
from artrec.vectors.distance import Ints
from artrec.vectors.rules import (
    Lists,
    Party,
    RuledPools,
    Visit,
    admitted,
    merge_lists,
    published,
    renumbered,
    without,
)
from artrec.vectors.rules.pools import finished

__all__ = ["Meeting", "gather", "meet"]


@dataclass(frozen=True)
class Meeting:
    """What the tasks know; ``first`` is the round in which pools are kept up to date."""

    scratch: Scratch
    asked: Asked
    facts: tuple[str, ...]
    live: list[Receipt]
    pool: list[Receipt]
    entities: int
    ranges: int
    copies: int = 0
    blocks: int = 1
    first: bool = True
    guests: list[Receipt] = field(default_factory=list)
    copied: list[Receipt] = field(default_factory=list)

    def known(self) -> Facts:
        return facts_of(self.scratch.store, self.facts, self.asked.to_json())

    def visit(self) -> Visit:
        asked = self.asked
        return Visit(asked.rule, asked.size, asked.most, self.scratch.metric, Tiling())

    def rows(self, index: int) -> Ints:
        """Places among the facts of a range's entities."""
        low, high = (n * self.entities // self.ranges for n in (index, index + 1))
        return np.arange(low, high)

    def party(self, rows: Ints) -> Party:
        """Entities at places with their vectors; without those that have none."""
        facts, numbers, vectors = self.known(), [np.zeros(0, np.int64)], []
        wanted = facts.numbers[rows]
        if len(rows):
            for block in vector_blocks(self.scratch.store, self.live, (wanted[0], wanted[-1])):
                kept = np.isin(block.numbers, wanted)
                numbers.append(block.numbers[kept])
                vectors.append(block.vectors[kept])
        found = np.concatenate(numbers)
        every = np.concatenate([np.zeros((0, self.scratch.dim), np.float32), *vectors])
        rows = rows[np.isin(wanted, found)]
        at = np.searchsorted(found, facts.numbers[rows])
        return Party(
            np.asarray(facts.entities[rows]),
            every[at],
            np.asarray(facts.labels[rows]),
            np.asarray(facts.offered[rows]),
            np.asarray(facts.keys[rows]),
        )

    def read(self, files: list[Receipt], block: int, blocks: int) -> Party:
        return read_guests(self.scratch, files, len(self.asked.coded), block, blocks)


def gather(meeting: Meeting, attempt: Attempt) -> TaskReport:
    """Write those of a range who came, and those who have copies, as visitors and apart."""
    facts, rows = meeting.known(), meeting.rows(attempt.index)
    wanted = rows[np.asarray(facts.came[rows] | facts.copied[rows])]
    party = meeting.party(wanted)
    place = np.searchsorted(facts.entities, party.ids)
    came, copied = (np.flatnonzero(flags[place]) for flags in (facts.came, facts.copied))
    guests = write_guests(meeting.scratch, f"came-{attempt.stem}", party.rows(came))
    others = write_guests(meeting.scratch, f"copied-{attempt.stem}", party.rows(copied))
    return TaskReport(receipts=[*guests, *others], notes={"came": len(guests)})


def meet(spark: SparkSession, meeting: Meeting, marks: Marks) -> list[TaskReport]:
    """Reports of ranges, with pools that are kept and visitors of the next round; and of blocks."""

    @light
    def met(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                passing = _Passing(meeting, Attempt.current(index))
                yield from passing.found()
                yield told(reported(passing.report, Attempt.current(index)))
                marks.leave(index, {"meetings": 1})

    count = meeting.ranges + meeting.copies
    every = spark.range(0, count, 1, count).mapInArrow(met, SHUFFLED)
    blocks = spark.createDataFrame([(part, b"") for part in range(meeting.blocks)], SHUFFLED)
    return merge_by_block(every.unionByName(blocks), meeting.blocks + 1, partial(_merge, meeting))


def _merge(meeting: Meeting, part: int, packed: Iterable[bytes], attempt: Attempt) -> TaskReport:
    """The pools of a block of visitors."""
    asked = meeting.asked
    ids = meeting.read(meeting.guests, part, meeting.blocks).ids
    lists = merged_lists(packed, len(ids), asked.size + 1, asked.most)
    nothing = np.zeros(len(ids), np.int64)
    pools = finished(lists, asked.rule, asked.most, nothing, nothing.astype(np.bool_))
    with meeting.scratch.writer("ruled_pools", f"came-{part:06d}-{attempt.stem}") as writer:
        if len(ids):
            writer.write(pool_batch(ids, pools))
    return TaskReport(receipts=writer.receipts, counters={"entities": len(ids)})


class _Passing:
    """A range, or a part of the copies, that the visitors pass."""

    def __init__(self, meeting: Meeting, attempt: Attempt) -> None:
        self._meeting, self._attempt, self._products = meeting, attempt, 0
        self._at, self._pools = np.zeros(0, np.int64), None
        if attempt.index >= meeting.ranges:
            part = attempt.index - meeting.ranges
            self._party = meeting.read(meeting.copied, part, meeting.copies)
            return
        facts = meeting.known()
        party = meeting.party(meeting.rows(attempt.index))
        place = np.searchsorted(facts.entities, party.ids)
        self._party = replace(party, stands=party.stands & ~facts.copied[place])
        if meeting.first:
            before = facts.before[place]
            self._at = np.flatnonzero(before >= 0)
            self._pools = _kept_pools(meeting, facts, before[self._at])

    def found(self) -> Iterator[pa.RecordBatch]:
        """What visitors find; the pools take what is theirs."""
        meeting, visit = self._meeting, self._meeting.visit()
        asking = Lists.empty(len(self._at), visit.size + 1)
        for block in range(meeting.blocks):
            guests = meeting.read(meeting.guests, block, meeting.blocks)
            met = visit.meet(self._party, guests, self._pools, self._at)
            self._products += met.products
            asking = merge_lists(asking, met.asking, visit.most)
            yield from packed_lists(block, met.visitors)
        if self._pools is not None:
            self._pools = admitted(self._pools, asking, visit.most)

    def report(self, attempt: Attempt) -> TaskReport:
        """The pools that stay, and the entities whose pools do not."""
        counters = {"products": self._products}
        if self._pools is None:
            return TaskReport(counters=counters)
        scratch, ids = self._meeting.scratch, self._party.ids[self._at]
        short = published(self._pools, self._meeting.asked.listed)[1]
        kept = np.flatnonzero(~short)
        with scratch.writer("ruled_pools", f"kept-{attempt.stem}") as writer:
            if len(kept):
                writer.write(pool_batch(ids[kept], self._pools.taken(kept)))
        asking = self._party.rows(self._at[short])
        asking = replace(asking, stands=np.zeros(len(asking.ids), np.bool_))
        guests = write_guests(scratch, f"again-{attempt.stem}", asking)
        counters |= {"entities": len(kept), "recomputed": len(asking.ids)}
        return TaskReport(receipts=[*writer.receipts, *guests], counters=counters)


def _kept_pools(meeting: Meeting, facts: Facts, before: Ints) -> RuledPools:
    """Pools of entities that were ``before``, ascending, after others have left."""
    asked, store = meeting.asked, meeting.scratch.store
    columns = ["entity", "radius", "radius_entity", "others", "distances", "ends"]
    name = f"neighbors_{asked.name}_pool"
    rows = rule_tables(asked.name)[name].columns
    parts = [pa.schema([rows.field(each) for each in columns]).empty_table()]
    if len(before):
        between = ((int(before[0]),), (int(before[-1]),))
        for batch in read_range(store, meeting.pool, *between, columns):
            here = np.isin(np.asarray(batch.column("entity"), np.int64), before)
            found = pa.Table.from_batches([batch]).select(columns).cast(parts[0].schema)
            parts.append(found.take(pa.array(np.flatnonzero(here))))
    pools = _pools_of(
        pa.concat_tables(parts, promote_options="permissive").combine_chunks(), asked, facts
    )
    left = None if asked.counted is None else np.asarray(facts.left)
    leaving = np.flatnonzero(facts.to < 0)
    return renumbered(without(pools, leaving, np.zeros(0, np.int64), left), facts.to)


def _pools_of(rows: pa.Table, asked: Asked, facts: Facts) -> RuledPools:
    """Pools from the rows of their table."""
    others, far, ends = (rows.column(n).combine_chunks() for n in ("others", "distances", "ends"))
    counts = np.asarray(others.value_lengths(), np.int64)
    lists = Lists.empty(len(rows), asked.size)
    entries = np.arange(asked.size) < counts[:, None]
    lists.ids[entries] = np.asarray(others.flatten(), np.int64)
    lists.distances[entries] = np.asarray(far.flatten(), np.float32)
    if asked.counted is not None:
        lists.values[entries] = facts.values[lists.ids[entries]]
    ended = np.zeros(entries.shape, np.bool_)
    of = np.repeat(np.arange(len(rows)), np.asarray(ends.value_lengths(), np.int64))
    ended[of, np.asarray(ends.flatten(), np.int64)] = True
    nothing = np.zeros(len(rows), np.int64)
    return RuledPools(
        asked.rule,
        lists,
        ended,
        np.asarray(rows.column("radius"), np.float32),
        np.asarray(rows.column("radius_entity"), np.int64),
        nothing,
        nothing.astype(np.bool_),
    )
