"""What a table is: its columns, key and order, and the check that a file has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from artrec.errors import StoreFormatError

__all__ = ["EXTRA", "LABELS", "MEMBER", "Older", "SHA", "Table", "VECTOR", "columns"]

VECTOR = pa.list_(pa.field("element", pa.float32(), nullable=False))
EXTRA = pa.map_(pa.string(), pa.string())
SHA = pa.binary()  # 32 bytes; engines hand fixed-size binary on as plain binary


@dataclass(frozen=True)
class Older:
    """The form that a table had in an older version, and the way to the next one.

    ``step`` is pure, row by row, and leaves the columns of key and order as they are. Where it is
    not to be taken at each reading, ``on_reading`` is False: the files have to be migrated.
    """

    columns: pa.Schema
    step: Callable[[pa.RecordBatch], pa.RecordBatch]
    on_reading: bool = True


@dataclass(frozen=True)
class Table:
    """The form of one table.

    ``digest`` names the columns that row digests cover beside the key; bulky columns that the key
    already determines are left out. ``older`` has the versions with a way from them, by number.
    """

    name: str
    columns: pa.Schema
    key: tuple[str, ...]
    sort: tuple[str, ...]
    version: int = 1
    compression: str | dict[str, str] = "zstd"
    undigested: frozenset[str] = field(default_factory=frozenset)
    older: Mapping[int, Older] = field(default_factory=dict)

    @property
    def digested(self) -> tuple[str, ...]:
        return tuple(
            name
            for name in self.columns.names
            if name not in self.key and name not in self.undigested
        )

    def steps(self, version: int) -> list[Older] | None:
        """The ways from an older version to this one, in order; None where one is missing."""
        found = [self.older.get(each) for each in range(version, self.version)]
        steps = [each for each in found if each is not None]
        return steps if len(steps) == len(found) else None

    def check(self, found: pa.Schema, where: str, version: int | None = None) -> None:
        """Raise StoreFormatError unless ``found`` has the columns and types of that version.

        Nullability is not compared: engines that pass a table on rarely keep it.
        """
        version = self.version if version is None else version
        columns = self.columns if version == self.version else self.older[version].columns
        missing = [name for name in columns.names if name not in found.names]
        extra = [name for name in found.names if name not in columns.names]
        other = [
            f"{name} is {found.field(name).type}, not {columns.field(name).type}"
            for name in columns.names
            if name in found.names and not _same(found.field(name).type, columns.field(name).type)
        ]
        if missing or extra or other:
            raise StoreFormatError(
                f"{where}: not a {self.name} table of version {version}: "
                f"missing {missing}, unexpected {extra}, {'; '.join(other) or 'types fit'}"
            )


def _same(found: pa.DataType, declared: pa.DataType) -> bool:
    if pa.types.is_list(declared) and pa.types.is_list(found):
        return bool(found.value_type == declared.value_type)
    if pa.types.is_map(declared) and pa.types.is_map(found):
        return bool((found.key_type, found.item_type) == (declared.key_type, declared.item_type))
    return bool(found == declared)


def columns(**types: pa.DataType) -> pa.Schema:
    """A schema from keyword arguments; a trailing underscore marks a nullable column."""
    return pa.schema(
        [
            pa.field(name.rstrip("_"), kind, nullable=name.endswith("_"))
            for name, kind in types.items()
        ]
    )


LABELS = {
    "style_": pa.string(),
    "artist_": pa.string(),
    "title_": pa.string(),
    "year_": pa.int32(),
    "genre_": pa.string(),
    "split_": pa.string(),
    "license_": pa.string(),
    "extra_": EXTRA,
}

MEMBER = {
    "source": pa.string(),
    "raw_name": pa.binary(),
    "occurrence": pa.int32(),
    "bytes": pa.int64(),
    "fingerprint": pa.string(),
}
