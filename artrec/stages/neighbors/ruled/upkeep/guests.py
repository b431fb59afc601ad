"""Entities that ask all others, as files: blocks of them, in which copies are together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from artrec.schemas import TABLES
from artrec.stages.neighbors.laying import Scratch
from artrec.tables import Receipt, read_table
from artrec.vectors.rules import Party

__all__ = ["read_guests", "write_guests"]


def write_guests(scratch: Scratch, stem: str, party: Party) -> list[Receipt]:
    """The files of a party, none for nobody."""
    if not len(party.ids):
        return []
    n, dim = party.vectors.shape
    codes = party.labels[:, 1:]
    steps, ends = (np.arange(n + 1, dtype=np.int32) * size for size in (codes.shape[1], dim))
    columns = [
        pa.array(party.ids),
        pa.array(party.labels[:, 0]),
        pa.ListArray.from_arrays(steps, pa.array(np.ascontiguousarray(codes).reshape(-1))),
        pa.array(party.stands),
        pa.array(party.keys),
        pa.ListArray.from_arrays(ends, pa.array(np.ascontiguousarray(party.vectors).reshape(-1))),
    ]
    with scratch.writer("ruled_visitors", stem) as writer:
        writer.write(
            pa.RecordBatch.from_arrays(columns, names=TABLES["ruled_visitors"].columns.names)
        )
    return writer.receipts


def read_guests(
    scratch: Scratch, files: Sequence[Receipt], codes: int, block: int, blocks: int
) -> Party:
    """Those of one of so many blocks, by their keys: those with equal vectors are together."""
    parts = [TABLES["ruled_visitors"].columns.empty_table()]
    for batch in read_table(scratch.store, files):
        here = np.asarray(batch.column("key"), np.int64) % blocks == block
        parts.append(
            pa.Table.from_batches([batch])
            .cast(parts[0].schema)
            .take(pa.array(np.flatnonzero(here)))
        )
    rows = pa.concat_tables(parts).combine_chunks()
    ids = np.asarray(rows.column("entity"), np.int64)
    order = np.argsort(ids, kind="stable")
    values = np.asarray(rows.column("embedding").combine_chunks().flatten(), np.float32)
    labels = np.asarray(rows.column("codes").combine_chunks().flatten(), np.int32)
    group = np.asarray(rows.column("group"), np.int32)
    return Party(
        ids[order],
        np.ascontiguousarray(values.reshape(len(ids), scratch.dim)[order]),
        np.column_stack((group, labels.reshape(len(ids), codes)))[order].astype(np.int32),
        np.asarray(rows.column("offered").to_numpy(), np.bool_)[order],
        np.asarray(rows.column("key"), np.int64)[order],
    )
