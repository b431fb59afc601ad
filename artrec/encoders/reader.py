"""Reading training examples: one interface for every engine, and a count that must come out.

A reader gives the rows of a table in batches, in an order that depends on seed and epoch alone.
Several processes may share an epoch: each names its part (``split`` of ``splits``), and the parts
are disjoint and together everything. The engine ``arrow`` reads Parquet row groups through the
Store; others go into ``ENGINES`` behind the same interface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from artrec.errors import ArtrecError, ConfigError
from artrec.storage import Store
from artrec.tables import Receipt, open_file

__all__ = ["ArrowReader", "Batch", "ENGINES", "Reader", "open_reader"]

Batch = dict[str, list[Any]]
"""The values of each column, row by row; of equal lengths."""

BUFFER_BYTES = 32 << 20
"""What is read at once and shuffled together, at least one row group."""


class Reader(Protocol):
    """Gives the rows of a table, again and again, each time in another order."""

    def batches(
        self, columns: Sequence[str], split: int, splits: int, epoch: int, seed: int
    ) -> Iterator[Batch]:
        """One epoch of one part; the last batch may be shorter, and no row is left out.

        ``ConfigError`` where there are more parts than row groups to deal out.
        """
        ...


class ArrowReader:
    """The engine ``arrow``: row groups in random order, rows shuffled within a bounded buffer.

    With ``of`` only the rows of that name in the column ``split`` are given. The rows that are
    read are counted against footers and receipts, and a difference ends the epoch as an error.
    """

    def __init__(
        self,
        store: Store,
        receipts: Sequence[Receipt],
        batch: int,
        of: str | None = None,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self._store, self._receipts = store, list(receipts)
        self._batch, self._of, self._buffer_bytes = batch, of, buffer_bytes

    def batches(
        self, columns: Sequence[str], split: int, splits: int, epoch: int, seed: int
    ) -> Iterator[Batch]:
        files = [open_file(self._store, receipt) for receipt in self._receipts]
        groups = [(f, g) for f, file in enumerate(files) for g in range(file.num_row_groups)]
        if splits > max(1, len(groups)):
            raise ConfigError(
                f"{splits} readers cannot share {len(groups)} row groups; use fewer readers"
            )
        random = np.random.default_rng((seed, epoch))
        order = [groups[i] for i in random.permutation(len(groups))][split::splits]
        shuffle = np.random.default_rng((seed, epoch, split))
        waiting: Batch = {name: [] for name in columns}
        seen = dict.fromkeys(range(len(files)), 0)
        for rows in self._buffers(files, order, columns, seen):
            _extend(waiting, rows, shuffle.permutation(rows.num_rows))
            yield from _taken(waiting, self._batch)
        _check(self._receipts, files, order, seen, whole=splits == 1)
        yield from _taken(waiting, max(1, len(next(iter(waiting.values())))))

    def _buffers(
        self,
        files: Sequence[Any],
        order: Sequence[tuple[int, int]],
        columns: Sequence[str],
        seen: dict[int, int],
    ) -> Iterator[pa.Table]:
        """Row groups, together up to the buffer's bytes; ``seen`` counts what each file gave."""
        wanted = list(dict.fromkeys([*columns, *(["split"] if self._of else [])]))
        parts: list[pa.Table] = []
        for file, group in order:
            rows = files[file].read_row_group(group, columns=wanted)
            seen[file] += rows.num_rows
            if parts and sum(part.nbytes for part in parts) + rows.nbytes > self._buffer_bytes:
                yield pa.concat_tables(parts)
                parts = []
            parts.append(self._chosen(rows))
        if parts:
            yield pa.concat_tables(parts)

    def _chosen(self, rows: pa.Table) -> pa.Table:
        if self._of is None:
            return rows
        same = np.asarray([name == self._of for name in rows.column("split").to_pylist()], bool)
        return rows.take(pa.array(np.flatnonzero(same)))


ENGINES: dict[str, Callable[..., Reader]] = {"arrow": ArrowReader}
"""Engine -> its reader; each takes store, receipts, batch and ``of``."""


def open_reader(
    engine: str, store: Store, receipts: Sequence[Receipt], batch: int, of: str | None = None
) -> Reader:
    """A reader of these files by the engine of that name."""
    if engine not in ENGINES:
        raise ConfigError(f"no reader engine {engine!r}; there is {', '.join(sorted(ENGINES))}")
    return ENGINES[engine](store, receipts, batch, of)


def _extend(waiting: Batch, rows: pa.Table, order: NDArray[np.int64]) -> None:
    shuffled = rows.take(pa.array(order))
    for name, values in waiting.items():
        values += shuffled.column(name).to_pylist()


def _taken(waiting: Batch, size: int) -> Iterator[Batch]:
    """Whole batches from the front; what is left waits."""
    count = len(next(iter(waiting.values())))
    for start in range(0, count - size + 1, size):
        yield {name: values[start : start + size] for name, values in waiting.items()}
    for values in waiting.values():
        del values[: count - count % size]


def _check(
    receipts: Sequence[Receipt],
    files: Sequence[Any],
    order: Sequence[tuple[int, int]],
    seen: dict[int, int],
    whole: bool,
) -> None:
    """Every row of every row group of this part was read; of a whole epoch, every file's rows."""
    expected = dict.fromkeys(seen, 0)
    for file, group in order:
        expected[file] += files[file].metadata.row_group(group).num_rows
    for file, receipt in enumerate(receipts):
        rows = receipt.rows if whole else expected[file]
        if not seen[file] == expected[file] == rows:
            raise ArtrecError(
                f"{receipt.path}: an epoch gave {seen[file]} rows, its footer names "
                f"{expected[file]}, its receipt {receipt.rows}; it was altered or not wholly read"
            )
