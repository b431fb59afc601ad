"""The same pictures packed as each kind of archive, by the writers of other projects."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["CLASSES", "FILES", "gzipped", "parquet_bytes", "tar_bytes", "zstandard"]

Named = tuple[str, bytes]


def tar_bytes(members: Iterable[Named], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar by Python's ``tarfile``, names as often as they are given."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def zstandard(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


CLASSES = {"style": ["Baroque", "Cubism", "Realism"], "artist": ["Unknown Artist", "painter-0"]}


def parquet_bytes(
    members: Sequence[Named],
    *,
    paths: bool = True,
    plain: bool = False,
    labels: Mapping[str, Sequence[Any]] | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    group: int = 3,
) -> bytes:
    """Rows as the library ``datasets`` writes pictures; ``plain`` is a column of bytes alone."""
    inner = [("bytes", pa.binary())] + ([("path", pa.string())] if paths else [])
    values = [{"bytes": data, "path": name} for name, data in members]
    column = (
        pa.array([data for _, data in members], pa.binary())
        if plain
        else pa.array([{k: v[k] for k, _ in inner} for v in values], pa.struct(inner))
    )
    table = pa.table({"image": column, **{k: pa.array(v) for k, v in (labels or {}).items()}})
    if classes is not None:
        features = {k: {"names": list(v), "_type": "ClassLabel"} for k, v in classes.items()}
        said = {"info": {"features": {"image": {"_type": "Image"}, **features}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(said)})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=group)
    return sink.getvalue()


FILES: dict[str, Callable[[Sequence[Named]], bytes]] = {
    "tar": tar_bytes,
    "tar.gz": lambda members: gzipped(tar_bytes(members)),
    "tar.zst": lambda members: zstandard(tar_bytes(members)),
    "parquet": parquet_bytes,
}
"""Kind -> one file of these members."""
