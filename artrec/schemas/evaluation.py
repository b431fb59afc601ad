"""The tables of training and of evaluation."""

from __future__ import annotations

import pyarrow as pa

from artrec.schemas.form import SHA, VECTOR, Table, columns

__all__ = ["EVALUATION"]

EVALUATION = [
    Table(  # the pictures that train makes examples of, by the place of their bytes
        "pending_examples",
        columns(
            content_sha256=SHA,
            file=pa.string(),
            row_group=pa.int32(),
            split=pa.string(),
            style_=pa.string(),
            artist_=pa.string(),
        ),
        key=("content_sha256",),
        sort=("file", "row_group", "content_sha256"),
    ),
    Table(  # what the hand-made encoder makes of held-out examples and of altered copies of them
        "held_out_vectors",
        columns(content_sha256=SHA, embedding=VECTOR, copy_embedding=VECTOR),
        key=("content_sha256",),
        sort=(),
    ),
    Table(  # a bounded picture for training, with its labels, in the order of the hash
        "examples",
        columns(
            content_sha256=SHA,
            split=pa.string(),
            picture=pa.binary(),
            style_=pa.string(),
            artist_=pa.string(),
        ),
        key=("content_sha256",),
        sort=("content_sha256",),
        compression={"picture": "none"},
        undigested=frozenset({"picture"}),
    ),
    Table(  # what training measured after each epoch
        "curves",
        columns(epoch=pa.int32(), measure=pa.string(), value=pa.float64()),
        key=("epoch", "measure"),
        sort=("epoch", "measure"),
    ),
    Table(  # some held-out examples beside what the decoder made of them, both PNG
        "reconstructions",
        columns(
            content_sha256=SHA,
            error=pa.float32(),
            original=pa.binary(),
            reconstruction=pa.binary(),
        ),
        key=("content_sha256",),
        sort=("content_sha256",),
        compression={"original": "none", "reconstruction": "none"},
        undigested=frozenset({"original", "reconstruction"}),
    ),
    Table(  # every image by codes of its labels, 0 for none: what evaluation compares
        "evaluated_images",
        columns(
            vector_no=pa.int64(),
            image_id=pa.string(),
            image_code=pa.int64(),
            style_code=pa.int64(),
            artist_code=pa.int64(),
            phash_code=pa.int64(),
            name_code=pa.int64(),
        ),
        key=("vector_no", "image_id"),
        sort=("vector_no", "image_id"),
    ),
    Table(  # random images: places in an order that is new with each release, and in one that stays
        "chosen_images",
        columns(
            vector_no=pa.int64(),
            image_id=pa.string(),
            place=pa.int32(),
            sample_place_=pa.int32(),
            content_sha256=SHA,
            image_code=pa.int64(),
            style_code=pa.int64(),
            artist_code=pa.int64(),
            phash_code=pa.int64(),
            name_code=pa.int64(),
            style_=pa.string(),
            artist_=pa.string(),
            title_=pa.string(),
            file=pa.string(),
            row_group=pa.int32(),
        ),
        key=("vector_no", "image_id"),
        sort=("vector_no", "image_id"),
    ),
    Table(  # chosen pictures as a colour histogram and as few pixels
        "floor_vectors",
        columns(vector_no=pa.int64(), histogram=VECTOR, pixels=VECTOR),
        key=("vector_no",),
        sort=(),
    ),
    Table(  # the ranks at which a chosen image's list holds its own label
        "retrieval",
        columns(
            encoder=pa.string(),
            pool=pa.string(),
            label=pa.string(),
            variant=pa.string(),
            image_id=pa.string(),
            group=pa.string(),
            candidates=pa.int64(),
            relevant=pa.int64(),
            hits=pa.list_(pa.field("element", pa.int32(), nullable=False)),
        ),
        key=("encoder", "pool", "label", "variant", "image_id"),
        sort=(),
    ),
    Table(  # lists of chosen images, found without the join that made the neighbor tables
        "exact_lists",
        columns(
            query_id=pa.string(),
            ids=pa.list_(pa.field("element", pa.string(), nullable=False)),
            distances=VECTOR,
        ),
        key=("query_id",),
        sort=(),
    ),
    Table(  # one measured number each; of shares with a 95 % interval
        "evaluation",
        columns(
            encoder=pa.string(),
            measure=pa.string(),
            pool=pa.string(),
            label=pa.string(),
            variant=pa.string(),
            average=pa.string(),
            group=pa.string(),
            k=pa.int32(),
            queries=pa.int64(),
            value=pa.float64(),
            low_=pa.float64(),
            high_=pa.float64(),
        ),
        key=("encoder", "measure", "pool", "label", "variant", "average", "group", "k"),
        sort=("encoder", "measure", "pool", "label", "variant", "average", "group", "k"),
    ),
    Table(  # the images that stand in the most lists
        "hubs",
        columns(
            image_id=pa.string(),
            lists=pa.int64(),
            content_sha256=SHA,
            style_=pa.string(),
            artist_=pa.string(),
            title_=pa.string(),
        ),
        key=("image_id",),
        sort=("image_id",),
    ),
    Table(  # images whose content stands under more than one name
        "duplicates",
        columns(content_sha256=SHA, image_id=pa.string()),
        key=("content_sha256", "image_id"),
        sort=("content_sha256", "image_id"),
    ),
    Table(  # a flat map of the embeddings of some random images
        "coordinates",
        columns(
            image_id=pa.string(),
            x=pa.float32(),
            y=pa.float32(),
            content_sha256=SHA,
            style_=pa.string(),
            artist_=pa.string(),
            title_=pa.string(),
        ),
        key=("image_id",),
        sort=("image_id",),
    ),
]
