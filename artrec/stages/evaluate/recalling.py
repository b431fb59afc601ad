"""Recall of the index: every shard is opened by one task, which asks it all queries.

The side shard is one more, and masked items are left out as look-ups leave them out. Truth comes
first, once, with the queries' vectors; then the shards are asked, and what they find is measured by
the vectors of their own part of the table; then answers are merged as a look-up merges them. What
lies between is scratch: no record names it, and it is swept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from artrec.evaluation.recall import (
    RECALL_CUTS,
    Streamed,
    answers,
    measured,
    others,
    recalls,
    shares,
    true_distances,
)
from artrec.index import Changes, ShardSet, Wanted, open_shard, shard_ranges, side_of
from artrec.releases import Artifact
from artrec.schemas import TABLES
from artrec.stages.blocks import block_of, vector_blocks
from artrec.stages.evaluate.ground import Ground, chosen_rows, first_rows, vectors_of
from artrec.stages.frames import Attempt, TaskReport
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_range, read_table
from artrec.vectors import Block, Searcher, TopK
from artrec.vectors.distance import Floats, Ints

__all__ = ["Opener", "Parts", "ask_shard", "merge_block", "open_asked", "scan_shard", "truth_block"]

_QUERIES = 2048  # asked and measured at once
_SCANNING, _LEAST_SCANNING = 200, 10  # that prove an index which is scanned; of each shard at least


@dataclass(frozen=True)
class Parts:
    """What a look-up asks: shards by their sidecars, and what has changed since they were built."""

    sidecars: tuple[Artifact, ...]
    changes: Changes = field(default_factory=Changes)

    def __len__(self) -> int:
        """The side shard is the last one, where there is any."""
        return len(self.sidecars) + any(file.rows for file in self.changes.side)


Opener = Callable[[Store, Parts, int, Wanted], tuple[Searcher, Ints]]
"""One of the parts, by its place and what it must be of, and the vector_no of its items."""


def open_asked(
    search_k: int, store: Store, parts: Parts, place: int, wanted: Wanted
) -> tuple[Searcher, Ints]:
    """A shard as look-ups ask it."""
    found, numbers = _opened(store, parts, place, wanted)
    return replace(found, search_k=search_k), numbers


def _opened(store: Store, parts: Parts, place: int, wanted: Wanted) -> tuple[ShardSet, Ints]:
    """One part alone, and the numbers of all its items, masked ones included."""
    if place == len(parts.sidecars):
        side = side_of(store, parts.changes, wanted)
        assert side is not None, "there is no side shard without vectors"
        return ShardSet([], wanted.metric, wanted.dim, side=side), side.numbers
    shard = open_shard(store, parts.sidecars[place], wanted, masked=parts.changes.masked)
    return ShardSet([shard], wanted.metric, wanted.dim), shard.numbers


def truth_block(ground: Ground, attempt: Attempt) -> TaskReport:
    """The distinct vectors of some queries, and the distances of their true nearest."""
    rows = first_rows(chosen_rows(ground), ground.queries)
    numbers = np.unique(np.asarray(rows.column("vector_no"), np.int64))
    low = attempt.index * ground.block
    queries = vectors_of(ground, pa.table({"vector_no": numbers[low : low + ground.block]}))
    if not len(queries.numbers):
        return TaskReport()
    truth = Streamed(partial(vector_blocks, ground.store, ground.live), ground.metric)
    columns = {
        "vector_no": queries.numbers,
        "embedding": _lists(queries.vectors),
        "nearest": _lists(true_distances(truth, queries)),
    }
    return _written(ground, "recall_queries", attempt, iter([columns]))


def scan_shard(ground: Ground, parts: Parts, attempt: Attempt) -> TaskReport:
    """What a shard lists when scanned, of what is nearest in its own range of the table.

    It is asked some vectors of that range: their numbers are hashes, so each nth is a random one.
    What stands in the side shard belongs to that one, whatever its number.
    """
    first = next(vector_blocks(ground.store, ground.live))
    wanted = Wanted(ground.encoder, ground.metric, first.vectors.shape[1])
    found, numbers = _opened(ground.store, parts, attempt.index, wanted)
    later = _later(ground.store, parts)
    shards, between = len(parts), (int(numbers[0]), int(numbers[-1]))
    if found.shards:
        sidecar = found.shards[0].sidecar
        shards, between = sidecar.shards, shard_ranges(sidecar.shards)[sidecar.shard]
    own = partial(_own_blocks, ground, between, later, not found.shards)
    count = max(_LEAST_SCANNING, -(-_SCANNING // shards))
    queries = _each_nth(own, max(1, found.count // count))
    if not len(queries.numbers):
        return TaskReport(notes={str(k): 0.0 for k in RECALL_CUTS} | {"queries": 0})
    scanned = replace(found, scans=True)
    shares_found = recalls(scanned, Streamed(own, ground.metric), queries, own, ground.metric)
    notes = {str(k): float(each.sum()) for k, each in shares_found.items()}
    return TaskReport(notes=notes | {"queries": len(queries.numbers)})


def _later(store: Store, parts: Parts) -> Ints:
    """The numbers of the side shard, ascending."""
    batches = read_table(store, parts.changes.side, ["vector_no"])
    found = [np.asarray(batch.column("vector_no"), np.int64) for batch in batches]
    return np.concatenate([np.zeros(0, np.int64), *found])


def _own_blocks(
    ground: Ground, between: tuple[int, int], later: Ints, beside: bool
) -> Iterator[Block]:
    """Of the catalog's vectors in a range those of the side shard, or those that are not."""
    for block in vector_blocks(ground.store, ground.live, between):
        mine = np.isin(block.numbers, later, assume_unique=True) == beside
        if mine.any():
            yield Block(block.numbers[mine], block.vectors[mine])


