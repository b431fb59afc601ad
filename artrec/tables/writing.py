"""Files of a table, written row group by row group and hashed on their way."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from artrec.digests import Digest, add, digest_rows
from artrec.errors import StoreFormatError
from artrec.schemas import Table
from artrec.storage import Store
from artrec.tables.receipts import Receipt

__all__ = ["FILE_BYTES", "GROUP_BYTES", "GROUP_ROWS", "TableWriter"]

FILE_BYTES = 128 << 20
GROUP_BYTES = 32 << 20
GROUP_ROWS = 1 << 17


class TableWriter:
    """Writes batches of one table as files of bounded size; ``receipts`` is whole after closing.

    Names are ``folder/<table>/<stem>-<n>.parquet``, ``folder`` being ``""`` for the root of the
    Store; ``stem`` must be unique to the task's attempt.
    Leaving the block with an error leaves no visible file that was still open. Without rows there
    is no file, unless ``even_empty``: readers that name files want at least one.
    """

    def __init__(
        self,
        store: Store,
        folder: str,
        table: Table,
        stem: str,
        metadata: Mapping[str, str] | None = None,
        file_bytes: int = FILE_BYTES,
        group_bytes: int = GROUP_BYTES,
        even_empty: bool = False,
    ) -> None:
        self.receipts: list[Receipt] = []
        self._even_empty = even_empty
        self._store, self._folder, self._table, self._stem = store, folder, table, stem
        self._schema = table.columns.with_metadata(_metadata(table, metadata or {}))
        self._file_bytes, self._group_bytes = file_bytes, group_bytes
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = self._waiting_rows = 0
        self._file: _OpenFile | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._abandon(kind, error, trace)
            return
        try:
            self._write_group()
            if self._even_empty and not self.receipts:
                self._open()
            self._close_file()
        except BaseException as late:
            self._abandon(type(late), late, late.__traceback__)
            raise

    def _abandon(self, *error: Any) -> None:
        if self._file is not None:
            self._file.abandon(*error)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows, with exactly the table's columns in any order; types are cast safely."""
        batch = self._cast(batch)
        rows = max(1, min(GROUP_ROWS, self._rows_of_group(batch)))
        for start in range(0, batch.num_rows, rows):
            for piece in self._bounded(batch.slice(start, rows)):
                self._wait(piece)

    def _bounded(self, piece: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Parts of at most a row group's bytes each, or of one row: rows may differ in size."""
        if piece.num_rows > 1 and piece.nbytes > self._group_bytes:
            half = piece.num_rows // 2
            yield from self._bounded(piece.slice(0, half))
            yield from self._bounded(piece.slice(half))
        else:
            yield piece

    def _wait(self, piece: pa.RecordBatch) -> None:
        size = piece.nbytes
        if self._waiting and (
            self._waiting_bytes + size > self._group_bytes
            or self._waiting_rows + piece.num_rows > GROUP_ROWS
        ):
            self._write_group()
        self._waiting.append(piece)
        self._waiting_bytes += size
        self._waiting_rows += piece.num_rows

    def _rows_of_group(self, batch: pa.RecordBatch) -> int:
        return int(batch.num_rows * self._group_bytes // max(1, batch.nbytes))

    def _cast(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        where = f"{self._folder}/{self._table.name}"
        self._table.check(batch.schema, where)
        arrays = []
        for column in self._schema:
            array = batch.column(column.name)
            if pa.types.is_list(column.type) and not column.type.value_field.nullable:
                within = array.flatten().null_count
                if within:
                    raise StoreFormatError(f"{where}: {within} nulls within {column.name}")
            if not column.nullable and array.null_count:
                raise StoreFormatError(f"{where}: {array.null_count} nulls in {column.name}")
            arrays.append(array if array.type == column.type else array.cast(column.type))
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _write_group(self) -> None:
        if not self._waiting:
            return
        rows = pa.Table.from_batches(self._waiting, self._schema)
        self._waiting, self._waiting_bytes, self._waiting_rows = [], 0, 0
        file = self._open()
        file.write(rows)
        if file.bytes >= self._file_bytes:
            self._close_file()

    def _open(self) -> _OpenFile:
        if self._file is None:
            name = f"{self._stem}-{len(self.receipts):03d}.parquet"
            path = f"{self._folder}/{self._table.name}/{name}".lstrip("/")
            self._file = _OpenFile(self._store, path, self._table, self._schema)
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            self.receipts.append(self._file.close())
            self._file = None


class _OpenFile:
    """One Parquet file on its way into the Store."""

    def __init__(self, store: Store, path: str, table: Table, schema: pa.Schema) -> None:
        self._path, self._table = path, table
        self._stack = ExitStack()
        self._sink = _HashingSink(self._stack.enter_context(store.create(path)))
        plain = [column.name for column in schema if _is_plain(column, table)]
        self._parquet = pq.ParquetWriter(
            self._sink,
            schema,
            compression=_compression(table),
            use_dictionary=plain,
            write_statistics=plain,
            version="2.6",
        )
        self._rows = self._groups = 0
        self._digest: Digest = add([])
        self._first: tuple[str | int, ...] = ()
        self._last: tuple[str | int, ...] = ()

    @property
    def bytes(self) -> int:
        return self._sink.bytes

    def write(self, rows: pa.Table) -> None:
        self._parquet.write_table(rows, row_group_size=rows.num_rows)
        self._digest = add([self._digest, digest_rows(rows, self._table)])
        if not self._rows:
            self._first = _place(rows, self._table, 0)
        self._last = _place(rows, self._table, rows.num_rows - 1)
        self._rows += rows.num_rows
        self._groups += 1

    def close(self) -> Receipt:
        with self._stack:
            self._parquet.close()
        return Receipt(
            table=self._table.name,
            version=self._table.version,
            path=self._path,
            bytes=self._sink.bytes,
            rows=self._rows,
            row_groups=self._groups,
            sha256=self._sink.sha256.hexdigest(),
            digest=self._digest,
            first=self._first,
            last=self._last,
        )

    def abandon(self, *error: Any) -> None:
        self._sink.deaf = True  # the writer closes itself, and has a footer to say
        with suppress(Exception):
            self._parquet.close()
        self._stack.__exit__(*error)


class _HashingSink(io.RawIOBase):
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.bytes = 0
        self.deaf = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if not self.deaf:
            self._stream.write(view)
            self.sha256.update(view)
            self.bytes += len(view)
        return len(view)

    def tell(self) -> int:
        return self.bytes


def _place(rows: pa.Table, table: Table, row: int) -> tuple[str | int, ...]:
    values = (rows.column(name)[row].as_py() for name in table.sort)
    return tuple(v.hex() if isinstance(v, bytes) else v for v in values)


def _metadata(table: Table, more: Mapping[str, str]) -> dict[str, str]:
    own = {"artrec.table": table.name, "artrec.version": str(table.version)}
    return own | {f"artrec.{name}": value for name, value in more.items()}


def _is_plain(column: pa.Field, table: Table) -> bool:
    """Neither nested nor bulky: a dictionary and statistics are worth their place."""
    own = isinstance(table.compression, dict) and column.name in table.compression
    return not own and not pa.types.is_nested(column.type)


def _compression(table: Table) -> str | dict[str, str]:
    if isinstance(table.compression, str):
        return table.compression
    return {name: table.compression.get(name, "zstd") for name in table.columns.names}
