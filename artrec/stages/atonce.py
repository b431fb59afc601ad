"""Tables that one task holds whole, joined there by columns with Arrow.

A join of few rows costs Spark some tenths of a second each time: planning, compiling, a shuffle. A
night has dozens of them, and a catalog of some hundred thousand images fits into one worker. So up
to ``AT_ONCE`` rows the stages join here, and beyond it in Spark; both give the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from artrec.schemas import TABLES
from artrec.stages.rules import MEMBER_KEY
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, open_file, read_table

__all__ = [
    "AT_ONCE",
    "Places",
    "array_of",
    "codes_of",
    "few",
    "firsts",
    "joined_key",
    "member_keys",
    "places_in",
    "verdict_rows",
    "whole",
    "whole_located",
    "write_whole",
]

AT_ONCE = 250_000
"""Rows of a table, names and numbers of one image each: some hundred bytes."""

Places = NDArray[np.int64]


def few(*tables: Iterable[Receipt]) -> bool:
    """Whether one task may hold each of these tables, without its vectors or pictures."""
    return all(sum(receipt.rows for receipt in table) <= AT_ONCE for table in tables)


def whole(
    store: Store, receipts: Sequence[Receipt], table: str, columns: Sequence[str]
) -> pa.Table:
    """Some columns of all rows of a table."""
    fields = [TABLES[table].columns.field(name).with_nullable(True) for name in columns]
    batches = read_table(store, [each for each in receipts if each.rows], columns)
    return _table(pa.schema(fields), (batch.select(columns).columns for batch in batches))


def whole_located(
    store: Store, receipts: Sequence[Receipt], table: str, columns: Sequence[str]
) -> pa.Table:
    """``whole`` with each row's place: ``file``, a number of ``receipts``, and ``row_group``."""
    fields = [TABLES[table].columns.field(name).with_nullable(True) for name in columns]
    more = [pa.field("file", pa.int32()), pa.field("row_group", pa.int32())]

    def read(number: int, receipt: Receipt) -> Iterator[list[pa.Array]]:
        file = open_file(store, receipt)
        for group in range(file.metadata.num_row_groups):
            for batch in file.read_row_group(group, columns=list(columns)).to_batches():
                place = [np.full(batch.num_rows, each, np.int32) for each in (number, group)]
                yield [*batch.select(columns).columns, *map(pa.array, place)]

    parts = (read(number, receipt) for number, receipt in enumerate(receipts) if receipt.rows)
    return _table(pa.schema([*fields, *more]), chain.from_iterable(parts))


def _table(schema: pa.Schema, parts: Iterable[Sequence[pa.Array]]) -> pa.Table:
    batches = [pa.RecordBatch.from_arrays(list(each), schema=schema) for each in parts]
    return pa.Table.from_batches(batches, schema).combine_chunks()


def write_whole(writer: TableWriter, rows: pa.Table) -> None:
    """All ``rows``, with the columns of the writer's table."""
    for batch in rows.combine_chunks().to_batches():
        writer.write(batch)


def joined_key(*columns: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """One value for those of several columns; of the last alone nothing is known beforehand."""
    parts = [_bytes(column) for column in columns]
    separator = pa.scalar(b"\0", pa.binary())
    joined = pc.binary_join_element_wise(*parts, separator)
    return joined if isinstance(joined, pa.ChunkedArray) else pa.chunked_array([joined])


def _bytes(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    text = column if pa.types.is_binary(column.type) else column.cast(pa.string())
    return text.cast(pa.binary())


def member_keys(rows: pa.Table) -> pa.ChunkedArray:
    """What tells a member, as one value: a name may hold any byte, so it stands last."""
    names = sorted(MEMBER_KEY, key=lambda name: name == "raw_name")
    return joined_key(*(rows.column(name) for name in names))


def array_of(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column in one piece, also in pyarrow < 18, which may keep several chunks or none."""
    if isinstance(column, pa.Array):
        return column
    return pa.concat_arrays([pa.array([], column.type), *column.chunks])


def places_in(keys: pa.ChunkedArray, among: pa.ChunkedArray) -> pa.Array:
    """For each key its place ``among`` distinct ones; null where it is not there."""
    return array_of(pc.index_in(keys, value_set=array_of(among)))


def firsts(keys: pa.ChunkedArray | pa.Array) -> Places:
    """Where each distinct key stands first, in the order of these places."""
    codes = codes_of(keys)
    return np.sort(np.unique(codes, return_index=True)[1])


def codes_of(keys: pa.ChunkedArray | pa.Array) -> Places:
    """A number for each key, equal for equal ones."""
    return np.asarray(array_of(keys).dictionary_encode().indices, np.int64)


def verdict_rows(
    ingested: pa.Table, rules: Mapping[str, Any], transient: Sequence[str]
) -> pa.Table:
    """One row for each member that was read under ``rules``: key, content_sha256, reason, detail,
    attempts; as :func:`artrec.stages.ingest.joining.verdicts` has them.
    """
    mine = pc.and_(
        pc.equal(ingested.column("recipe"), rules["recipe"]),
        pc.equal(ingested.column("decoder"), rules["decoder"]),
    )
    rows = ingested.filter(mine)
    codes = codes_of(member_keys(rows))
    rows = rows.append_column("code", pa.array(codes))
    passing = pc.is_in(rows.column("reason"), value_set=pa.array(transient, pa.string()))
    rows = rows.append_column("passing", passing.cast(pa.int8()))
    contents = rows.filter(pc.is_valid(rows.column("content_sha256")))
    content = _first_of_each(contents, [("content_sha256", "descending")])
    why = rows.filter(pc.is_valid(rows.column("reason")))
    order = ["passing", "reason"]
    if "detail" in rows.column_names:  # nulls come first, as in Spark
        why = why.append_column("told", pc.is_valid(why.column("detail")).cast(pa.int8()))
        order += ["told", "detail"]
    reason = _first_of_each(why, [(name, "ascending") for name in order])
    first = firsts(rows.column("code"))
    heads = rows.take(pa.array(first))
    of_content = places_in(heads.column("code"), content.column("code"))
    of_reason = places_in(heads.column("code"), reason.column("code"))
    of_reason = pc.if_else(pc.is_valid(of_content), pa.scalar(None, of_reason.type), of_reason)
    found = {
        "key": member_keys(heads),
        "content_sha256": content.column("content_sha256").take(of_content),
        "reason": reason.column("reason").take(of_reason),
        "attempts": pa.array(np.bincount(codes)[codes[first]].astype(np.int32)),
    }
    if "detail" in rows.column_names:
        found["detail"] = reason.column("detail").take(of_reason)
    return pa.table(found)


def _first_of_each(rows: pa.Table, order: list[tuple[str, str]]) -> pa.Table:
    """Of the rows of each ``code`` the first in this order."""
    ordered = rows.sort_by([("code", "ascending"), *order])
    return ordered.take(pa.array(firsts(ordered.column("code"))))
