"""The vectors of a query: Parquet with the columns query_id and embedding.

``set_id`` (text) is the set of a row; ``vector_no`` (int64), where there is one, the content of the
catalog that it stands for, which is then left out of the list of its set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from artrec.archive import Pin
from artrec.archive.parquet import is_parquet
from artrec.archive.ranges import RangeFile, Ranges
from artrec.errors import ArchiveError, ConfigError, InputError, NotFound
from artrec.releases import Release
from artrec.schemas import TABLES
from artrec.stages.frames import Attempt, TaskReport, parallelism, run_tasks
from artrec.stages.query.pictures import Encoded
from artrec.stages.query.place import SCRATCH
from artrec.stages.session import describe
from artrec.stages.slices import SliceSpec, join_units
from artrec.storage import Entry, Store
from artrec.storage.parquet import opened
from artrec.tables import TableWriter
from artrec.vectors.topk import NOBODY

__all__ = ["VectorFile", "read_vectors", "vector_files"]

NEEDED = ("query_id", "embedding")
ROWS = 4096  # that are read at once
BUFFER = 8 << 20  # bytes of one range read of a column
MARK = b"PAR1"
WRONG = "wrong"


class _WrongDimension(InputError):
    """A vector that cannot be compared with the release's."""


@dataclass(frozen=True)
class VectorFile:
    """A file as it was found: rows and bytes of each row group."""

    pin: Pin
    groups: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class _Task:
    """What the tasks know; ``places`` are (file, row group, its first entry, its first row)."""

    source: Store
    out: Store
    files: Sequence[VectorFile]
    places: Sequence[tuple[int, int, int, int]]
    slices: Sequence[SliceSpec]
    dim: int
    metric: str
    encoder: str


def vector_files(store: Store, path: str, release: Release, sets: bool) -> list[VectorFile]:
    """The files of vectors under a path, in the order of their names; none where pictures lie.

    A file or folder holds vectors where the first Parquet file has one of the columns ``NEEDED``.
    Raises InputError for a column that is missing or of another type, ConfigError for vectors that
    say they are of another encoder, metric or dimension than the release's.
    """
    entries, stray = _parquet(store, path)
    found: list[VectorFile] = []
    for entry in entries:
        ranges = Ranges(store, Pin("parquet", entry.path, entry.bytes, entry.etag))
        try:
            file = _opened(ranges)
        except ArchiveError:
            if stray and not found:  # a member like others, which is no picture
                return []
            raise
        if not found and not {*NEEDED} & {*file.schema_arrow.names}:
            return []
        if stray:
            raise InputError(f"{stray}: no Parquet, beside vectors in files that are")
        _check(file.schema_arrow, ranges.url, release, sets)
        if not found:
            _check_first(file, ranges.url, release)
        meta = file.metadata
        groups = [meta.row_group(n) for n in range(meta.num_row_groups)]
        found.append(VectorFile(ranges.pin, [(g.num_rows, g.total_byte_size) for g in groups]))
    return found


def _parquet(store: Store, path: str) -> tuple[list[Entry], str]:
    """Parquet files under a path, up to the first other file, whose URL is the second.

    What engines leave beside tables does not count.
    """
    try:
        entry = store.stat(path) if path else None
    except NotFound:
        entry = None
    if entry is not None:
        return [entry] if store.read(path, 0, len(MARK)) == MARK else [], ""
    found: list[Entry] = []
    for entry in store.list(path):
        if entry.path.rpartition("/")[2].startswith(("_", ".")):
            continue
        if not is_parquet(entry):
            return found, store.path_url(entry.path)
        found.append(entry)
    return found, ""


def _opened(ranges: Ranges) -> pq.ParquetFile:
    try:
        # The buffer keeps it from reading a whole column of a row group at once.
        return opened(RangeFile(ranges), buffer_size=BUFFER)
    except (pa.ArrowException, OSError) as error:
        raise ArchiveError(f"{ranges.url}: no whole Parquet file ({error})") from error


def _check(schema: pa.Schema, url: str, release: Release, sets: bool) -> None:
    for name in (*NEEDED, *(["set_id"] if sets else [])):
        if name not in schema.names:
            raise InputError(
                f"{url}: no column {name}; it has: {', '.join(schema.names)}; vectors need "
                f"{' and '.join(NEEDED)}, and set_id for --sets"
            )
    kinds = {"query_id": _is_text, "set_id": _is_text, "vector_no": pa.types.is_int64}
    for name, fits in {**kinds, "embedding": _is_vector}.items():
        if name in schema.names and not fits(schema.field(name).type):
            wanted = {"embedding": "list<float>", "vector_no": "int64"}.get(name, "string")
            raise InputError(f"{url}: {name} is {schema.field(name).type}, not {wanted}")
    due = {"encoder": release.encoder, "metric": release.metric, "dim": str(release.dim)}
    for name, wanted in due.items():
        said = (schema.metadata or {}).get(f"artrec.{name}".encode(), wanted.encode()).decode()
        if said != wanted:
            raise ConfigError(
                f"{url}: vectors of {name} {said}; those of release {release.release_id} are of "
                f"{wanted}, so distances would mean nothing"
            )


def _check_first(file: pq.ParquetFile, url: str, release: Release) -> None:
    """Refuse a wrong dimension before Spark is started: by one vector, tasks look at the others."""
    try:
        batch = next(file.iter_batches(1, columns=["embedding"]), None)
    except (pa.ArrowException, OSError):
        return  # the task that reads it says what is wrong
    vector = batch.column(0)[0].as_py() if batch is not None and batch.num_rows else None
    if vector is not None and len(vector) != release.dim:
        raise _wrong_dimension(url, 0, len(vector), release.encoder, release.dim)


