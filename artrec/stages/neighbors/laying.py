"""How the vectors of a self-join lie in storage: planned from a sample, written block by block.

Everything here is scratch: no release names it, and it is swept.
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

from artrec.index import shard_ranges
from artrec.releases import Run
from artrec.schemas import TABLES
from artrec.stages.blocks import vector_blocks
from artrec.stages.frames import Attempt, TaskReport, parallelism, run_tasks
from artrec.stages.neighbors.parts import by_block
from artrec.stages.session import describe
from artrec.stages.workers import light
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, open_file, read_table
from artrec.vectors import Layout, plan_layout, sample_rows
from artrec.vectors.approximate.choosing import is_sampled
from artrec.vectors.distance import Floats, Ints, squared_norms
from artrec.vectors.screen import Frame

__all__ = [
    "Laying",
    "Scratch",
    "lay_out",
    "number_ranges",
    "plan_cells",
    "read_block",
    "runs_by_number",
]

PART_BYTES = 64 << 20  # of vectors that one task lays out
SAMPLE = -1  # what the sample is dealt as, beside the blocks


@dataclass(frozen=True)
class Scratch:
    """Where the tasks of one join read and write; travels to them."""

    store: Store
    folder: str
    metadata: dict[str, str]
    rows: int

    @property
    def metric(self) -> str:
        return self.metadata["metric"]

    @property
    def dim(self) -> int:
        return int(self.metadata["dim"])

    def writer(self, table: str, stem: str) -> TableWriter:
        return TableWriter(self.store, self.folder, TABLES[table], stem, self.metadata)


@dataclass(frozen=True)
class Laying:
    """A layout as it travels: its cells in a file, and the ``blocks`` that have rows, as files.

    ``numbers`` are those of the blocks in the layout, ``sample`` a random sample, if one was asked
    for, in files like theirs.
    """

    cells: list[Receipt]
    center: list[float]
    reach: float
    blocks: list[list[Receipt]]
    numbers: list[int] = field(default_factory=list)
    sample: list[Receipt] = field(default_factory=list)

    def frame(self, scratch: Scratch) -> Frame:
        return Frame(scratch.metric, np.array(self.center), self.reach)

    @classmethod
    def recorded(cls, run: Run) -> Laying:
        """A layout from the run that has its files, and its ``notes``."""
        cells, blocks = run.receipts("neighbor_cells"), by_block(run, "neighbor_layout")
        return cls(cells, run.notes["center"], run.notes["reach"], blocks)

    def notes(self) -> dict[str, Any]:
        """What a run has to know to find the layout again in its files."""
        counts = [len(files) for files in self.blocks]
        return {"center": self.center, "reach": self.reach, "neighbor_layout": counts}

    def read(self, scratch: Scratch) -> Layout:
        rows = pa.Table.from_batches(read_table(scratch.store, self.cells))
        centers = np.asarray(rows.column("center").combine_chunks().flatten(), np.float32)
        blocks = np.asarray(rows.column("block"), np.int64)
        firsts = np.searchsorted(blocks, np.arange(int(blocks[-1]) + 2))
        return Layout(self.frame(scratch), centers.reshape(-1, scratch.dim), firsts)


def lay_out(
    spark: SparkSession, scratch: Scratch, live: Sequence[Receipt], blocks: int, share: float = 0.0
) -> Laying:
    """Plan a layout of about so many blocks and write the vectors in it.

    About a ``share`` of them, drawn at random, are written a second time as a sample.
    """
    describe(spark, f"neighbors: a layout of {scratch.rows} vectors in {blocks} blocks")
    planned = plan_cells(spark, scratch, live, blocks)
    parts = number_ranges(spark, scratch)

    @light
    def place(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        layout = planned.read(scratch)
        for batch in batches:
            for index in batch.column(0).to_pylist():
                for placed in _placed(scratch, live, layout, parts[index]):
                    yield placed
                    if share:
                        yield from _sampled(placed, share)

    @light
    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        stem = Attempt.current().stem
        for block, rows in groupby(runs_by_number(batches), lambda row: row[0]):
            for receipt in _written(scratch, block, stem, [row[1] for row in rows]):
                yield pa.RecordBatch.from_pydict(
                    {"block": pa.array([block], pa.int32()), "receipt": [receipt.model_dump_json()]}
                )

    placed = spark.range(0, len(parts), 1, len(parts)).mapInArrow(place, _PLACED)
    by_block = placed.repartition(blocks, "block").sortWithinPartitions("block")
    written = by_block.mapInArrow(write, "block int, receipt string").collect()
    files: dict[int, list[Receipt]] = {}
    for row in sorted(written, key=lambda row: (row.block, row.receipt)):
        files.setdefault(row.block, []).append(Receipt.model_validate_json(row.receipt))
    sample = files.pop(SAMPLE, [])
    numbers = list(files)
    return replace(planned, blocks=list(files.values()), numbers=numbers, sample=sample)


def number_ranges(spark: SparkSession, scratch: Scratch) -> list[tuple[int, int]]:
    """From one vector_no to another, for tasks of at most about PART_BYTES of vectors; as many for
    each core.
    """
    size, cores = 4 * scratch.dim * scratch.rows, parallelism(spark)
    return shard_ranges(cores * max(1, -(-size // (PART_BYTES * cores))))


def plan_cells(
    spark: SparkSession, scratch: Scratch, live: Sequence[Receipt], blocks: int
) -> Laying:
    """A layout of about so many blocks, in which nothing is laid yet."""
    longest = _longest(spark, scratch, live)
    plan = run_tasks(spark, 1, partial(_plan, scratch, live, blocks, longest))[0]
    return Laying(plan.receipts, plan.notes["center"], plan.notes["reach"], [])


def read_block(scratch: Scratch, files: Sequence[Receipt]) -> tuple[Ints, Ints, Floats]:
    """Cells int64 [n] and numbers int64 [n] of a block, in this order, and its vectors [n, d]."""
    rows = pa.concat_tables([open_file(scratch.store, file).read() for file in files])
    cells = np.asarray(rows.column("cell"), np.int64)
    numbers = np.asarray(rows.column("vector_no"), np.int64)
    values = np.asarray(rows.column("embedding").combine_chunks().flatten(), np.float32)
    return cells, numbers, values.reshape(len(cells), scratch.dim)


_PLACED = "block int, cell int, vector_no bigint, embedding binary"


def _longest(spark: SparkSession, scratch: Scratch, live: Sequence[Receipt]) -> float:
    """The length of the longest vector; 1.0 for cosine, where lengths do not count."""
    if scratch.metric == "cosine":
        return 1.0
    parts = shard_ranges(parallelism(spark))
    reports = run_tasks(spark, len(parts), partial(_longest_of, scratch, live, parts))
    return max(float(report.notes["longest"]) for report in reports)


def _longest_of(
    scratch: Scratch,
    live: Sequence[Receipt],
    parts: Sequence[tuple[int, int]],
    attempt: Attempt,
) -> TaskReport:
    blocks = vector_blocks(scratch.store, live, parts[attempt.index])
    squares = [float(squared_norms(block.vectors).max()) for block in blocks]
    return TaskReport(notes={"longest": max(squares, default=0.0) ** 0.5})


def _plan(
    scratch: Scratch, live: Sequence[Receipt], blocks: int, longest: float, attempt: Attempt
) -> TaskReport:
    """The first vectors are a random sample: their numbers are hashes."""
    wanted = sample_rows(scratch.rows)
    parts: list[Floats] = []
    for block in vector_blocks(scratch.store, live):
        parts.append(block.vectors[:wanted])
        wanted -= len(parts[-1])
        if not wanted:
            break
    layout = plan_layout(np.concatenate(parts), scratch.rows, scratch.metric, blocks, longest)
    cells = np.arange(len(layout.centers))
    offsets = np.arange(len(cells) + 1, dtype=np.int32) * scratch.dim
    columns = [
        pa.array(cells, pa.int32()),
        pa.array(layout.blocks_of(cells), pa.int32()),
        pa.ListArray.from_arrays(offsets, pa.array(layout.centers.reshape(-1))),
    ]
    with scratch.writer("neighbor_cells", f"cells-{attempt.stem}") as writer:
        writer.write(pa.RecordBatch.from_arrays(columns, names=["cell", "block", "center"]))
    notes = {"center": layout.frame.center.tolist(), "reach": layout.frame.reach}
    return TaskReport(receipts=writer.receipts, notes=notes)


def _placed(
    scratch: Scratch, live: Sequence[Receipt], layout: Layout, between: tuple[int, int]
) -> Iterator[pa.RecordBatch]:
    for block in vector_blocks(scratch.store, live, between):
        cells = layout.cells(block.vectors, squared_norms(block.vectors))
        width = 4 * scratch.dim
        offsets = np.arange(len(cells) + 1, dtype=np.int32) * width
        values = np.ascontiguousarray(block.vectors)
        binary = pa.Array.from_buffers(
            pa.binary(), len(cells), [None, pa.py_buffer(offsets), pa.py_buffer(values)]
        )
        columns = [
            pa.array(layout.blocks_of(cells), pa.int32()),
            pa.array(cells, pa.int32()),
            pa.array(block.numbers),
            binary,
        ]
        names = ["block", "cell", "vector_no", "embedding"]
        yield pa.RecordBatch.from_arrays(columns, names=names)


def _sampled(rows: pa.RecordBatch, share: float) -> Iterator[pa.RecordBatch]:
    """The rows that are in the sample, as a block of its own."""
    numbers = np.asarray(rows.column("vector_no"), np.int64)
    chosen = rows.filter(pa.array(is_sampled(numbers, share)))
    if chosen.num_rows:
        block = pa.array(np.full(chosen.num_rows, SAMPLE, np.int32))
        columns = [block, *chosen.columns[1:]]
        yield pa.RecordBatch.from_arrays(columns, names=chosen.schema.names)


def runs_by_number(
    batches: Iterable[pa.RecordBatch],
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches of rows ordered by the number in their first column, cut where it changes."""
    for batch in batches:
        blocks = np.asarray(batch.column(0))
        cuts = np.flatnonzero(np.append(True, blocks[1:] != blocks[:-1])).tolist()
        for start, stop in zip(cuts, [*cuts[1:], len(blocks)], strict=True):
            yield int(blocks[start]), batch.slice(start, stop - start)


def _written(
    scratch: Scratch, block: int, stem: str, batches: list[pa.RecordBatch]
) -> list[Receipt]:
    rows = pa.Table.from_batches(batches).combine_chunks()
    order = np.lexsort((np.asarray(rows.column("vector_no")), np.asarray(rows.column("cell"))))
    rows = rows.take(pa.array(order)).combine_chunks()
    raw = rows.column("embedding").chunk(0)
    values = np.frombuffer(raw.buffers()[2], np.float32)[: len(rows) * scratch.dim]
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * scratch.dim
    columns = [
        rows.column("cell").chunk(0),
        rows.column("vector_no").chunk(0),
        pa.ListArray.from_arrays(offsets, pa.array(values)),
    ]
    names = ["cell", "vector_no", "embedding"]
    name = f"block-{block:05d}" if block != SAMPLE else "sample"
    with scratch.writer("neighbor_layout", f"{name}-{stem}") as writer:
        writer.write(pa.RecordBatch.from_arrays(columns, names=names))
    return writer.receipts