def _each_nth(blocks: Callable[[], Iterator[Block]], step: int) -> Block:
    """Every so manieth vector, whatever the blocks."""
    numbers, vectors, seen = [np.zeros(0, np.int64)], [], 0
    for block in blocks():
        mine = slice(-seen % step, None, step)
        numbers.append(block.numbers[mine])
        vectors.append(block.vectors[mine])
        seen += len(block.numbers)
    return Block(np.concatenate(numbers), np.concatenate(vectors or [np.zeros((0, 1), np.float32)]))


def ask_shard(
    ground: Ground,
    queries: tuple[Receipt, ...],
    parts: Parts,
    opened: Opener,
    attempt: Attempt,
) -> TaskReport:
    """What one shard finds for all queries, and how far that is by the vectors themselves."""
    dim = next(vector_blocks(ground.store, queries)).vectors.shape[1]
    wanted = Wanted(ground.encoder, ground.metric, dim)
    shard, numbers = opened(ground.store, parts, attempt.index, wanted)
    ends = int(numbers[0]), int(numbers[-1])
    own = partial(vector_blocks, ground.store, ground.live, ends)

    def found() -> Iterator[dict[str, Any]]:
        for batch in read_table(ground.store, queries, ["vector_no", "embedding"]):
            for first in range(0, batch.num_rows, _QUERIES):
                part = block_of(pa.Table.from_batches([batch.slice(first, _QUERIES)]))
                yield _answered(part, answers(shard, part), own, ground.metric)

    return _written(ground, "shard_answers", attempt, found())


def _answered(
    queries: Block,
    found: dict[int, TopK],
    own: Callable[[], Iterator[Block]],
    metric: str,
) -> dict[str, Any]:
    """Rows of shard_answers, by query and cut."""
    ids = np.concatenate([found[k].ids for k in RECALL_CUTS], axis=1)
    claimed = np.concatenate([found[k].distances for k in RECALL_CUTS], axis=1)
    true = measured(ids, queries, own, metric)
    widths = np.tile([k + 1 for k in RECALL_CUTS], len(queries.numbers))
    offsets = np.append(0, np.cumsum(widths)).astype(np.int32)
    return {
        "vector_no": np.repeat(queries.numbers, len(RECALL_CUTS)),
        "cut": np.tile(RECALL_CUTS, len(queries.numbers)),
        **{
            name: pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1)))
            for name, values in (("others", ids), ("distances", claimed), ("measured", true))
        },
    }


def merge_block(
    ground: Ground,
    queries: tuple[Receipt, ...],
    answered: tuple[Receipt, ...],
    attempt: Attempt,
) -> TaskReport:
    """The recall of all shards together, for some queries."""
    rows = pa.Table.from_batches(
        list(read_table(ground.store, [queries[attempt.index]], ["vector_no", "nearest"]))
    )
    numbers = np.asarray(rows.column("vector_no"), np.int64)
    nearest = _matrix(rows.column("nearest"), max(RECALL_CUTS))
    ends = (int(numbers[0]),), (int(numbers[-1]),)
    merged = {
        k: (TopK.empty(len(numbers), k + 1), np.full((len(numbers), k + 1), np.inf, np.float32))
        for k in RECALL_CUTS
    }
    for receipt in answered:
        parts = list(read_range(ground.store, [receipt], *ends))
        if parts:
            _merge(merged, numbers, pa.Table.from_batches(parts))
    found = {
        k: others(TopK(true, lists.ids), numbers, k).distances
        for k, (lists, true) in merged.items()
    }
    return TaskReport(notes={str(k): each.tolist() for k, each in shares(nearest, found).items()})


def _merge(
    merged: dict[int, tuple[TopK, Floats]],
    numbers: Ints,
    rows: pa.Table,
) -> None:
    """Take a shard's answers into the lists, in place, ordered by the distances it gave."""
    cuts = np.asarray(rows.column("cut"))
    for k, (lists, true) in merged.items():
        mine = rows.take(pa.array(np.flatnonzero(cuts == k)))
        at = np.searchsorted(numbers, np.asarray(mine.column("vector_no"), np.int64))
        columns = [
            np.concatenate((old[at], _matrix(mine.column(name), k + 1)), axis=1)
            for name, old in (
                ("distances", lists.distances),
                ("others", lists.ids),
                ("measured", true),
            )
        ]
        order = np.lexsort((columns[1], columns[0]), axis=1)[:, : k + 1]
        lists.distances[at], lists.ids[at], true[at] = (
            np.take_along_axis(each, order, axis=1) for each in columns
        )


def _matrix(column: pa.ChunkedArray, width: int) -> Any:
    return np.asarray(column.combine_chunks().flatten()).reshape(-1, width)


def _lists(values: Floats) -> pa.ListArray:
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1)))


def _written(
    ground: Ground, name: str, attempt: Attempt, parts: Iterator[dict[str, Any]]
) -> TaskReport:
    table = TABLES[name]
    with TableWriter(ground.store, ground.folder, table, attempt.stem) as writer:
        for columns in parts:
            arrays = [pa.array(columns[c.name]).cast(c.type) for c in table.columns]
            writer.write(pa.RecordBatch.from_arrays(arrays, schema=table.columns))
    return TaskReport(receipts=writer.receipts)
