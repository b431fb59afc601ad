"""What a table is: its columns, key and order, and the check that a file has them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from artrec.errors import StoreFormatError

__all__ = ["EXTRA", "LABELS", "MEMBER", "SHA", "Table", "VECTOR", "columns"]

VECTOR = pa.list_(pa.field("element", pa.float32(), nullable=False))
EXTRA = pa.map_(pa.string(), pa.string())
SHA = pa.binary()  # 32 bytes; engines hand fixed-size binary on as plain binary


@dataclass(frozen=True)
class Table:
    """The form of one table.

    ``digest`` names the columns that row digests cover beside the key; bulky columns that the key
    already determines are left out.
    """

    name: str
    columns: pa.Schema
    key: tuple[str, ...]
    sort: tuple[str, ...]
    version: int = 1
    compression: str | dict[str, str] = "zstd"
    undigested: frozenset[str] = field(default_factory=frozenset)

    @property
    def digested(self) -> tuple[str, ...]:
        return tuple(
            name
            for name in self.columns.names
            if name not in self.key and name not in self.undigested
        )

    def check(self, found: pa.Schema, where: str) -> None:
        """Raise StoreFormatError unless ``found`` has this table's columns and types.

        Nullability is not compared: engines that pass a table on rarely keep it.
        """
        missing = [name for name in self.columns.names if name not in found.names]
        extra = [name for name in found.names if name not in self.columns.names]
        other = [
            f"{name} is {found.field(name).type}, not {self.columns.field(name).type}"
            for name in self.columns.names
            if name in found.names
            and not _same(found.field(name).type, self.columns.field(name).type)
        ]
        if missing or extra or other:
            raise StoreFormatError(
                f"{where}: not a {self.name} table of version {self.version}: "
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
