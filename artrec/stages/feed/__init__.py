"""The change feed of a night: what to take out of the last release's tables, and what to put in.

Each table has a run of its own, named by digests of both sides: a night that goes on finds it. The
tasks merge ranges of sorted tables, so that nothing is shuffled but the images that came or went.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from artrec import log
from artrec.failpoints import reached
from artrec.releases import (
    Draft,
    Run,
    RunRef,
    begin_run,
    digest_of,
    find_run,
    receipts_of,
    record_run,
)
from artrec.releases.feed import (
    KINDS,
    Span,
    changed_entries,
    changed_images,
    in_step,
    spans,
)
from artrec.releases.feed.images import COLUMNS
from artrec.schemas import TABLES, ruled
from artrec.stages import RESULT_VERSIONS
from artrec.stages.feed.kinds import with_kinds
from artrec.stages.frames import Attempt, TaskReport, add_counters, run_tasks
from artrec.stages.session import describe
from artrec.storage import Store
from artrec.tables import Receipt, TableWriter, read_table

__all__ = ["Feeds", "make_feeds"]

VERSION = 1
"""Raised when the same two tables give other rows than before."""

LISTS = ["query_id", "ids", "distances"]
OWN = ("task_milliseconds", "worker_peak_bytes")  # counters that say nothing of the tables
IMAGES = "catalog_changes"


@dataclass
class Feeds:
    """The tables of a night's feed, and of each what it counts and ``from`` which release it is.

    ``from`` is None where that release has no such table: then there is nothing to apply it to,
    and it is empty.
    """

    tables: dict[str, list[RunRef]] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Pair:
    """A table of the feed, and the table that it is the feed of, of both releases."""

    name: str
    table: str
    old: list[RunRef]
    new: list[RunRef]

    @property
    def columns(self) -> list[str]:
        return COLUMNS if self.name == IMAGES else LISTS


def make_feeds(spark: SparkSession, draft: Draft) -> Feeds:
    """The feed of each table that readers may hold, from the current release to this draft."""
    base, feeds = draft.base, Feeds()
    for pair in _pairs(draft):
        run = _begun(draft, pair)
        found = find_run(draft.store, run.stage, run.run_id)
        if found is None:
            describe(spark, f"evaluate: {pair.name}")
            found = _write(spark, draft, pair, run)
        reached("evaluate.feed")
        counts = {key: value for key, value in found.counters.items() if key not in OWN}
        feeds.tables[pair.name] = [RunRef.of(found)]
        feeds.notes[pair.name] = {"from": base.release_id if pair.old else None, **counts}
        feeds.counters = add_counters(
            [feeds.counters, {key: found.counters.get(key, 0) for key in OWN}]
        )
        log.get(stage="evaluate").info("feed", table=pair.name, **feeds.notes[pair.name])
    return feeds


def _pairs(draft: Draft) -> Iterator[_Pair]:
    base = draft.base.release
    catalog, neighbors = draft.need("catalog"), draft.need("neighbors")
    fed = {IMAGES: "catalog", "neighbor_changes": "neighbors_nested"}
    fed |= {f"neighbors_{n}_changes": f"neighbors_{n}_nested" for n in ruled(neighbors.tables)}
    for name, table in fed.items():
        new = (catalog if name == IMAGES else neighbors).tables[table]
        yield _Pair(name, table, base.refs(table) if base else [], new)


def _begun(draft: Draft, pair: _Pair) -> Run:
    """The run of a feed; that of images also depends on who was rejected, and is."""
    base, store = draft.base.release, draft.store
    columns = tuple(name for name in pair.columns if name in TABLES[pair.table].digested)
    sides = {"from": pair.old, "to": pair.new}
    inputs: dict[str, Any] = {"feed": VERSION, "table": pair.name} | {
        side: digest_of(store, refs, pair.table, columns) if refs else None
        for side, refs in sides.items()
    }
    if pair.name == IMAGES and base is not None:
        rejects = {"from": base.refs("rejects"), "to": draft.need("catalog").tables["rejects"]}
        inputs["rejects"] = {
            side: digest_of(store, refs, "rejects", ("image_id",)) for side, refs in rejects.items()
        }
    return begin_run("evaluate", RESULT_VERSIONS["evaluate"], inputs, {})


def _write(spark: SparkSession, draft: Draft, pair: _Pair, run: Run) -> Run:
    begun = time.monotonic()
    store, folder = draft.store, run.folder(draft.attempt)
    files, counters = list[Receipt](), dict[str, int]()
    if pair.old and run.inputs["from"] != run.inputs["to"]:
        files, counters = _merged(spark, store, folder, pair)
        if pair.name == IMAGES and (counters["insert"] or counters["delete"]):
            files = with_kinds(spark, draft, folder, files)
    elif pair.old:
        counters = _same(draft, pair)
    if pair.name == IMAGES and pair.old:
        counters |= _kinds(store, files)
        counters["unchanged"] = _rows(pair.new, pair.table) - counters["insert"]
        counters["unchanged"] -= counters["update"]
    if not files:
        with TableWriter(store, folder, TABLES[pair.name], "none", even_empty=True) as writer:
            pass
        files = writer.receipts
    return record_run(store, run.done({pair.name: files}, begun, counters))


def _rows(refs: Sequence[RunRef], table: str) -> int:
    return sum(ref.rows.get(table, 0) for ref in refs)


def _same(draft: Draft, pair: _Pair) -> dict[str, int]:
    """The counts of two tables with the same rows, which nobody reads."""
    count = _rows(pair.new, pair.table)
    if pair.name == IMAGES:
        return {"insert": 0, "delete": 0, "update": 0}
    entries = draft.need("neighbors").rows(pair.table.removesuffix("_nested"))
    nothing = changed_entries(_no_lists(), _no_lists())[1]
    return {**nothing, "images": count, "lists": count, "entries": entries}


def _no_lists() -> pa.Table:
    schema = TABLES["neighbors_nested"].columns
    return schema.empty_table()


def _merged(
    spark: SparkSession, store: Store, folder: str, pair: _Pair
) -> tuple[list[Receipt], dict[str, int]]:
    old, new = (receipts_of(store, refs, pair.table) for refs in (pair.old, pair.new))
    ranges = spans(old, new)
    work = partial(_merge, store, folder, pair.name, pair.columns, old, new, ranges)
    reports = run_tasks(spark, len(ranges), work)
    files = [receipt for report in reports for receipt in report.receipts]
    names = changed_entries(_no_lists(), _no_lists())[1] if pair.name != IMAGES else {}
    nothing = dict.fromkeys({"insert", "delete", "update", *names}, 0)
    return files, add_counters([nothing, *(report.counters for report in reports)])


def _merge(
    store: Store,
    folder: str,
    name: str,
    columns: Sequence[str],
    old: Sequence[Receipt],
    new: Sequence[Receipt],
    ranges: Sequence[Span],
    attempt: Attempt,
) -> TaskReport:
    """One task: a range of both tables, read side by side."""
    changed = changed_images if name == IMAGES else changed_entries
    counts = Counter[str]()
    with TableWriter(store, folder, TABLES[name], attempt.stem) as writer:
        for before, after in in_step(store, old, new, columns, ranges[attempt.index]):
            rows, found = changed(before, after)
            counts.update(found)
            if rows.num_rows:
                writer.write(rows)
    return TaskReport(receipts=writer.receipts, counters=dict(counts))


def _kinds(store: Store, files: Sequence[Receipt]) -> dict[str, int]:
    """How many images there are of each kind; one that moved counts once."""
    found = Counter[str]()
    for batch in read_table(store, files, ["kind", "change"]):
        left = pc.and_(pc.equal(batch["kind"], "moved"), pc.equal(batch["change"], "delete"))
        counts = pc.value_counts(batch["kind"].filter(pc.invert(left))).to_pylist()
        found.update({each["values"]: each["counts"] for each in counts})
    return {kind: found[kind] for kind in KINDS}
