"""Files of older versions of a table, read as files of today's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from artrec.errors import StoreFormatError
from artrec.schemas.form import Older, Table

__all__ = ["OlderFile", "raised", "steps_of"]


def steps_of(table: Table, version: int, where: str) -> list[Older]:
    """The ways from that version to today's; StoreFormatError where there is none."""
    steps = table.steps(version)
    if steps is None:
        raise StoreFormatError(
            f"{where}: holds table {table.name} version {version}, from which this artrec knows no "
            f"way to version {table.version}: bring the store up with the artrec before this one"
        )
    return steps


def raised(batch: pa.RecordBatch, steps: Sequence[Older]) -> pa.RecordBatch:
    """The rows of an older version as rows of today's."""
    for older in steps:
        batch = older.step(batch)
    return batch


class OlderFile:
    """What of ``pq.ParquetFile`` the readers use, over a file that is raised while it is read.

    Columns that are asked for may come of any older ones, so whole row groups are read.
    """

    def __init__(self, file: Any, table: Table, steps: Sequence[Older]) -> None:
        self._file, self._steps = file, steps
        self.schema_arrow = table.columns.with_metadata(file.schema_arrow.metadata)
        self.metadata, self.num_row_groups = file.metadata, file.metadata.num_row_groups

    def read_row_group(self, group: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a row group, with ``columns`` in their order, or all."""
        rows = self._file.read_row_group(group)
        return self._table([raised(each, self._steps) for each in rows.to_batches()], columns)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows."""
        every = range(self.num_row_groups)
        parts = [self.read_row_group(group, columns) for group in every]
        return pa.concat_tables(parts) if parts else self._table([], columns)

    def _table(self, batches: list[pa.RecordBatch], columns: Sequence[str] | None) -> pa.Table:
        plain = self.schema_arrow.remove_metadata()
        rows = pa.Table.from_batches(batches) if batches else plain.empty_table()
        found = rows.select(plain.names).cast(plain)
        return found if columns is None else found.select(list(columns))
