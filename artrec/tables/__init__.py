"""Parquet files through the Store: written once, hashed while written, described by receipts."""

from artrec.tables.reading import open_file, read_range, read_table
from artrec.tables.receipts import Receipt
from artrec.tables.writing import FILE_BYTES, GROUP_BYTES, GROUP_ROWS, TableWriter

__all__ = [
    "FILE_BYTES",
    "GROUP_BYTES",
    "GROUP_ROWS",
    "Receipt",
    "TableWriter",
    "open_file",
    "read_range",
    "read_table",
]
