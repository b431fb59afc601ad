"""Reading training examples: one interface for every engine, and a count that must come out.

A reader gives the rows of a table in batches, in an order that depends on seed and epoch alone.
Several processes may share an epoch: each names its part (``split`` of ``splits``), and the parts
are disjoint and together everything. An engine only fetches row groups, in the order that it is
told; order, choice, shuffling and counting stand here, so that all engines give the same batches.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from artrec.errors import ArtrecError, ConfigError
from artrec.storage import Store
from artrec.tables import Receipt, open_file

__all__ = [
    "ArrowEngine",
    "Batch",
    "ENGINES",
    "Engine",
    "Place",
    "Reader",
    "TableReader",
    "check_engine",
    "open_reader",
]

Batch = dict[str, list[Any]]
"""The values of each column, row by row; of equal lengths."""

BUFFER_BYTES = 32 << 20
"""What is shuffled together, at least one row group."""

ENGINES: dict[str, str] = {
    "arrow": "artrec.encoders.reader:ArrowEngine",
    "petastorm": "artrec.encoders.petastorm_engine:PetastormEngine",
}
"""Engine to ``module:class``; a string, so that its packages are needed only where it is asked."""


class Place(NamedTuple):
    """A row group: the number of its file among the receipts, and its own within the file."""

    file: int
    group: int


class Engine(Protocol):
    """Fetches row groups of some files; it takes a store and receipts."""

    def groups(
        self, files: Sequence[Any], order: Sequence[Place], columns: Sequence[str]
    ) -> Generator[tuple[Place, pa.Table]]:
        """The row groups in that order, one after another; ``files`` are the opened receipts.

        Whoever stops taking closes the iterator; nothing stays open then.
        """
        ...


class Reader(Protocol):
    """Gives the rows of a table, again and again, each time in another order."""

    def batches(
        self, columns: Sequence[str], split: int, splits: int, epoch: int, seed: int
    ) -> Generator[Batch]:
        """One epoch of one part; the last batch may be shorter, and no row is left out.

        ``ConfigError`` where there are more parts than row groups to deal out.
        """
        ...


class ArrowEngine:
    """The engine ``arrow``: pyarrow over the Store."""

    def __init__(self, store: Store, receipts: Sequence[Receipt]) -> None:
        pass  # it needs nothing but the opened files

    def groups(
        self, files: Sequence[Any], order: Sequence[Place], columns: Sequence[str]
    ) -> Generator[tuple[Place, pa.Table]]:
        for place in order:
            yield place, files[place.file].read_row_group(place.group, columns=list(columns))


class TableReader:
    """Row groups in random order, dealt out to the parts, rows shuffled within bounded buffers.

    With ``of`` only the rows of that name in the column ``split`` are given. The rows that are
    read are counted against footers and receipts, and a difference ends the epoch as an error.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        receipts: Sequence[Receipt],
        batch: int,
        of: str | None = None,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self._engine, self._store, self._receipts = engine, store, list(receipts)
        self._batch, self._of, self._buffer_bytes = batch, of, buffer_bytes

    def batches(
        self, columns: Sequence[str], split: int, splits: int, epoch: int, seed: int
    ) -> Generator[Batch]:
        files = [open_file(self._store, receipt) for receipt in self._receipts]
        groups = [Place(f, g) for f, file in enumerate(files) for g in range(file.num_row_groups)]
        if splits > max(1, len(groups)):
            raise ConfigError(
                f"{splits} readers cannot share {len(groups)} row groups; use fewer readers"
            )
        random = np.random.default_rng((seed, epoch))
        order = [groups[i] for i in random.permutation(len(groups))][split::splits]
        shuffle = np.random.default_rng((seed, epoch, split))
        seen = dict.fromkeys(range(len(files)), 0)
        left: pa.Table | None = None  # rows of earlier buffers that did not fill a batch
        for rows in self._buffers(files, order, columns, seen):
            kept = 0 if left is None else left.num_rows
            both = rows if left is None else pa.concat_tables([left, rows])
            places = np.concatenate([np.arange(kept), kept + shuffle.permutation(rows.num_rows)])
            left = yield from self._full(both.combine_chunks(), places, columns)
            del both, rows
        _check(self._receipts, files, order, seen, whole=splits == 1)
        if left is not None and left.num_rows:
            yield _listed(left, columns)

    def _full(
        self, rows: pa.Table, places: Any, columns: Sequence[str]
    ) -> Generator[Batch, None, pa.Table]:
        """The whole batches of these rows; returns what is left over."""
        end = len(places) - len(places) % self._batch
        for start in range(0, end, self._batch):
            yield _listed(rows.take(pa.array(places[start : start + self._batch])), columns)
        return rows.take(pa.array(places[end:]))

    def _buffers(
        self,
        files: Sequence[Any],
        order: Sequence[Place],
        columns: Sequence[str],
        seen: dict[int, int],
    ) -> Iterator[pa.Table]:
        """Row groups, together up to the buffer's bytes; ``seen`` counts what each file gave."""
        wanted = list(dict.fromkeys([*columns, *(["split"] if self._of else [])]))
        first = _first_of_buffers(files, order, wanted, self._buffer_bytes)
        parts: list[pa.Table] = []
        with closing(self._engine.groups(files, order, wanted)) as groups:
            for place, rows in groups:
                seen[place.file] += rows.num_rows
                if parts and place in first:
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


def check_engine(engine: str) -> None:
    """``ConfigError`` where an engine is unknown, or cannot work beside the packages that are here.

    To be asked before any work; a store is not needed.
    """
    place = ENGINES.get(engine)
    if place is None:
        raise ConfigError(f"no reader engine {engine!r}; there is {', '.join(sorted(ENGINES))}")
    check = getattr(importlib.import_module(place.partition(":")[0]), "check_packages", None)
    if check is not None:
        check()


def open_reader(
    engine: str,
    store: Store,
    receipts: Sequence[Receipt],
    batch: int,
    of: str | None = None,
    buffer_bytes: int = BUFFER_BYTES,
) -> Reader:
    """A reader of these files by the engine of that name."""
    check_engine(engine)
    module, _, name = ENGINES[engine].partition(":")
    made: Engine = getattr(importlib.import_module(module), name)(store, receipts)
    return TableReader(made, store, receipts, batch, of, buffer_bytes)


def _first_of_buffers(
    files: Sequence[Any], order: Sequence[Place], columns: Sequence[str], most: int
) -> set[Place]:
    """The row groups with which a buffer begins; by footers, so alike in all engines."""
    found, filled = set(), 0
    for place in order:
        group = files[place.file].metadata.row_group(place.group)
        parts = (group.column(number) for number in range(group.num_columns))
        size = sum(
            part.total_uncompressed_size
            for part in parts
            if part.path_in_schema.partition(".")[0] in columns
        )
        if filled + size > most:
            found.add(place)
            filled = 0
        filled += size
    return found


def _listed(rows: pa.Table, columns: Sequence[str]) -> Batch:
    return {name: rows.column(name).to_pylist() for name in columns}


def _check(
    receipts: Sequence[Receipt],
    files: Sequence[Any],
    order: Sequence[Place],
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
