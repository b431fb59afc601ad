"""All images by codes, and some of them drawn at random: rows on their way to their tables.

The draw is by a hash of image_id. The queries' order has a seed of its own for each release, so
that nobody can have tuned for them; that of the sample, whose pictures have to be decoded, stays,
so that from night to night only new pictures are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from artrec.schemas import TABLES
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter
from artrec.vectors.distance import Ints

__all__ = ["COLUMNS", "Draw", "drawn", "write_coded"]

STABLE = "sample"

COLUMNS = (
    *("vector_no", "image_id", "content_sha256", "style", "artist", "title"),
    *("phash", "file", "row_group"),
)
"""Of images with the place of their picture: what codes are made of."""

Orders = NDArray[np.uint64]


@dataclass(frozen=True)
class Draw:
    """How many images are drawn anew, in an order that ``seed`` gives, and how many in one that
    stays."""

    fresh: int
    sample: int
    seed: str


def write_coded(
    store: Store, folder: str, stem: str, draw: Draw, parts: Iterable[pa.Table]
) -> list[Receipt]:
    """The tables evaluated_images and chosen_images of images that come in their order."""
    every, some = TABLES["evaluated_images"], TABLES["chosen_images"]
    chosen = some.columns.empty_table()
    with TableWriter(store, folder, every, stem, even_empty=True) as writer:
        for part in parts:
            rows = _coded(part)
            for batch in rows.select(every.columns.names).combine_chunks().to_batches():
                writer.write(batch)
            chosen = drawn(pa.concat_tables([chosen, rows.select(some.columns.names)]), draw)
    with TableWriter(store, folder, some, stem, even_empty=True) as chooser:
        for batch in chosen.combine_chunks().to_batches():
            chooser.write(batch)
    return [*writer.receipts, *chooser.receipts]


def drawn(rows: pa.Table, draw: Draw) -> pa.Table:
    """The first of ``rows`` of chosen_images in each of the two orders, with their places there.

    Drawn from what was drawn from parts it is the same.
    """
    codes = np.asarray(rows.column("image_code"), np.int64)
    new, old = (_order(codes, seed) for seed in (draw.seed, STABLE))
    own = _first(new, draw.fresh) | _first(old, draw.sample)
    rows = rows.filter(pa.array(own))
    place = np.argsort(np.argsort(new[own]))
    nth = np.argsort(np.argsort(old[own]))
    places = {
        "place": pa.array(place.astype(np.int32)),
        "sample_place": pa.array(nth.astype(np.int32), mask=nth >= draw.sample),
    }
    names = rows.column_names
    return pa.table([places.get(n, rows.column(n)) for n in names], schema=rows.schema)


def _first(order: Orders, count: int) -> NDArray[np.bool_]:
    found = np.zeros(len(order), np.bool_)
    found[np.argsort(order)[:count]] = True
    return found


def _order(codes: Ints, seed: str) -> Orders:
    """Random numbers, of no two codes the same (splitmix64)."""
    mixed = codes.view(np.uint64) ^ np.uint64(_hash(seed) % (1 << 64))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), np.uint64)


def _coded(images: pa.Table) -> pa.Table:
    """``images`` with the columns of both tables; places in the orders are not known yet."""
    found: dict[str, Any] = {name: images.column(name) for name in COLUMNS if name != "phash"}
    found |= {name: pa.nulls(len(images), pa.int32()) for name in ("place", "sample_place")}
    artist, title = (images.column(name) for name in ("artist", "title"))
    codes = {
        "image": _codes(images.column("image_id")),
        "style": _codes(images.column("style")),
        "artist": _codes(artist),
        "phash": _spread(images.column("phash")),
        "name": _codes(pc.binary_join_element_wise(artist, title, "\0")),
    }
    schema = pa.schema(
        {
            field.name: field
            for name in ("evaluated_images", "chosen_images")
            for field in TABLES[name].columns
        }.values()
    )
    found |= {f"{name}_code": pa.array(values) for name, values in codes.items()}
    return pa.table([_plain(found[field.name], field.type) for field in schema], schema=schema)


def _plain(column: Any, kind: pa.DataType) -> pa.ChunkedArray:
    return (column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])).cast(
        kind
    )


def _codes(texts: pa.ChunkedArray) -> Ints:
    """64 bits that are equal for equal texts; 0 where there is none."""
    encoded = texts.combine_chunks().dictionary_encode()
    own = [_hash(text) for text in encoded.dictionary.to_pylist()]
    places = np.asarray(encoded.indices.fill_null(len(own)), np.int64)
    return np.array([*own, 0], np.int64)[places]


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _spread(hashes: pa.ChunkedArray) -> Ints:
    """Other numbers for other hashes, so that 0, which is one of them, is free for none."""
    known = np.asarray(hashes.is_valid(), np.bool_)
    numbers = np.asarray(hashes.fill_null(0), np.int64)
    mixed = numbers.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    return np.where(known, mixed.view(np.int64), 0)
