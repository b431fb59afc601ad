"""What ingest and embed have to do tonight, found by one task where the tables are small.

The rows are those of Spark's joins in :mod:`artrec.stages.ingest.joining` and
:mod:`artrec.stages.embed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artrec.schemas import TABLES
from artrec.stages.atonce import (
    array_of,
    firsts,
    member_keys,
    verdict_rows,
    whole,
    whole_located,
    write_whole,
)
from artrec.stages.frames import Attempt, TaskReport
from artrec.stages.rejects import ATTEMPTS, TRANSIENT
from artrec.stages.rules import MEMBER_KEY
from artrec.stages.slices import unit_bytes
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter

__all__ = ["Unencoded", "Unread"]

_VERDICT = ["recipe", "decoder", "content_sha256", "reason"]


@dataclass(frozen=True)
class Unread:
    """Members without a verdict, or with one to be tried again: with ``retry`` any reject.

    ``stored`` are the pictures by which a verdict counts only as long as its content is there,
    or was ``forgotten``; None where all that are known are still there.
    """

    store: Store
    members: Sequence[Receipt]
    ingested: Sequence[Receipt]
    stored: Sequence[Receipt] | None
    forgotten: frozenset[bytes]
    rules: Mapping[str, Any]
    retry: bool
    slice_bytes: int
    cores: int
    folder: str

    def write(self, attempt: Attempt) -> TaskReport:
        """One task: the table pending_members."""
        table = TABLES["pending_members"]
        columns = [name for name in table.columns.names if name != "slice"]
        rows = whole(self.store, self.members, "members", columns)
        if self.ingested:
            done = pc.is_in(member_keys(rows), value_set=self._done())
            rows = rows.filter(pc.invert(done))
        total = pc.sum(rows.column("stored_bytes")).as_py() or 0
        unit = unit_bytes(total, self.slice_bytes, self.cores)
        slices = np.asarray(rows.column("offset"), np.int64) // unit
        rows = rows.append_column("slice", pa.array(slices)).select(table.columns.names)
        rows = rows.sort_by([(name, "ascending") for name in table.sort])
        return _written(self.store, self.folder, "pending_members", rows, attempt)

    def _done(self) -> pa.Array:
        """The keys of the members that are not read again."""
        ingested = whole(self.store, self.ingested, "ingested", [*MEMBER_KEY, *_VERDICT])
        known = verdict_rows(ingested, self.rules, TRANSIENT)
        content, reason = known.column("content_sha256"), known.column("reason")
        passing = pc.is_in(reason, value_set=pa.array(TRANSIENT))
        again = pc.and_(passing, pc.less(known.column("attempts"), ATTEMPTS))
        left = pc.and_(pc.is_null(content), pc.invert(pc.or_(again, self.retry)))
        found = pc.is_valid(content)
        if self.stored is not None:
            found = pc.and_(found, pc.is_in(content, value_set=self._there()))
        return array_of(known.column("key").filter(pc.or_(found, left)))

    def _there(self) -> pa.Array:
        pictures = whole(self.store, self.stored or (), "pictures", ["content_sha256", "recipe"])
        mine = pictures.filter(pc.equal(pictures.column("recipe"), self.rules["recipe"]))
        gone = pa.array(sorted(self.forgotten), pa.binary())
        return pa.concat_arrays([array_of(mine.column("content_sha256")), gone])


@dataclass(frozen=True)
class Unencoded:
    """Each content of tonight without a vector, once, at the first of its places.

    Before the first ``vectors`` all contents are tonight's.
    """

    store: Store
    pictures: Sequence[Receipt]
    vectors: Sequence[Receipt]
    members: Sequence[Receipt]
    ingested: Sequence[Receipt]
    forgotten: frozenset[bytes]
    rules: Mapping[str, Any]
    folder: str

    def write(self, attempt: Attempt) -> TaskReport:
        """One task: the table pending_pictures."""
        files = sorted(self.pictures, key=lambda receipt: receipt.path)
        rows = whole_located(self.store, files, "pictures", ["content_sha256", "recipe"])
        rows = rows.filter(pc.equal(rows.column("recipe"), self.rules["recipe"]))
        if self.vectors:
            done = pc.is_in(rows.column("content_sha256"), value_set=self._done())
            rows = rows.filter(pc.invert(done))
        if self.vectors and len(rows):
            rows = rows.filter(pc.is_in(rows.column("content_sha256"), value_set=self._tonight()))
        rows = rows.take(pa.array(firsts(rows.column("content_sha256"))))
        paths = pa.array([receipt.path for receipt in files], pa.string())
        at = rows.column_names.index("file")
        rows = rows.set_column(at, "file", paths.take(array_of(rows.column("file"))))
        table = TABLES["pending_pictures"]
        rows = rows.select(table.columns.names)
        rows = rows.sort_by([(name, "ascending") for name in table.sort])
        return _written(self.store, self.folder, "pending_pictures", rows, attempt)

    def _done(self) -> pa.Array:
        vectors = whole(self.store, self.vectors, "vectors", ["content_sha256", "encoder"])
        mine = vectors.filter(pc.equal(vectors.column("encoder"), self.rules["encoder"]))
        return array_of(mine.column("content_sha256"))

    def _tonight(self) -> pa.Array:
        """The contents of tonight's members, but those that were forgotten."""
        ingested = whole(self.store, self.ingested, "ingested", [*MEMBER_KEY, *_VERDICT])
        known = verdict_rows(ingested, self.rules, TRANSIENT)
        members = whole(self.store, self.members, "members", MEMBER_KEY)
        listed = pc.is_in(known.column("key"), value_set=array_of(member_keys(members)))
        live = pc.and_(listed, pc.is_null(known.column("reason")))
        gone = pa.array(sorted(self.forgotten), pa.binary())
        content = array_of(known.column("content_sha256").filter(live))
        return content.filter(pc.invert(pc.is_in(content, value_set=gone)))


def _written(store: Store, folder: str, name: str, rows: pa.Table, attempt: Attempt) -> TaskReport:
    table = TABLES[name]
    with TableWriter(store, folder, table, attempt.stem, even_empty=True) as writer:
        write_whole(writer, rows)
    return TaskReport(receipts=writer.receipts)