def _wrong_dimension(url: str, row: int, found: int, encoder: str, dim: int) -> _WrongDimension:
    return _WrongDimension(
        f"{url}: row {row} is a vector of {found} numbers; those of encoder {encoder} have {dim}"
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_vector(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_(kind) for is_ in lists) and bool(pa.types.is_floating(kind.value_type))


def read_vectors(
    spark: SparkSession,
    source: Store,
    files: Sequence[VectorFile],
    out: Store,
    release: Release,
    slice_bytes: int,
) -> Encoded:
    """Read and judge every row; of another dimension than the release's none may be."""
    places, sizes = [], []
    entry = 0
    for number, file in enumerate(files):
        firsts = [0, *accumulate(rows for rows, _ in file.groups)]
        for group, (rows, size) in enumerate(file.groups):
            places.append((number, group, entry, firsts[group]))
            sizes.append((rows, size))
            entry += rows
    units = [
        SliceSpec(low=(at,), high=(at,), items=rows, bytes=size)
        for at, (rows, size) in enumerate(sizes)
    ]
    slices = join_units(units, slice_bytes, parallelism(spark))
    facts = (release.dim, release.metric, f"{release.encoder} of release {release.release_id}")
    task = _Task(source, out, files, places, slices, *facts)
    describe(spark, f"query: {entry} vectors in {len(slices)} slices")
    reports = run_tasks(spark, len(slices), partial(_read_slice, task))
    for report in reports:
        if WRONG in report.notes:
            raise InputError(report.notes[WRONG])
    return Encoded(entry, [receipt for report in reports for receipt in report.receipts])


def _read_slice(task: _Task, attempt: Attempt) -> TaskReport:
    """A vector of another dimension is told in a note: an error would be tried again."""
    spec = task.slices[attempt.index]
    try:
        return _read(task, spec, attempt)
    except _WrongDimension as error:
        return TaskReport(notes={WRONG: str(error)})


def _read(task: _Task, spec: SliceSpec, attempt: Attempt) -> TaskReport:
    with TableWriter(task.out, SCRATCH, TABLES["query_encoded"], attempt.stem) as writer:
        for at in range(int(spec.low[0]), int(spec.high[0]) + 1):
            for batch in _judged(task, *task.places[at]):
                writer.write(batch)
    return TaskReport(receipts=writer.receipts)


def _judged(task: _Task, number: int, group: int, entry: int, row: int) -> Iterator[pa.RecordBatch]:
    """The rows of a row group, as they are to be written."""
    ranges = Ranges(task.source, task.files[number].pin)
    file = _opened(ranges)
    wanted = ("query_id", "embedding", "set_id", "vector_no")
    columns = [name for name in wanted if name in file.schema_arrow.names]
    try:
        for batch in file.iter_batches(ROWS, row_groups=[group], columns=columns):
            yield _rows(task, batch, entry, ranges.url, row)
            entry, row = entry + batch.num_rows, row + batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise ArchiveError(f"{ranges.url}: row group {group} is damaged ({error})") from error


def _rows(task: _Task, batch: pa.RecordBatch, entry: int, url: str, row: int) -> pa.RecordBatch:
    vectors, reasons, details = _vectors(task, batch.column("embedding"), url, row)
    ids = batch.column("query_id").to_pylist()
    for at, name in enumerate(ids):
        if not name:
            vectors[at], reasons[at], details[at] = None, "no_query_id", f"row {row + at}"
    nothing = [None] * batch.num_rows
    more = {"set_id", "vector_no"} & {*batch.schema.names}
    named = {name: batch.column(name).to_pylist() for name in more}
    columns = {
        "entry": range(entry, entry + batch.num_rows),
        "query_id": [name or "" for name in ids],
        "set_id": named.get("set_id", nothing),
        "own": [NOBODY if own is None else own for own in named.get("vector_no", nothing)],
        "reason": reasons,
        "detail": details,
        "embedding": vectors,
    }
    schema = TABLES["query_encoded"].columns
    arrays = [pa.array(columns[column.name], column.type) for column in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _vectors(
    task: _Task, column: pa.Array, url: str, row: int
) -> tuple[list[Any], list[str | None], list[str | None]]:
    """Of each row its vector, or a reason and a detail.

    Raises _WrongDimension for a vector of another dimension.
    """
    count = len(column)
    vectors: list[Any] = [None] * count
    reasons: list[str | None] = ["no_vector"] * count
    details: list[str | None] = ["null instead of a vector"] * count
    rows = np.flatnonzero(np.asarray(column.is_valid()))
    given = column.take(pa.array(rows))
    lengths = np.asarray(pc.list_value_length(given), np.int64)
    wrong = np.flatnonzero(lengths != task.dim)
    if len(wrong):
        place, length = int(row + rows[wrong[0]]), int(lengths[wrong[0]])
        raise _wrong_dimension(url, place, length, task.encoder, task.dim)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and so rejected
        values = given.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    values = values.reshape(len(rows), task.dim)
    bad = (~np.isfinite(values)).sum(axis=1)
    zero = ~values.any(axis=1) & (task.metric == "cosine")
    for at, vector, numbers, nothing in zip(rows.tolist(), values, bad, zero, strict=True):
        if numbers:
            reasons[at], details[at] = "non_finite_vector", f"{numbers} numbers"
        elif nothing:
            reasons[at], details[at] = "zero_vector", "it has no direction, so no cosine"
        else:
            vectors[at], reasons[at], details[at] = vector, None, None
    return vectors, reasons, details
