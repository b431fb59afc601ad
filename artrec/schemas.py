"""Every table, declared once: its columns, key, order, and the version of its form.

Columns are non-null unless said otherwise. Embeddings are ``list<float>`` without nulls, times are
UTC microseconds. A change that old readers would not understand raises the table's version.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from artrec.errors import StoreFormatError

__all__ = ["PUBLISHED", "TABLES", "Table"]

_VECTOR = pa.list_(pa.field("element", pa.float32(), nullable=False))
_EXTRA = pa.map_(pa.string(), pa.string())
_SHA = pa.binary()  # 32 bytes; engines hand fixed-size binary on as plain binary


@dataclass(frozen=True)
class Table:
    """The form of one table.

    ``digest`` names the columns that row digests cover beside the key; bulky columns that the key
    already determines are left out.
    """

    name: str
    columns: pa.Schema
    key: tuple[str, ...]
    sort: tuple[str, ...]
    version: int = 1
    compression: str | dict[str, str] = "zstd"
    undigested: frozenset[str] = field(default_factory=frozenset)

    @property
    def digested(self) -> tuple[str, ...]:
        return tuple(
            name
            for name in self.columns.names
            if name not in self.key and name not in self.undigested
        )

    def check(self, found: pa.Schema, where: str) -> None:
        """Raise StoreFormatError unless ``found`` has this table's columns and types.

        Nullability is not compared: engines that pass a table on rarely keep it.
        """
        missing = [name for name in self.columns.names if name not in found.names]
        extra = [name for name in found.names if name not in self.columns.names]
        other = [
            f"{name} is {found.field(name).type}, not {self.columns.field(name).type}"
            for name in self.columns.names
            if name in found.names
            and not _same(found.field(name).type, self.columns.field(name).type)
        ]
        if missing or extra or other:
            raise StoreFormatError(
                f"{where}: not a {self.name} table of version {self.version}: "
                f"missing {missing}, unexpected {extra}, {'; '.join(other) or 'types fit'}"
            )


def _same(found: pa.DataType, declared: pa.DataType) -> bool:
    if pa.types.is_list(declared) and pa.types.is_list(found):
        return bool(found.value_type == declared.value_type)
    if pa.types.is_map(declared) and pa.types.is_map(found):
        return bool((found.key_type, found.item_type) == (declared.key_type, declared.item_type))
    return bool(found == declared)


def _columns(**types: pa.DataType) -> pa.Schema:
    """A schema from keyword arguments; a trailing underscore marks a nullable column."""
    return pa.schema(
        [
            pa.field(name.rstrip("_"), kind, nullable=name.endswith("_"))
            for name, kind in types.items()
        ]
    )


_LABELS = {
    "style_": pa.string(),
    "artist_": pa.string(),
    "title_": pa.string(),
    "year_": pa.int32(),
    "genre_": pa.string(),
    "split_": pa.string(),
    "license_": pa.string(),
    "extra_": _EXTRA,
}

_MEMBER = {
    "source": pa.string(),
    "raw_name": pa.binary(),
    "occurrence": pa.int32(),
    "bytes": pa.int64(),
    "fingerprint": pa.string(),
}

_ALL = [
    Table(
        "members",
        _columns(
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
        _columns(source=pa.string(), entry=pa.int64(), **_LABELS),
        key=("source", "entry"),
        sort=("source", "entry"),
    ),
    Table(  # what the paths of members say, while label lists are laid over it; in scratch only
        "path_labels",
        _columns(source=pa.string(), entry=pa.int64(), path=pa.string(), **_LABELS),
        key=("source", "entry"),
        sort=("source", "entry"),
    ),
    Table(  # rows of label lists that were not used as they stand; and, as list "", members that
        "label_misses",  # no list names, by their entry instead of a line
        _columns(
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
        _columns(
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
        _columns(
            content_sha256=_SHA,
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
        _columns(
            **_MEMBER,
            recipe=pa.string(),
            decoder=pa.string(),
            content_sha256_=_SHA,
            reason_=pa.string(),
            detail_=pa.string(),
        ),
        key=("source", "raw_name", "occurrence", "bytes", "fingerprint", "recipe", "decoder"),
        sort=(),
        undigested=frozenset({"detail"}),
    ),
    Table(  # the pictures that embed has to encode tonight, by the place of their bytes
        "pending_pictures",
        _columns(
            content_sha256=_SHA,
            file=pa.string(),
            row_group=pa.int32(),
        ),
        key=("content_sha256",),
        sort=("file", "row_group", "content_sha256"),
    ),
    Table(
        "vectors",
        _columns(
            content_sha256=_SHA,
            encoder=pa.string(),
            vector_no=pa.int64(),
            embedding_=_VECTOR,
            reason_=pa.string(),
            detail_=pa.string(),
        ),
        key=("content_sha256", "encoder"),
        sort=(),
        undigested=frozenset({"detail"}),
    ),
    Table(
        "catalog",
        _columns(
            image_id=pa.string(),
            source=pa.string(),
            entry=pa.int64(),
            content_sha256=_SHA,
            vector_no=pa.int64(),
            width=pa.int32(),
            height=pa.int32(),
            format=pa.string(),
            bytes=pa.int64(),
            **_LABELS,
            first_release=pa.string(),
            changed_release=pa.string(),
        ),
        key=("image_id",),
        sort=("image_id",),
    ),
    Table(
        "rejects",
        _columns(
            source=pa.string(),
            entry=pa.int64(),
            image_id=pa.string(),
            stage=pa.string(),
            reason=pa.string(),
            detail_=pa.string(),
            content_sha256_=_SHA,
            bytes=pa.int64(),
            first_release=pa.string(),
            attempts=pa.int32(),
        ),
        key=("source", "entry"),
        sort=("source", "entry"),
    ),
    Table(
        "embeddings",
        _columns(image_id=pa.string(), embedding=_VECTOR),
        key=("image_id",),
        sort=("image_id",),
    ),
    Table(  # the distinct live vectors in the order of their numbers: what a join reads as blocks
        "live_vectors",
        _columns(vector_no=pa.int64(), embedding=_VECTOR),
        key=("vector_no",),
        sort=("vector_no",),
    ),
    Table(  # names by vector: what a lookup and a join's last step read
        "vector_images",
        _columns(vector_no=pa.int64(), image_id=pa.string()),
        key=("vector_no", "image_id"),
        sort=("vector_no", "image_id"),
    ),
    Table(
        "neighbor_pool",
        _columns(
            vector_no=pa.int64(),
            radius=pa.float32(),
            radius_no=pa.int64(),
            others=pa.list_(pa.field("element", pa.int64(), nullable=False)),
            distances=_VECTOR,
        ),
        key=("vector_no",),
        sort=("vector_no",),
    ),
    Table(
        "neighbors",
        _columns(
            query_id=pa.string(), rank=pa.int32(), neighbor_id=pa.string(), distance=pa.float32()
        ),
        key=("query_id", "rank"),
        sort=("query_id", "rank"),
    ),
    Table(
        "neighbors_nested",
        _columns(
            query_id=pa.string(),
            ids=pa.list_(pa.field("element", pa.string(), nullable=False)),
            distances=_VECTOR,
        ),
        key=("query_id",),
        sort=("query_id",),
    ),
    Table(  # which vector is which item of which index shard
        "shard_items",
        _columns(shard=pa.int32(), item=pa.int32(), vector_no=pa.int64()),
        key=("shard", "item"),
        sort=("shard", "item"),
    ),
    Table(  # the pictures that train makes examples of, by the place of their bytes
        "pending_examples",
        _columns(
            content_sha256=_SHA,
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
        _columns(content_sha256=_SHA, embedding=_VECTOR, copy_embedding=_VECTOR),
        key=("content_sha256",),
        sort=(),
    ),
    Table(  # a bounded picture for training, with its labels, in the order of the hash
        "examples",
        _columns(
            content_sha256=_SHA,
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
        _columns(epoch=pa.int32(), measure=pa.string(), value=pa.float64()),
        key=("epoch", "measure"),
        sort=("epoch", "measure"),
    ),
    Table(  # some held-out examples beside what the decoder made of them, both PNG
        "reconstructions",
        _columns(
            content_sha256=_SHA,
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
        _columns(
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
        _columns(
            vector_no=pa.int64(),
            image_id=pa.string(),
            place=pa.int32(),
            sample_place_=pa.int32(),
            content_sha256=_SHA,
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
        _columns(vector_no=pa.int64(), histogram=_VECTOR, pixels=_VECTOR),
        key=("vector_no",),
        sort=(),
    ),
    Table(  # the ranks at which a chosen image's list holds its own label
        "retrieval",
        _columns(
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
        _columns(
            query_id=pa.string(),
            ids=pa.list_(pa.field("element", pa.string(), nullable=False)),
            distances=_VECTOR,
        ),
        key=("query_id",),
        sort=(),
    ),
    Table(  # one measured number each; of shares with a 95 % interval
        "evaluation",
        _columns(
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
        _columns(
            image_id=pa.string(),
            lists=pa.int64(),
            content_sha256=_SHA,
            style_=pa.string(),
            artist_=pa.string(),
            title_=pa.string(),
        ),
        key=("image_id",),
        sort=("image_id",),
    ),
    Table(  # images whose content stands under more than one name
        "duplicates",
        _columns(content_sha256=_SHA, image_id=pa.string()),
        key=("content_sha256", "image_id"),
        sort=("content_sha256", "image_id"),
    ),
    Table(  # a flat map of the embeddings of some random images
        "coordinates",
        _columns(
            image_id=pa.string(),
            x=pa.float32(),
            y=pa.float32(),
            content_sha256=_SHA,
            style_=pa.string(),
            artist_=pa.string(),
            title_=pa.string(),
        ),
        key=("image_id",),
        sort=("image_id",),
    ),
]

TABLES: dict[str, Table] = {table.name: table for table in _ALL}

PUBLISHED = (
    *("catalog", "rejects", "embeddings", "neighbors", "neighbors_nested"),
    *("evaluation", "hubs", "duplicates", "coordinates"),
)
"""What readers of a release are promised; the other tables are the stages' own."""
