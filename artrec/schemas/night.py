"""The tables of a night: from listings to neighbor lists and index shards."""

from __future__ import annotations

import pyarrow as pa

from artrec.schemas.form import LABELS, MEMBER, SHA, VECTOR, Table, columns

__all__ = ["NIGHT"]

NIGHT = [
    Table(
        "members",
        columns(
            source=pa.string(),
            entry=pa.int64(),
            raw_name=pa.binary(),
            occurrence=pa.int32(),
            image_id=pa.string(),
            bytes=pa.int64(),
            stored_bytes=pa.int64(),
            fingerprint=pa.string(),
            offset=pa.int64(),
            method=pa.string(),
        ),
        key=("source", "entry"),
        sort=("source", "entry"),
    ),
    Table(
        "labels",
        columns(source=pa.string(), entry=pa.int64(), **LABELS),
        key=("source", "entry"),
        sort=("source", "entry"),
    ),
    Table(  # what the paths of members say, while label lists are laid over it; in scratch only
        "path_labels",
        columns(source=pa.string(), entry=pa.int64(), path=pa.string(), **LABELS),
        key=("source", "entry"),
        sort=("source", "entry"),
    ),
    Table(  # rows of label lists that were not used as they stand; and, as list "", members that
        "label_misses",  # no list names, by their entry instead of a line
        columns(
            source=pa.string(),
            list=pa.string(),
            line=pa.int64(),
            path=pa.string(),
            reason=pa.string(),
        ),
        key=("source", "list", "line"),
        sort=("source", "list", "line"),
    ),
    Table(  # the members that ingest has to read tonight, in the order of their slices
        "pending_members",
        columns(
            source=pa.string(),
            slice=pa.int64(),
            entry=pa.int64(),
            raw_name=pa.binary(),
            occurrence=pa.int32(),
            bytes=pa.int64(),
            stored_bytes=pa.int64(),
            fingerprint=pa.string(),
            offset=pa.int64(),
            method=pa.string(),
        ),
        key=("source", "entry"),
        sort=("source", "slice", "entry"),
    ),
    Table(
        "pictures",
        columns(
            content_sha256=SHA,
            recipe=pa.string(),
            data=pa.binary(),
            width=pa.int32(),
            height=pa.int32(),
            format=pa.string(),
            mode=pa.string(),
            phash=pa.int64(),
        ),
        key=("content_sha256", "recipe"),
        sort=(),
        compression={"data": "none"},
        undigested=frozenset({"data"}),
    ),
    Table(
        "ingested",
        columns(
            **MEMBER,
            recipe=pa.string(),
            decoder=pa.string(),
            content_sha256_=SHA,
            reason_=pa.string(),
            detail_=pa.string(),
        ),
        key=("source", "raw_name", "occurrence", "bytes", "fingerprint", "recipe", "decoder"),
        sort=(),
        undigested=frozenset({"detail"}),
    ),
    Table(  # the pictures that embed has to encode tonight, by the place of their bytes
        "pending_pictures",
        columns(
            content_sha256=SHA,
            file=pa.string(),
            row_group=pa.int32(),
        ),
        key=("content_sha256",),
        sort=("file", "row_group", "content_sha256"),
    ),
    Table(
        "vectors",
        columns(
            content_sha256=SHA,
            encoder=pa.string(),
            vector_no=pa.int64(),
            embedding_=VECTOR,
            reason_=pa.string(),
            detail_=pa.string(),
        ),
        key=("content_sha256", "encoder"),
        sort=(),
        undigested=frozenset({"detail"}),
    ),
    Table(
        "catalog",
        columns(
            image_id=pa.string(),
            source=pa.string(),
            entry=pa.int64(),
            content_sha256=SHA,
            vector_no=pa.int64(),
            width=pa.int32(),
            height=pa.int32(),
            format=pa.string(),
            bytes=pa.int64(),
            **LABELS,
            first_release=pa.string(),
            changed_release=pa.string(),
        ),
        key=("image_id",),
        sort=("image_id",),
    ),
    Table(
        "rejects",
        columns(
            source=pa.string(),
            entry=pa.int64(),
            image_id=pa.string(),
            stage=pa.string(),
            reason=pa.string(),
            detail_=pa.string(),
            content_sha256_=SHA,
            bytes=pa.int64(),
            first_release=pa.string(),
            attempts=pa.int32(),
        ),
        key=("source", "entry"),
        sort=("source", "entry"),
    ),
    Table(
        "embeddings",
        columns(image_id=pa.string(), embedding=VECTOR),
        key=("image_id",),
        sort=("image_id",),
    ),
    Table(  # the distinct live vectors in the order of their numbers: what a join reads as blocks
        "live_vectors",
        columns(vector_no=pa.int64(), embedding=VECTOR),
        key=("vector_no",),
        sort=("vector_no",),
    ),
    Table(  # names by vector: what a lookup and a join's last step read
        "vector_images",
        columns(vector_no=pa.int64(), image_id=pa.string()),
        key=("vector_no", "image_id"),
        sort=("vector_no", "image_id"),
    ),
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
        columns(row=pa.int32(), distance=pa.float32(), other=pa.int64(), rank=pa.int32()),
        key=("row", "other"),
        sort=("row",),
    ),
    Table(  # a sample by which lists are judged: how many others there are, how far the last is
        "neighbor_truth",
        columns(vector_no=pa.int64(), others=pa.int32(), furthest=pa.float32()),
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
    Table(  # which vector is which item of which index shard
        "shard_items",
        columns(shard=pa.int32(), item=pa.int32(), vector_no=pa.int64()),
        key=("shard", "item"),
        sort=("shard", "item"),
    ),
]
