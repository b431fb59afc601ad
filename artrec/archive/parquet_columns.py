"""Which columns of a Parquet file hold pictures, their paths and their labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import pyarrow as pa

__all__ = ["LABELS", "PictureColumns"]

LABELS = ("style", "artist", "title", "year", "genre", "split", "license")
"""Columns that are labels: text, numbers, or numbers of classes whose names the schema holds."""

_PICTURES = "image"
_UNKNOWN = ("", "unknown", "unknown artist", "unknown style", "unknown genre")
_NOTHING = memoryview(b"")


@dataclass(frozen=True)
class PictureColumns:
    """``pictures`` is a column of bytes, or of struct{bytes, path} where ``nested``.

    ``labelled`` has the names of the classes of each column of labels; of others nothing.
    """

    pictures: str
    nested: bool
    has_path: bool
    labelled: Mapping[str, Sequence[str] | None] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: pa.Schema) -> Self:
        """The columns of a file; ``ValueError`` where none, or several, may hold the pictures."""
        fitting = [each.name for each in schema if _bytes_of(each.type) is not None]
        if _PICTURES in fitting:
            fitting = [_PICTURES]
        if len(fitting) != 1:
            said = f"several ({', '.join(fitting)})" if fitting else "none"
            raise ValueError(
                f"{said} of its columns may hold pictures; one, best called image, has to be of "
                f"bytes, or of struct{{bytes, path}}; its columns are: {', '.join(schema.names)}"
            )
        kind = schema.field(fitting[0]).type
        nested = pa.types.is_struct(kind)
        classes = _classes(schema)
        labelled = {
            each.name: classes.get(each.name)
            for each in schema
            if each.name in LABELS and _is_label(each.type)
        }
        return cls(fitting[0], nested, nested and _has_text(kind, "path"), labelled)

    def bytes_alone(self) -> list[str]:
        """The leaf columns to read for the pictures' bytes."""
        return [f"{self.pictures}.bytes" if self.nested else self.pictures]

    def all(self) -> list[str]:
        """And for paths and labels."""
        paths = [f"{self.pictures}.path"] if self.has_path else []
        return [*self.bytes_alone(), *paths, *self.labelled]

    def values(self, batch: pa.RecordBatch) -> Iterator[memoryview]:
        """The bytes of each row, without a copy; nothing for a null."""
        column = batch.column(self.pictures)
        for value in _child(column, "bytes") if self.nested else column:
            yield memoryview(value.as_buffer()) if value.is_valid else _NOTHING

    def paths(self, batch: pa.RecordBatch) -> list[str]:
        """The path of each row, "" without one."""
        if not self.has_path:
            return [""] * batch.num_rows
        return [each or "" for each in _child(batch.column(self.pictures), "path").to_pylist()]

    def labels(self, batch: pa.RecordBatch) -> Iterator[dict[str, str] | None]:
        """What the columns of labels say of each row; what is not known is left out."""
        columns = {
            name: [_label(value, classes) for value in batch.column(name).to_pylist()]
            for name, classes in self.labelled.items()
        }
        for row in range(batch.num_rows):
            said = {name: text for name, values in columns.items() if (text := values[row])}
            yield said or None


def _bytes_of(kind: pa.DataType) -> pa.DataType | None:
    """The type of the bytes in a column of pictures, None for other columns."""
    if pa.types.is_struct(kind):
        inner = {kind.field(n).name: kind.field(n).type for n in range(kind.num_fields)}
        kind = inner.get("bytes", pa.null())
    return kind if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else None


def _has_text(kind: pa.DataType, name: str) -> bool:
    found = [kind.field(n).type for n in range(kind.num_fields) if kind.field(n).name == name]
    return any(pa.types.is_string(each) or pa.types.is_large_string(each) for each in found)


def _is_label(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        is_(kind) for is_ in (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
    )


def _child(column: pa.Array, name: str) -> pa.Array:
    """A field of a column of structs, null also where the struct is."""
    return column.flatten()[column.type.get_field_index(name)]


def _classes(schema: pa.Schema) -> dict[str, list[str]]:
    """Names of classes, as the library ``datasets`` writes them into the schema's metadata."""
    try:
        said: Any = json.loads((schema.metadata or {})[b"huggingface"])
        features = said["info"]["features"].items()
    except (KeyError, ValueError, AttributeError, TypeError):
        return {}
    return {
        name: [str(each) for each in feature["names"]]
        for name, feature in features
        if isinstance(feature, dict) and isinstance(feature.get("names"), list)
    }


def _label(value: Any, classes: Sequence[str] | None) -> str:
    """The label as text, "" where it is not known; -1 is the class of what has none."""
    if value is None or (isinstance(value, int) and value < 0):
        return ""
    if isinstance(value, int) and classes is not None:
        value = classes[value] if value < len(classes) else ""
    text = str(value).strip()
    return "" if text.casefold().replace("_", " ").replace("-", " ") in _UNKNOWN else text
