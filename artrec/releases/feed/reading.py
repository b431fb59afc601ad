"""Two sorted tables read side by side: ranges of keys, and within one, rows in step."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa

from artrec.errors import StoreFormatError
from artrec.schemas import TABLES
from artrec.storage import Store
from artrec.tables import Receipt, read_range

__all__ = ["Span", "in_step", "spans"]

ROWS = 2048  # of a table that are compared at once


@dataclass(frozen=True)
class Span:
    """Keys from ``low`` to ``high``; ``high`` itself belongs to the last span alone."""

    low: str
    high: str
    is_last: bool


def spans(one: Sequence[Receipt], other: Sequence[Receipt]) -> list[Span]:
    """Ranges that together hold every key of both tables: one begins where a file does."""
    filled = [receipt for receipt in (*one, *other) if receipt.rows]
    cuts = sorted({str(receipt.first[0]) for receipt in filled})
    if not cuts:
        return []
    ends = [*cuts[1:], max(str(receipt.last[0]) for receipt in filled)]
    return [Span(low, high, low == cuts[-1]) for low, high in zip(cuts, ends, strict=True)]


def in_step(
    store: Store,
    one: Sequence[Receipt],
    other: Sequence[Receipt],
    columns: Sequence[str],
    span: Span,
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Rows of both tables, each key's in one pair: bounded parts of two tables of one form."""
    schema = TABLES[(one or other)[0].table].columns
    nothing = pa.schema([schema.field(name) for name in columns]).empty_table()
    left, right = (_Side(store, files, nothing, span) for files in (one, other))
    while left.fill() | right.fill():
        ends = [side.last for side in (left, right) if side.last is not None]
        yield left.take(min(ends)), right.take(min(ends))


class _Side:
    """One of the two tables; ``fill`` reads on, ``take`` gives rows up to a key."""

    def __init__(
        self, store: Store, receipts: Sequence[Receipt], nothing: pa.Table, span: Span
    ) -> None:
        self._rows = self._read(store, receipts, nothing.column_names, span)
        self._empty = nothing
        self._table, self._keys = self._empty, list[str]()

    @property
    def last(self) -> str | None:
        return self._keys[-1] if self._keys else None

    def fill(self) -> bool:
        """Whether there is a row to take."""
        if not self._keys:
            self._table, self._keys = next(self._rows, (self._empty, []))
        return bool(self._keys)

    def take(self, end: str) -> pa.Table:
        count = bisect_right(self._keys, end)
        taken = self._table.slice(0, count)
        self._table, self._keys = self._table.slice(count), self._keys[count:]
        return taken

    def _read(
        self, store: Store, receipts: Sequence[Receipt], columns: Sequence[str], span: Span
    ) -> Iterator[tuple[pa.Table, list[str]]]:
        before = ""
        for batch in read_range(store, receipts, (span.low,), (span.high,), columns):
            for start in range(0, batch.num_rows, ROWS):
                table = pa.Table.from_batches([batch.slice(start, ROWS)]).select(list(columns))
                keys = table.column(0).to_pylist()
                if before > keys[0] or any(a > b for a, b in pairwise(keys)):
                    raise StoreFormatError(
                        f"{store.url}: {receipts[0].path} and the files behind it are not sorted "
                        f"by {columns[0]}: one comes before {before or keys[0]!r} that should not"
                    )
                before = keys[-1]
                if not span.is_last:
                    keys = keys[: bisect_right(keys, span.high)]
                    while keys and keys[-1] == span.high:
                        keys.pop()
                yield table.slice(0, len(keys)), keys
