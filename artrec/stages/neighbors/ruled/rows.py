"""The parts of a join under a rule, as files: rows in the order of entities, seeds of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from artrec.schemas import TABLES
from artrec.stages.frames import Attempt
from artrec.stages.neighbors.laying import Scratch, runs_by_number
from artrec.stages.neighbors.ruled.dealing import Group, Plan
from artrec.stages.neighbors.ruled.rule import Asked
from artrec.stages.workers import light
from artrec.tables import Receipt, open_file
from artrec.vectors.distance import Floats, Ints, squared_norms
from artrec.vectors.rules import Entities, Rule
from artrec.vectors.rules.bounds import seed_rows
from artrec.vectors.rules.kinds import Kinds, Labelled
from artrec.vectors.rules.rule import Codes, Flags

__all__ = ["Parts", "Rows", "read_rows", "read_seeds", "write_parts"]

SEEDS = 1024  # of all blocks of a group together, at the least

Files = dict[int, list[Receipt]]


@dataclass(frozen=True)
class Parts:
    """The files of each part that has rows; and the seeds of those that are blocks."""

    rows: Files
    seeds: Files

    def of(self, group: Group) -> list[int]:
        return [part for part in group.parts if part in self.rows]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Entities ascending, with their vectors; of ``labels`` [n, 1 + c] the first is the group."""

    entities: Ints
    vectors: Floats
    labels: Codes
    offered: Flags
    cells: Ints

    def kinds(self, rule: Rule) -> tuple[Kinds, Ints]:
        """The kinds of these rows, and for each row which one it is."""
        return Kinds.of(rule, self.entities, self.vectors, self.labels, self.offered)

    def as_entities(self) -> Entities:
        """For a join of its own, in which places are ids: both are in the order of entities."""
        return Entities(self.entities, self.vectors, self.labels, self.offered)


def write_parts(frame: DataFrame, scratch: Scratch, asked: Asked, plan: Plan) -> Parts:
    """Write what was dealt, part by part."""
    shares = {part: -(-_seeds(asked) // g.blocks) for g in plan.groups for part in g.parts}
    rule, most, width = asked.rule, asked.most, asked.size + 1

    @light
    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        stem = Attempt.current().stem
        for part, found in groupby(runs_by_number(batches), lambda row: row[0]):
            rows = pa.Table.from_batches([row[1] for row in found]).combine_chunks()
            files = _written(scratch, part, stem, rows)
            if part in shares:
                files += _seeded(scratch, part, stem, rows, rule, most, width, shares[part])
            texts = [file.model_dump_json() for file in files]
            yield pa.RecordBatch.from_pydict(
                {"part": pa.array([part] * len(texts), pa.int32()), "receipt": texts}
            )

    rows: Files = {}
    seeds: Files = {}
    for row in frame.mapInArrow(write, "part int, receipt string").collect():
        receipt = Receipt.model_validate_json(row.receipt)
        kind = rows if receipt.table == "ruled_rows" else seeds
        kind.setdefault(row.part, []).append(receipt)
    for files in (*rows.values(), *seeds.values()):
        files.sort(key=lambda file: file.path)
    return Parts(rows, seeds)


def _seeds(asked: Asked) -> int:
    return max(SEEDS, 4 * (asked.size + 1))


def _written(scratch: Scratch, part: int, stem: str, rows: pa.Table) -> list[Receipt]:
    vectors = _vectors(rows, scratch.dim)
    columns = [
        *(rows.column(name).combine_chunks() for name in _PLAIN),
        _lists(vectors),
    ]
    with scratch.writer("ruled_rows", f"part-{part:06d}-{stem}") as writer:
        writer.write(pa.RecordBatch.from_arrays(columns, names=[*_PLAIN, "embedding"]))
    return writer.receipts


_PLAIN = ["entity", "group", "codes", "offered", "cell"]


def _lists(vectors: Floats) -> pa.Array:
    offsets = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(vectors).reshape(-1)))


def _vectors(rows: pa.Table, dim: int) -> Floats:
    """Of rows on their way, which hold bytes."""
    found = rows.column("embedding").combine_chunks()
    raw = found.chunk(0) if isinstance(found, pa.ChunkedArray) else found
    values = np.frombuffer(raw.buffers()[2], np.float32)
    at = raw.offset * dim
    return values[at : at + len(rows) * dim].reshape(-1, dim)


def _seeded(
    scratch: Scratch,
    part: int,
    stem: str,
    rows: pa.Table,
    rule: Rule,
    most: int | None,
    width: int,
    share: int,
) -> list[Receipt]:
    """Some kinds of a block, as different as can be: they bound the rows of every block."""
    kinds, _ = _rows(rows, _vectors(rows, scratch.dim)).kinds(rule)
    chosen = np.random.default_rng(part).permutation(seed_rows(kinds, width, most))
    seeds = kinds.rows.rows(np.sort(chosen[:share]))
    with scratch.writer("ruled_seeds", f"part-{part:06d}-{stem}") as writer:
        offsets = np.arange(len(seeds.keys) + 1, dtype=np.int32) * seeds.never.shape[1]
        columns = [
            pa.array(seeds.keys),
            pa.ListArray.from_arrays(offsets, pa.array(seeds.never.reshape(-1))),
            pa.array(seeds.values),
            _lists(seeds.vectors),
        ]
        names = ["key", "never", "value", "embedding"]
        writer.write(pa.RecordBatch.from_arrays(columns, names=names))
    return writer.receipts


def read_rows(scratch: Scratch, files: Sequence[Receipt]) -> Rows:
    """The rows of a part, of which there is at least one."""
    rows = pa.concat_tables([open_file(scratch.store, file).read() for file in files])
    values = np.asarray(rows.column("embedding").combine_chunks().flatten(), np.float32)
    return _rows(rows, values.reshape(-1, scratch.dim))


def _rows(rows: pa.Table, vectors: Floats) -> Rows:
    entities = np.asarray(rows.column("entity"), np.int64)
    codes = np.asarray(rows.column("codes").combine_chunks().flatten(), np.int32)
    groups = np.asarray(rows.column("group"), np.int32)
    labels = np.column_stack((groups, codes.reshape(len(entities), -1)))
    order = np.argsort(entities, kind="stable")
    return Rows(
        entities[order],
        np.ascontiguousarray(vectors[order]),
        labels[order].astype(np.int32),
        np.asarray(rows.column("offered").to_numpy(), np.bool_)[order],
        np.asarray(rows.column("cell"), np.int64)[order],
    )


def read_seeds(scratch: Scratch, files: Sequence[Receipt], never_columns: int) -> Labelled:
    """The seeds of a group, from the files of its blocks."""
    table = TABLES["ruled_seeds"].columns.empty_table()
    rows = pa.concat_tables([table, *(open_file(scratch.store, file).read() for file in files)])
    never = np.asarray(rows.column("never").combine_chunks().flatten(), np.int32)
    values = np.asarray(rows.column("embedding").combine_chunks().flatten(), np.float32)
    vectors = values.reshape(-1, scratch.dim)
    return Labelled(
        vectors,
        squared_norms(vectors),
        never.reshape(len(vectors), never_columns),
        np.asarray(rows.column("value"), np.int32),
        np.asarray(rows.column("key"), np.int64),
    )
