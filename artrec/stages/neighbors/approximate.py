"""The approximate join, for catalogs for which the exact one is too dear.

Vectors are laid out by cells (:mod:`laying`), and from the exact neighbors of a random sample it is
known how many cells each must look at (:mod:`sampling`). A task for each block fills its lists from
near cells, of which it reads those in other blocks, too. Where that is not enough, tasks let those
pairs of blocks meet of which one looks at the other; what they find, packed, goes through a shuffle
by block, and a task for each block merges it (:mod:`seeing`). A list depends on the cells alone,
not on blocks or tasks; :mod:`artrec.vectors.approximate.looking` has the method.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from artrec.config import Settings
from artrec.planning import exact_seconds_by_sample, seen_blocks
from artrec.releases import Draft, Run
from artrec.schemas import TABLES
from artrec.stages.frames import (
    TaskReport,
    add_counters,
    parallelism,
    read_frame,
    run_tasks,
    write_sorted,
)
from artrec.stages.neighbors.laying import Scratch, lay_out
from artrec.stages.neighbors.sampling import Planning, choose_probes, recall_notes
from artrec.stages.neighbors.seeing import Work, deal, fill, meet_and_merge
from artrec.stages.neighbors.symmetric import POOL_ENTRY
from artrec.stages.progress import Watch
from artrec.stages.session import describe
from artrec.tables import Receipt
from artrec.vectors.approximate.choosing import sample_size

__all__ = ["join_approximate"]

TASKS_EACH = 6  # tasks for each core


def join_approximate(
    spark: SparkSession,
    settings: Settings,
    draft: Draft,
    run: Run,
    live: list[Receipt],
    metadata: dict[str, str],
) -> list[TaskReport]:
    """The pools of all live vectors: reports whose receipts are files in the table's order.

    The last one has notes: what was chosen, its recall, and its cost beside the exact join's.
    """
    rules, rows = settings.neighbors, sum(receipt.rows for receipt in live)
    folder = run.folder(draft.attempt)
    scratch = Scratch(draft.store, folder, metadata, rows)
    share = sample_size(rows, rules.recall) / rows
    count = seen_blocks(rows, rules.block_rows, parallelism(spark))
    laying = lay_out(spark, scratch, live, count, share)
    planning = Planning(rules.k, rules.recall, settings.evaluate.queries)
    planned = choose_probes(spark, scratch, laying, planning)
    chosen, blocks, size = planned[-1], len(laying.blocks), rules.k + rules.slack
    cells = (chosen.notes["near"], chosen.notes["probes"])
    work = Work(scratch, laying, size, [], rules.k, *cells, chosen.receipts)
    watch = Watch(draft, "neighbors", 2 * blocks, ("blocks",), "blocks", settings.log.every)
    describe(spark, f"neighbors: {blocks} blocks, from {work.near} near cells")
    with watch.watching(part="blocks") as marks:
        found = run_tasks(spark, blocks, partial(fill, work), marks)
    if work.probes:
        found += _looked_further(spark, work, found, watch)
    describe(spark, "neighbors: pools in order")
    table, about = TABLES["neighbor_pool"], rows * work.k * POOL_ENTRY
    frame = read_frame(spark, scratch.store, _files(found, table.name), table)
    ordered = write_sorted(frame, draft.store, folder, table, about, metadata)
    counters = [TaskReport(counters=report.counters) for report in (*planned, *found)]
    notes = _notes(work, planning, [*planned, *found])
    return [*counters, TaskReport(receipts=ordered, notes=notes)]


def _looked_further(
    spark: SparkSession, work: Work, filled: list[TaskReport], watch: Watch
) -> list[TaskReport]:
    """Pairs of blocks meet, and what they found is merged."""
    first = [_files([report], "neighbor_near") for report in filled]
    work, seen = replace(work, first=first), _files(filled, "neighbor_looks")
    tasks = TASKS_EACH * parallelism(spark)
    (dealt,) = run_tasks(spark, 1, partial(deal, work, seen, tasks))
    describe(spark, f"neighbors: {dealt.notes['cuts'][-1]} pairs of blocks")
    with watch.watching(part="pairs") as marks:
        return [dealt, *meet_and_merge(spark, work, dealt, marks)]


def _files(reports: Iterable[TaskReport], table: str) -> list[Receipt]:
    return [each for report in reports for each in report.receipts if each.table == table]


def _notes(work: Work, planning: Planning, reports: list[TaskReport]) -> dict[str, Any]:
    """What is written to the release; bounded by the sample."""
    seen = [pair for report in reports for pair in report.notes.get("recalls", [])]
    recalls, furthest = np.array(sorted(seen)).reshape(-1, 2).T
    counters = add_counters(report.counters for report in reports)
    rows = work.scratch.rows
    milliseconds = counters["task_milliseconds"] + counters.get("pairs_milliseconds", 0)
    cells = next(report.notes["cells"] for report in reports if "cells" in report.notes)
    exact = exact_seconds_by_sample(
        rows, counters["sample_products"], counters["sample_milliseconds"] / 1000
    )
    return {
        "target": planning.target,
        "near": work.near,
        "probes": work.probes,
        "cells": cells,
        "recall": recall_notes(recalls, furthest.astype(np.float32)),
        "products": counters["products"] + counters["sample_products"],
        "exact_products": rows * (rows - 1) // 2,
        "seconds": round(milliseconds / 1000, 2),
        "exact_seconds": round(exact, 2),
    }
