"""The published lists beside those found here: tasks that read each published file once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artrec.schemas import TABLES
from artrec.stages.evaluate.ground import Ground, chosen_rows
from artrec.stages.frames import Attempt, TaskReport
from artrec.tables import Receipt, read_range, read_table
from artrec.vectors.distance import Ints

__all__ = ["Agreement", "compare_lists", "list_recalls", "table_recall"]

_LISTS = ["query_id", "ids", "distances"]


@dataclass(frozen=True)
class Agreement:
    """The lists that were found, those that are published, and how many files a task reads."""

    exact: tuple[Receipt, ...]
    published: tuple[Receipt, ...]
    is_exact: bool


def compare_lists(ground: Ground, given: Agreement, attempt: Attempt) -> TaskReport:
    """One published file: its lists of queries, beside the true ones.

    Of an exact table notes count entries; of an approximate one they have each query's style and
    share, at most evaluate.queries of them.
    """
    rows = pa.Table.from_batches(
        read_table(ground.store, given.exact, _LISTS), TABLES["exact_lists"].columns
    )
    truth = rows.sort_by("query_id").combine_chunks()
    names = truth.column("query_id").combine_chunks()
    notes: dict[str, Any] = {"queries": 0, "right": 0, "entries": 0, "true": 0}
    shares: list[tuple[str, float]] = []
    ends = ((names[0].as_py(),), (names[-1].as_py(),))
    for batch in read_range(ground.store, [given.published[attempt.index]], *ends, _LISTS):
        place = pc.index_in(batch.column("query_id"), names)
        own = batch.filter(place.is_valid()).select(_LISTS)
        true = truth.take(place.drop_null()).combine_chunks()
        pair = _Pair.of(true, pa.Table.from_batches([own]))
        if given.is_exact:
            found = pair.agreeing()
            notes = {name: notes[name] + found[name] for name in notes}
        else:
            shares += zip(own.column("query_id").to_pylist(), pair.shares().tolist(), strict=True)
    return TaskReport(notes=notes if given.is_exact else {"shares": shares})


@dataclass(frozen=True, eq=False)
class _Pair:
    """Lists of the same queries: ``rows`` of each entry, what it lists, and how far that is."""

    lengths: tuple[Ints, Ints]
    codes: tuple[Ints, Ints]
    distances: tuple[Any, Any]

    @classmethod
    def of(cls, true: pa.Table, own: pa.Table) -> _Pair:
        columns = [each.column("ids").combine_chunks() for each in (true, own)]
        names = pa.concat_arrays([column.flatten() for column in columns]).dictionary_encode()
        codes = np.asarray(names.indices, np.int64)
        lengths = [np.asarray(column.value_lengths(), np.int64) for column in columns]
        first, second = np.split(codes, [int(lengths[0].sum())])
        far = [
            np.asarray(each.column("distances").combine_chunks().flatten(), np.float32)
            for each in (true, own)
        ]
        return cls((lengths[0], lengths[1]), (first, second), (far[0], far[1]))

    def agreeing(self) -> dict[str, int]:
        """An entry is right if neighbor and distance are; where one list is longer, its rest is
        wrong."""
        true, own = self.lengths
        both = np.minimum(true, own)
        here, there = (_heads(lengths, both) for lengths in self.lengths)
        same = (self.codes[0][here] == self.codes[1][there]) & (
            self.distances[0][here] == self.distances[1][there]
        )
        return {
            "queries": len(true),
            "right": int(np.count_nonzero(same)),
            "entries": int(np.maximum(true, own).sum()),
            "true": int(true.sum()),
        }

    def shares(self) -> Any:
        """Of each true list the share that the published one has.

        An entry counts if neighbor and distance are those of a true one, or if it is as near as
        the last.
        """
        true = self.lengths[0]
        of = [np.repeat(np.arange(len(each)), each) for each in self.lengths]
        keys = [
            np.stack([rows, codes, far.view(np.int32).astype(np.int64)], axis=1)
            for rows, codes, far in zip(of, self.codes, self.distances, strict=True)
        ]
        known = {tuple(key) for key in keys[0].tolist()}
        listed = np.fromiter((tuple(key) in known for key in keys[1].tolist()), bool, len(of[1]))
        last = np.full(len(true), np.nan, np.float32)
        last[true > 0] = self.distances[0][(np.cumsum(true) - 1)[true > 0]]
        right = np.bincount(of[1][listed | (self.distances[1] == last[of[1]])], minlength=len(true))
        found = np.minimum(right, true) / np.maximum(true, 1)
        return np.where(true > 0, found, 1.0)


def _heads(lengths: Ints, counts: Ints) -> Ints:
    """The places of the first so many entries of each list, among all entries."""
    starts = np.cumsum(lengths) - lengths
    inner = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(np.repeat(starts, counts) + inner, np.int64)


def table_recall(
    ground: Ground, given: Agreement, reports: Sequence[TaskReport]
) -> tuple[int, float]:
    """(queries, share of their lists' entries that the published table has at the same rank)."""
    queries = entries = 0
    for batch in read_table(ground.store, given.exact, ["ids"]):
        queries += batch.num_rows
        entries += len(batch.column(0).flatten())
    found = {n: sum(r.notes[n] for r in reports) for n in ("right", "entries", "true")}
    every = found["entries"] + entries - found["true"]  # who has no list has none right
    return queries, found["right"] / every if every else 1.0


def list_recalls(ground: Ground, reports: Sequence[TaskReport]) -> tuple[list[str], list[float]]:
    """Style and recall of each query's list in an approximate table; at most evaluate.queries."""
    found = {name: share for report in reports for name, share in report.notes["shares"]}
    rows = chosen_rows(ground)
    asked = [row for row in rows.to_pylist() if row["place"] < ground.queries]
    asked.sort(key=lambda each: each["image_id"])
    styles = [row["style"] or "" for row in asked]
    return styles, [float(found.get(row["image_id"], 0.0)) for row in asked]
