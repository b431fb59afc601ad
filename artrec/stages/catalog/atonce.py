"""A catalog that one task holds whole: the joins of this package, by columns with Arrow.

Rows are those that Spark's joins give; a test compares the two over random nights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from artrec.schemas import TABLES
from artrec.schemas.form import LABELS
from artrec.stages.atonce import (
    Places,
    array_of,
    codes_of,
    firsts,
    joined_key,
    member_keys,
    places_in,
    verdict_rows,
    whole,
    write_whole,
)
from artrec.stages.frames import Attempt, TaskReport
from artrec.stages.rejects import TRANSIENT
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter

__all__ = ["Given", "write_catalog"]

Truths = NDArray[np.bool_]

DUPLICATE = "a later member has this image_id"
_MEMBER = ["source", "entry", "raw_name", "occurrence", "image_id", "bytes", "fingerprint"]
_INGESTED = ["recipe", "decoder", "content_sha256", "reason", "detail"]
_LABELS = [name.rstrip("_") for name in LABELS]


@dataclass(frozen=True)
class Given:
    """What a catalog is made from: files by table, and what is asked of their rows.

    ``before`` are the catalog and the rejects of the last release, if there is one.
    """

    store: Store
    files: Mapping[str, Sequence[Receipt]]
    before: Mapping[str, Sequence[Receipt]] | None
    rules: Mapping[str, Any]
    encoder: str
    forgotten: frozenset[bytes]
    forgotten_detail: str
    release: str
    folder: str
    metadata: Mapping[str, str]

    def rows(self, table: str, columns: Sequence[str]) -> pa.Table:
        return whole(self.store, self.files[table], table, columns)

    def rows_before(self, table: str, columns: Sequence[str]) -> pa.Table | None:
        if self.before is None:
            return None
        return whole(self.store, self.before[table], table, columns)


def write_catalog(given: Given, attempt: Attempt) -> TaskReport:
    """One task: catalog and rejects."""
    judged = _judged(given)
    is_image = pc.is_null(judged.column("reason"))
    images = _images(given, judged.filter(is_image))
    rejects = _rejects(given, judged.filter(pc.invert(is_image)))
    receipts: list[Receipt] = []
    for name, rows in (("catalog", images), ("rejects", rejects)):
        table = TABLES[name]
        rows = rows.select(table.columns.names)
        rows = rows.sort_by([(column, "ascending") for column in table.sort])
        facts = dict(given.metadata)
        with TableWriter(
            given.store, given.folder, table, attempt.stem, facts, even_empty=True
        ) as writer:
            write_whole(writer, rows)
        receipts += writer.receipts
    return TaskReport(receipts=receipts)


def _judged(given: Given) -> pa.Table:
    """Every member with what became of it: ``reason`` and ``stage`` are null for images."""
    members = given.rows("members", _MEMBER)
    members = members.sort_by([("source", "ascending"), ("entry", "ascending")])
    key = ["source", "raw_name", "occurrence", "bytes", "fingerprint"]
    ingested = given.rows("ingested", [*key, *_INGESTED])
    verdicts = _obeyed(given, verdict_rows(ingested, given.rules, TRANSIENT))
    read = verdicts.take(places_in(member_keys(members), verdicts.column("key")))
    vectors = _vectors(given)
    encoded = vectors.take(
        places_in(read.column("content_sha256"), vectors.column("content_sha256"))
    )
    double = pa.array(_is_earlier(members.column("image_id")))
    reasons = pc.coalesce(read.column("reason"), encoded.column("reason"))
    details = pc.coalesce(read.column("detail"), encoded.column("detail"))
    reason = pc.if_else(double, "duplicate_name", reasons)
    met = pc.if_else(pc.is_valid(read.column("reason")), "ingest", "embed")
    stage = pc.if_else(double, "inventory", pc.if_else(pc.is_valid(reason), met, _none()))
    found = {
        "content_sha256": read.column("content_sha256"),
        "vector_no": encoded.column("vector_no"),
        "reason": reason,
        "detail": pc.if_else(double, DUPLICATE, details),
        "stage": stage,
        "attempts": read.column("attempts"),
    }
    for name, column in found.items():
        members = members.append_column(name, column)
    return members


def _none() -> pa.Scalar:
    return pa.scalar(None, pa.string())


def _is_earlier(names: pa.ChunkedArray) -> Truths:
    """Whether a later row has the same name."""
    codes = codes_of(names)[::-1]
    earlier = np.ones(len(codes), np.bool_)
    earlier[np.unique(codes, return_index=True)[1]] = False
    return earlier[::-1]


def _obeyed(given: Given, verdicts: pa.Table) -> pa.Table:
    """The verdicts with the ledger obeyed."""
    gone = pc.is_in(
        verdicts.column("content_sha256"), value_set=pa.array(sorted(given.forgotten), pa.binary())
    )
    for name, word in (("reason", "forgotten"), ("detail", given.forgotten_detail)):
        told = pc.if_else(gone, word, verdicts.column(name))
        verdicts = verdicts.set_column(verdicts.column_names.index(name), name, told)
    return verdicts


def _vectors(given: Given) -> pa.Table:
    """What the encoder said of each content; of two with one number the larger is refused."""
    rows = given.rows("vectors", ["content_sha256", "encoder", "vector_no", "reason", "detail"])
    rows = rows.filter(pc.equal(rows.column("encoder"), given.encoder))
    numbers = np.asarray(rows.column("vector_no"), np.int64)
    order = pc.sort_indices(
        rows, sort_keys=[("vector_no", "ascending"), ("content_sha256", "ascending")]
    )
    ordered = np.asarray(order, np.int64)
    again = np.zeros(len(numbers), np.bool_)
    again[ordered[1:]] = numbers[ordered[1:]] == numbers[ordered[:-1]]
    reason = pc.coalesce(
        rows.column("reason"), pc.if_else(pa.array(again), "vector_no_collision", _none())
    )
    return rows.set_column(rows.column_names.index("reason"), "reason", reason)


def _images(given: Given, judged: pa.Table) -> pa.Table:
    """The images with the facts of their pictures, their labels and their history."""
    facts = ["width", "height", "format"]
    pictures = given.rows("pictures", ["content_sha256", "recipe", *facts])
    pictures = pictures.filter(pc.equal(pictures.column("recipe"), given.rules["recipe"]))
    pictures = pictures.take(pa.array(firsts(pictures.column("content_sha256"))))
    own = pictures.take(
        places_in(judged.column("content_sha256"), pictures.column("content_sha256"))
    )
    labels = given.rows("labels", ["source", "entry", *_LABELS])
    said = labels.take(places_in(_entry_keys(judged), _entry_keys(labels)))
    for name in facts:
        judged = judged.append_column(name, own.column(name))
    for name in _LABELS:
        judged = judged.append_column(name, said.column(name))
    return _with_history(given, judged)


def _entry_keys(rows: pa.Table) -> pa.ChunkedArray:
    return joined_key(rows.column("entry"), rows.column("source"))


def _with_history(given: Given, images: pa.Table) -> pa.Table:
    kept = ["content_sha256", *_LABELS]
    before = given.rows_before("catalog", ["image_id", "first_release", "changed_release", *kept])
    if before is None:
        first = changed = pa.array([given.release] * len(images), pa.string())
    else:
        at = places_in(images.column("image_id"), before.column("image_id"))
        old = before.take(at)
        same: Truths = np.asarray(pc.is_valid(at))
        for name in kept:
            same = same & _same(images.column(name), old.column(name))
        first = pc.coalesce(old.column("first_release"), given.release)
        changed = pc.if_else(pa.array(same), old.column("changed_release"), given.release)
    return images.append_column("first_release", first).append_column("changed_release", changed)


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> Truths:
    """Row by row, whether two columns have the same value, or both none."""
    if pa.types.is_map(one.type):
        return _same_maps(one, other)
    equal = pc.fill_null(pc.equal(one, other), False)
    neither = pc.and_(pc.is_null(one), pc.is_null(other))
    found: Truths = np.asarray(pc.or_(equal, neither))
    return found


def _same_maps(one: pa.ChunkedArray, other: pa.ChunkedArray) -> Truths:
    """Maps compare as lists of their entries, in order; Arrow itself does not compare them."""
    sides = [_entries_of(each) for each in (one, other)]
    lengths = [each[0] for each in sides]
    known = [np.asarray(pc.is_valid(each)) for each in (one, other)]
    same: Truths = (lengths[0] == lengths[1]) & (known[0] == known[1])
    places = [_members_of(each, same) for each in lengths]
    for column in (1, 2):
        left, right = (
            side[column].take(pa.array(at)) for side, at in zip(sides, places, strict=True)
        )
        differ = np.flatnonzero(~_same(pa.chunked_array([left]), pa.chunked_array([right])))
        rows = np.repeat(np.flatnonzero(same), lengths[0][same])
        same = same.copy()
        same[rows[differ]] = False
        places = [_members_of(each, same) for each in lengths]
    return same


def _entries_of(column: pa.ChunkedArray) -> tuple[Places, pa.Array, pa.Array]:
    """(entries of each row, all keys, all items)."""
    maps = array_of(column)
    offsets = np.asarray(maps.offsets, np.int64)
    low, high = int(offsets[0]), int(offsets[-1])
    return np.diff(offsets), maps.keys.slice(low, high - low), maps.items.slice(low, high - low)


def _members_of(lengths: Places, rows: Truths) -> Places:
    """The places of the entries of the chosen rows."""
    found: Places = np.flatnonzero(np.repeat(rows, lengths))
    return found


def _rejects(given: Given, rejects: pa.Table) -> pa.Table:
    """first_release is carried over; attempts count how often the member was read."""
    attempts = pc.coalesce(rejects.column("attempts"), pa.scalar(1, pa.int32()))
    at = rejects.column_names.index("attempts")
    rejects = rejects.set_column(at, "attempts", attempts)
    before = given.rows_before("rejects", ["source", "image_id", "reason", "first_release"])
    if before is None:
        first: Any = pa.array([given.release] * len(rejects), pa.string())
    else:
        before = before.sort_by("first_release")
        before = before.take(pa.array(firsts(_reject_keys(before))))
        places = places_in(_reject_keys(rejects), _reject_keys(before))
        first = pc.coalesce(before.column("first_release").take(places), given.release)
    return rejects.append_column("first_release", first)


def _reject_keys(rows: pa.Table) -> pa.ChunkedArray:
    return joined_key(*(rows.column(name) for name in ("source", "reason", "image_id")))
