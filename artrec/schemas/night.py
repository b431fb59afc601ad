"""The tables of a night, from listings to vectors of images and index shards."""

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
    Table(  # which vector is which item of which index shard
        "shard_items",
        columns(shard=pa.int32(), item=pa.int32(), vector_no=pa.int64()),
        key=("shard", "item"),
        sort=("shard", "item"),
    ),
    Table(  # vectors that came since the shards were built, scanned beside them
        "side_vectors",
        columns(vector_no=pa.int64(), embedding=VECTOR),
        key=("vector_no",),
        sort=("vector_no",),
    ),
    Table(  # items of the shards whose vectors are gone
        "masked_items",
        columns(shard=pa.int32(), item=pa.int32(), vector_no=pa.int64()),
        key=("shard", "item"),
        sort=("shard", "item"),
    ),
]
