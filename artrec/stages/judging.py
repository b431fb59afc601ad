"""Judging members in a task: picture or reject; and rows on their way to a table."""

from __future__ import annotations

from typing import Any, Self

import pyarrow as pa

from artrec import picture
from artrec.archive import Content
from artrec.config import IngestSettings
from artrec.picture import Child, Picture, Reject
from artrec.schemas import TABLES
from artrec.stages.rejects import Rejected
from artrec.stages.rules import decoder_name, picture_limits, picture_recipe
from artrec.tables import TableWriter

__all__ = ["Judge", "Rows"]

ROWS, BATCH_BYTES = 512, 8 << 20  # that wait in a task to be written together


class Judge:
    """Says of each member whether it is a picture; in a child process after a worker has died."""

    def __init__(self, settings: IngestSettings, in_child: bool) -> None:
        self.recipe = picture_recipe(settings)
        self.decoder = decoder_name(settings)
        self._limits = picture_limits(settings)
        self._side = settings.max_side or None
        self._seconds = float(settings.decode_seconds)
        self._child = (
            Child(self._limits, self._side, self._seconds, settings.decode_memory)
            if in_child
            else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._child is not None:
            self._child.__exit__(None, None, None)

    def examine(self, content: Content) -> Picture | Rejected:
        """The picture in a member's bytes, or why there is none."""
        if content.data is None:
            return Rejected(content.reason or "", content.detail)
        found = self._examined(content.data, content.member.name)
        return found if isinstance(found, Picture) else Rejected(found.reason, found.detail)

    def _examined(self, data: bytes, name: str) -> Picture | Reject:
        if self._child is not None:
            return self._child.examine(data)
        with picture.watchdog(self._seconds, name):
            return picture.examine(data, self._limits, self._side)


class Rows:
    """Rows on their way to a writer, some hundreds at once: one by one they cost as much as a
    small picture."""

    def __init__(self, table: str, writer: TableWriter) -> None:
        self._schema, self._writer = TABLES[table].columns, writer
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def add(self, row: dict[str, Any], size: int = 0) -> None:
        """A row with all columns of the table, and about so many bytes."""
        self._rows.append(row)
        self._bytes += size
        if len(self._rows) >= ROWS or self._bytes >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        if self._rows:
            arrays = [
                pa.array([row[column.name] for row in self._rows], column.type)
                for column in self._schema
            ]
            self._writer.write(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows, self._bytes = [], 0
