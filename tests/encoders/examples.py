"""Small tables of examples, written as the stage writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from artrec.schemas import TABLES
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter
from tests.pictures import picture

__all__ = ["example", "examples", "written"]


def example(n: int, split: str, side: int = 8) -> dict[str, Any]:
    data = picture(n, "PNG", (side, side))
    return {
        "content_sha256": hashlib.sha256(data).digest(),
        "split": split,
        "picture": data,
        "style": None,
        "artist": f"painter {n % 3}",
    }


def examples(training: int, held_out: int, side: int = 8) -> list[dict[str, Any]]:
    """Pictures in the order of their hashes."""
    splits = ["train"] * training + ["held_out"] * held_out
    rows = [example(n, split, side) for n, split in enumerate(splits)]
    return sorted(rows, key=lambda row: row["content_sha256"])


def written(
    store: Store, rows: Sequence[dict[str, Any]], group: int = 1000, folder: str = "made"
) -> list[Receipt]:
    """One file with ``group`` rows in each row group."""
    table = TABLES["examples"]
    with TableWriter(store, folder, table, "all", group_bytes=1, even_empty=True) as writer:
        for start in range(0, len(rows), group):
            some = rows[start : start + group]
            batch = pa.RecordBatch.from_pylist(some, schema=table.columns)
            writer._group_bytes = batch.nbytes
            writer.write(batch)
            writer._write_group()
    return writer.receipts
