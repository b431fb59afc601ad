"""artrec export: a table of a release as a folder of its own, for engines that read folders.

A store's own files are found by way of a release, and some tables hold rows of older releases too;
an exported folder holds the rows of one release and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from artrec.commands.show import as_json
from artrec.commands.stores import store_of
from artrec.config import load
from artrec.errors import StoreFormatError, UsageError
from artrec.releases import Release, read_release, table_receipts
from artrec.schemas import TABLES
from artrec.storage import Store, open_store
from artrec.tables import Receipt, read_table

__all__ = ["FORMATS", "check_target", "export", "show", "write_account", "write_batches"]

FORMATS = ("parquet", "csv", "jsonl")
ROWS = 1_000_000  # in a file of text
APPENDED = ("pictures", "vectors")
"""Tables that grow from night to night: of them the rows that the release uses are exported."""
OWN = ("ingested",)
"""A stage's memory of what it has seen, with rows of any night: no release has a part of it."""


def export(
    store: Store, table: str, to: Store, format: str = "parquet", release_id: str | None = None
) -> dict[str, Any]:
    """Write a table's rows into ``to``, which must be empty, in the table's order.

    Files are ``<table>-00000.<format>`` and so on; ``_export.json`` comes last and says that they
    are all there. In text, lists and maps are JSON and hashes are hexadecimal. Memory is that of a
    row group, and 9 bytes for each live picture where the table has rows of other releases. Returns
    release, table, rows and files. Raises UsageError for an unknown table or format, one that has
    no form of that kind, and a folder that is not empty.
    """
    _check_format(format)
    if table in OWN:
        raise UsageError(f"{table} is kept for all nights together; no release has a part of it")
    if format != "parquet" and table == "pictures":
        raise UsageError("pictures are bytes: export them as parquet")
    check_target(to, format)
    release = read_release(store, release_id)
    receipts = table_receipts(store, release, table)
    of_today = all(each.version == TABLES[table].version for each in receipts)
    is_copy = format == "parquet" and table not in APPENDED and of_today
    write = _copied if is_copy else _written
    rows, files = write(store, release, table, receipts, to, format)
    account = {
        "release": release.release_id,
        "table": table,
        "format": format,
        "rows": rows,
        "files": files,
    }
    write_account(to, account)
    return account


def check_target(to: Store, format: str) -> None:
    """UsageError for a folder that is not empty, and for a format that nobody knows."""
    _check_format(format)
    found = next(to.list(), None)
    if found is not None:
        raise UsageError(f"{to.url} is not empty ({found.path} is there): name a new folder")


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise UsageError(f"there is no format {format}; there are: {', '.join(FORMATS)}")


def write_account(to: Store, account: dict[str, Any]) -> None:
    """Say last what was written: so it is all there."""
    to.write("_export.json", json.dumps(account, indent=1).encode())


def _copied(
    store: Store, release: Release, table: str, receipts: list[Receipt], to: Store, format: str
) -> tuple[int, list[str]]:
    """The files as they are. Raises StoreFormatError for one that is not what its writer wrote."""
    files: list[str] = []
    for number, receipt in enumerate(receipts):
        files.append(_name(table, number, format))
        digest = hashlib.sha256()
        with to.create(files[-1]) as stream:
            for at in range(0, receipt.bytes, _PIECE):
                piece = store.read(receipt.path, at, _PIECE)
                digest.update(piece)
                stream.write(piece)
            if digest.hexdigest() != receipt.sha256:  # then nothing becomes visible
                raise StoreFormatError(
                    f"{store.url}/{receipt.path} has sha256 {digest.hexdigest()}, its receipt "
                    f"{receipt.sha256}; artrec releases verify says what else is not whole"
                )
    return sum(receipt.rows for receipt in receipts), files


_PIECE = 16 << 20


def _written(
    store: Store, release: Release, table: str, receipts: list[Receipt], to: Store, format: str
) -> tuple[int, list[str]]:
    return write_batches(_live_batches(store, release, table, receipts), table, to, format)


def write_batches(
    batches: Iterator[pa.RecordBatch], table: str, to: Store, format: str
) -> tuple[int, list[str]]:
    """Row by row, in files of about ROWS each; returns rows and files."""
    rows = 0
    files: list[str] = []
    for batch in batches:
        files.append(_name(table, len(files), format))
        with to.create(files[-1]) as stream, _Writer(stream, format, batch.schema) as writer:
            writer.write(batch)
            while writer.rows < ROWS and (more := next(batches, None)) is not None:
                writer.write(more)
        rows += writer.rows
    return rows, files


