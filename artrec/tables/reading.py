"""Files of a table, checked against their receipts, whole or by a range of keys."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artrec.errors import StoreFormatError
from artrec.schemas import TABLES
from artrec.schemas.older import OlderFile, steps_of
from artrec.storage import Store
from artrec.storage.parquet import StoreFile, opened
from artrec.tables.receipts import Receipt

__all__ = ["open_file", "read_range", "read_table"]


def open_file(store: Store, receipt: Receipt, migrating: bool = False) -> pq.ParquetFile:
    """The Parquet file of a receipt, checked to be of that table and of a known version.

    One of an older version is read as today's, if that is a matter of its rows alone; ``migrating``
    reads any that there is a way from.
    """
    try:
        file = opened(StoreFile(store, receipt.path, receipt.bytes))
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreFormatError(
            f"{store.url}/{receipt.path} cannot be read as Parquet ({error}); "
            "artrec releases verify says what else of a release is damaged"
        ) from error
    metadata = file.schema_arrow.metadata or {}
    table = TABLES[receipt.table]
    name = metadata.get(b"artrec.table", b"?").decode()
    version = int(metadata.get(b"artrec.version", b"0"))
    if name != table.name or version > table.version:
        raise StoreFormatError(
            f"{receipt.path}: holds table {name} version {version}; this artrec reads "
            f"{table.name} up to version {table.version}: use a newer artrec"
        )
    if version == table.version:
        table.check(file.schema_arrow, receipt.path)
        return file
    steps = steps_of(table, version, receipt.path)
    table.check(file.schema_arrow, receipt.path, version)
    if not migrating and not all(each.on_reading for each in steps):
        raise StoreFormatError(
            f"{receipt.path}: holds table {name} version {version}, this artrec reads version "
            f"{table.version}: artrec migrate brings what is current up"
        )
    return OlderFile(file, table, steps)


def read_table(
    store: Store, receipts: Iterable[Receipt], columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """All rows of the files, row group by row group, in the order of the files."""
    for receipt in receipts:
        file = open_file(store, receipt)
        for group in range(file.metadata.num_row_groups):
            yield from file.read_row_group(group, columns=columns).to_batches()


def read_range(
    store: Store,
    receipts: Iterable[Receipt],
    low: tuple[str | int, ...],
    high: tuple[str | int, ...],
    columns: Sequence[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Rows of a sorted table whose leading sort columns lie in ``low``..``high``, both included.

    Files are skipped by their receipts and row groups by their statistics, so looking up a few
    keys reads a few row groups.
    """
    for receipt in receipts:
        if receipt.first[: len(high)] > high or receipt.last[: len(low)] < low:
            continue
        sort = TABLES[receipt.table].sort[: len(low)]
        wanted = None if columns is None else list(dict.fromkeys([*columns, *sort]))
        file = open_file(store, receipt)
        for group in range(file.metadata.num_row_groups):
            if _may_hold(file, group, sort[0], low[0], high[0]):
                rows = file.read_row_group(group, columns=wanted)
                yield from _between(rows, sort, low, high)


def _may_hold(file: pq.ParquetFile, group: int, column: str, low: Any, high: Any) -> bool:
    position = file.metadata.schema.names.index(column)
    found = file.metadata.row_group(group).column(position).statistics
    if found is None or not found.has_min_max:
        return True
    untold = found.max in ("", b"")  # so pyarrow 14 gives a last value too long to be kept
    return bool(found.min <= high and (untold or found.max >= low))


def _between(
    rows: pa.Table, sort: tuple[str, ...], low: tuple[str | int, ...], high: tuple[str | int, ...]
) -> Iterator[pa.RecordBatch]:
    """The slice of sorted ``rows``, found by halving: few keys of many rows are looked at."""
    columns = [rows.column(name) for name in sort]

    def key(row: int) -> tuple[Any, ...]:
        return tuple(column[row].as_py() for column in columns)

    start = bisect_left(range(rows.num_rows), low, key=key)
    end = bisect_right(range(rows.num_rows), high, lo=start, key=key)
    if end > start:
        yield from rows.slice(start, end - start).to_batches()
