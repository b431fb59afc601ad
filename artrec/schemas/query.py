"""Tables that come from outside, or go there: vectors made elsewhere, those of a query, of a
reconstruction and of a comparison.
"""

from __future__ import annotations

import pyarrow as pa

from artrec.schemas.form import SHA, VECTOR, Table, columns

__all__ = ["QUERY"]

QUERY = [
    Table(  # vectors made elsewhere, beside the card of the encoder that they stand for
        "given_vectors",
        columns(
            name=pa.string(),
            embedding=VECTOR,
        ),
        key=("name",),
        sort=(),
    ),
    Table(  # what is no query, and as entry -1 the sets that have no answer
        "query_rejects",
        columns(
            query_id=pa.string(),
            entry=pa.int64(),
            stage=pa.string(),
            reason=pa.string(),
            detail_=pa.string(),
        ),
        key=("query_id", "entry"),
        sort=("query_id", "entry"),
    ),
    Table(  # what became of each member or row that was listed; in scratch, as the rest is
        "query_encoded",
        columns(
            entry=pa.int64(),
            query_id_=pa.string(),
            set_id_=pa.string(),
            own=pa.int64(),
            reason_=pa.string(),
            detail_=pa.string(),
            embedding_=VECTOR,
        ),
        key=("entry",),
        sort=(),
    ),
    Table(  # a query that is no set is a set of its own; own is its content's number, or -1
        "query_vectors",
        columns(
            set_id=pa.string(),
            entry=pa.int64(),
            own=pa.int64(),
            embedding=VECTOR,
        ),
        key=("entry",),
        sort=("set_id", "entry"),
    ),
    Table(  # a list for each set, or several where it, or the join, was cut
        "query_pools",
        columns(
            set_id=pa.string(),
            part=pa.int32(),
            others=pa.list_(pa.field("element", pa.int64(), nullable=False)),
            distances=VECTOR,
        ),
        key=("set_id", "part"),
        sort=("set_id", "part"),
    ),
    Table(  # how well an autoencoder repeats each image's picture; or why it was not decoded
        "reconstruction_errors",
        columns(
            image_id=pa.string(),
            content_sha256=SHA,
            error_=pa.float32(),
            reason_=pa.string(),
        ),
        key=("image_id",),
        sort=("image_id",),
    ),
    Table(  # the same by content; in scratch
        "repeated_pictures",
        columns(content_sha256=SHA, error_=pa.float32(), reason_=pa.string()),
        key=("content_sha256",),
        sort=(),
    ),
    Table(  # of pictures that encoders are compared on, one encoder's; in scratch
        "compared_vectors",
        columns(vector_no=pa.int64(), embedding=VECTOR),
        key=("vector_no",),
        sort=(),
    ),
]
