"""Order-free digests of rows: what a run read, without reading it again.

Each row of a table gives 64 bits for its key and 64 bits for each further column, the latter mixed
with the key's; a digest is the sum of those over all rows, modulo 2**64, kept for each column. So
digests of files add up to the digest of the table whatever the files' number or order, and a stage
asks only about the columns it uses. They guard against accidents, not against an adversary.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from artrec.schemas import Table

__all__ = ["Digest", "Hashes", "add", "digest_rows", "key_hashes", "less", "name_of", "taken"]

Digest = dict[str, int]
"""Sum for each column; the key's is under ``""``, the number of rows under ``"rows"``."""

_U64 = np.uint64
_MASK = (1 << 64) - 1
KNOWN, SHORT = 1 << 17, 256  # some 30 MB of a process
_known: dict[str | bytes, int] = {}
Hashes = np.ndarray[Any, np.dtype[np.uint64]]


def digest_rows(batch: pa.RecordBatch | pa.Table, table: Table) -> Digest:
    """The digest of the rows of ``batch``, which has the columns of ``table``."""
    key = key_hashes(batch, table)
    digest = {"rows": batch.num_rows, "": _total(key)}
    for position, name in enumerate(table.digested):
        digest[name] = _total(_mix(key ^ _salted(_hashes(batch.column(name)), position + 101)))
    return digest


def key_hashes(batch: pa.RecordBatch | pa.Table, table: Table) -> Hashes:
    """64 bits for each row's key; equal for equal keys."""
    key = np.zeros(batch.num_rows, _U64)
    for position, name in enumerate(table.key):
        key = _mix(key + _salted(_hashes(batch.column(name)), position + 1))
    return key


def add(digests: Iterable[Digest]) -> Digest:
    """The digest of all rows together; of no digest, the empty one."""
    total: Digest = {"rows": 0, "": 0}
    for digest in digests:
        for name, value in digest.items():
            total[name] = (total.get(name, 0) + value) & _MASK
    return total


def less(whole: Digest, part: Digest) -> Digest:
    """The digest of the rows of ``whole`` without those of ``part``."""
    names = {**whole, **part}
    return {name: (whole.get(name, 0) - part.get(name, 0)) & _MASK for name in names}


def taken(digest: Digest, columns: Sequence[str]) -> Digest:
    """What a digest says of the key and ``columns``."""
    return {name: digest.get(name, 0) for name in ("rows", "", *columns)}


def name_of(facts: Mapping[str, Any], length: int = 16) -> str:
    """A short name for JSON-like facts, equal for equal facts: hex digits of their SHA-256."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _total(hashes: Hashes) -> int:
    return int(np.add.reduce(hashes, dtype=_U64)) if len(hashes) else 0


def _mix(x: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014); wraps silently."""
    x = (x ^ (x >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> _U64(27))) * _U64(0x94D049BB133111EB)
    mixed: Hashes = x ^ (x >> _U64(31))
    return mixed


def _salted(hashes: Hashes, position: int) -> Hashes:
    return hashes + _U64((position * 0x9E3779B97F4A7C15) & _MASK)


def _hashes(column: pa.Array | pa.ChunkedArray) -> Hashes:
    """64 bits for each value; nulls have a value of their own."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # pyarrow < 18 may keep several chunks, or none
            parts = [_hashes(chunk) for chunk in column.chunks]
            return np.concatenate(parts) if parts else np.zeros(0, _U64)
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        hashes = _list_hashes(column)
    elif pa.types.is_struct(kind):
        hashes = _joint_hashes(column.flatten())
    elif _is_bytes(kind):
        hashes = _bytes_hashes(column)
    else:
        hashes = _number_hashes(column)
    if column.null_count:
        hashes = np.where(np.asarray(column.is_null()), _U64(0x6E756C6C), hashes)
    return hashes


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _bytes_hashes(column: pa.Array) -> Hashes:
    """Each distinct value is hashed once: ids repeat in neighbor tables."""
    encoded = column.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    distinct = np.fromiter((_known_hash(value) for value in values), _U64, len(values))
    if not len(distinct):
        return np.zeros(len(column), _U64)
    chosen: Hashes = distinct[np.asarray(encoded.indices.fill_null(0))]
    return chosen


def _known_hash(value: str | bytes) -> int:
    """Names repeat from row group to row group: the first ``KNOWN`` short ones are kept."""
    found = _known.get(value)
    if found is None:
        found = _bytes_hash(value)
        if len(_known) < KNOWN and len(value) <= SHORT:
            _known[value] = found
    return found


def _bytes_hash(value: str | bytes) -> int:
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _number_hashes(column: pa.Array) -> Hashes:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    elif pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    values = np.asarray(column.fill_null(0) if column.null_count else column)
    if values.dtype.kind == "f":
        bits = values.astype(np.float64).view(_U64)
    else:
        bits = values.astype(np.int64).view(_U64)
    return _mix(bits + _U64(0x9E3779B97F4A7C15))


def _list_hashes(column: pa.Array) -> Hashes:
    """The sum over a row's elements, each mixed with its place in the row."""
    offsets = np.asarray(column.offsets, np.int64)
    if pa.types.is_map(column.type):
        elements = _joint_hashes([column.keys, column.items])
    else:
        elements = _hashes(column.values)
    lengths = np.diff(offsets)
    elements = elements[offsets[0] : offsets[-1]]
    places = np.arange(len(elements)) - np.repeat(offsets[:-1] - offsets[0], lengths)
    mixed = _mix(elements + places.astype(_U64) * _U64(0x9E3779B97F4A7C15))
    sums = np.concatenate([np.zeros(1, _U64), np.cumsum(mixed, dtype=_U64)])
    starts = offsets - offsets[0]
    return _mix(sums[starts[1:]] - sums[starts[:-1]] + lengths.astype(_U64))


def _joint_hashes(columns: Sequence[pa.Array]) -> Hashes:
    """64 bits for the values of a row together: a struct's fields, or a map's key and value."""
    hashes = np.zeros(len(columns[0]) if columns else 0, _U64)
    for position, child in enumerate(columns):
        hashes = _mix(hashes + _salted(_hashes(child), position + 1))
    return hashes
