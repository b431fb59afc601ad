"""The tables of neighbors: what joins keep in scratch, the pool, and the lists that readers get."""

from __future__ import annotations

import pyarrow as pa

from artrec.schemas.form import VECTOR, Table, columns

__all__ = ["NEIGHBORS"]

NEIGHBORS = [
    Table(  # how a self-join lays vectors out, and what a block finds in itself; in scratch only
        "neighbor_cells",
        columns(cell=pa.int32(), block=pa.int32(), center=VECTOR),
        key=("cell",),
        sort=("cell",),
    ),
    Table(
        "neighbor_layout",
        columns(cell=pa.int32(), vector_no=pa.int64(), embedding=VECTOR),
        key=("vector_no",),
        sort=("cell", "vector_no"),
        compression="none",
    ),
    Table(
        "neighbor_first",
        columns(
            row=pa.int32(),
            ceiling=pa.float32(),
            others=pa.list_(pa.field("element", pa.int64(), nullable=False)),
            distances=VECTOR,
        ),
        key=("row",),
        sort=("row",),
    ),
    Table(  # the same where only near cells are looked at, and how far each vector looks
        "neighbor_near",
        columns(
            row=pa.int32(),
            reach=pa.float32(),
            ceiling=pa.float32(),
            others=pa.list_(pa.field("element", pa.int64(), nullable=False)),
            distances=VECTOR,
        ),
        key=("row",),
        sort=("row",),
    ),
    Table(  # how often rows of one block look at cells of another
        "neighbor_looks",
        columns(one=pa.int32(), other=pa.int32(), looks=pa.int64()),
        key=("one", "other"),
        sort=("one", "other"),
    ),
    Table(  # true neighbors of a sample, and how many cells must be looked at to see each
        "neighbor_links",
        columns(
            row=pa.int32(),
            distance=pa.float32(),
            other=pa.int64(),
            rank=pa.int32(),
            near=pa.int32(),
        ),
        key=("row", "other"),
        sort=("row",),
    ),
    Table(  # a sample by which lists are judged: how many others there are, how far the last is
        "neighbor_truth",
        columns(vector_no=pa.int64(), others=pa.int32(), furthest=pa.float32()),
        key=("vector_no",),
        sort=("vector_no",),
    ),
    Table(  # what a night adds to a neighbor table, and how far each has as many others as it lists
        "neighbor_added",
        columns(vector_no=pa.int64(), ceiling=pa.float32(), embedding=VECTOR),
        key=("vector_no",),
        sort=("vector_no",),
    ),
    Table(
        "neighbor_gone",
        columns(vector_no=pa.int64()),
        key=("vector_no",),
        sort=("vector_no",),
    ),
    Table(  # vectors whose lists have lost too much
        "neighbor_lacking",
        columns(vector_no=pa.int64(), embedding=VECTOR),
        key=("vector_no",),
        sort=("vector_no",),
    ),
    Table(
        "neighbor_pool",
        columns(
            vector_no=pa.int64(),
            radius=pa.float32(),
            radius_no=pa.int64(),
            others=pa.list_(pa.field("element", pa.int64(), nullable=False)),
            distances=VECTOR,
        ),
        key=("vector_no",),
        sort=("vector_no",),
    ),
    Table(
        "neighbors",
        columns(
            query_id=pa.string(), rank=pa.int32(), neighbor_id=pa.string(), distance=pa.float32()
        ),
        key=("query_id", "rank"),
        sort=("query_id", "rank"),
    ),
    Table(
        "neighbors_nested",
        columns(
            query_id=pa.string(),
            ids=pa.list_(pa.field("element", pa.string(), nullable=False)),
            distances=VECTOR,
        ),
        key=("query_id",),
        sort=("query_id",),
    ),
]