def _name(table: str, number: int, format: str) -> str:
    return f"{table}-{number:05d}.{format}"


class _Writer:
    """Batches of one schema into one file."""

    def __init__(self, stream: IO[bytes], format: str, schema: pa.Schema) -> None:
        self._stream, self._format, self.rows = stream, format, 0
        self._file: Any = None
        if format == "parquet":
            self._file = pq.ParquetWriter(stream, schema, compression="zstd")
        elif format == "csv":
            self._file = pc.CSVWriter(stream, pa.schema(map(_text_field, schema)))

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        if self._format == "parquet":
            self._file.write_batch(batch)
        elif self._format == "csv":
            arrays = [_text(batch.column(i)) for i in range(batch.num_columns)]
            schema = pa.schema(map(_text_field, batch.schema))
            self._file.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        else:
            columns = [_values(batch.column(i)) for i in range(batch.num_columns)]
            for values in zip(*columns, strict=True):
                row = dict(zip(batch.schema.names, values, strict=True))
                line = json.dumps(row, ensure_ascii=False, default=bytes.hex)
                self._stream.write(line.encode() + b"\n")


def _text_field(field: pa.Field) -> pa.Field:
    nested = pa.types.is_nested(field.type) or pa.types.is_binary(field.type)
    return pa.field(field.name, pa.string()) if nested else field


def _text(column: pa.Array) -> pa.Array:
    """Lists and maps as JSON, binary as hexadecimal, the rest as it is."""
    if pa.types.is_binary(column.type):
        return pa.array([None if v is None else v.hex() for v in column.to_pylist()], pa.string())
    if not pa.types.is_nested(column.type):
        return column
    texts = [None if v is None else json.dumps(v, ensure_ascii=False) for v in _values(column)]
    return pa.array(texts, pa.string())


def _values(column: pa.Array) -> list[Any]:
    """As JSON has them: of maps objects."""
    values: list[Any] = column.to_pylist()
    if pa.types.is_map(column.type):
        return [None if value is None else dict(value) for value in values]
    return values


def _live_batches(
    store: Store, release: Release, table: str, receipts: list[Receipt]
) -> Iterator[pa.RecordBatch]:
    """The rows that the release uses; of a table that is appended to, each content once."""
    if table not in APPENDED:
        yield from (batch for batch in read_table(store, receipts) if batch.num_rows)
        return
    live = _live_numbers(store, release)
    seen = np.zeros(len(live), dtype=np.bool_)
    for batch in read_table(store, receipts):
        numbers = _numbers(batch)
        places = np.minimum(np.searchsorted(live, numbers), max(0, len(live) - 1))
        kept = live[places] == numbers if len(live) else np.zeros(len(numbers), np.bool_)
        if table == "vectors":
            kept &= np.array([name == release.encoder for name in batch["encoder"].to_pylist()])
        rows = np.flatnonzero(kept)
        _, first = np.unique(places[rows], return_index=True)
        rows = np.sort(rows[first])
        rows = rows[~seen[places[rows]]]
        seen[places[rows]] = True
        if len(rows):
            yield batch.take(pa.array(rows))


def _live_numbers(store: Store, release: Release) -> np.ndarray:
    catalog = table_receipts(store, release, "catalog")
    parts = [np.asarray(b.column(0)) for b in read_table(store, catalog, ["vector_no"])]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *parts]))


def _numbers(batch: pa.RecordBatch) -> np.ndarray:
    """The first 63 bits of each content's hash."""
    hashes = batch["content_sha256"].to_pylist()
    firsts = np.frombuffer(b"".join(each[:8] for each in hashes), ">u8")
    return (firsts >> np.uint64(1)).astype(np.int64)


def show(
    root: str | None, table: str, to: str, format: str, release_id: str | None, json: bool
) -> None:
    """Export, and say what was written."""
    target = open_store(to, load()[0].store.options)
    account = export(store_of(root), table, target, format, release_id)
    if json:
        as_json(account)
    else:
        files = len(account["files"])
        print(
            f"{account['rows']} rows of {table}, release {account['release']}: {files} files in "
            f"{target.url}"
        )
