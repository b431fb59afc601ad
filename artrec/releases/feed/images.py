"""Changed images of a catalog: rows that came, went, or are not what they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from artrec.digests import key_hashes
from artrec.schemas import TABLES, Table

__all__ = ["COLUMNS", "KINDS", "LABELS", "PICTURE", "changed_images"]

KINDS = ("new", "changed", "gone", "moved", "doubled", "relabelled", "healed", "rejected")
"""What became of an image, as ``catalog_changes`` says it in ``kind``; ``moved`` stands there twice
for one image, where it was and where it is."""

LABELS = ("style", "artist", "title", "year", "genre", "split", "license", "extra")
PICTURE = ("content_sha256", "width", "height", "format")

COLUMNS = [name for name in TABLES["catalog"].columns.names if name != "entry"]
"""What is compared, or told."""


def changed_images(old: pa.Table, new: pa.Table) -> tuple[pa.RecordBatch, Counter[str]]:
    """The rows of ``catalog_changes`` between two catalogs (COLUMNS), in their order; and counts.

    Their ``kind`` is new, gone, changed or relabelled, by the names alone. Counted are ``insert``,
    ``delete`` and ``update``.
    """
    came, left = _missing(new, old), _missing(old, new)
    place = np.asarray(
        pc.index_in(new.column("image_id"), old.column("image_id")).drop_null(), np.int64
    )
    was, now = old.take(pa.array(place)), new.filter(pa.array(~came))
    picture, labels, source = (_differ(was, now, each) for each in (PICTURE, LABELS, ["source"]))
    other = np.flatnonzero(picture | labels | source)
    updates = _rows(now.take(pa.array(other)), "update", picture[other], labels[other])
    relabelled = (labels & ~picture & ~source)[other]
    kinds = np.where(relabelled, "relabelled", "changed").tolist()
    before = was.column("content_sha256").take(pa.array(other))
    parts = [
        _with(updates, kind=pa.array(kinds, pa.string()), old_content_sha256=before),
        _rows(new.filter(pa.array(came)), "insert"),
        _deleted(old.filter(pa.array(left))),
    ]
    table = pa.concat_tables(parts).sort_by("image_id").combine_chunks()
    counts = {"insert": came.sum(), "delete": left.sum(), "update": len(other)}
    batches = table.to_batches()
    empty = pa.RecordBatch.from_pylist([], schema=table.schema)
    return batches[0] if batches else empty, Counter({k: int(v) for k, v in counts.items()})


def _missing(rows: pa.Table, among: pa.Table) -> NDArray[np.bool_]:
    known = pc.is_in(rows.column("image_id"), value_set=among.column("image_id").combine_chunks())
    return ~np.asarray(known, np.bool_)


def _differ(one: pa.Table, other: pa.Table, columns: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each row has other values there, by 64 bits of them."""
    table = Table("catalog", TABLES["catalog"].columns, key=tuple(columns), sort=())
    differ: NDArray[np.bool_] = key_hashes(one, table) != key_hashes(other, table)
    return differ


def _rows(
    rows: pa.Table,
    change: str,
    picture: NDArray[np.bool_] | None = None,
    labels: NDArray[np.bool_] | None = None,
) -> pa.Table:
    count = rows.num_rows
    every = np.ones(count, np.bool_)
    schema = TABLES["catalog_changes"].columns
    own = {
        "change": pa.array([change] * count, pa.string()),
        "kind": pa.array(["new"] * count, pa.string()),
        "picture": pa.array(every if picture is None else picture),
        "labels": pa.array(every if labels is None else labels),
        "other_id": pa.nulls(count, pa.string()),
        "old_content_sha256": pa.nulls(count, pa.binary()),
    }
    arrays = [own[name] if name in own else rows.column(name) for name in schema.names]
    return pa.Table.from_arrays(arrays, schema=schema)


def _deleted(rows: pa.Table) -> pa.Table:
    gone = pa.array(["gone"] * rows.num_rows, pa.string())
    return _with(_rows(rows, "delete"), kind=gone, old_content_sha256=rows.column("content_sha256"))


def _with(table: pa.Table, **columns: pa.Array | pa.ChunkedArray) -> pa.Table:
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), values)
    return table
