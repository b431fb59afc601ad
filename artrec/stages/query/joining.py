"""The join of queries with the live vectors of a release, exact, in tasks of whole sets.

The queries lie in the order of their sets. A part is some sets of few members, or one larger set,
or a piece of one. A list of a set leaves out its members' own contents: of a lone set they are
taken from the candidates, and of several each list is so much longer that they may stand in it.

``any`` takes the nearest of each member: who is among the first k of a set is among the first
k + own of the member that it is nearest to, so that the least distance over the members' lists is
that over all of them. ``centroid`` takes the nearest to the mean of the members' vectors, by cosine
of their unit vectors, summed in float64 in the order of their entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from artrec.index import shard_ranges
from artrec.schemas import TABLES
from artrec.stages.blocks import vector_blocks
from artrec.stages.frames import Attempt, TaskReport, parallelism, run_tasks
from artrec.stages.query.grouping import Grouped, nearest_of_sets
from artrec.stages.query.means import means_of
from artrec.stages.query.place import SCRATCH
from artrec.stages.rejects import REASONS
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_range, read_table
from artrec.vectors import Block, join
from artrec.vectors.distance import Ints

__all__ = ["Part", "cut_parts", "join_queries"]

ALONE = 256
"""Members of a set that shares a part with others, at most."""
LEAST = 256  # queries of a part, unless there are fewer
LIST_ENTRIES = 4 << 20  # of the lists of a part, 24 bytes each
MEMBERS = 16  # times so many members as queries may a part of means read

RANGE_BYTES = 64 << 20  # of live vectors that one task meets at least

Place = tuple[str, int]
"""Set and entry."""
Numbers = tuple[int, int]
"""From one vector_no to another, both included."""


@dataclass(frozen=True)
class Part:
    """What one task joins: the queries from ``low`` to ``high``, of so many sets.

    Of a set that was cut ``piece`` counts the pieces.
    """

    low: Place
    high: Place
    sets: int
    rows: int
    piece: int = 0


@dataclass(frozen=True)
class _Work:
    """What the tasks know; travels to them."""

    root: Store
    out: Store
    live: Sequence[Receipt]
    queries: Sequence[Receipt]
    tasks: Sequence[tuple[Part, Numbers | None]]
    k: int
    sets: str
    metadata: dict[str, str]


def join_queries(
    spark: SparkSession,
    root: Store,
    live: Sequence[Receipt],
    out: Store,
    queries: Sequence[Receipt],
    k: int,
    sets: str,
    block_rows: int,
    metadata: dict[str, str],
) -> list[TaskReport]:
    """Receipts of query_pools and of query_rejects, counters of sets.

    A task lets a part meet all live vectors, or a range of them where parts are few.
    """
    width = k if sets == "none" else k + ALONE
    most = max(1, min(block_rows, LIST_ENTRIES // width))
    cores = parallelism(spark)
    even = -(-sum(receipt.rows for receipt in queries) // cores)
    rows = max(LEAST, min(even, most * MEMBERS if sets == "centroid" else most))
    parts = list(cut_parts(_places(out, queries), rows, most, whole=sets == "centroid"))
    ranges = _ranges(live, -(-cores // max(1, len(parts))))
    tasks = [(part, between) for part in parts for between in ranges]
    work = _Work(root, out, live, queries, tasks, k, sets, metadata)
    describe(spark, f"query: {len(parts)} parts of the join, {len(ranges)} of the vectors")
    return run_tasks(spark, len(tasks), partial(_join_part, work))


def _ranges(live: Sequence[Receipt], wanted: int) -> list[Numbers | None]:
    """So many ranges of the live vectors, or fewer where those would be small."""
    size = sum(receipt.bytes for receipt in live)
    count = min(wanted, -(-size // RANGE_BYTES))
    return [None] if count < 2 else [*shard_ranges(count)]


def _places(out: Store, queries: Sequence[Receipt]) -> Iterator[Place]:
    for batch in read_table(out, queries, ["set_id", "entry"]):
        yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)


def cut_parts(places: Iterable[Place], rows: int, sets: int, whole: bool) -> Iterator[Part]:
    """Parts of at most so many ``rows`` and ``sets``, in order.

    A set of more than ALONE members is by itself: in pieces of so many rows, or ``whole``.
    """
    held: Part | None = None
    for _, members in groupby(places, itemgetter(0)):
        pieces = _pieces(members, None if whole else rows)
        small = len(pieces) == 1 and pieces[0].rows <= ALONE
        if held is not None:
            full = held.rows + pieces[0].rows > rows or held.sets == sets
            if small and not full:
                held = Part(held.low, pieces[0].high, held.sets + 1, held.rows + pieces[0].rows)
                continue
            yield held
        held = pieces[0] if small else None
        if not small:
            yield from pieces
    if held is not None:
        yield held


def _pieces(members: Iterator[Place], most: int | None) -> list[Part]:
    pieces: list[Part] = []
    low = high = next(members)
    count = 1
    for place in members:
        if count == most:
            pieces.append(Part(low, high, 1, count, len(pieces)))
            low, count = place, 0
        high, count = place, count + 1
    return [*pieces, Part(low, high, 1, count, len(pieces))]


def _join_part(work: _Work, attempt: Attempt) -> TaskReport:
    (part, between), table = work.tasks[attempt.index], TABLES["query_pools"]
    asked, rejects = _asked(work, part)
    first = between is None or between[0] == 0  # the other ranges have the same sets
    lone = part.sets == 1
    width = work.k if lone else work.k + asked.most_own
    with (
        TableWriter(work.out, SCRATCH, table, attempt.stem, work.metadata) as pools,
        TableWriter(work.out, SCRATCH, TABLES["query_rejects"], attempt.stem) as refused,
    ):
        if rejects and first:
            schema = TABLES["query_rejects"].columns
            refused.write(pa.RecordBatch.from_pylist(rejects, schema=schema))
        if len(asked.names):
            numbers = np.arange(len(asked.set_of), dtype=np.int64)
            block = Block(numbers=numbers, vectors=asked.vectors)
            found = join(
                block,
                _candidates(work, between, asked.own if lone else None),
                k=width,
                metric=work.metadata["metric"],
                self_join=False,
            )
            lists = nearest_of_sets(asked, found.others, found.distances, work.k)
            pools.write(_pool_rows(asked.names, attempt.index, *lists))
    counters = {"queries": len(asked.names) if first and not part.piece else 0}
    return TaskReport(receipts=[*pools.receipts, *refused.receipts], counters=counters)


def _candidates(work: _Work, between: Numbers | None, without: Ints | None) -> Iterator[Block]:
    """All live vectors, or those of a range, but for those of some numbers."""
    for block in vector_blocks(work.root, work.live, between):
        if without is None or not len(without):
            yield block
            continue
        kept = ~np.isin(block.numbers, without)
        if kept.any():
            yield Block(numbers=block.numbers[kept], vectors=block.vectors[kept])


def _asked(work: _Work, part: Part) -> tuple[Grouped, list[dict[str, object]]]:
    """The queries of a part, and rows of query_rejects for sets that have none."""
    if work.sets == "centroid":
        columns = ["set_id", "own", "embedding"]
        batches = read_range(work.out, work.queries, part.low[:1], part.high[:1], columns)
        asked, short = means_of(batches, work.metadata["metric"])
        return asked, [_zero_mean(name, detail) for name, detail in short]
    rows = pa.Table.from_batches(read_range(work.out, work.queries, part.low, part.high))
    asked = Grouped.of(rows)
    if work.sets == "none":
        return asked.without_own(), []
    if part.sets > 1:
        return asked, []
    name = part.low[:1]  # of which this may be a piece
    every = pa.Table.from_batches(read_range(work.out, work.queries, name, name, ["own"]))
    return asked.with_own_of(every), []


def _zero_mean(name: str, detail: str) -> dict[str, object]:
    reason = "zero_mean"
    row = {"query_id": name, "entry": -1, "stage": REASONS[reason], "reason": reason}
    return {**row, "detail": detail}


def _pool_rows(
    names: Sequence[str], part: int, counts: Ints, others: Ints, distances: np.ndarray
) -> pa.RecordBatch:
    offsets = pa.array(np.append(0, np.cumsum(counts)).astype(np.int32))
    columns = {
        "set_id": pa.array(names, pa.string()),
        "part": pa.array([part] * len(names), pa.int32()),
        "others": pa.ListArray.from_arrays(offsets, pa.array(others)),
        "distances": pa.ListArray.from_arrays(offsets, pa.array(distances)),
    }
    schema = TABLES["query_pools"].columns
    arrays = [columns[column.name].cast(column.type) for column in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
