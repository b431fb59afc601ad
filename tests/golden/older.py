"""Makes an older store of a present one: one table of its current release in an older form.

The releases stay what they are; files and receipts of the table are replaced where they lie, as an
artrec of that version would have written them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artrec.schemas import TABLES, Older, Table

__all__ = ["downgrade", "raised_from", "without"]


def without(table: str, column: str) -> pa.Schema:
    """The columns of a table but for one."""
    columns = TABLES[table].columns
    return columns.remove(columns.get_field_index(column))


def raised_from(
    table: str, columns: pa.Schema, step: Callable[[pa.RecordBatch], pa.RecordBatch], **more: Any
) -> Table:
    """The table as it is, said to have come of a version 0 with these columns."""
    return replace(TABLES[table], older={0: Older(columns, step, **more)})


def downgrade(root: Path, table: str, columns: pa.Schema) -> list[Path]:
    """Write a table's files again with these columns, as version 0; returns them."""
    name = json.loads((root / "CURRENT.json").read_bytes())["release"]
    stages = json.loads((root / f"releases/{name}.json").read_bytes())["stages"].values()
    refs = [ref for stage in stages for ref in stage["tables"].get(table, [])]
    files = []
    for path in {root / f"runs/{ref['stage']}/{ref['run_id']}/run.json" for ref in refs}:
        run = json.loads(path.read_bytes())
        for receipt in run["tables"][table]:
            files.append(root / receipt["path"])
            receipt |= _rewritten(files[-1], columns)
        path.write_text(json.dumps(run))
    return files


def _rewritten(file: Path, columns: pa.Schema) -> dict[str, Any]:
    rows = pq.ParquetFile(file).read()
    metadata = {**rows.schema.metadata, b"artrec.version": b"0"}
    old = rows.select(columns.names).cast(columns).replace_schema_metadata(metadata)
    pq.write_table(old, file, compression="zstd")
    data = file.read_bytes()
    return {"version": 0, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
