"""Pictures by place: tasks are told file and row group, and read the bytes through the Store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from artrec.releases import Draft
from artrec.schemas import TABLES
from artrec.stages.frames import read_frame, stage_frame
from artrec.stages.slices import SliceSpec
from artrec.storage import Store
from artrec.storage.ahead import Read, read_ahead
from artrec.tables import Receipt, open_file, read_range, read_table

__all__ = [
    "PICTURE_GROUP",
    "first_places",
    "place_units",
    "placed_pictures",
    "places_among",
    "row_groups",
]

PICTURE_GROUP = 8 << 20
"""Bytes of a row group of pictures: what embed has in memory twice, and a report reads for each
picture that it shows."""


def first_places(spark: SparkSession, draft: Draft, recipe: str, *more: str) -> DataFrame:
    """Each content that is stored by ``recipe`` once, at the first of its places.

    Columns content_sha256, file, row_group, and ``more`` of the pictures' own.
    """
    columns = ["content_sha256", "recipe", *more]
    return (
        stage_frame(spark, draft, "ingest", "pictures", columns, located=True)
        .filter(F.col("recipe") == recipe)
        .groupBy("content_sha256")
        .agg(F.min(F.struct("file", "row_group", *more)).alias("first"))
        .select("content_sha256", "first.*")
    )


def places_among(
    spark: SparkSession, store: Store, pictures: Sequence[Receipt], recipe: str, wanted: DataFrame
) -> DataFrame:
    """The same of some pictures' files, for the contents in the column of ``wanted`` alone."""
    columns = ["content_sha256", "recipe"]
    stored = read_frame(spark, store, pictures, TABLES["pictures"], columns, located=True)
    first = (
        stored.filter(F.col("recipe") == recipe)
        .groupBy("content_sha256")
        .agg(F.min(F.struct("file", "row_group")).alias("first"))
        .select("content_sha256", "first.*")
    )
    return first.join(wanted.select("content_sha256").distinct(), "content_sha256", "left_semi")


def place_units(
    store: Store, pending: Sequence[Receipt], pictures: Sequence[Receipt]
) -> Iterator[SliceSpec]:
    """A unit for each row group with wanted pictures, in order, of so many bytes as they have.

    ``pending`` is a table in the order of the columns ``file`` and ``row_group``.
    """
    size_of = {r.path: r.bytes / r.rows for r in pictures if r.rows}
    places = (
        place
        for batch in read_table(store, pending, ["file", "row_group"])
        for place in zip(*(batch.column(i).to_pylist() for i in range(2)), strict=True)
    )
    for place, same in groupby(places):
        count = sum(1 for _ in same)
        yield SliceSpec(low=place, high=place, items=count, bytes=int(size_of[place[0]] * count))


def placed_pictures(
    store: Store,
    pending: Sequence[Receipt],
    pictures: Sequence[Receipt],
    spec: SliceSpec,
    listed: Store | None = None,
) -> Iterator[tuple[list[dict[str, Any]], list[bytes]]]:
    """(rows of ``pending``, bytes) of the wanted pictures of each row group in a slice.

    ``pending`` may lie in a store of its own, ``listed``.
    """
    wanted: dict[tuple[str, int], dict[bytes, dict[str, Any]]] = {}
    for batch in read_range(listed or store, pending, spec.low, spec.high):
        for row in batch.to_pylist():
            place = (row["file"], row["row_group"])
            wanted.setdefault(place, {})[row["content_sha256"]] = row
    receipts = {receipt.path: receipt for receipt in pictures}
    places = sorted(wanted)
    for place, table in zip(places, row_groups(store, receipts, places), strict=True):
        left = wanted[place]
        rows, data = [], []
        for key, value in zip(table.column(0), table.column(1), strict=True):
            row = left.pop(key.as_py(), None)
            if row is not None:
                rows.append(row)
                data.append(value.as_py())
        yield rows, data


def row_groups(
    store: Store, receipts: Mapping[str, Receipt], places: Sequence[tuple[str, int]]
) -> Iterator[pa.Table]:
    """content_sha256 and data of row groups (file, number); one is read ahead."""
    reads = (
        Read(partial(_row_group, store, receipts[file], number), PICTURE_GROUP)
        for file, number in places
    )
    return read_ahead(reads, at_once=1, ahead_bytes=PICTURE_GROUP)


def _row_group(store: Store, receipt: Receipt, number: int) -> pa.Table:
    file = open_file(store, receipt)
    return file.read_row_group(number, columns=["content_sha256", "data"])
